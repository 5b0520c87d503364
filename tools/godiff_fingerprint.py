# SPDX-License-Identifier: GPL-2.0-only
"""Fingerprint of a set of atoms: which of them touch, whatever the site, height or rotation.

The eigenvalues of a bond matrix with atomic numbers on its diagonal. A bond needs two things:
a distance below 1.1 times the sum of the covalent radii, and no nearer atom standing in between
(seen from both ends). An independent Python twin of the C++ fingerprint; it needs numpy only.
"""

import numpy as np

SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb "
    "Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm"
).split()

# Single-bond covalent radii in Angstrom, Z = 1..96: Cordero et al., Dalton Trans. 2008, 2832
# (sp3 carbon; low-spin Mn, Fe, Co).
COVALENT_RADII = np.array(
    """
    0.31 0.28 1.28 0.96 0.84 0.76 0.71 0.66 0.57 0.58 1.66 1.41 1.21 1.11 1.07
    1.05 1.02 1.06 2.03 1.76 1.70 1.60 1.53 1.39 1.39 1.32 1.26 1.24 1.32 1.22
    1.22 1.20 1.19 1.20 1.20 1.16 2.20 1.95 1.90 1.75 1.64 1.54 1.47 1.46 1.42
    1.39 1.45 1.44 1.42 1.39 1.39 1.38 1.39 1.40 2.44 2.15 2.07 2.04 2.03 2.01
    1.99 1.98 1.98 1.96 1.94 1.92 1.92 1.89 1.90 1.87 1.87 1.75 1.70 1.62 1.51
    1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.40 1.50 1.50 2.60 2.21 2.15 2.06
    2.00 1.96 1.90 1.87 1.80 1.69
    """.split(),
    dtype=float,
)

BOND_RATIO_MIN = 1e-3
BOND_RATIO_MAX = 1.1
CONE_ANGLE = np.radians(20.0)
N_CIRCLE = 8
MATCH_TOLERANCE = 5e-4


def atomic_number(symbol):
    """Atomic number of an element symbol; KeyError names an unknown one."""
    if symbol not in SYMBOLS:
        raise KeyError(f"unknown element '{symbol}'")
    return SYMBOLS.index(symbol) + 1


def covalent_radius(number):
    """Covalent radius in Angstrom of the element with this atomic number."""
    return COVALENT_RADII[number - 1]


def minimum_image(vectors, cell, pbc):
    """Shortest periodic image of each vector (n, 3); cell rows a, b, c; pbc three flags.

    Rounding fractional coordinates alone is wrong in skewed cells, so every image that can
    possibly be shorter is tried: |f_k| <= |r| / (height of the cell along k).
    """
    vectors = np.atleast_2d(np.asarray(vectors, dtype=float))
    cell = np.asarray(cell, dtype=float)
    pbc = np.asarray(pbc, dtype=bool)
    if not pbc.any() or len(vectors) == 0:
        return vectors.copy()
    inverse = np.linalg.inv(cell)
    fractional = vectors @ inverse
    fractional[:, pbc] -= np.round(fractional[:, pbc])
    start = fractional @ cell
    longest = np.linalg.norm(start, axis=1).max()
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    reach = np.where(pbc, np.ceil(longest / heights + 0.5), 0).astype(int)
    ranges = [np.arange(-n, n + 1) for n in reach]
    shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    images = start[:, None, :] + shifts[None, :, :]
    nearest = np.argmin(np.einsum("nsk,nsk->ns", images, images), axis=1)
    return images[np.arange(len(images)), nearest]


def circle_points(vector):
    """Eight points (8, 3) on the circle in the mid-plane of `vector`, seen under 20 degrees."""
    length = np.linalg.norm(vector)
    normal = vector / length
    m = int(np.argmax(np.abs(normal)))
    m2 = 0 if m != 0 else 1
    first = np.zeros(3)
    first[m2] = 1.0
    first[m] = -normal[m2] / normal[m]
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    angles = 2.0 * np.pi * np.arange(N_CIRCLE) / N_CIRCLE
    radius = 0.5 * length * np.tan(CONE_ANGLE)
    ring = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
    return 0.5 * vector + radius * ring


def kept_bonds(vectors, reach):
    """Which neighbours of one atom stay bonded in the one-sided test.

    vectors (n, 3): from the atom to the others; reach (n): candidate-bond flags.
    Returns flags (n). Every candidate bond leaves its mid-plane behind, also when it is removed.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    kept = np.zeros(len(vectors), dtype=bool)
    midpoints, normals = [], []
    for j in np.argsort(lengths, kind="stable"):
        if not reach[j]:
            continue
        probes = np.vstack([0.5 * vectors[j], circle_points(vectors[j])])
        kept[j] = all(np.all((probes - p) @ n <= 0.0) for p, n in zip(midpoints, normals))
        midpoints.append(0.5 * vectors[j])
        normals.append(vectors[j] / lengths[j])
    return kept


def pair_vectors(positions, cell, pbc):
    """Minimum-image vectors (n, n, 3) from atom i to atom j, Angstrom."""
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    n = len(positions)
    difference = positions[None, :, :] - positions[:, None, :]
    return minimum_image(difference.reshape(-1, 3), cell, pbc).reshape(n, n, 3)


def candidate_bonds(vectors, numbers):
    """Flags (n, n): distance within the bond range of the two covalent radii."""
    radii = np.array([covalent_radius(z) for z in numbers])
    ratio = np.linalg.norm(vectors, axis=2) / (radii[:, None] + radii[None, :])
    reach = (ratio > BOND_RATIO_MIN) & (ratio < BOND_RATIO_MAX)
    np.fill_diagonal(reach, False)
    return reach


def bond_matrix(positions, numbers, cell, pbc):
    """Adjacency (n, n) of 0 and 1: bonds kept from both ends; zero diagonal."""
    vectors = pair_vectors(positions, cell, pbc)
    reach = candidate_bonds(vectors, numbers)
    kept = np.array([kept_bonds(vectors[i], reach[i]) for i in range(len(numbers))])
    return (kept & kept.T).astype(int)


def fingerprint(positions, numbers, cell, pbc):
    """Ascending eigenvalues of the bond matrix with atomic numbers on the diagonal."""
    matrix = bond_matrix(positions, numbers, cell, pbc) + np.diag(np.asarray(numbers, dtype=float))
    return np.linalg.eigvalsh(matrix)


def hexagon_fingerprint(number):
    """Fingerprint of seven equal atoms in a compact hexagon: a centre, a ring of six, 12 bonds."""
    root = np.sqrt(7.0)
    return number + np.array([-2.0, 1.0 - root, -1.0, -1.0, 1.0, 1.0, 1.0 + root])


def is_hexagon(positions, numbers, cell, pbc):
    """True when the seven atoms have the fingerprint of the compact hexagon within 5e-4."""
    if len(numbers) != 7 or len(set(numbers)) != 1:
        return False
    vectors = pair_vectors(positions, cell, pbc)
    if candidate_bonds(vectors, numbers).sum() < 24:  # 12 bonds counted from both ends
        return False
    found = fingerprint(positions, numbers, cell, pbc)
    return bool(np.all(np.abs(found - hexagon_fingerprint(numbers[0])) < MATCH_TOLERANCE))
