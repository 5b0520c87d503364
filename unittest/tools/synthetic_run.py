# SPDX-License-Identifier: GPL-2.0-only
"""Made-up `fix godiff` runs for the tests of the tools: files as the fix writes them.

The energies come from a simple pair potential over a real template, and each stage keeps to lower
energies than the one before. Nothing here is a result of the method.

As a program: synthetic_run.py FOLDER writes adatom, seed1..8 and heptamer runs to look at.
"""

import os
import sys

import numpy as np

LATTICE_CONSTANT = 3.92
BOLTZMANN = 8.617333262e-5
BOND = LATTICE_CONSTANT / np.sqrt(2.0)
HEADER = "candidate,evaluation,stage,temperature,energy,weight,status,class,offset\n"

STEPPED_CELL = np.array([[8.7653865, 0, 0], [1.7530773, 5.2592319, 0], [0, 0, 21.88]])
STEPPED_ATOMS = """
0.0000000 0.0000000 0.0000000 0.8765386 2.6296159 0.0000000 7.8888478 4.6748728 0.6533333
7.0123092 2.0452568 0.6533333 5.2592319 4.0905137 1.3066667 4.3826932 1.4608977 1.3066667
2.6296159 3.5061546 1.9600000 1.7530773 0.8765386 1.9600000 8.7653865 2.9217955 2.6133333
7.8888478 0.2921795 2.6133333 6.1357705 2.3374364 3.2666667 7.0123092 4.9670523 3.2666667
3.5061546 1.7530773 3.9200000 4.3826932 4.3826932 3.9200000 0.8765386 1.1687182 4.5733333
1.7530773 3.7983341 4.5733333 7.0123092 0.5843591 5.2266667 7.8888478 3.2139750 5.2266667
4.3826932 0.0000000 5.8800000 5.2592319 2.6296159 5.8800000
"""


def stepped():
    """Stepped Pt: cell (3, 3) and 20 template atoms, Angstrom."""
    return STEPPED_CELL, np.array(STEPPED_ATOMS.split(), dtype=float).reshape(-1, 3)


def terrace(n=6):
    """Pt(111) n x n in two layers: cell (3, 3) and template atoms, Angstrom."""
    d, a = BOND, LATTICE_CONSTANT
    cell = np.array([[n * d, 0, 0], [n * d / 2, n * d * np.sqrt(3) / 2, 0], [0, 0, 18.2632131]])
    j, i = (k.ravel() for k in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    x, y = i * d + j * d / 2, j * d * np.sqrt(3) / 2
    lower = np.stack([x, y + d / np.sqrt(3), 0 * x], axis=1)
    upper = np.stack([x, y, 0 * x + a / np.sqrt(3)], axis=1)
    return cell, np.concatenate([lower, upper])


def hexagon(centre):
    """Seven atoms: a centre and a ring of six around it, Angstrom."""
    angles = np.pi / 3 * np.arange(6)
    ring = BOND * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    return np.asarray(centre) + np.concatenate([np.zeros((1, 3)), ring])


def surface_energy(points, cell, template):
    """Morse-like energy of lone atoms (n, 3) over the template, with periodic copies, eV."""
    shifts = [i * cell[0] + j * cell[1] for i in range(-2, 3) for j in range(-2, 3)]
    sites = (template[None, :, :] + np.array(shifts)[:, None, :]).reshape(-1, 3)
    distance = np.linalg.norm(points[:, None, :] - sites[None, :, :], axis=2)
    x = np.exp(-1.6 * (distance - BOND))
    return np.sum(0.45 * (np.minimum(x, 40.0) ** 2 - 2 * x), axis=1)


def write_run(prefix, cell, template, stages, origin=(0.0, 0.0, 0.0), symbol="Pt"):
    """Write PREFIX.csv and PREFIX.xyz; stages: list of (temperature, structures, energies, status)."""
    lattice = " ".join(f"{v:.7f}" for v in np.asarray(cell).ravel())
    corner = " ".join(f"{v:.7f}" for v in origin)
    best, candidate, rows, frames, offset = np.inf, 0, [HEADER], [], 0
    for stage, (temperature, structures, energies, statuses) in enumerate(stages, start=1):
        for mobile, energy, status in zip(structures, energies, statuses):
            candidate += 1
            if status in ("ok", "high"):
                best = min(best, energy)
            weight = np.exp(-max(energy - best, 0.0) / (BOLTZMANN * temperature))
            lines = [
                f"{len(template) + len(mobile)}",
                f'Lattice="{lattice}" Origin="{corner}" '
                "Properties=species:S:1:pos:R:3:id:I:1:mobile:I:1 "
                f"candidate={candidate} evaluation={candidate} stage={stage} "
                f'temperature={temperature:.6g} energy={energy:.10g} status={status} pbc="T T F"',
            ]
            atoms = [(r, 0) for r in template] + [(r, 1) for r in mobile]
            for number, (r, flag) in enumerate(atoms, start=1):
                lines.append(f"{symbol} {r[0]:.7f} {r[1]:.7f} {r[2]:.7f} {number} {flag}")
            frame = "\n".join(lines) + "\n"
            shown = ["nan", "nan", status, "-1"]
            if status != "failed":
                shown = [f"{energy:.10g}", f"{weight:.6g}", status, "0"]
            fields = [candidate, candidate, stage, f"{temperature:.6g}", *shown, offset]
            rows.append(",".join(str(field) for field in fields) + "\n")
            frames.append(frame)
            offset += len(frame)
    with open(prefix + ".csv", "w", encoding="ascii") as handle:
        handle.writelines(rows)
    with open(prefix + ".xyz", "w", encoding="ascii") as handle:
        handle.writelines(frames)


def ladder(count, first=5.0, last=0.02):
    """Geometric temperatures in K from energies in eV."""
    return first * (last / first) ** (np.arange(count) / (count - 1)) / BOLTZMANN


def adatom_stages(rng, count=10, samples=32):
    """Stages of one atom on stepped Pt, drawn by weight from uniform trials."""
    cell, template = stepped()
    trials = rng.random((12000, 3)) * [1, 1, 4]
    points = trials[:, :2] @ cell[:2] + [0, 0, 5.88] + trials[:, 2:] * [0, 0, 1]
    energies = surface_energy(points, cell, template) - 100.0
    keep = energies < energies.min() + 30.0
    points, energies = points[keep], energies[keep]
    stages = []
    for temperature in ladder(count):
        # Neither prior nor Boltzmann: hot stages reach high, cold ones stay wider than kT.
        weight = np.exp(-(energies - energies.min()) / (0.6 * BOLTZMANN * temperature + 0.05))
        chosen = rng.choice(len(points), samples, p=weight / weight.sum())
        status = ["ok"] * samples
        stages.append((temperature, points[chosen][:, None, :], energies[chosen], status))
    stages[0][3][3] = "failed"
    return cell, template, stages


def heptamer_stages(rng, count=20, samples=64, learns=True):
    """Stages of seven atoms on Pt(111): blends of random places and a jittered hexagon."""
    cell, template = terrace()
    stages = []
    for k, temperature in enumerate(ladder(count)):
        order = (k / (count - 1)) ** 2 if learns else 0.3 * k / (count - 1)
        structures, energies = [], []
        for _ in range(samples):
            centre = rng.random(2) @ cell[:2] + [0, 0, 4.5264131]
            places = rng.random((7, 3)) * [1, 1, 5]
            loose = places[:, :2] @ cell[:2] + [0, 0, 3.2632131] + places[:, 2:] * [0, 0, 1]
            tight = hexagon(centre) + rng.normal(0.0, 0.05 + 0.6 * (1 - order) ** 2, (7, 3))
            made = tight if rng.random() < order + 0.05 else loose
            structures.append(made)
            misfit = np.sqrt(np.mean((tight - hexagon(centre)) ** 2))
            energies.append(-300.0 + (1.2 * misfit if made is tight else rng.uniform(2.0, 9.0)))
        stages.append((temperature, np.array(structures), np.array(energies), ["ok"] * samples))
    return cell, template, stages


def write_surface(path, cell, template, n1=36, n2=24):
    """Lines x y Emin over the cell, minimum over z of surface_energy - 100 eV."""
    with open(path, "w", encoding="ascii") as handle:
        handle.write("# x y Emin\n")
        for i in range(n1):
            for j in range(n2):
                x, y = (i / n1 * cell[0] + j / n2 * cell[1])[:2]
                z = np.linspace(5.9, 9.8, 40)
                column = np.stack([x + 0 * z, y + 0 * z, z], axis=1)
                lowest = surface_energy(column, cell, template).min() - 100.0
                handle.write(f"{x:.6f} {y:.6f} {lowest:.6f}\n")


def main(folder):
    os.makedirs(folder, exist_ok=True)
    cell, template = stepped()
    write_surface(os.path.join(folder, "surface.txt"), cell, template)
    for seed in range(1, 9):
        rng = np.random.default_rng(seed)
        write_run(os.path.join(folder, f"seed{seed}"), *adatom_stages(rng))
        write_run(
            os.path.join(folder, f"heptamer{seed}"),
            *heptamer_stages(rng, learns=seed not in (3, 6)),
        )


if __name__ == "__main__":
    main(sys.argv[1])
