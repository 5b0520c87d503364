# SPDX-License-Identifier: GPL-2.0-only
"""Network golden data from SchNetPack's PaiNN and gated equivariant blocks, in float64.

    python make_painn_golden.py            # rewrites golden/painn.safetensors and two JSON files
    python make_painn_golden.py --check    # recomputes and compares with the stored files

Needs the packages listed in README.md and about ten seconds on one thread. The weights are not
stored: `weight_value` gives them.
"""

import argparse
import sys
from typing import TypeVar

import numpy as np
import torch
import torch.utils.data.dataloader as dataloader

# SchNetPack 2.1.1 imports a name that newer torch releases dropped; nothing here uses it.
if not hasattr(dataloader, "T_co"):
    dataloader.T_co = TypeVar("T_co", covariant=True)

import schnetpack.nn as snn
import schnetpack.properties as properties
import schnetpack.representation as representation

import systems
from store import Store

# Entries of a matrix have variance GAIN/(3*fan_in): features of order 1, scores of order 1.
GAIN = {"painn": 2.5, "score": 5.0, "force": 4.0}
TIMES = (0.003, 0.25, 0.9)
S_MIN, S_MAX = 0.01, 1.0


def tensor_names(nblock=4, score=True, force=True):
    """Names in the order that defines k in `weight_value`."""
    names = ["painn.embedding.weight", "painn.filter.weight", "painn.filter.bias"]
    dense = ["0.weight", "0.bias", "1.weight", "1.bias"]
    for block in range(nblock):
        names += [f"painn.message.{block}.{part}" for part in dense]
        names += [f"painn.mixing.{block}.{part}" for part in ["mix.weight"] + dense]
    for head, present in (("score", score), ("force", force)):
        if present:
            for block in range(3):
                names += [f"{head}.{block}.{part}" for part in ["mix.weight"] + dense]
    return names


def weight_value(k, name, shape):
    """Tensor number k: a_k * (h/2^31 - 1), h a 32-bit hash of k and the row-major index e.

    All integer steps wrap at 2^32 and the division is exact, so any IEEE machine gets the same
    bits. A smooth formula in e (a sine, say) would make every matrix nearly rank two.
    """
    if name == "painn.embedding.weight":
        amplitude = 1.0
    elif name.endswith(".bias"):
        amplitude = 0.2
    else:
        amplitude = np.sqrt(GAIN[name.split(".")[0]] / shape[-1])
    h = np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(747796405)
    h += np.uint32(2891336453 * (k + 1) % 2**32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    h *= np.uint32(3266489917)
    h ^= h >> np.uint32(16)
    unit = h.astype(np.float64) / 2147483648.0 - 1.0
    return torch.from_numpy((amplitude * unit).reshape(shape))


class Network(torch.nn.Module):
    """PaiNN with the score head and the force head, made of SchNetPack parts only."""

    def __init__(self, nfeat=64, nblock=4, nrbf=30, cutoff=6.0, heads=True):
        super().__init__()
        self.cutoff = cutoff
        self.nblock = nblock
        torch.set_default_dtype(torch.float32)  # GaussianRBF insists on it
        self.painn = representation.PaiNN(
            n_atom_basis=nfeat,
            n_interactions=nblock,
            radial_basis=snn.GaussianRBF(n_rbf=nrbf, cutoff=cutoff),
            cutoff_fn=snn.CosineCutoff(cutoff),
            activation=torch.nn.functional.silu,
            shared_interactions=False,
            shared_filters=False,
            epsilon=1e-8,
        )
        self.score = self.force = None
        if heads:
            silu = torch.nn.functional.silu
            # build_gated_equivariant_mlp wants as many scalars as vectors: no time features.
            self.score = torch.nn.Sequential(
                snn.GatedEquivariantBlock(66, 64, 33, 32, 66, sactivation=silu),
                snn.GatedEquivariantBlock(33, 32, 16, 16, 33, sactivation=silu),
                snn.GatedEquivariantBlock(16, 16, 1, 1, 16, sactivation=None),
            )
            self.force = snn.build_gated_equivariant_mlp(
                64, 1, n_hidden=[32, 16], n_gating_hidden=[64, 32, 16], n_layers=3
            )
        self.double()
        torch.set_default_dtype(torch.float64)
        # The constants are built in float32 by SchNetPack; the specification is exact.
        width = cutoff / (nrbf - 1)
        with torch.no_grad():
            self.painn.radial_basis.offsets.copy_(torch.arange(nrbf).double() * cutoff / (nrbf - 1))
            self.painn.radial_basis.widths.fill_(width)
            for k, (name, tensor) in enumerate(self.named_tensors().items()):
                tensor.copy_(weight_value(k, name, tuple(tensor.shape)))

    def named_tensors(self):
        """Our checkpoint name -> SchNetPack parameter, in the order of `tensor_names`."""
        found = {
            "painn.embedding.weight": self.painn.embedding.weight,
            "painn.filter.weight": self.painn.filter_net.weight,
            "painn.filter.bias": self.painn.filter_net.bias,
        }

        def dense(prefix, sequence):
            for layer in range(2):
                found[f"{prefix}.{layer}.weight"] = sequence[layer].weight
                found[f"{prefix}.{layer}.bias"] = sequence[layer].bias

        for block in range(self.nblock):
            dense(f"painn.message.{block}", self.painn.interactions[block].interatomic_context_net)
            mixing = self.painn.mixing[block]
            found[f"painn.mixing.{block}.mix.weight"] = mixing.mu_channel_mix.weight
            dense(f"painn.mixing.{block}", mixing.intraatomic_context_net)
        for head, blocks in (("score", self.score), ("force", self.force)):
            for block, module in enumerate(blocks or []):
                found[f"{head}.{block}.mix.weight"] = module.mix_vectors.weight
                dense(f"{head}.{block}", module.scalar_net)
        names = tensor_names(self.nblock, self.score is not None, self.force is not None)
        assert set(names) == set(found) and len(found) == len(list(self.parameters()))
        return {name: found[name] for name in names}

    def represent(self, structures):
        """q (N, F) and mu (N, 3, F) of the disjoint union of the structures."""
        numbers, centres, neighbours, vectors = [], [], [], []
        offset = 0
        for atoms in structures:
            i, j, _, rij, _ = systems.neighbour_list(atoms, self.cutoff)
            numbers.append(atoms.numbers)
            centres.append(i + offset)
            neighbours.append(j + offset)
            vectors.append(rij)
            offset += len(atoms)
        real = next(self.parameters()).dtype
        inputs = {
            properties.Z: torch.from_numpy(np.concatenate(numbers)).long(),
            properties.Rij: torch.from_numpy(np.concatenate(vectors)).to(real),
            properties.idx_i: torch.from_numpy(np.concatenate(centres)).long(),
            properties.idx_j: torch.from_numpy(np.concatenate(neighbours)).long(),
        }
        torch.set_default_dtype(real)  # SchNetPack makes its initial mu in the default type
        out = self.painn(inputs)
        return out["scalar_representation"], out["vector_representation"]

    def scores(self, q, mu, times):
        """Score vectors (N, 3); times holds one diffusion time per atom."""
        features = [q, torch.sin(np.pi * times)[:, None], torch.cos(np.pi * times)[:, None]]
        return self.score((torch.cat(features, dim=1), mu))[1].squeeze(-1)

    def forces(self, q, mu):
        """Force vectors (N, 3)."""
        return self.force((q, mu))[1].squeeze(-1)


def chosen_atoms(atoms):
    """Up to eight atoms spread over the structure, the last (a mobile one) always among them."""
    return np.unique(np.linspace(0, len(atoms) - 1, min(8, len(atoms))).round().astype(np.int64))


def write_forward(store, network):
    """Representation, scores and forces of every system."""
    arrays = {"times": np.array(TIMES)}
    for name, atoms in systems.parity_systems().items():
        with torch.no_grad():
            q, mu = network.represent([atoms])
            scores = [network.scores(q, mu, torch.full((len(atoms),), t)) for t in TIMES]
            forces = network.forces(q, mu)
        some = chosen_atoms(atoms)
        arrays.update({
            f"{name}.cell": atoms.cell[:],
            f"{name}.pbc": atoms.pbc.astype(np.int64),
            f"{name}.numbers": atoms.numbers.astype(np.int64),
            f"{name}.positions": atoms.positions,
            f"{name}.mobile": np.array([atoms.info["mobile"]], dtype=np.int64),
            f"{name}.edges": np.array([len(systems.neighbour_list(atoms)[0])], dtype=np.int64),
            f"{name}.atoms": some,
            f"{name}.q": q[some].numpy(),
            f"{name}.mu": mu[some].numpy(),
            f"{name}.q_sum": q.sum(0).numpy(),
            f"{name}.mu_sum": mu.sum(0).numpy(),
            f"{name}.score": torch.stack(scores).numpy(),
            f"{name}.force": forces.numpy(),
        })
    small = Network(nfeat=32, nblock=2, nrbf=20, cutoff=5.0, heads=False)
    atoms = systems.mixed_slab()
    with torch.no_grad():
        q, mu = small.represent([atoms])
    some = chosen_atoms(atoms)[::2]
    arrays.update({
        "small.atoms": some,
        "small.q": q[some].numpy(),
        "small.mu": mu[some].numpy(),
        "small.q_sum": q.sum(0).numpy(),
        "small.mu_sum": mu.sum(0).numpy(),
    })
    store.tensors("painn", arrays)


def pattern(n):
    """Fixed coefficients c[i, a] = sin(1 + 0.7*(3*i + a)), shape (n, 3)."""
    return torch.sin(1.0 + 0.7 * torch.arange(3 * n).double()).reshape(n, 3)


def probes(tensor, grad, count):
    """Row-major indices of the largest gradient entry and of `count` more, spread by rank."""
    order = torch.argsort(grad.abs().flatten(), descending=True)
    used = int((grad.abs() > 1e-3 * grad.abs().max()).sum())
    ranks = np.unique(np.linspace(0, max(used - 1, 0), count + 1).round().astype(int))
    return [int(order[r]) for r in ranks]


def gradient_record(network, loss, count=4):
    network.zero_grad(set_to_none=True)
    loss.backward()
    rows = []
    for name, tensor in network.named_tensors().items():
        if tensor.grad is None:
            continue
        index = probes(tensor, tensor.grad, count)
        rows.append({
            "name": name,
            "shape": list(tensor.shape),
            "norm": tensor.grad.norm().item(),
            "sum": tensor.grad.sum().item(),
            "index": index,
            "value": [tensor.grad.flatten()[i].item() for i in index],
        })
    return {"loss": loss.item(), "tensors": rows}


def write_gradients(store, network):
    """Gradients of sum(c*score), sum(c*force) and of the force-stage loss."""
    document = {"pattern": "c[i][a] = sin(1 + 0.7*(3*i + a))", "weight_samples": [
        {"name": name, "shape": list(tensor.shape), "first": tensor.detach().flatten()[:3].tolist()}
        for name, tensor in network.named_tensors().items()
    ]}
    for name in ("adatom", "mixed"):
        atoms = systems.parity_systems()[name]
        q, mu = network.represent([atoms])
        score = network.scores(q, mu, torch.full((len(atoms),), 0.6))
        record = gradient_record(network, (pattern(len(atoms)) * score).sum())
        document[f"score_{name}"] = {"system": name, "time": 0.6, **record}
    atoms = systems.mixed_slab()
    q, mu = network.represent([atoms])
    record = gradient_record(network, (pattern(len(atoms)) * network.forces(q, mu)).sum())
    document["force_mixed"] = {"system": "mixed", **record}

    batch = [systems.stepped_pt(), systems.stepped_pt((4.0, 1.0, 7.0))]
    q, mu = network.represent(batch)
    total = sum(len(atoms) for atoms in batch)
    target = 0.5 * pattern(total)
    square = (network.forces(q, mu) - target) ** 2
    mobile = torch.zeros(total, dtype=torch.bool)
    mobile[[20, 41]] = True
    record = gradient_record(network, square.mean())
    document["force_loss"] = {
        "adatom_positions": [atoms.positions[-1].tolist() for atoms in batch],
        "target": "0.5*c over the concatenated 42 atoms",
        "mobile_square_sum": square[mobile].sum().item(),
        **record,
    }
    store.json("painn_gradients", document)


def kernel_std(t):
    sigma = S_MIN + (S_MAX - S_MIN) * t
    return np.sqrt(sigma**2 - S_MIN**2)


# Adatom positions, standardised noise, times and weights of the training golden: step by step.
X0 = [[2.68, 2.03, 6.42], [4.0, 1.0, 7.0]]
WEIGHTS = [1.5, 0.5]
NOISE = [
    [[0.5, -1.0, 0.8], [-0.3, 0.2, 0.1]],
    [[-0.2, 0.4, 0.3], [1.1, -0.7, 0.6]],
    [[0.9, 0.1, -0.1], [-0.6, -0.5, 0.7]],
    [[0.05, -0.3, 0.2], [0.4, 0.8, -0.2]],
    [[-1.2, 0.6, 0.9], [0.2, 0.3, 0.4]],
    [[0.7, 0.7, 0.5], [-0.9, 0.1, 0.3]],
]
STEP_TIMES = [[0.25, 0.6], [0.9, 0.1], [0.05, 0.45], [0.7, 0.3], [0.5, 0.8], [0.15, 0.95]]
EPOCH_LOSSES = [1.0, 1.0, 1.0, 1.0, 0.99995, 0.9]


def training_loss(network, step, consistent, scale):
    """L = sum_g scale*W_g |r_g|^2 / sum_g N_g over the mobile atom of each structure."""
    batch, noise, times = [], [], []
    for g in range(2):
        t = STEP_TIMES[step][g]
        position = np.array(X0[g]) + kernel_std(t) * np.array(NOISE[step][g])
        batch.append(systems.stepped_pt(position))
        noise.append(NOISE[step][g])
        times.append(t)
    natoms = len(batch[0])
    q, mu = network.represent(batch)
    per_atom = torch.tensor(times).double().repeat_interleave(natoms)
    score = network.scores(q, mu, per_atom)[[natoms - 1, 2 * natoms - 1]]
    s = torch.tensor([kernel_std(t) for t in times]).double()[:, None]
    residual = torch.tensor(noise).double() + (s if consistent else s**2) * score
    weights = scale * torch.tensor(WEIGHTS).double()
    loss = (weights * (residual**2).sum(1)).sum() / (2 * natoms)
    return loss, score, [atoms.positions[-1].tolist() for atoms in batch]


def train(consistent, scale):
    """Six optimiser steps; the plateau rule is told EPOCH_LOSSES[i] after step i."""
    network = Network()
    parameters = {n: p for n, p in network.named_tensors().items() if not n.startswith("force.")}
    optimiser = torch.optim.AdamW(
        list(parameters.values()), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.95, patience=2, threshold=1e-4, threshold_mode="rel", cooldown=0
    )
    start = {n: p.detach().clone() for n, p in parameters.items()}
    history, gradients, steps = [], [], []
    for step in range(len(NOISE)):
        lr = optimiser.param_groups[0]["lr"]
        optimiser.zero_grad(set_to_none=True)
        loss, score, noised = training_loss(network, step, consistent, scale)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 10.0)
        gradients.append({n: p.grad.detach().clone() for n, p in parameters.items()})
        optimiser.step()
        plateau.step(EPOCH_LOSSES[step])
        history.append({n: p.detach().clone() for n, p in parameters.items()})
        steps.append({"loss": loss.item(), "grad_norm": norm.item(), "lr": lr,
                      "positions": noised, "score": score.tolist()})
    rows = []
    for name, tensor in parameters.items():
        # Entries whose gradient is never small: Adam divides by its size.
        smallest = torch.stack([g[name].abs() for g in gradients]).min(0).values.flatten()
        index = torch.argsort(smallest, descending=True)[:2].tolist()
        if name == "painn.embedding.weight":
            index.append(64)  # hydrogen: absent, only weight decay acts
        if name == "score.2.1.weight":
            index.append(0)  # feeds the dropped scalar output, only weight decay acts
        rows.append({
            "name": name,
            "index": index,
            "start": [start[name].flatten()[i].item() for i in index],
            "after": [[h[name].flatten()[i].item() for i in index] for h in history],
        })
    last = torch.cat([h.flatten() for h in history[-1].values()])
    first = torch.cat([s.flatten() for s in start.values()])
    return {"residual": "consistent" if consistent else "reference", "weight_scale": scale,
            "steps": steps, "probes": rows, "last_step_change_norm": (last - first).norm().item()}


def plateau_sequence(patience, losses):
    """Learning rate after each epoch."""
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-4)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.95, patience=patience, threshold=1e-4, threshold_mode="rel", cooldown=0
    )
    rates = []
    for loss in losses:
        optimiser.step()
        plateau.step(loss)
        rates.append(optimiser.param_groups[0]["lr"])
    return rates


def write_training(store):
    """Loss, clip, AdamW and plateau rule together, then the last two alone."""
    short = [1.0, 0.9, 0.9, 0.89995, 0.89992, 0.91, 0.92, 0.93, 0.94, 0.5, 0.50001, 0.6, 0.6, 0.6,
             0.6, 0.6, 0.49996, 0.49990, 0.7, 0.7, 0.7]
    scalar = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.AdamW([scalar], lr=1e-4)
    walk = []
    for grad in (0.5, -0.2, 0.0, 3.0, -1e-6):
        scalar.grad = torch.full_like(scalar, grad)
        optimiser.step()
        walk.append(scalar.item())
    tiny = plateau_sequence(0, [1.0] * 200)
    store.json("training", {
        "template": "the first 20 atoms of system adatom",
        "x0": X0, "weights": WEIGHTS, "noise": NOISE, "times": STEP_TIMES,
        "epoch_losses": EPOCH_LOSSES,
        "optimiser": {"lr": 1e-4, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01,
                      "clip": 10.0, "factor": 0.95, "patience": 2, "threshold": 1e-4},
        "cases": [train(False, 1.0), train(True, 1.0), train(False, 1000.0)],
        "plateau": [
            {"patience": 2, "losses": short, "lr": plateau_sequence(2, short)},
            {"patience": 0, "losses": short, "lr": plateau_sequence(0, short)},
        ],
        # All losses equal to 1: the rate after some epochs (patience 100 is the default).
        "plateau_constant": [
            {"patience": 100, "epoch": e, "lr": plateau_sequence(100, [1.0] * e)[-1]}
            for e in (1, 101, 102, 202, 203, 1000)
        ],
        "plateau_floor": {"patience": 0, "epochs": 200, "lr": tiny[-1]},
        "adamw_scalar": {"start": 1.0, "gradients": [0.5, -0.2, 0.0, 3.0, -1e-6], "values": walk},
    })


def report_float32(network):
    """Largest float32 deviations, relative to the largest magnitude: a guide for tolerances."""
    single = Network().float()
    for name, atoms in systems.parity_systems().items():
        with torch.no_grad():
            q, mu = network.represent([atoms])
            full = [q, mu, network.forces(q, mu)]
            full += [network.scores(q, mu, torch.full((len(atoms),), t)) for t in TIMES]
            q, mu = single.represent([atoms])
            half = [q, mu, single.forces(q, mu)]
            half += [single.scores(q, mu, torch.full((len(atoms),), t)) for t in TIMES]
        torch.set_default_dtype(torch.float64)
        text = []
        for label, a, b in zip(("q", "mu", "force", "s0", "s1", "s2"), full, half):
            largest = a.abs().max().item()
            text.append(f"{label} {largest:.3g} ({(a - b).abs().max().item() / largest:.1e})")
        print(f"{name:9s}", ", ".join(text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the stored files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.check)
    network = Network()
    print("largest magnitude (relative float32 deviation):")
    report_float32(network)
    write_forward(store, network)
    write_gradients(store, network)
    write_training(store)
    return store.finish()


if __name__ == "__main__":
    sys.exit(main())
