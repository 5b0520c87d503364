# SPDX-License-Identifier: GPL-2.0-only
"""Reference for the adatom example with the MACE model: a grid of starts, each minimised by LAMMPS without godiff.

Run it with LAMMPS_PLUGIN_PATH naming the folder of godiffplugin.so and LAMMPS_POTENTIALS that of the model.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
GODIFF = os.path.join(HERE, "..", "..", "godiff")
sys.path.insert(0, os.path.join(GODIFF, "tools"))
import adatom_sites
from plain_lammps import Slab

MODEL = os.path.join(HERE, "..", "..", "..", "potentials", "Pt_u3-lammps.pt")
slab = Slab(os.path.join(GODIFF, "adatom", "data.adatom"), ["Pt"], (21, 21),
            ["pair_style mace precision double", f"pair_coeff * * {MODEL} Pt"])
adatom_sites.find(slab, 8, 6, os.path.join(HERE, "reference.json"))
