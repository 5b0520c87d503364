# SPDX-License-Identifier: GPL-2.0-only
"""Train a small MACE on the structures of make_pt_data.py.

train_pt_model.py FILE.npz MODEL [--epochs N] [--start MODEL]    (the Python of tools/mace/environment)

Writes MODEL, a pickle of mace-torch, after every fifth epoch and at the end; the learning rate has
fallen to its end by the last epoch only. Every tenth start is held out, with all structures that
come from it. The same seed on the same machine gives the same model. 40 minutes on one core.
"""

import argparse
import copy
import os
import time

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from e3nn import o3
from mace import modules
from mace.data.neighborhood import get_neighborhood

HERE = os.path.dirname(os.path.abspath(__file__))
R_MAX = 4.7  # between the second and the third shell of Pt; a third of the neighbours that 5.0 has
SEED = 4711
BATCH = 8
RATE, LAST_RATE = 1e-2, 1e-4
# forces beyond this (eV/Angstrom) count by their relative error: they only have to be large
LARGE_FORCE = 8.0


def make():
    """The untrained model. An atom without neighbours has energy 0, as in the EAM potential."""
    torch.manual_seed(SEED)
    return modules.ScaleShiftMACE(
        r_max=R_MAX,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        num_interactions=2,
        num_elements=1,
        hidden_irreps=o3.Irreps("16x0e+16x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([[0.0]]),
        avg_num_neighbors=13.0,
        atomic_numbers=[78],
        correlation=2,
        radial_MLP=[32, 32],
        pair_repulsion=True,
        heads=["Pt_u3"],
        atomic_inter_scale=2.0,
        atomic_inter_shift=0.0,
    )


def graphs_of(path):
    """Structures with their edges; (kinds, list of dictionaries)."""
    content = np.load(path)
    result = []
    for i, (a, b) in enumerate(zip(content["first"][:-1], content["first"][1:])):
        x, cell = content["positions"][a:b], content["cell"][i]
        edges, shifts, units, _ = get_neighborhood(x, R_MAX, (True, True, True), cell.copy())
        result.append(
            dict(
                kind=int(content["kind"][i]),
                origin=int(content["origin"][i]),
                positions=torch.tensor(x),
                forces=torch.tensor(content["forces"][a:b]),
                energy=float(content["energy"][i]),
                edge_index=torch.tensor(edges, dtype=torch.int64),
                shifts=torch.tensor(shifts),
                unit_shifts=torch.tensor(units, dtype=torch.float64),
                cell=torch.tensor(cell),
            )
        )
    return [str(k) for k in content["kinds"]], result


def together(graphs):
    """One batch as a model of mace-torch reads it; energies, forces and sizes."""
    dtype = torch.get_default_dtype()
    sizes = torch.tensor([len(g["positions"]) for g in graphs])
    ptr = torch.cat((torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)))
    join = lambda key: torch.cat([g[key] for g in graphs]).to(dtype)
    data = dict(
        positions=join("positions"),
        shifts=join("shifts"),
        unit_shifts=join("unit_shifts"),
        cell=join("cell"),
        edge_index=torch.cat([g["edge_index"] + int(ptr[i]) for i, g in enumerate(graphs)], 1),
        node_attrs=torch.ones(int(ptr[-1]), 1, dtype=dtype),
        batch=torch.repeat_interleave(torch.arange(len(graphs)), sizes),
        ptr=ptr,
        head=torch.zeros(len(graphs), dtype=torch.int64),
    )
    energy = torch.tensor([g["energy"] for g in graphs], dtype=dtype)
    return data, energy, join("forces"), sizes.to(dtype)


def loss_of(model, graphs, energy_weight):
    data, energy, forces, sizes = together(graphs)
    out = model(data, training=True, compute_force=True)
    largest = torch.zeros(len(graphs)).index_reduce_(0, data["batch"], forces.abs().amax(1), "amax")
    of_energy = (out["energy"] - energy) ** 2 / sizes / (1 + (largest / LARGE_FORCE) ** 2)
    size = forces.norm(dim=1, keepdim=True)
    of_forces = ((out["forces"] - forces) ** 2 / (1 + (size / LARGE_FORCE) ** 2)).sum(1)
    # per structure, so that small ones count as much
    per_graph = torch.zeros(len(graphs)).index_add_(0, data["batch"], of_forces) / sizes
    return energy_weight * of_energy.mean() + per_graph.mean()


def errors(model, kinds, graphs):
    """Per kind: number, root mean square errors of the energy (meV/atom) and force (eV/Angstrom).

    Forces are counted by component. Structures with a force above LARGE_FORCE are counted apart, as
    close contacts, with the relative error of their largest force.
    """
    table = {}
    for start in range(0, len(graphs), 16):
        some = graphs[start : start + 16]
        data, energy, forces, sizes = together(some)
        out = model(data, training=False, compute_force=True)
        wrong = ((out["energy"] - energy) / sizes).detach()
        for i, g in enumerate(some):
            of = data["batch"] == i
            delta, size = (out["forces"] - forces)[of].detach(), forces[of].norm(dim=1)
            close = bool(size.max() > LARGE_FORCE)
            name = "close contacts" if close else kinds[g["kind"]]
            if close:
                worst = size.argmax()
                squares = (delta[worst].norm() / size[worst]) ** 2
            else:
                squares = (delta**2).mean()
            table.setdefault(name, []).append((float(wrong[i]) ** 2, float(squares)))
    rows = {name: np.array(values) for name, values in table.items()}
    return {
        name: (len(v), 1e3 * np.sqrt(v[:, 0].mean()), np.sqrt(v[:, 1].mean()))
        for name, v in sorted(rows.items())
    }


def table_of(rows):
    return "; ".join(f"{name} ({n}) {e:.1f} meV, {f:.3f}" for name, (n, e, f) in rows.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("model")
    parser.add_argument("--epochs", type=int, default=70)
    parser.add_argument("--start", help="go on from this model, with a smaller rate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    kinds, graphs = graphs_of(options.data)
    held_out = [g for g in graphs if g["origin"] % 10 == 0]
    training = [g for g in graphs if g["origin"] % 10 != 0]
    n_edges = sum(g["edge_index"].shape[1] for g in training)
    print(f"{len(training)} structures, {n_edges} edges; {len(held_out)} held out", flush=True)

    model = torch.load(options.start, weights_only=False) if options.start else make()
    rate = RATE / 3 if options.start else RATE
    smooth = copy.deepcopy(model)
    adam = torch.optim.Adam(model.parameters(), rate, amsgrad=True)
    draw = np.random.default_rng(SEED)
    begin, steps = time.time(), 0
    per_epoch = (len(training) + BATCH - 1) // BATCH
    for epoch in range(options.epochs):
        # energies count more at the end, when the forces are right
        energy_weight = 1.0 if not options.start and epoch < 0.7 * options.epochs else 10.0
        order = draw.permutation(len(training))
        total = 0.0
        for k in range(0, len(order), BATCH):
            done = steps / (per_epoch * options.epochs)
            fallen = 0.5 * (1 + np.cos(np.pi * done)) * min(1, (steps + 1) / 100)
            for group in adam.param_groups:
                group["lr"] = LAST_RATE + (rate - LAST_RATE) * fallen
            adam.zero_grad(set_to_none=True)
            loss = loss_of(model, [training[i] for i in order[k : k + BATCH]], energy_weight)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            adam.step()
            steps += 1
            total += float(loss.detach())
            with torch.no_grad():
                keep = min(0.995, steps / (steps + 10))
                for s, p in zip(smooth.parameters(), model.parameters()):
                    s.lerp_(p, 1 - keep)
        print(
            f"epoch {epoch + 1} loss {total / per_epoch:.4f} {time.time() - begin:.0f} s",
            flush=True,
        )
        if (epoch + 1) % 5 == 0 or epoch + 1 == options.epochs:
            torch.save(smooth, options.model)
            print("held out: " + table_of(errors(smooth, kinds, held_out)), flush=True)


if __name__ == "__main__":
    main()
