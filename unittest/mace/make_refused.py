# SPDX-License-Identifier: GPL-2.0-only
"""Write the files of refused/: what somebody may give to pair_style mace by mistake.

make_refused.py    (run by the Python of tools/mace/environment)

mace-torch 0.3.16 cannot export models that have no energies or that need a total charge: stand-ins
with the same functions and names take their place.
"""

import copy
import os
from typing import Dict, Optional

import make_models as made  # sets what mace-torch needs before it is imported
import torch
from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

FOLDER = os.path.join(made.HERE, "refused")


class Linear(torch.nn.Module):
    """TorchScript, but no potential."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


class Embedding(torch.nn.Module):
    """Named as the part of mace-torch that reads total charge and spin."""

    def __init__(self):
        super().__init__()
        self.embedders = torch.nn.ModuleDict(
            {"total_charge": torch.nn.Identity(), "total_spin": torch.nn.Identity()}
        )

    def forward(self, charge: torch.Tensor, spin: torch.Tensor) -> torch.Tensor:
        return 0.5 * charge**2 + 0.25 * spin


class Inner(torch.nn.Module):
    """With the functions that an exported MACE has inside. Energy: -1 and half of each bond."""

    def __init__(self):
        super().__init__()
        self.heads = ["Default"]
        self.register_buffer("atomic_numbers", torch.tensor([78]))
        self.register_buffer("r_max", torch.tensor(4.0, dtype=torch.float64))
        self.register_buffer("num_interactions", torch.tensor(1))

    def bonds(self, data: Dict[str, torch.Tensor]) -> torch.Tensor:
        edges = data["edge_index"]
        v = data["positions"][edges[1]] - data["positions"][edges[0]] + data["shifts"]
        pair = 0.5 * (1.0 - (v**2).sum(1) / 16.0) ** 3
        return (
            torch.zeros(data["node_attrs"].size(0), dtype=pair.dtype).index_add(0, edges[1], pair)
            - 1.0
        )


class NeedsCharge(Inner):
    """Adds 0.5 q^2 + 0.25 s to the energy of each atom, q and s of its structure."""

    def __init__(self):
        super().__init__()
        self.joint_embedding = Embedding()

    def forward(
        self,
        data: Dict[str, torch.Tensor],
        training: bool = False,
        compute_force: bool = True,
        compute_virials: bool = False,
        compute_stress: bool = False,
        compute_displacement: bool = False,
    ) -> Dict[str, Optional[torch.Tensor]]:
        batch = data["batch"]
        more = self.joint_embedding(data["total_charge"][batch], data["total_spin"][batch])
        result: Dict[str, Optional[torch.Tensor]] = {
            "node_energy": self.bonds(data) + more,
            "displacement": None,
        }
        return result


class Dipoles(Inner):
    """No energies: a dipole of each atom."""

    def forward(
        self,
        data: Dict[str, torch.Tensor],
        training: bool = False,
        compute_force: bool = True,
        compute_virials: bool = False,
        compute_stress: bool = False,
        compute_displacement: bool = False,
    ) -> Dict[str, Optional[torch.Tensor]]:
        dipole = self.bonds(data).unsqueeze(1) * torch.ones(1, 3, dtype=torch.float64)
        result: Dict[str, Optional[torch.Tensor]] = {"atomic_dipoles": dipole, "displacement": None}
        return result


class Wrapper(torch.nn.Module):
    """What mace_create_lammps_model puts around a model."""

    def __init__(self, model: Inner):
        super().__init__()
        self.model = model
        for name in ("atomic_numbers", "r_max", "num_interactions"):
            self.register_buffer(name, getattr(model, name))
        self.register_buffer("head", torch.tensor([0]))

    def forward(
        self,
        data: Dict[str, torch.Tensor],
        local_or_ghost: torch.Tensor,
        compute_virials: bool = False,
    ) -> Dict[str, Optional[torch.Tensor]]:
        data["head"] = self.head
        return self.model(data)


def hollow(model):
    """The model without the parts that are large; the classes in its pickle stay."""
    model = copy.deepcopy(model)
    model.interactions = model.products = model.readouts = torch.nn.ModuleList()
    model.spherical_harmonics = model.node_embedding = torch.nn.Identity()
    return model


def main():
    os.makedirs(FOLDER, exist_ok=True)
    path = lambda name: os.path.join(FOLDER, name)
    torch.jit.script(Linear()).save(path("linear.pt"))
    torch.jit.script(Wrapper(NeedsCharge())).save(path("needs_charge.pt"))
    torch.jit.script(Wrapper(Dipoles())).save(path("dipoles.pt"))
    model = hollow(made.make({**made.DEFAULTS, "hidden": "2x0e+2x1o", "radial": [4]}))
    torch.save(model, path("pickled.model"))
    torch.save(LAMMPS_MLIAP_MACE(copy.deepcopy(model)), path("mliap.pt"))
    for name in ("linear.pt", "needs_charge.pt", "dipoles.pt"):
        made.strip(path(name))
    for name in sorted(os.listdir(FOLDER)):
        print(f"refused/{name}: {os.path.getsize(path(name)) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
