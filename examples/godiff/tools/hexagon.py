# SPDX-License-Identifier: GPL-2.0-only
"""Which candidates of a heptamer search are the compact hexagon, wherever it lies?

usage: hexagon.py PREFIX.xyz

Reads the extended XYZ file of a run and compares the bond fingerprint of the seven mobile atoms
(eigenvalues of the bond matrix with the atomic number on its diagonal) with that of a centre and a
ring of six. Prints the number of hexagons and the evaluation of the first. Needs no package.
"""
import math
import re
import sys

RADIUS, ATOMIC_NUMBER = 1.36, 78  # covalent radius (Angstrom) and number of Pt
LOW, HIGH = 1e-3, 1.1  # bonded: distance over the sum of radii between these
SHADE = math.radians(20)  # half-angle of the cone that an earlier neighbour may not cut
TOLERANCE = 5e-4
ROOT7 = math.sqrt(7)
HEXAGON = [ATOMIC_NUMBER + v for v in (-2, 1 - ROOT7, -1, -1, 1, 1, 1 + ROOT7)]


def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def minimum_image(r, cell):
    """Shortest image of the vector r; cell: three row vectors, periodic along the first two."""
    a, b, _ = cell
    n = round(r[1] / b[1])
    r = [r[k] - n * b[k] for k in range(3)]
    m = round(r[0] / a[0])
    r = [r[k] - m * a[k] for k in range(3)]
    images = [
        [r[k] + i * a[k] + j * b[k] for k in range(3)] for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]
    return min(images, key=lambda v: dot(v, v))


def circle(r):
    """Eight points on the circle round the middle of the bond r, in its mid-plane."""
    d = math.sqrt(dot(r, r))
    n = [c / d for c in r]
    m = max(range(3), key=lambda k: abs(n[k]))
    m2 = 0 if m != 0 else 1
    p1 = [0.0, 0.0, 0.0]
    p1[m2], p1[m] = 1.0, -n[m2] / n[m]
    size = math.sqrt(dot(p1, p1))
    p1 = [c / size for c in p1]
    p2 = [n[1] * p1[2] - n[2] * p1[1], n[2] * p1[0] - n[0] * p1[2], n[0] * p1[1] - n[1] * p1[0]]
    radius = d / 2 * math.tan(SHADE)
    for k in range(8):
        c, s = radius * math.cos(math.pi * k / 4), radius * math.sin(math.pi * k / 4)
        yield [r[q] / 2 + c * p1[q] + s * p2[q] for q in range(3)]


def bonds_of(i, atoms, cell):
    """The atoms bonded to atom i as seen from i: nearest first, the shaded ones left out."""
    vectors = [(j, minimum_image([p - q for p, q in zip(atoms[j], atoms[i])], cell))
               for j in range(len(atoms)) if j != i]
    vectors.sort(key=lambda item: dot(item[1], item[1]))
    planes, kept = [], set()
    for j, r in vectors:
        d = math.sqrt(dot(r, r))
        if not LOW < d / (2 * RADIUS) < HIGH:
            continue
        points = [[c / 2 for c in r]] + (list(circle(r)) if planes else [])
        # beyond an earlier mid-plane: on the far side of the plane through q / 2 with normal q
        if not any(dot(p, q) > dot(q, q) / 2 for p in points for q in planes):
            kept.add(j)
        planes.append(r)
    return kept


def eigenvalues(matrix):
    """Eigenvalues of a symmetric matrix, ascending, by Jacobi rotations."""
    a, n = [list(row) for row in matrix], len(matrix)
    for _ in range(100):
        if sum(a[p][q] ** 2 for p in range(n) for q in range(p)) < 1e-20:
            break
        for p in range(n):
            for q in range(p + 1, n):
                if abs(a[p][q]) < 1e-15:
                    continue
                angle = 0.5 * math.atan2(2 * a[p][q], a[q][q] - a[p][p])
                c, s = math.cos(angle), math.sin(angle)
                for k in range(n):
                    a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
                for k in range(n):
                    a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
    return sorted(a[k][k] for k in range(n))


def fingerprint(atoms, cell):
    """Sorted eigenvalues of the bond matrix of the atoms (list of (x, y, z), Angstrom)."""
    seen = [bonds_of(i, atoms, cell) for i in range(len(atoms))]
    return eigenvalues([
        [ATOMIC_NUMBER if i == j else float(j in seen[i] and i in seen[j])
         for j in range(len(atoms))] for i in range(len(atoms))
    ])


def is_hexagon(atoms, cell):
    values = fingerprint(atoms, cell)
    return len(values) == 7 and all(abs(v - h) < TOLERANCE for v, h in zip(values, HEXAGON))


def frames(path):
    """(comment, cell, mobile positions) of every frame of a fix godiff extended XYZ file."""
    with open(path) as lines:
        for line in lines:
            natoms, comment = int(line), next(lines)
            numbers = [float(v) for v in re.search(r'Lattice="([^"]*)"', comment)[1].split()]
            columns = re.search(r"Properties=(\S+)", comment)[1].split(":")
            place, start = {}, 0
            for name, width in zip(columns[::3], columns[2::3]):
                place[name], start = start, start + int(width)
            mobile = []
            for _ in range(natoms):
                words = next(lines).split()
                if words[place["mobile"]] in ("1", "T"):
                    mobile.append(tuple(float(v) for v in words[place["pos"] : place["pos"] + 3]))
            yield comment, [numbers[0:3], numbers[3:6], numbers[6:9]], mobile


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    total, hits = 0, []
    for comment, cell, mobile in frames(sys.argv[1]):
        total += 1
        if is_hexagon(mobile, cell):
            hits.append(int(re.search(r"evaluation=(\d+)", comment)[1]))
    first = f"first at evaluation {hits[0]}" if hits else "none"
    print(f"candidates {total} hexagons {len(hits)} {first}")


if __name__ == "__main__":
    main()
