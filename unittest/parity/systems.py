# SPDX-License-Identifier: GPL-2.0-only
"""Structures and neighbour lists shared by the golden-data scripts of this folder.

Every structure is an ASE Atoms object (lengths in Angstrom); the mobile atoms come last and their
number is in ``atoms.info["mobile"]``. Everything random is drawn from a seeded generator and
rounded to 1e-6 A, so the numbers survive a round trip through decimal text.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, surface
from ase.neighborlist import primitive_neighbor_list

LATTICE = 3.92  # fcc Pt, Angstrom


def _tagged(atoms, mobile):
    atoms.info["mobile"] = mobile
    return atoms


def stepped_pt(adatom=(2.68, 2.03, 6.42)):
    """S1: Pt(1,2,2), five layers, lowest atom at z = 0, one adatom (None for the bare slab)."""
    slab = surface(bulk("Pt", a=LATTICE, cubic=True), (1, 2, 2), 5, vacuum=8.0)
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    slab.pbc = (True, True, False)
    if adatom is None:
        return _tagged(slab, 0)
    return _tagged(slab + Atoms("Pt", positions=[adatom]), 1)


def heptamer_pt(heptamer=True):
    """S2: Pt(111) 6x6, two layers, with the ideal compact heptamer on the fcc sites."""
    d = LATTICE / np.sqrt(2)
    dz = LATTICE / np.sqrt(3)
    cell = [[6 * d, 0, 0], [3 * d, 3 * np.sqrt(3) * d, 0], [0, 0, 16 + dz]]
    rows = []
    for layer, shift, z in ((0, d / np.sqrt(3), 0.0), (1, 0.0, dz)):
        for j in range(6):
            for i in range(6):
                rows.append((i * d + j * d / 2, shift + j * d * np.sqrt(3) / 2, z))
    if heptamer:
        centre = np.array([10.3944696834, 6.0012498698, 4.5264130552])
        rows.append(centre)
        for k in range(6):
            angle = k * np.pi / 3
            rows.append(centre + 2.7718586 * np.array([np.cos(angle), np.sin(angle), 0]))
    atoms = Atoms("Pt%d" % len(rows), positions=rows, cell=cell, pbc=(True, True, False))
    return _tagged(atoms, 7 if heptamer else 0)


def small_alloy():
    """Four atoms, two elements, triclinic and periodic throughout, cell smaller than the cutoff."""
    cell = np.array([[3.7, 0, 0], [0.9, 3.9, 0], [-0.8, 1.1, 4.3]])
    fractions = np.array(
        [[0.02, 0.01, 0.03], [0.48, 0.53, 0.04], [0.51, 0.02, 0.46], [0.03, 0.49, 0.55]]
    )
    positions = np.round(fractions @ cell, 6)
    return _tagged(Atoms("PtCuCuPt", positions=positions, cell=cell, pbc=True), 1)


def mixed_slab():
    """Triclinic slab of three elements, every atom displaced at random, four mobile atoms."""
    rng = np.random.default_rng(20240611)
    slab = fcc111("Pt", (3, 2, 2), a=LATTICE, vacuum=None)
    slab.set_cell([slab.cell[0], slab.cell[1], [0, 0, 18.5]])
    top = slab.positions[:, 2].max()
    numbers = slab.numbers.copy()
    numbers[[1, 4, 7, 10]] = 29
    slab.numbers = numbers
    above = np.array([[1.1, 0.9], [4.2, 1.7], [6.4, 3.4], [2.9, 3.6]])
    heights = top + np.array([1.9, 1.4, 2.1, 3.3])
    slab += Atoms(numbers=[78, 8, 29, 8], positions=np.column_stack([above, heights]))
    slab.positions = np.round(slab.positions + 0.12 * rng.standard_normal((len(slab), 3)), 6)
    slab.cell = np.round(slab.cell[:], 6)
    slab.pbc = (True, True, False)
    return _tagged(slab, 4)


def open_cluster():
    """No periodicity: an O-Pt-Cu group and one Pt atom that sees nobody."""
    positions = [[0.0, 0.0, 0.0], [1.3, 0.9, 1.1], [-1.2, 2.1, 0.4], [9.0, 9.5, -7.0]]
    return _tagged(Atoms("OPtCuPt", positions=positions, cell=[30, 30, 30], pbc=False), 1)


def random_slab(seed, cell, natoms, pbc, spread):
    """Random positions in and around a cell, at least 0.8 A apart counting periodic images.

    ``spread`` widens the fractional range to [-spread, 1 + spread]: positions outside the cell.
    """
    rng = np.random.default_rng(seed)
    cell = np.asarray(cell, float)
    atoms = Atoms(cell=cell, pbc=pbc)
    while len(atoms) < natoms:
        point = np.round(rng.uniform(-spread, 1 + spread, 3) @ cell, 6)
        trial = atoms + Atoms("Pt", positions=[point])
        if not len(neighbour_list(trial, 0.8)[0]):
            atoms = trial
    return _tagged(atoms, natoms)


def neighbour_list(atoms, cutoff=6.0):
    """Ordered pairs closer than the cutoff: centres i, neighbours j, shifts S, vectors, distances.

    r_ij = r_j - r_i + S.H and |r_ij| < cutoff strictly; an atom may neighbour its own images.
    """
    i, j, shifts, vectors = primitive_neighbor_list(
        "ijSD", atoms.pbc, atoms.cell[:], atoms.positions, cutoff, self_interaction=False
    )
    distances = np.linalg.norm(vectors, axis=1)
    keep = distances < cutoff
    i, j, shifts, vectors, distances = (a[keep] for a in (i, j, shifts, vectors, distances))
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], j, i))
    return tuple(a[order] for a in (i, j, shifts, vectors, distances))


def parity_systems():
    """The structures of the network parity data, by name."""
    return {
        "adatom": stepped_pt(),
        "heptamer": heptamer_pt(),
        "alloy": small_alloy(),
        "mixed": mixed_slab(),
        "cluster": open_cluster(),
    }
