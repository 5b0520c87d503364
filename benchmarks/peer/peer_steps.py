# SPDX-License-Identifier: GPL-2.0-only
"""Time of training and reverse steps of SchNetPack's PaiNN in PyTorch, on GODIFF's own batches.

    peer_steps.py FILE [options]        FILE comes from bench_steps --write-batches FILE

The step is that of the reference implementation of the method: a neighbour list for every structure
on its own, SchNetPack's PaiNN on the disjoint union of the structures, score head on all atoms; for
training the loss, backward, gradient clip and AdamW. Before anything is timed, the loss, the norm of
the gradient and the scores must equal those that GODIFF stored in the file: both sides do the same
work. Noise draws and the update of positions, which GODIFF's times include, are left out here.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from safetensors import safe_open

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unittest" / "parity"))
import make_painn_golden as golden  # noqa: E402  (first: it makes SchNetPack importable)

import ase  # noqa: E402
import matscipy  # noqa: E402
import schnetpack  # noqa: E402
import schnetpack.properties as properties  # noqa: E402
from ase.neighborlist import primitive_neighbor_list  # noqa: E402
from matscipy.neighbours import neighbour_list as matscipy_neighbour_list  # noqa: E402

FORMAT = "godiff-benchmark-batches-1"
# Relative to the largest score, to the loss, to the norm: those of unittest/parity for float32.
TOLERANCE = {"score": 5e-5, "loss": 1e-5, "gradient_norm": 1e-4}
# Bytes that PyTorch holds per directed edge, measured on S2 (batch 16), to split what does not fit.
BYTES_PER_EDGE = {"training": 30000, "reverse": 9200, "start": 9200}


class Batch:
    """One batch of the file: `work` is training, reverse (middle of the chain) or start."""

    def __init__(self, data, system, work, size):
        self.system, self.work, self.size = system, work, size
        prefix = f"{system}/{work}/{size}/"
        self.cell = data[f"{system}/cell"].numpy()
        self.pbc = data[f"{system}/pbc"].numpy().astype(bool)
        self.numbers = data[f"{system}/numbers"]
        template = data[f"{system}/template"]
        self.mobile = data[prefix + "positions"]
        self.n_mobile = self.mobile.shape[1]
        self.n_atoms = len(self.numbers)
        self.positions = torch.cat([template.expand(size, -1, -1), self.mobile], dim=1)
        if work == "training":
            self.times = data[prefix + "times"]
            self.noise = data[prefix + "noise"].float()
            self.weights = data[prefix + "weights"].float()
            self.loss = data[prefix + "loss"].item()
            self.gradient_norm = data[prefix + "gradient_norm"].item()
        else:
            self.times = data[prefix + "time"].expand(size)
            self.score = data[prefix + "score"]


def one_list(kind, batch, positions, cutoff):
    """Centres, neighbours and shifts S of one structure."""
    if kind == "matscipy":
        return matscipy_neighbour_list("ijS", positions=positions, cell=batch.cell, cutoff=cutoff,
                                       pbc=batch.pbc)
    return primitive_neighbor_list("ijS", batch.pbc, batch.cell, positions, cutoff,
                                   self_interaction=False)


def neighbour_lists(kind, batch, rows, cutoff, device):
    """Edges of the disjoint union of some structures: centres, neighbours, shift vectors."""
    centres, neighbours, shifts = [], [], []
    for n, g in enumerate(rows):
        i, j, s = one_list(kind, batch, batch.positions[g].numpy(), cutoff)
        centres.append(torch.from_numpy(i).long() + n * batch.n_atoms)
        neighbours.append(torch.from_numpy(j).long() + n * batch.n_atoms)
        shifts.append(torch.from_numpy(s @ batch.cell).float())
    return tuple(torch.cat(part).to(device) for part in (centres, neighbours, shifts))


class Peer:
    """Network, optimiser and the two steps."""

    def __init__(self, data, metadata, device, kind):
        self.device, self.kind = device, kind
        self.cutoff = float(metadata["cutoff"])
        self.clip = float(metadata["clip"])
        self.sigma = float(metadata["sigma_min"]), float(metadata["sigma_max"])
        self.learning_rate = float(metadata["learning_rate"])
        self.start = {name[len("network/"):]: tensor for name, tensor in data.items()
                      if name.startswith("network/")}
        self.network = golden.Network(cutoff=self.cutoff)
        self.network.force = None  # as without guidance
        self.network.float().to(device)
        torch.set_default_dtype(torch.float32)
        self.reset()

    def reset(self):
        """The weights of the file and a fresh optimiser."""
        named = self.network.named_tensors()
        if set(named) != set(self.start):
            raise SystemExit("the file has other weights than the peer's network")
        with torch.no_grad():
            for name, tensor in named.items():
                tensor.copy_(self.start[name])
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.learning_rate,
                                           betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)

    def lists(self, batch, rows):
        return neighbour_lists(self.kind, batch, rows, self.cutoff, self.device)

    def scores(self, batch, rows, edges):
        """Scores of the mobile atoms, [len(rows), n_mobile, 3]; the head acts on all atoms."""
        count = len(rows)
        positions = batch.positions[rows].reshape(-1, 3).float().to(self.device)
        centres, neighbours, shifts = edges
        out = self.network.painn({
            properties.Z: batch.numbers.repeat(count).to(self.device),
            properties.Rij: positions[neighbours] - positions[centres] + shifts,
            properties.idx_i: centres,
            properties.idx_j: neighbours,
        })
        times = batch.times[rows].float().repeat_interleave(batch.n_atoms).to(self.device)
        score = self.network.scores(out["scalar_representation"], out["vector_representation"],
                                    times)
        return score.view(count, batch.n_atoms, 3)[:, -batch.n_mobile:]

    def loss(self, batch, rows, edges):
        """The share of some structures in the mean over all atoms of the batch of W*|w + v*s|^2."""
        low, high = self.sigma
        variance = (low + (high - low) * batch.times[rows]) ** 2 - low**2
        residual = (batch.noise[rows].to(self.device)
                    + variance.float().to(self.device)[:, None, None]
                    * self.scores(batch, rows, edges))
        weights = batch.weights[rows].to(self.device)
        squares = weights * residual.square().sum((1, 2))
        return squares.sum() / (batch.size * batch.n_atoms)

    def training(self, batch, chunks, lists):
        """One optimiser step; gradients add up over chunks. Loss and norm of the gradient, scalars."""
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for rows, edges in zip(chunks, lists):
            loss = self.loss(batch, rows, edges)
            loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimiser.step()
        return total, norm

    def reverse(self, batch, chunks, lists):
        """Scores of the batch on the CPU."""
        with torch.no_grad():
            parts = [self.scores(batch, rows, edges).cpu() for rows, edges in zip(chunks, lists)]
        return torch.cat(parts)


def check(peer, batch, chunks, lists):
    """Compares with what GODIFF stored; returns the relative differences or ends the program."""
    found = {}
    peer.reset()  # the steps timed before have moved the weights
    if batch.work == "training":
        loss, norm = (value.item() for value in peer.training(batch, chunks, lists))
        found["loss"] = abs(loss - batch.loss) / abs(batch.loss)
        found["gradient_norm"] = abs(norm - batch.gradient_norm) / batch.gradient_norm
    else:
        score = peer.reverse(batch, chunks, lists).double()
        found["score"] = ((score - batch.score).abs().max() / batch.score.abs().max()).item()
    for name, difference in found.items():
        if not difference < TOLERANCE[name]:
            raise SystemExit(f"{batch.system}/{batch.work}/{batch.size}: the {name} differs from "
                             f"GODIFF's by {difference:.1e}, allowed is {TOLERANCE[name]:g}")
    return found


def median_seconds(run, device, at_least, repeats):
    """Median time of a call, number of calls. What takes longer than `at_least` is not warmed up."""
    def once():
        if device.type == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    seconds = [once()]
    if seconds[0] < at_least:
        seconds = []
    while len(seconds) < repeats or sum(seconds) < at_least:
        seconds.append(once())
        if sum(seconds) > 10 * at_least:
            break
    return statistics.median(seconds), len(seconds)


def memory_gb(device, arguments):
    """What a call may take."""
    if arguments.memory:
        return arguments.memory
    if device.type == "cuda":
        return 0.6e-9 * torch.cuda.get_device_properties(device).total_memory
    return 8.0


def measure(peer, batch, arguments):
    edges = len(peer.lists(batch, [0])[0]) * batch.size
    needed = edges * BYTES_PER_EDGE[batch.work]
    n_chunks = min(batch.size, int(needed / (memory_gb(peer.device, arguments) * 1e9)) + 1)
    chunks = [torch.from_numpy(part) for part in np.array_split(np.arange(batch.size), n_chunks)]
    lists = [peer.lists(batch, rows) for rows in chunks]
    step = peer.training if batch.work == "training" else peer.reverse
    result = {"name": f"{batch.system}/{batch.work}/{batch.size}", "chunks": n_chunks,
              "edges": sum(len(part[0]) for part in lists),
              "difference": check(peer, batch, chunks, lists)}
    clock = (peer.device, arguments.min_time, arguments.repeats)
    network, count = median_seconds(lambda: step(batch, chunks, lists), *clock)
    listing, _ = median_seconds(lambda: [peer.lists(batch, rows) for rows in chunks], *clock)
    result.update(network_ms=1e3 * network, list_ms=1e3 * listing, repeats=count)
    return result


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="batches written by bench_steps --write-batches")
    parser.add_argument("--systems", help="comma-separated; all of the file if left out")
    parser.add_argument("--batches", help="comma-separated sizes; all of the file if left out")
    parser.add_argument("--work", help="training, reverse, start; all of the file if left out")
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch finds them")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--neighbours", choices=("matscipy", "ase"), default="matscipy")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls at least")
    parser.add_argument("--min-time", type=float, default=2.0,
                        help="seconds a case is timed at least; ten times that ends it early")
    parser.add_argument("--memory", type=float, default=0.0,
                        help="GB a call may take, larger batches are cut into chunks; 0: 8, or 60 %% "
                             "of a GPU's")
    parser.add_argument("--json", help="also write the results to this file")
    return parser.parse_args()


def chosen(names, arguments):
    """(system, work, size) of the batches in the file that the options ask for."""
    found = {tuple(name.split("/")[:3]) for name in names if name.endswith("/positions")}
    keep = [arguments.systems, arguments.work, arguments.batches]
    keep = [None if text is None else text.split(",") for text in keep]
    found = [key for key in found
             if all(words is None or part in words for part, words in zip(key, keep))]
    return sorted((system, work, int(size)) for system, work, size in found)


def main():
    arguments = parse()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: PyTorch sees no CUDA device")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with safe_open(arguments.file, "pt") as stored:
        metadata = stored.metadata()
        if metadata.get("format") != FORMAT:
            raise SystemExit(f"{arguments.file} was not written by bench_steps --write-batches")
        data = {name: stored.get_tensor(name) for name in stored.keys()}
    peer = Peer(data, metadata, device, arguments.neighbours)
    document = {
        "context": {"schnetpack": schnetpack.__version__, "torch": torch.__version__,
                    "ase": ase.__version__, "matscipy": matscipy.__version__,
                    "neighbours": arguments.neighbours, "threads": torch.get_num_threads(),
                    "device": arguments.device},
        "benchmarks": [],
    }
    print(json.dumps(document["context"]), flush=True)
    for system, work, size in chosen(data, arguments):
        result = measure(peer, Batch(data, system, work, size), arguments)
        document["benchmarks"].append(result)
        print(json.dumps(result), flush=True)
    if not document["benchmarks"]:
        raise SystemExit("no batch of the file fits --systems, --work and --batches")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
