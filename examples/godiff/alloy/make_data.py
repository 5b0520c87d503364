# SPDX-License-Identifier: GPL-2.0-only
"""Write data.alloy: 3 Cu (ids 51 to 53) and 2 Au (54, 55) on a 5x5 Pt(111) slab (ids 1 to 50)."""
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
from slab import fcc111, write_data

A = 3.92
d = A / math.sqrt(2)
cell, template = fcc111(A, 5, 5)
z_max = max(z for _, _, z in template)
sites = [(0, 0), (2, 0), (0, 2), (2, 2), (3, 3)]
start = [
    (i * d + (j + 1) * d / 2, (j + 1 / 3) * d * math.sqrt(3) / 2, z_max + 2.2) for i, j in sites
]
write_data(
    os.path.join(HERE, "data.alloy"),
    "3 Cu and 2 Au adatoms on Pt(111) 5x5, 2 layers, a = 3.92 A, 8 A of vacuum on both sides",
    cell,
    (-8.0, z_max + 8.0),
    ["Pt", "Cu", "Au"],
    [(1, p) for p in template] + [(t, p) for t, p in zip((2, 2, 2, 3, 3), start)],
)
