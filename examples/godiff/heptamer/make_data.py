# SPDX-License-Identifier: GPL-2.0-only
"""Write data.heptamer: 7 Pt adatoms (ids 73 to 79) on a 6x6 Pt(111) slab (ids 1 to 72)."""
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
from slab import fcc111, write_data

A = 3.92
d = A / math.sqrt(2)
cell, template = fcc111(A, 6, 6)
z_max = max(z for _, _, z in template)
# seven atoms far apart, above hollow sites: any start does, the search draws its own structures
sites = [(0, 0), (2, 0), (4, 0), (0, 2), (2, 2), (4, 2), (0, 4)]
start = [
    (i * d + (j + 1) * d / 2, (j + 1 / 3) * d * math.sqrt(3) / 2, z_max + 2.2) for i, j in sites
]
write_data(
    os.path.join(HERE, "data.heptamer"),
    "7 Pt adatoms on Pt(111) 6x6, 2 layers, a = 3.92 A, 8 A of vacuum on both sides",
    cell,
    (-8.0, z_max + 8.0),
    ["Pt"],
    [(1, position) for position in template + start],
)
