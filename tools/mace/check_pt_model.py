# SPDX-License-Identifier: GPL-2.0-only
"""Is the Pt model good enough for a search? Its errors, and what it says of structures unlike them.

check_pt_model.py FILE.npz MODEL    (the Python of tools/mace/environment; minutes)

FILE.npz is of make_pt_data.py, MODEL the pickle of train_pt_model.py. Fails when a random structure
lies below the best one, when near pairs are not repelled, or when the best site of an adatom on
stepped Pt is not the hollow at the foot of the step.
"""

import json
import os
import sys

import train_pt_model as training  # sets what mace-torch needs before it is imported
import numpy as np
import torch
from mace.data.neighborhood import get_neighborhood

EXAMPLES = os.path.join(training.HERE, "..", "..", "examples", "godiff")


def graph(positions, cell, periodic=(True, True, False)):
    edges, shifts, units, _ = get_neighborhood(positions, training.R_MAX, periodic, cell.copy())
    return dict(
        positions=torch.tensor(positions),
        forces=torch.zeros(len(positions), 3),
        energy=0.0,
        edge_index=torch.tensor(edges, dtype=torch.int64),
        shifts=torch.tensor(shifts),
        unit_shifts=torch.tensor(units, dtype=torch.float64),
        cell=torch.tensor(cell),
    )


def evaluate(model, graphs):
    """Energies [graphs] in eV and the forces of each."""
    energies, forces = [], []
    for start in range(0, len(graphs), 32):
        some = graphs[start : start + 32]
        data, _, _, sizes = training.together(some)
        out = model(data, training=False, compute_force=True)
        energies.append(out["energy"].detach().double().numpy())
        forces += torch.split(out["forces"].detach().double(), sizes.int().tolist())
    return np.concatenate(energies), [f.numpy() for f in forces]


def read_data(path):
    """Cell, with z from 0, and positions of a LAMMPS data file of the examples."""
    lines = open(path).read().split("\n")
    bounds = {}
    for line in lines:
        words = line.split()
        for name, n in (("xlo", 2), ("ylo", 2), ("zlo", 2), ("xy", 3)):
            if len(words) > n and words[n] == name:
                bounds[name] = [float(w) for w in words[:n]]
    start = next(i for i, line in enumerate(lines) if line.startswith("Atoms"))
    rows = [line.split() for line in lines[start + 1 :] if line.split()]
    order = sorted(rows, key=lambda row: int(row[0]))
    low, high = bounds["zlo"]
    cell = np.array(
        [(bounds["xlo"][1], 0, 0), (bounds["xy"][0], bounds["ylo"][1], 0), (0, 0, high - low)]
    )
    return cell, np.array([[float(w) for w in row[2:5]] for row in order])


def placed(draw, cell, template, n, low, high):
    """The template with n atoms at random in a window of heights above its top; any distance."""
    fraction = draw.uniform(0, 1, (n, 2))
    new = fraction[:, :1] * cell[0] + fraction[:, 1:] * cell[1]
    new[:, 2] = template[:, 2].max() + draw.uniform(low, high, n)
    return np.vstack((template, new))


def shortest(g):
    v = g["positions"][g["edge_index"][1]] - g["positions"][g["edge_index"][0]] + g["shifts"]
    return float(v.norm(dim=1).min())


def relaxed(model, cell, starts, n_fixed, steps=120):
    """Downhill from each start, the first atoms fixed; energies and positions."""
    x = [s.copy() for s in starts]
    step = np.full(len(x), 0.05)
    energy, force = evaluate(model, [graph(s, cell) for s in x])
    for _ in range(steps):
        trial = []
        for s, f, h in zip(x, force, step):
            move = f[n_fixed:]
            size = np.linalg.norm(move, axis=1, keepdims=True).max() + 1e-9
            s = s.copy()
            # as far as the force says, at most h
            s[n_fixed:] += move / size * min(h, 0.15 * size)
            trial.append(s)
        e, f = evaluate(model, [graph(s, cell) for s in trial])
        for i in range(len(x)):
            if e[i] <= energy[i] + 1e-6:
                x[i], energy[i], force[i], step[i] = trial[i], e[i], f[i], min(0.2, 1.2 * step[i])
            else:
                step[i] *= 0.4
    return energy, x


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: check_pt_model.py FILE.npz MODEL")
    torch.set_num_threads(1)
    problems = []
    kinds, graphs = training.graphs_of(sys.argv[1])
    held_out = [g for g in graphs if g["origin"] % 10 == 0]
    model = torch.load(sys.argv[2], weights_only=False)
    for name in ("float32", "float64"):
        torch.set_default_dtype(getattr(torch, name))
        model = model.to(getattr(torch, name))
        print(f"held out, {name}: number, meV/atom, eV/A (relative for close contacts)")
        for kind, (n, e, f) in training.errors(model, kinds, held_out).items():
            print(f"  {kind}: {n} {e:.2f} {f:.4f}")
    torch.set_default_dtype(torch.float32)
    model = model.float()

    box = np.eye(3) * 30
    print("dimer: distance (A) and energy (eV)")
    distances = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.0, 2.3, 2.5, 2.8, 3.2, 4.0, 4.6)
    pairs = [graph(np.array([(5.0, 5, 5), (5 + r, 5, 5)]), box) for r in distances]
    energies, _ = evaluate(model, pairs)
    print("  " + ", ".join(f"{r} {e:.3f}" for r, e in zip(distances, energies)))
    if energies[:6].min() < 5.0:
        problems.append("a pair nearer than 1.3 A is not repelled")

    draw = np.random.default_rng(1)
    reference = json.load(open(os.path.join(EXAMPLES, "adatom", "reference.json")))
    cell, atoms = read_data(os.path.join(EXAMPLES, "adatom", "data.adatom"))
    template = atoms[:20]
    starts = [placed(draw, cell, template, 1, 1.2, 3.5) for _ in range(60)]
    energies, positions = relaxed(model, cell, starts, 20)
    best = energies.argmin()
    lowest = energies[best]
    sites = np.array(reference["global_minimum"]["sites"])
    images = [i * cell[0] + j * cell[1] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    off = min(
        np.linalg.norm(positions[best][20] + image - site) for image in images for site in sites
    )
    print(
        f"adatom on stepped Pt: lowest {lowest:.4f} eV, {off:.3f} A from the site of EAM"
        f" ({reference['global_minimum']['energy']:.4f} eV)"
    )
    levels = []
    for i in np.argsort(energies):
        if not levels or energies[i] > levels[-1][0] + 0.01:
            levels.append([energies[i], 0])
        levels[-1][1] += 1
    print("  reached: " + ", ".join(f"{e:.3f} eV ({n})" for e, n in levels))
    print("  minima of EAM: " + ", ".join(f"{m['energy']:.3f}" for m in reference["other_minima"]))
    if off > 0.3:
        problems.append("the lowest site of an adatom is not that of EAM")

    # The windows of the examples, and deeper: atoms inside the slab and on top of each other
    heptamer, heptamer_atoms = read_data(os.path.join(EXAMPLES, "heptamer", "data.heptamer"))
    d = np.linalg.norm(heptamer[0]) / 6
    slab = heptamer_atoms[:72]
    ring = [(d * np.cos(a), d * np.sin(a), 2.2) for a in np.arange(6) * np.pi / 3]
    hollow = np.array([3 * d, d * np.sqrt(3) / 2 * 2 + d / np.sqrt(12), slab[:, 2].max()])
    hexagon = np.vstack((slab, hollow + np.array([(0, 0, 2.2)] + ring)))
    hexagon_energy = relaxed(model, heptamer, [hexagon], 72, 60)[0][0]
    print(f"compact heptamer on Pt(111), relaxed: {hexagon_energy:.3f} eV")
    for name, box, base, n, low, high, count, limit in (
        ("adatom, window of the example", cell, template, 1, 0.0, 4.0, 600, lowest),
        ("adatom, inside the slab too", cell, template, 1, -6.0, 4.0, 300, lowest),
        ("heptamer, window of the example", heptamer, slab, 7, 1.0, 6.0, 150, hexagon_energy),
        ("twenty in the window of seven", heptamer, slab, 20, 0.5, 4.0, 50, None),
    ):
        some = [graph(placed(draw, box, base, n, low, high), box) for _ in range(count)]
        energies, _ = evaluate(model, some)
        near = np.array([shortest(g) for g in some])
        text = (
            f"{name}: {count} at random, energies {energies.min():.2f} to {energies.max():.3g} eV"
        )
        for edge in (0.5, 1.0, 1.5):
            of = near < edge
            if of.any():
                text += f"; {of.sum()} with a pair below {edge} A from {energies[of].min():.2f}"
        print("  " + text)
        if limit is not None and energies.min() < limit:
            problems.append(f"{name}: a random structure lies below the minimum")
    for problem in problems:
        print("PROBLEM:", problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
