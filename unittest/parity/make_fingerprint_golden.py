# SPDX-License-Identifier: GPL-2.0-only
"""Golden data for the structure fingerprint: fingerprint.json beside this script.

Clusters of 1 to 12 atoms with the bonds and eigenvalues of the Python implementation
(tools/godiff_fingerprint.py, eigenvalues by numpy), which shares no line with the C++ one.
Every cluster keeps a margin from each decision of the method, so that rounding cannot flip a bond.

    make_fingerprint_golden.py            write the file
    make_fingerprint_golden.py --check    compare with the stored file instead
"""

import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools"))

import godiff_fingerprint as gf  # noqa: E402

PATH = os.path.join(HERE, "fingerprint.json")
MARGIN = 1e-5  # Angstrom or distance ratio, between any tested number and its threshold
BOND = 3.92 / np.sqrt(2.0)
PT111 = [[16.6311512, 0.0, 0.0], [8.3155757, 14.4029997, 0.0], [0.0, 0.0, 18.2632131]]
STEPPED = [[8.7653865, 0.0, 0.0], [1.7530773, 5.2592319, 0.0], [0.0, 0.0, 21.88]]
SKEWED = [[9.1, 0.0, 0.0], [4.3, 8.2, 0.0], [-3.7, 4.0, 7.9]]
SHEARED = [[7.0, 0.0, 0.0], [17.5, 8.0, 0.0], [9.4, -13.2, 9.0]]  # not reduced: far images matter
BOX = [[30.0, 0.0, 0.0], [0.0, 30.0, 0.0], [0.0, 0.0, 30.0]]
PAIRS = [(78, 79), (29, 78), (46, 8), (6, 8), (28, 47), (1, 6)]


def hexagon(scale=1.0):
    """Centre and ring of the compact heptamer, Angstrom."""
    angles = np.pi / 3 * np.arange(6)
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    return scale * BOND * np.concatenate([np.zeros((1, 3)), ring])


def margin(positions, numbers, cell, pbc):
    """Smallest distance of any number that the method compares from its threshold."""
    vectors = gf.pair_vectors(positions, cell, pbc)
    lengths = np.linalg.norm(vectors, axis=2)
    radii = np.array([gf.covalent_radius(z) for z in numbers])
    ratio = lengths / (radii[:, None] + radii[None, :])
    off = ~np.eye(len(numbers), dtype=bool)
    smallest = np.min(np.abs(ratio - gf.BOND_RATIO_MAX)[off], initial=np.inf)
    reach = gf.candidate_bonds(vectors, numbers)
    for i in range(len(numbers)):
        order = [j for j in np.argsort(lengths[i]) if reach[i, j]]
        for place, j in enumerate(order):
            smallest = min(smallest, image_margin(vectors[i, j], cell, pbc))
            probes = np.vstack([0.5 * vectors[i, j], gf.circle_points(vectors[i, j])])
            for k in order[:place]:
                normal = vectors[i, k] / lengths[i, k]
                # One clear hit decides; without one every probe must stay clear.
                height = np.max((probes - 0.5 * vectors[i, k]) @ normal)
                smallest = min(smallest, abs(height), lengths[i, j] - lengths[i, k])
    return smallest


def image_margin(vector, cell, pbc):
    """How much longer than the minimum image the next one is."""
    reach = [range(-4, 5) if flag else (0,) for flag in pbc]
    lengths = [
        np.linalg.norm(vector + np.array([i, j, k]) @ np.array(cell))
        for i in reach[0]
        for j in reach[1]
        for k in reach[2]
        if (i, j, k) != (0, 0, 0)
    ]
    return min(lengths, default=np.inf) - np.linalg.norm(vector)


def loose_cluster(rng, numbers):
    """Random atoms, each near an earlier one and not on top of any, Angstrom."""
    positions = [np.zeros(3)]
    while len(positions) < len(numbers):
        near = rng.integers(len(positions))
        radius = gf.covalent_radius(numbers[near]) + gf.covalent_radius(numbers[len(positions)])
        step = rng.normal(size=3)
        trial = positions[near] + step / np.linalg.norm(step) * radius * rng.uniform(0.8, 1.25)
        if min(np.linalg.norm(trial - r) for r in positions) > 0.7 * radius:
            positions.append(trial)
    return np.array(positions)


def clusters(rng):
    """Yield (name, cell, pbc, numbers, positions); repeated until the margin holds."""
    surface, bulk, free = (True, True, False), (True, True, True), (False, False, False)
    centre = np.array([10.3944696834, 6.0012498698, 4.5264130552])
    pt = [78] * 7
    yield "hexagon", PT111, surface, pt, lambda: centre + hexagon()
    yield "hexagon across a corner", PT111, surface, pt, lambda: [0.1, 0.2, 4.5] + hexagon()
    yield "hexagon without periodicity", BOX, free, pt, lambda: [1.0, 1.0, 1.0] + hexagon()
    for scale in (0.9, 1.07, 1.08):
        yield f"hexagon times {scale}", PT111, surface, pt, lambda s=scale: centre + hexagon(s)
    for jitter in (0.02, 0.05, 0.05, 0.1, 0.1, 0.1, 0.2, 0.2):
        yield f"hexagon jittered {jitter}", PT111, surface, pt, (
            lambda j=jitter: rng.random(2) @ np.array(PT111)[:2] * 1.0
            + [0, 0, 4.5]
            + hexagon()
            + rng.normal(0.0, j, (7, 3))
        )
    yield "one atom", STEPPED, surface, [78], lambda: rng.random((1, 3)) * 5
    cells = [(STEPPED, surface), (SKEWED, bulk), (SHEARED, bulk), (SHEARED, surface), (BOX, free)]
    for n in range(2, 13):
        for turn in range(3 if n <= 8 else 2):
            cell, pbc = cells[(2 * n + turn) % len(cells)]
            pair = PAIRS[(n + turn) % len(PAIRS)]
            numbers = [int(z) for z in rng.choice(pair, n)]
            numbers[0], numbers[-1] = pair
            yield f"random {n}", cell, pbc, numbers, (
                lambda numbers=numbers, cell=cell: rng.random(3) @ np.array(cell)
                + loose_cluster(rng, numbers)
            )


def make():
    rng = np.random.default_rng(19)
    entries = []
    for name, cell, pbc, numbers, draw in clusters(rng):
        for _ in range(1000):
            positions = np.round(draw(), 6)
            # The perfect rings have equal distances by design: any order of them gives 12 bonds.
            exact = name.startswith("hexagon") and "jittered" not in name
            if exact or margin(positions, numbers, cell, pbc) > MARGIN:
                break
        else:
            raise RuntimeError(f"no draw of '{name}' keeps the margin")
        bonds = gf.bond_matrix(positions, numbers, cell, pbc)
        values = gf.fingerprint(positions, numbers, cell, pbc)
        entries.append(
            {
                "name": name,
                "cell": cell,
                "pbc": list(pbc),
                "numbers": numbers,
                "positions": positions.tolist(),
                "bonds": [[int(i), int(j)] for i, j in np.argwhere(np.triu(bonds))],
                "eigenvalues": np.round(values, 10).tolist(),
            }
        )
    used = sorted({z for entry in entries for z in entry["numbers"]})
    return {
        "what": "structure fingerprints; bonds: pairs i < j from 0; eigenvalues ascending",
        "radii": {str(z): float(gf.covalent_radius(z)) for z in used},
        "clusters": entries,
    }


def dump(data):
    """JSON text with one cluster a line."""
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in data["clusters"])
    head = json.dumps({key: data[key] for key in ("what", "radii")})
    return f'{head[:-1]}, "clusters": [\n{lines}\n]}}\n'


def main():
    text = dump(make())
    if "--check" in sys.argv[1:]:
        with open(PATH, encoding="ascii") as handle:
            stored = json.load(handle)
        for old, new in zip(stored["clusters"], json.loads(text)["clusters"], strict=True):
            for key in ("name", "cell", "pbc", "numbers", "bonds"):
                if old[key] != new[key]:
                    sys.exit(f"{old['name']}: {key} differs from the stored file")
            for key in ("positions", "eigenvalues"):
                if not np.allclose(old[key], new[key], rtol=0.0, atol=1e-8):
                    sys.exit(f"{old['name']}: {key} differ from the stored file")
        print(f"{len(stored['clusters'])} clusters agree")
        return
    with open(PATH, "w", encoding="ascii") as handle:
        handle.write(text)
    print(f"{PATH}: {len(text)} bytes")


if __name__ == "__main__":
    main()
