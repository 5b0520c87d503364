# SPDX-License-Identifier: GPL-2.0-only
"""All minima of one adatom on a frozen slab that repeats after half of its second cell vector, by plain LAMMPS."""
import json

HEIGHTS = (0.5, 1.25, 2.0, 2.75, 3.5)  # of starts above the highest template atom, Angstrom
WINDOW = (0.0, 4.0)  # the search's window, above the highest template atom
CLOSEST = 1.8  # starts nearer to a template atom than this are skipped
SAME_E, SAME_R = 1e-4, 0.05  # two minima are one if energy (eV) and site (Angstrom) agree
PUSH = 0.1  # Angstrom


def starts(slab, nx, ny):
    """Grid points, nx and ny along the cell vectors, with the heights that keep a sensible distance."""
    for j in range(ny):
        for i in range(nx):
            x, y = slab.cartesian(i / nx, j / ny)
            points = [(x, y, slab.z_max + h) for h in HEIGHTS]
            yield (x, y), [p for p in points if slab.closest(p) > CLOSEST]


def _half(slab):
    return slab.cell[1] / 2, slab.cell[2] / 2


def _add(slab, minima, energy, position):
    """Count a minimum under the ones known, or as a new one."""
    half = _half(slab)
    for known in minima:
        if abs(known["energy"] - energy) > SAME_E:
            continue
        for n in (0, 1):
            x, y, z = position
            if slab.closest((x + n * half[0], y + n * half[1], z), [known["position"]]) < SAME_R:
                known["hits"] += 1
                return
    minima.append({"energy": energy, "position": slab.wrap(position), "hits": 1})


def _neighbours(slab, position):
    """Number of template atoms within 3.2 A, images included."""
    x, y, z = position
    return sum(
        (x - tx - n * slab.cell[0] - m * slab.cell[1]) ** 2 + (y - ty - m * slab.cell[2]) ** 2
        + (z - tz) ** 2 < 3.2**2
        for tx, ty, tz in slab.template for n in range(-2, 3) for m in range(-2, 3)
    )


def _stable(slab, m):
    """A minimum comes back from small pushes; a saddle that a symmetric start ran into does not."""
    x, y, z = m["position"]
    pushes = [(d, 0, 0) for d in (-PUSH, PUSH)] + [(0, d, 0) for d in (-PUSH, PUSH)]
    ends = [slab.relax([(x + dx, y + dy, z + dz)])[0] for dx, dy, dz in pushes]
    return all(abs(energy - m["energy"]) < SAME_E for energy in ends)


def find(slab, nx, ny, path):
    """Minimise from a grid of starts; writes the distinct minima, lowest first, and the saddle points met."""
    stationary, count = [], 0
    for _, points in starts(slab, nx, ny):
        for point in points:
            energy, (position,) = slab.relax([point])
            _add(slab, stationary, energy, position)
            count += 1
    stationary.sort(key=lambda m: m["energy"])
    minima = [m for m in stationary if _stable(slab, m)]
    saddles = sorted(round(m["energy"], 6) for m in stationary if m not in minima)
    half = _half(slab)
    for m in minima:
        x, y, z = m["position"]
        m["inside_window"] = WINDOW[0] <= z - slab.z_max <= WINDOW[1]
        m["neighbours"] = _neighbours(slab, m["position"])
        m["sites"] = [m.pop("position"), slab.wrap((x + half[0], y + half[1], z))]
        m["sites"] = sorted([round(c, 4) for c in site] for site in m["sites"])
        m["energy"] = round(m["energy"], 6)
    with open(path, "w") as out:
        json.dump({"units": "eV, Angstrom", "starts": count, "global_minimum": minima[0],
                   "other_minima": minima[1:], "saddle_points": saddles}, out, indent=1)
        out.write("\n")
    print(f"{count} starts, {len(stationary)} stationary points, {len(minima)} of them minima")
    for m in minima:
        print(m["energy"], m["hits"], m["neighbours"], m["inside_window"], m["sites"][0])
