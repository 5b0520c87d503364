# SPDX-License-Identifier: GPL-2.0-only
"""Write data.adatom: one Pt adatom (id 21) on the stepped Pt(1,2,2) slab (ids 1 to 20)."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
from slab import fcc122, write_data

cell, template = fcc122(3.92)
z_max = max(z for _, _, z in template)
start = (1.0, 4.0, z_max + 2.5)  # somewhere above the terrace, not a minimum
write_data(
    os.path.join(HERE, "data.adatom"),
    "one Pt adatom on stepped Pt(1,2,2), a = 3.92 A, 8 A of vacuum on both sides",
    cell,
    (-8.0, z_max + 8.0),
    ["Pt"],
    [(1, position) for position in template + [start]],
)
