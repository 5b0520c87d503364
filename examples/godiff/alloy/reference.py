# SPDX-License-Identifier: GPL-2.0-only
"""Best known energy of this example, by basin hopping with plain LAMMPS (no godiff).

Writes reference.json. A brute-force baseline, not a proof: "best known", not "global minimum".
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import hopping
from plain_lammps import Slab

slab = Slab(os.path.join(HERE, "data.alloy"), ["Pt", "Cu", "Au"], (51, 55))
result = hopping.baseline(slab, ["Cu"] * 3 + ["Au"] * 2, (1.0, 3.0), runs=200, hops=200, seed=1)
with open(os.path.join(HERE, "reference.json"), "w") as out:
    json.dump(result, out, indent=1)
    out.write("\n")
print(json.dumps(result, indent=1))
