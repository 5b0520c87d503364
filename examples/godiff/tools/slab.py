# SPDX-License-Identifier: GPL-2.0-only
"""Building blocks for the example systems: fcc slabs and LAMMPS data files."""
import math

MASS = {"Pt": 195.09, "Cu": 63.550, "Au": 196.97}


def fcc111(a, nx, ny):
    """Two layers of an fcc(111) slab of nx x ny cells, lattice constant a in Angstrom.

    Returns (lx, xy, ly) of the cell and the positions: lower layer (z = 0) first, x index fastest,
    then the upper layer. The site (0, 0) of the upper layer is the origin in the plane.
    """
    d = a / math.sqrt(2)
    row = d * math.sqrt(3) / 2
    grid = [(i * d + j * d / 2, j * row) for j in range(ny) for i in range(nx)]
    lower = [(x, y + d / math.sqrt(3), 0.0) for x, y in grid]
    upper = [(x, y, a / math.sqrt(3)) for x, y in grid]
    return (nx * d, ny * d / 2, ny * row), lower + upper


def fcc122(a):
    """The stepped fcc (1,2,2) slab of 20 atoms, lattice constant a in Angstrom.

    Returns (lx, xy, ly) of the cell and the positions from the bottom (z = 0) to the top. In units
    of h = a / (2 sqrt 5) the cell is (10, 0), (2, 6); it holds the smaller translation (1, 3) twice,
    and each layer is the one below moved by (-3, -2/3) and up by a/6.
    """
    h = a / (2 * math.sqrt(5))
    positions = []
    for layer in range(10):
        for half in range(2):
            # thirds of h, so that wrapping into the cell is exact: cell rows (30, 0), (6, 18)
            x, y = -9 * layer + 3 * half, -2 * layer + 9 * half
            x, y = x - 6 * (y // 18), y % 18
            x -= 30 * ((3 * x - y) // 90)
            positions.append((x * h / 3, y * h / 3, layer * a / 6))
    return (10 * h, 2 * h, 6 * h), positions


def write_data(path, title, cell, z_bounds, elements, atoms):
    """Write a LAMMPS data file in atom style atomic.

    cell: (lx, xy, ly) in Angstrom; z_bounds: (zlo, zhi); elements: the element of each atom type;
    atoms: list of (type, (x, y, z)), numbered from 1 in this order.
    """
    lx, xy, ly = cell
    lines = [title, "", f"{len(atoms)} atoms", f"{len(elements)} atom types", ""]
    lines += [f"0.0 {lx:.10f} xlo xhi", f"0.0 {ly:.10f} ylo yhi"]
    lines += ["{:.10f} {:.10f} zlo zhi".format(*z_bounds), f"{xy:.10f} 0.0 0.0 xy xz yz", ""]
    lines += ["Masses", ""]
    lines += [f"{t} {MASS[name]:g} # {name}" for t, name in enumerate(elements, 1)]
    lines += ["", "Atoms # atomic", ""]
    lines += [f"{i} {t} {x:.10f} {y:.10f} {z:.10f}" for i, (t, (x, y, z)) in enumerate(atoms, 1)]
    with open(path, "w") as out:
        out.write("\n".join(lines) + "\n")
