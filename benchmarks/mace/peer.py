# SPDX-License-Identifier: GPL-2.0-only
"""What mace-torch takes for the work that benchmarks/mace/compare asks for, one JSON line each.

peer.py MODEL [--pickle FILE.model]    (the Python of tools/mace/environment)

MODEL is the exported file. What is timed is not the export but the model it was made from: FILE.model,
or without it the model of tools/mace/train_pt_model.py with the weights of the export. Each piece of
work is done by a process of its own, forked off when all is imported, so its memory is its own.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import traceback
import warnings

replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what is imported prints too
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
warnings.simplefilter("ignore")

import ase
import ase.md.verlet
import ase.units
import matscipy
import numpy as np
import torch

# This process starts no threads: they would not survive the fork.
torch.set_num_threads(1)

import mace
from mace import data
from mace.calculators import MACECalculator
from mace.tools import AtomicNumberTable, torch_geometric, torch_tools

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "mace"))
DTYPES = {"single": "float32", "double": "float64"}


def load(arguments):
    """The eager model, in double precision."""
    if arguments.pickle:
        return torch.load(arguments.pickle, map_location="cpu", weights_only=False).double()
    import train_pt_model

    exported = torch.jit.load(arguments.model, map_location="cpu").model
    model = train_pt_model.make().double()
    try:
        model.load_state_dict(exported.state_dict())
    except RuntimeError as error:
        sys.exit(f"peer.py: {arguments.model} is not the model of tools/mace/train_pt_model.py, "
                 f"give the file it was exported from with --pickle ({str(error).splitlines()[0]})")
    return model


def read_structures(path):
    """The structures of a file as benchmarks/README.md describes it."""
    words = iter(pathlib.Path(path).read_text().split())
    number = lambda: float(next(words))
    structures = []
    for _ in range(int(next(words))):
        n = int(next(words))
        cell = np.array([[number() for _ in range(3)] for _ in range(3)])
        periodic = [next(words) == "1" for _ in range(3)]
        rows = [(int(next(words)), number(), number(), number()) for _ in range(n)]
        structures.append(ase.Atoms(numbers=[row[0] for row in rows],
                                    positions=[row[1:] for row in rows], cell=cell, pbc=periodic))
    return structures


class Clock:
    """Seconds since the last look, with everything done that a device was given."""

    def __init__(self, device):
        self.device = device
        self.look()

    def look(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds = now - getattr(self, "last", now)
        self.last = now
        return seconds


def calculator(model, order):
    return MACECalculator(models=[model], device=order["device"],
                          default_dtype=DTYPES[order["precision"]])


def dynamics(model, order):
    """Seconds of the steps of an NVE run by ASE; energy and norm of the forces before the first."""
    atoms = read_structures(order["structures"])[0]
    atoms.calc = calculator(model, order)
    found = {"energy": float(atoms.get_potential_energy()),
             "force_norm": float(np.linalg.norm(atoms.get_forces()))}
    run = ase.md.verlet.VelocityVerlet(atoms, timestep=1.0 * ase.units.fs)
    run.run(order["warmup"])
    clock = Clock(order["device"])
    run.run(order["steps"])
    return dict(found, seconds=clock.look())


def calls(model, order):
    """Seconds of a call of the calculator for each structure; sum of energies, norm of all forces."""
    structures = read_structures(order["structures"])
    of = calculator(model, order)
    for atoms in structures[:3]:
        of.calculate(atoms)
    clock = Clock(order["device"])
    energy = squares = 0.0
    for atoms in structures:
        of.calculate(atoms)
        energy += float(of.results["energy"])
        squares += float((of.results["forces"].astype(float) ** 2).sum())
    return {"seconds": clock.look(), "energy": energy, "force_norm": squares**0.5}


def batches(model, order):
    """As calls(), with several structures in a call of the model, as mace_eval_configs does it."""
    structures = read_structures(order["structures"])
    dtype, device = DTYPES[order["precision"]], order["device"]
    model = model.to(dtype=getattr(torch, dtype), device=device)
    for parameter in model.parameters():
        parameter.requires_grad = False
    table = AtomicNumberTable([int(z) for z in model.atomic_numbers])
    heads = getattr(model, "heads", None) or ["Default"]

    def evaluate(some):
        energy = squares = 0.0
        with torch_tools.default_dtype(dtype):
            graphs = [data.AtomicData.from_config(
                data.config_from_atoms(atoms, head_name=heads[0]), z_table=table,
                cutoff=float(model.r_max), heads=heads) for atoms in some]
            for batch in torch_geometric.dataloader.DataLoader(
                    dataset=graphs, batch_size=order["batch"], shuffle=False, drop_last=False):
                out = model(batch.to(device).to_dict(), compute_force=order["forces"])
                energy += float(out["energy"].detach().double().sum())
                if order["forces"]:
                    squares += float((out["forces"].detach().double() ** 2).sum())
        return energy, squares**0.5

    evaluate(structures[:order["batch"]])
    clock = Clock(device)
    energy, norm = evaluate(structures)
    found = {"seconds": clock.look(), "energy": energy}
    return dict(found, force_norm=norm) if order["forces"] else found


def peak_mb():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def answer(model, order):
    """What the work of a line gave, or {"error": why it gave nothing}."""
    try:
        torch.set_num_threads(order["threads"])
        if order["device"] == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no CUDA device")
        found = {"dynamics": dynamics, "calls": calls, "batches": batches}[order["work"]](
            model, order)
        return dict(found, peak_mb=peak_mb())
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def reply(document):
    replies.write(json.dumps(document) + "\n")
    replies.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pickle")
    arguments = parser.parse_args()
    model = load(arguments)
    reply({"mace": mace.__version__, "torch": torch.__version__, "ase": ase.__version__,
           "matscipy": matscipy.__version__})
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            reply(answer(model, json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            reply({"error": f"the process ended with status {status}"})


if __name__ == "__main__":
    main()
