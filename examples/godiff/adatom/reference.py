# SPDX-License-Identifier: GPL-2.0-only
"""Reference for the adatom example, by plain LAMMPS (no godiff): a grid of starts, each minimised.

Writes reference.json (the distinct minima, lowest first, and the saddle points met) and surface.dat
(the energy surface over the cell: at each point of a grid the lowest energy over the height).
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
from plain_lammps import Slab

STARTS = (24, 16)  # points along the two cell vectors
SURFACE = (48, 32)
HEIGHTS = (0.5, 1.25, 2.0, 2.75, 3.5)  # above the highest template atom, Angstrom
WINDOW = (0.0, 4.0)  # the search's window, above the highest template atom
CLOSEST = 1.8  # starts nearer to a template atom than this are skipped
SAME_E, SAME_R = 1e-4, 0.05  # two minima are one if energy (eV) and site (Angstrom) agree
PUSH = 0.1  # Angstrom

slab = Slab(os.path.join(HERE, "data.adatom"), ["Pt"], (21, 21))


def starts(nx, ny):
    """Grid points with the heights that keep a sensible distance to the template."""
    for j in range(ny):
        for i in range(nx):
            x, y = slab.cartesian(i / nx, j / ny)
            points = [(x, y, slab.z_max + h) for h in HEIGHTS]
            yield (x, y), [p for p in points if slab.closest(p) > CLOSEST]


def add(minima, energy, position):
    """Count a minimum under the ones known; the template repeats after half of cell vector two."""
    half = (slab.cell[1] / 2, slab.cell[2] / 2)
    for known in minima:
        if abs(known["energy"] - energy) > SAME_E:
            continue
        for n in (0, 1):
            x, y, z = position
            if slab.closest((x + n * half[0], y + n * half[1], z), [known["position"]]) < SAME_R:
                known["hits"] += 1
                return
    minima.append({"energy": energy, "position": slab.wrap(position), "hits": 1})


def neighbours(position):
    """Number of template atoms within 3.2 A, images included."""
    x, y, z = position
    return sum(
        (x - tx - n * slab.cell[0] - m * slab.cell[1]) ** 2 + (y - ty - m * slab.cell[2]) ** 2
        + (z - tz) ** 2 < 3.2**2
        for tx, ty, tz in slab.template for n in range(-2, 3) for m in range(-2, 3)
    )


minima, count = [], 0
for _, points in starts(*STARTS):
    for point in points:
        energy, (position,) = slab.relax([point])
        add(minima, energy, position)
        count += 1
minima.sort(key=lambda m: m["energy"])


def stable(m):
    """A minimum comes back from small pushes; a saddle that a symmetric start ran into does not."""
    x, y, z = m["position"]
    pushes = [(d, 0, 0) for d in (-PUSH, PUSH)] + [(0, d, 0) for d in (-PUSH, PUSH)]
    ends = [slab.relax([(x + dx, y + dy, z + dz)])[0] for dx, dy, dz in pushes]
    return all(abs(energy - m["energy"]) < SAME_E for energy in ends)


stationary, minima = minima, sorted(filter(stable, minima), key=lambda m: m["energy"])
saddles = sorted(round(m["energy"], 6) for m in stationary if m not in minima)

half = (slab.cell[1] / 2, slab.cell[2] / 2)  # the template repeats after this
for m in minima:
    x, y, z = m["position"]
    m["inside_window"] = WINDOW[0] <= z - slab.z_max <= WINDOW[1]
    m["neighbours"] = neighbours(m["position"])
    m["sites"] = [m.pop("position"), slab.wrap((x + half[0], y + half[1], z))]
    m["sites"] = sorted([round(c, 4) for c in site] for site in m["sites"])
    m["energy"] = round(m["energy"], 6)

with open(os.path.join(HERE, "reference.json"), "w") as out:
    json.dump({"units": "eV, Angstrom", "starts": count, "global_minimum": minima[0],
               "other_minima": minima[1:], "saddle_points": saddles}, out, indent=1)
    out.write("\n")

# the surface: the adatom may move in z only; the minimiser gives the lowest of several heights
slab.lmp.command("fix column mobile setforce 0.0 0.0 NULL")
with open(os.path.join(HERE, "surface.dat"), "w") as out:
    out.write(f"# x y Emin (Angstrom, Angstrom, eV): {SURFACE[0]} x {SURFACE[1]} points, ")
    out.write("first cell vector fastest; lowest energy over z\n")
    for (x, y), points in starts(*SURFACE):
        energies = [slab.relax([p], 1e-4)[0] for p in points]
        out.write(f"{x:.4f} {y:.4f} {min(energies):.4f}\n")

print(f"{count} starts, {len(stationary)} stationary points, {len(minima)} of them minima")
for m in minima:
    print(m["energy"], m["hits"], m["neighbours"], m["inside_window"], m["sites"][0])
