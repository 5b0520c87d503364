# SPDX-License-Identifier: GPL-2.0-only
"""Reference for the adatom example, by plain LAMMPS (no godiff): a grid of starts, each minimised.

Writes reference.json (the distinct minima, lowest first, and the saddle points met) and surface.dat
(the energy surface over the cell: at each point of a grid the lowest energy over the height).
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import adatom_sites
from plain_lammps import Slab

STARTS = (24, 16)  # points along the two cell vectors
SURFACE = (48, 32)

slab = Slab(os.path.join(HERE, "data.adatom"), ["Pt"], (21, 21))
adatom_sites.find(slab, *STARTS, os.path.join(HERE, "reference.json"))

# the surface: the adatom may move in z only; the minimiser gives the lowest of several heights
slab.lmp.command("fix column mobile setforce 0.0 0.0 NULL")
with open(os.path.join(HERE, "surface.dat"), "w") as out:
    out.write(f"# x y Emin (Angstrom, Angstrom, eV): {SURFACE[0]} x {SURFACE[1]} points, ")
    out.write("first cell vector fastest; lowest energy over z\n")
    for (x, y), points in adatom_sites.starts(slab, *SURFACE):
        energies = [slab.relax([p], 1e-4)[0] for p in points]
        out.write(f"{x:.4f} {y:.4f} {min(energies):.4f}\n")
