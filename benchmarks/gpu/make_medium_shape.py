# SPDX-License-Identifier: GPL-2.0-only
"""Write the MACE of the size of a published "medium" foundation model that gpu_check times, without weights.

make_medium_shape.py    (the Python of tools/mace/environment; writes medium_shape.pt beside this file)

128x0e+128x1o, l up to 3, correlation 3, 89 elements, cutoff 6 Angstrom. All weights are zero, so that the
file is small; gpu_check draws them at random before it takes any time. Nothing physical comes of it.
"""

import os
import subprocess
import sys
import tempfile

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from e3nn import o3
from mace import modules

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools", "mace"))
from strip_model import strip

ELEMENTS = list(range(1, 90))


def make():
    """The model as mace-torch makes it before a training, weights and energies of atoms zero."""
    torch.set_default_dtype(torch.float32)
    residual = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls_first=residual,
        interaction_cls=residual,
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps("128x0e+128x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros((1, len(ELEMENTS))),
        avg_num_neighbors=62.0,
        atomic_numbers=ELEMENTS,
        correlation=3,
        radial_MLP=[64, 64, 64],
        heads=["Default"],
        atomic_inter_scale=0.8,
        atomic_inter_shift=0.1,
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    return model


def main():
    model = make()
    print(sum(weight.numel() for weight in model.parameters()), "weights")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "medium")
        torch.save(model, path)
        # The file is an argument of the program, which is a script of this Python.
        program = os.path.join(os.path.dirname(sys.executable), "mace_create_lammps_model")
        subprocess.run([program, path, "--dtype", "float32"], check=True)
        exported = path + "-lammps.pt"
        strip(exported)
        target = os.path.join(HERE, "medium_shape.pt")
        with open(exported, "rb") as source, open(target, "wb") as file:
            file.write(source.read())
    print(target, os.path.getsize(target), "bytes")


if __name__ == "__main__":
    main()
