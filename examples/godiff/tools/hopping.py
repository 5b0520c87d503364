# SPDX-License-Identifier: GPL-2.0-only
"""Basin hopping with plain LAMMPS, the brute-force check of the example systems' best energies."""
import math
import random


def random_start(slab, rng, n, low, high, closest):
    """n positions, uniform in the window above the template, none nearer than `closest`."""
    placed = []
    while len(placed) < n:
        x, y = slab.cartesian(rng.random(), rng.random())
        p = (x, y, slab.z_max + rng.uniform(low, high))
        if slab.closest(p) > closest and (not placed or slab.closest(p, placed) > closest):
            placed.append(p)
    return placed


def moved(rng, positions, bond, elements):
    """One atom put beside another; with several elements sometimes two unlike atoms swapped."""
    new = list(positions)
    unlike = [(i, j) for i in range(len(new)) for j in range(i) if elements[i] != elements[j]]
    if unlike and rng.random() < 0.3:
        i, j = rng.choice(unlike)
        new[i], new[j] = new[j], new[i]
        return new
    i, j = rng.sample(range(len(new)), 2)
    angle = rng.uniform(0, 2 * math.pi)
    x, y, z = new[j]
    new[i] = (x + bond * math.cos(angle), y + bond * math.sin(angle), z + rng.uniform(-0.3, 1.2))
    return new


def search(slab, elements, window, runs, hops, seed, bond=2.6, kt=0.2):
    """`runs` walks of `hops` minimisations each, every walk from a random start.

    elements: one per mobile atom; window: (lo, hi) of the starts above the template, Angstrom;
    kt in eV.
    Structures with an atom higher than hi + 1 above the template are left out.
    Returns (energy, positions) of all minima met, lowest first, and the best energy of each walk.
    """
    rng = random.Random(seed)
    found, best = [], []
    for _ in range(runs):
        start = random_start(slab, rng, len(elements), *window, 1.8)
        energy, positions = slab.relax(start, 1e-4)
        lowest = energy
        for _ in range(hops):
            trial = [slab.wrap(p) for p in moved(rng, positions, bond, elements)]
            if any(slab.closest(p) < 1.2 for p in trial) or any(
                slab.closest(p, trial[:i] + trial[i + 1 :]) < 1.2 for i, p in enumerate(trial)
            ):
                continue
            e, q = slab.relax(trial, 1e-4)
            if max(p[2] for p in q) > slab.z_max + window[1] + 1:
                continue
            found.append((e, q))
            if e < energy or rng.random() < math.exp((energy - e) / kt):
                energy, positions = e, q
            lowest = min(lowest, e)
        best.append(lowest)
    return sorted(found), best


def baseline(slab, elements, window, runs, hops, seed, count=5):
    """What reference.json keeps of a search: the best known energy, how sure, and the next ones."""
    found, best = search(slab, elements, window, runs, hops, seed)
    energies = []
    for energy, _ in found:
        if not energies or energy - energies[-1] > 1e-3:
            energies.append(energy)
    lowest, positions = found[0]
    return {
        "units": "eV, Angstrom",
        "best_known": {
            "energy": round(lowest, 6),
            "positions": [[e] + [round(c, 4) for c in slab.wrap(p)]
                          for e, p in zip(elements, positions)],
            "heights": [round(p[2] - slab.z_max, 4) for p in positions],
        },
        "next_energies": [round(e, 6) for e in energies[1:count]],
        "walks": runs, "hops": hops, "minima": len(found),
        "walks_at_best": sum(e < lowest + 1e-3 for e in best),
    }
