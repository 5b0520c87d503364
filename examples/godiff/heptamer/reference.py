# SPDX-License-Identifier: GPL-2.0-only
"""Reference for the heptamer examples, by plain LAMMPS (no godiff).

Builds every connected island of seven atoms on neighbouring hollow sites of Pt(111), for both kinds
of hollow, minimises each, and writes reference.json: the compact hexagon over either kind and
the best of the others. The list does not cover islands on mixed sites, islands with an atom on top
and separate atoms; basin hopping from random starts covers these without a proof.
"""
import json
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import hopping
from plain_lammps import Slab

N, CELLS = 7, 6
HEIGHT = 2.2  # above the top layer, Angstrom
STEPS = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, -1), (-1, 1)]  # neighbours in the hollow lattice
HEXAGON = [(0, 0)] + STEPS
WALKS, HOPS = 24, 200

slab = Slab(os.path.join(HERE, "data.heptamer"), ["Pt"], (73, 79))
d = slab.cell[0] / CELLS
row = d * math.sqrt(3) / 2


def images(island):
    """The island turned and mirrored by the six operations that keep an fcc(111) surface."""
    turns = [lambda i, j: (i, j), lambda i, j: (-i - j, i), lambda i, j: (j, -i - j)]
    for turn in turns:
        turned = [turn(i, j) for i, j in island]
        yield turned
        yield [(j, i) for i, j in turned]


def canonical(island):
    """One name for all islands that a translation or surface symmetry makes equal."""
    names = []
    for image in images(island):
        i0, j0 = min(image)
        names.append(tuple(sorted((i - i0, j - j0) for i, j in image)))
    return min(names)


def islands(n):
    """All connected islands of n sites, up to symmetry."""
    known = {((0, 0),)}
    for _ in range(n - 1):
        known = {
            canonical(island + ((i + a, j + b),))
            for island in known for i, j in island for a, b in STEPS
            if (i + a, j + b) not in island
        }
    return sorted(known)


def relaxed(island, kind):
    """Minimise the island over one kind of hollow; fcc has no atom of the lower layer below it."""
    third = {"fcc": 1 / 3, "hcp": 2 / 3}[kind]  # y in rows; x is d/2 and 0 there
    offset = {"fcc": d / 2, "hcp": d}[kind]
    start = [
        (i * d + j * d / 2 + offset, (j + third) * row, slab.z_max + HEIGHT) for i, j in island
    ]
    return slab.relax([slab.wrap(p) for p in start])


def bonds(positions):
    """Pairs of mobile atoms closer than 3.2 A."""
    return sum(
        slab.closest(p, [q]) < 3.2 for n, p in enumerate(positions) for q in positions[:n]
    )


shapes = [s for s in islands(N) if len({(i % CELLS, j % CELLS) for i, j in s}) == N]
results = []
for kind in ("fcc", "hcp"):
    for shape in shapes:
        energy, positions = relaxed(shape, kind)
        results.append({"energy": round(energy, 6), "hollow": kind, "bonds": bonds(positions),
                        "hexagon_start": shape == canonical(HEXAGON),
                        "positions": [[round(c, 4) for c in p] for p in positions]})
results.sort(key=lambda r: r["energy"])
others = [r for r in results if r["bonds"] != 12]
best = {kind: next(r for r in results if r["hexagon_start"] and r["hollow"] == kind)
        for kind in ("fcc", "hcp")}

# an independent look without any assumption on the shape
found, per_walk = hopping.search(slab, ["Pt"] * N, (1.0, 3.0), WALKS, HOPS, seed=1)
not_hexagon = next(e for e, positions in found if bonds(positions) != 12)
hops = {
    "walks": WALKS, "hops": HOPS, "minima": len(found), "lowest": round(found[0][0], 6),
    "walks_at_a_hexagon": sum(e < best["hcp"]["energy"] + 1e-3 for e in per_walk),
    "lowest_other": round(not_hexagon, 6),
}

with open(os.path.join(HERE, "reference.json"), "w") as out:
    json.dump({"units": "eV, Angstrom", "islands": len(results), "hexagon": best,
               "best_other_energies": [r["energy"] for r in others[:10]],
               "basin_hopping": hops}, out, indent=1)
    out.write("\n")
print(f"{len(shapes)} shapes over 2 kinds of hollow")
for r in results[:3] + others[:6]:
    print(r["energy"], r["hollow"], r["bonds"], r["hexagon_start"])
print("basin hopping", hops)
