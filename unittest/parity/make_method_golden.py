# SPDX-License-Identifier: GPL-2.0-only
"""Golden numbers of everything but the network, from NumPy, SciPy and ASE.

    python make_method_golden.py            # rewrites golden/method.json and golden/graphs.json
    python make_method_golden.py --check    # recomputes and compares with the stored files

Energies and temperatures (k_B*T) in eV, lengths in Angstrom. README.md describes the keys.
"""

import argparse
import itertools
import sys

import numpy as np
from ase.geometry import find_mic, wrap_positions
from scipy import special, stats

import systems
from store import Store

S_MIN, S_MAX = 0.01, 1.0
STEPS, T_END = 500, 0.005
DT = (1.0 - T_END) / (STEPS - 1)


def sigma_bar(t):
    return S_MIN + (S_MAX - S_MIN) * t


def variance(t):
    return sigma_bar(t) ** 2 - S_MIN**2


def diffusion2(t, form="exact"):
    """g(t)^2; the exact form is d(sigma_bar^2)/dt."""
    return 2 * sigma_bar(t) * ((S_MAX - S_MIN) if form == "exact" else t)


def schedule():
    times = [1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.03, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 0.6, 0.75,
             0.9, 0.99, 1.0]
    grid = np.linspace(1.0, T_END, STEPS)
    guidance = 0.2 * (1 - grid) ** 3
    return {
        "t": times,
        "sigma_bar": [sigma_bar(t) for t in times],
        "variance": [variance(t) for t in times],
        "std": [np.sqrt(variance(t)) for t in times],
        "g2_exact": [diffusion2(t) for t in times],
        "g2_legacy": [diffusion2(t, "legacy") for t in times],
        "grid": {"steps": STEPS, "end": T_END, "dt": DT, "index": [0, 1, 2, 100, 249, 498, 499],
                 "t": grid[[0, 1, 2, 100, 249, 498, 499]].tolist(), "sum": grid.sum()},
        "guidance": {"scale": 0.2, "zeta": 3.0, "sum_with_dt": (guidance * DT).sum(),
                     "sum_without_dt": guidance.sum(), "largest_with_dt": (guidance * DT).max(),
                     "t": [0.9, 0.5, 0.1, 0.005],
                     "coefficient": [0.2 * DT * (1 - t) ** 3 for t in (0.9, 0.5, 0.1, 0.005)]},
    }


def truncated_normal():
    """Quantiles by scipy.stats.truncnorm; the location is clamped 1e-4 A inside the slab."""
    rows = []
    for lo, hi in ((5.88, 9.88), (3.2632131, 8.2632131)):
        span = hi - lo
        for where in (-0.02, 0.0, 0.05, 0.135, 0.5, 0.9, 1.0, 1.1):
            mu = lo + where * span
            inside = min(max(mu, lo + 1e-4), hi - 1e-4)
            for sigma in (4.45e-4, 0.011, 0.0447, 0.1085, 0.3, 0.5, 1.0):
                a, b = (lo - inside) / sigma, (hi - inside) / sigma
                for p in (1e-6, 0.1, 0.5, 0.75, 1 - 1e-6):
                    z = stats.truncnorm.ppf(p, a, b, loc=inside, scale=sigma)
                    rows.append([mu, sigma, lo, hi, p, float(np.clip(z, lo, hi))])
    columns = ["mu", "sigma", "lo", "hi", "p", "z"]
    moments = []
    for mu, sigma in ((6.42, 0.5), (6.42, 1.0), (9.7, 0.25)):
        law = stats.truncnorm((5.88 - mu) / sigma, (9.88 - mu) / sigma, loc=mu, scale=sigma)
        points = np.linspace(5.88, 9.88, 9)
        moments.append({"mu": mu, "sigma": sigma, "lo": 5.88, "hi": 9.88, "mean": law.mean(),
                        "std": law.std(), "z": points.tolist(), "cdf": law.cdf(points).tolist()})
    return {"columns": columns, "rows": rows, "laws": moments}


def boltzmann(energies, temperature):
    x = -np.asarray(energies, dtype=np.float64) / temperature
    return len(x) * special.softmax(x)


def weights():
    cases = []
    lists = [
        [-100.0, -99.9, -99.5, -98.0, -90.0],
        [-13012.345, -13012.344, -13011.0, -13000.0],
        [3.0, 3.0, 3.0],
        [-7.25],
        [0.0, 1e4, -1e-9, 2.5, 2.5, 2.4999],
        (-110.0 + 0.37 * np.sin(np.arange(16.0)) ** 2 + 0.05 * np.arange(16.0)).tolist(),
    ]
    for energies in lists:
        for temperature in (5.0, 0.5, 0.08, 0.02):
            w = boltzmann(energies, temperature)
            cases.append({"energy": energies, "temperature": temperature, "weight": w.tolist(),
                          "ess": w.sum() ** 2 / (w**2).sum()})
    return cases


def inclusion(w, capacity):
    """Inclusion probabilities of successive weighted draws without replacement, by enumeration."""
    single = np.zeros(len(w))
    pairs = np.zeros((len(w), len(w)))
    for order in itertools.permutations(range(len(w)), capacity):
        probability, left = 1.0, sum(w)
        for item in order:
            probability *= w[item] / left
            left -= w[item]
        for item in order:
            single[item] += probability
        for one, two in itertools.permutations(order, 2):
            pairs[one, two] += probability
    return single, pairs


def reservoir():
    rng = np.random.default_rng(7)
    u = [0.9, 0.5, 0.2, 0.99]
    w = [2.0, 1.0, 0.9, 0.1]
    long_u = np.round(rng.uniform(0.001, 0.999, 24), 6)
    long_w = boltzmann(-50 + np.round(rng.uniform(0, 3, 24), 6), 0.3)
    long_w[[3, 11, 19]] = 0.0
    keys = np.full(24, -np.inf)
    keys[long_w > 0] = np.log(long_u[long_w > 0]) / long_w[long_w > 0]
    # Largest key first; ties (only weights of 0) go to the larger index.
    order = sorted(range(24), key=lambda k: (keys[k], k), reverse=True)
    enumeration = []
    for capacity in (1, 2, 3):
        single, pairs = inclusion(w, capacity)
        enumeration.append({"capacity": capacity, "single": single.tolist(),
                            "pairs": pairs.tolist()})
    return {
        "small": {"u": u, "weight": w, "key": [a ** (1 / b) for a, b in zip(u, w)],
                  "log_key": [np.log(a) / b for a, b in zip(u, w)]},
        "long": {"u": long_u.tolist(), "weight": long_w.tolist(), "order": order},
        "inclusion": {"weight": w, "cases": enumeration},
    }


def ladders():
    cases = ((5.0, 0.02, 10), (5.0, 0.02, 20), (3.0, 0.02, 20), (5.0, 0.02, 2), (0.7, 0.1, 7))
    return [{"start": a, "stop": b, "stages": n, "t": np.geomspace(a, b, n).tolist()}
            for a, b, n in cases]


def epochs():
    """n, batch, steps -> training and validation sizes, epochs, optimiser steps an epoch."""
    rows = []
    for n, batch, steps in ((16, 8, 2000), (64, 16, 8000), (64, 16, 16000), (300, 16, 8000),
                            (40, 8, 500), (5, 8, 100), (1, 4, 10), (9, 16, 1), (11, 3, 7)):
        validation = n // 10
        train = n - validation
        rows.append([n, batch, steps, train, validation, max(1, steps // max(1, n // batch)),
                     -(-train // batch)])
    columns = ["n", "batch", "steps", "n_train", "n_val", "epochs", "steps_per_epoch"]
    return {"columns": columns, "rows": rows}


CELLS = {
    "adatom": [[8.7653865, 0, 0], [1.7530773, 5.2592319, 0], [0, 0, 21.88]],
    "skewed": [[5.0, 0, 0], [2.4, 4.6, 0], [-2.2, 1.9, 5.4]],
    "flat": [[4.0, 0, 0], [7.5, 3.8, 0], [0, 0, 12.0]],
}


def wrapping():
    rng = np.random.default_rng(11)
    cases = []
    for name, pbc in (("adatom", (1, 1, 0)), ("skewed", (1, 1, 1)), ("flat", (1, 1, 0)),
                      ("skewed", (1, 0, 1))):
        cell = np.array(CELLS[name], float)
        before = np.round(rng.uniform(-1.5, 2.5, (8, 3)) @ cell, 6)
        after = wrap_positions(before, cell, pbc=pbc, eps=0)
        cases.append({"cell": cell.tolist(), "pbc": list(pbc), "before": before.tolist(),
                      "after": after.tolist()})
    return cases


def prior():
    rows = []
    for name, lo, hi in (("adatom", 5.88, 9.88), ("flat", 3.0, 8.5)):
        cell = np.array(CELLS[name], float)
        for f in ([0.25, 0.5, 0.75], [0.0, 0.0, 0.0], [0.999, 0.001, 0.5]):
            r = f[0] * cell[0] + f[1] * cell[1]
            r[2] += lo + f[2] * (hi - lo)
            rows.append({"cell": cell.tolist(), "lo": lo, "hi": hi, "fraction": f, "r": r.tolist()})
    return rows


def loss_cases():
    """x_t, residuals and loss with supplied scores; natoms counts template atoms too."""
    batches = [
        {"natoms": [21, 21], "t": [0.25, 0.6], "weight": [1.5, 0.5],
         "x0": [[[2.68, 2.03, 6.42]], [[4.0, 1.0, 7.0]]],
         "w": [[[0.5, -1.0, 0.8]], [[-0.3, 0.2, 0.1]]],
         "score": [[[-8.0, 14.0, -11.0]], [[1.0, -2.0, 0.5]]]},
        {"natoms": [12, 7, 9], "t": [0.02, 0.9, 0.4], "weight": [0.0, 2.2, 0.8],
         "x0": [[[1.0, 2.0, 3.0], [2.5, 0.5, 4.0]], [[0.1, 0.2, 0.3]], [[4.0, 4.0, 4.0]]],
         "w": [[[1.0, -0.5, 0.2], [0.3, 0.3, 0.3]], [[-2.0, 0.7, 0.4]], [[0.6, 0.1, -1.4]]],
         "score": [[[9.0, -7.0, 3.0], [1.0, 2.0, 3.0]], [[2.2, -0.6, -0.7]], [[-1.0, 0.5, 3.0]]]},
    ]
    for batch in batches:
        noised = []
        totals = {"reference": 0.0, "consistent": 0.0, "zero": 0.0}
        residuals = {"reference": [], "consistent": []}
        for g, t in enumerate(batch["t"]):
            w, score = np.array(batch["w"][g]), np.array(batch["score"][g])
            noised.append((np.array(batch["x0"][g]) + np.sqrt(variance(t)) * w).tolist())
            totals["zero"] += batch["weight"][g] * (w**2).sum()
            for kind, factor in (("reference", variance(t)), ("consistent", np.sqrt(variance(t)))):
                r = w + factor * score
                residuals[kind].append(r.tolist())
                totals[kind] += batch["weight"][g] * (r**2).sum()
        batch["x_t"] = noised
        batch["residual"] = residuals
        batch["loss"] = {kind: total / sum(batch["natoms"]) for kind, total in totals.items()}
    return batches


def reverse_means():
    rows = []
    for t, x, score in ((0.5, [4.0, 1.0, 7.0], [-10.0, 8.0, -4.0]),
                        (1.0, [2.0, 3.0, 8.0], [0.5, -0.4, 1.5]),
                        (0.1, [6.0, 2.5, 6.1], [30.0, -20.0, 5.0]),
                        (T_END, [6.0, 2.5, 6.1], [30.0, -20.0, 5.0])):
        for form in ("exact", "legacy"):
            g2 = diffusion2(t, form)
            step = DT * g2 * np.array(score)
            rows.append({"t": t, "x": x, "score": score, "g2": form, "dt_g2": DT * g2,
                         "std": np.sqrt(DT * g2), "reference": (np.array(x) + step).tolist(),
                         "consistent": (np.array(x) + step).tolist(),
                         "rescaled": (np.array(x) + np.sqrt(variance(t)) * step).tolist()})
    return rows


def linear_chain(sig, scale, freeze=None, start_variance=4 / 3):
    """Final std, factor on a start offset and extreme multiplier of the reverse chain.

    The score is that of N(m, sig^2) after noising, divided by s(t) where the network is trained
    with the reference residual. Below `freeze` its value at that time is kept.
    """
    var, factor, lowest = start_variance, 1.0, np.inf
    for k, t in enumerate(np.linspace(1.0, T_END, STEPS)):
        seen = t if freeze is None else max(t, freeze)
        slope = -1.0 / (sig**2 + variance(seen))  # true score = slope*(x - m)
        if scale != "consistent":
            slope /= np.sqrt(variance(seen))
        if scale == "rescaled":
            slope *= np.sqrt(variance(t))
        multiplier = 1.0 + DT * diffusion2(t) * slope
        lowest = min(lowest, multiplier)
        factor *= multiplier
        var = multiplier**2 * var + (DT * diffusion2(t) if k < STEPS - 1 else 0.0)
    return {"sig": sig, "score_scale": scale, "freeze": freeze, "start_variance": start_variance,
            "std": np.sqrt(var), "factor": factor, "lowest_multiplier": lowest}


def chains():
    rows = []
    for sig in (0.05, 0.1, 0.2, 0.3, 0.5):
        for scale, freeze in (("consistent", None), ("rescaled", None), ("reference", None),
                              ("reference", 0.1), ("rescaled", 0.1)):
            rows.append(linear_chain(sig, scale, freeze))
    rows.append(linear_chain(0.0, "consistent"))
    rows.append(linear_chain(0.2, "consistent", start_variance=16.6**2 / 12))
    return rows


class DenseBfgs:
    """Limited-memory BFGS with the inverse Hessian written out as a matrix.

    Same pairs and same initial scaling as the two-loop recursion, none of its arithmetic.
    """

    def __init__(self, memory=10):
        self.memory = memory
        self.pairs = []
        self.scale = 1.0
        self.previous = None

    def direction(self, x, force, shift=None):
        """Step along forces, all arrays (n, 3); shift maps a displacement to its minimum image."""
        if self.previous is None:
            self.previous = (x, force)
            mean = np.linalg.norm(force, axis=1).mean()
            return min(0.1, 0.1 / max(mean, 1e-6)) * force
        s = x - self.previous[0]
        s = (shift(s) if shift else s).ravel()
        y = (self.previous[1] - force).ravel()
        if s @ y > 1e-10:
            self.pairs = (self.pairs + [(s, y)])[-self.memory:]
            self.scale = (s @ y) / (y @ y)
        self.previous = (x, force)
        inverse = self.scale * np.eye(force.size)
        for s, y in self.pairs:
            v = np.eye(force.size) - np.outer(y, s) / (s @ y)
            inverse = v.T @ inverse @ v + np.outer(s, s) / (s @ y)
        return (inverse @ force.ravel()).reshape(force.shape)


def lbfgs_run(name, x, force, calls, step, wrap=None, shift=None):
    """x += step(p) after each call; positions, forces and directions of every call."""
    solver, rows = DenseBfgs(), []
    for _ in range(calls):
        f = force(x)
        p = solver.direction(x, f, shift)
        rows.append({"x": x.tolist(), "force": f.tolist(), "direction": p.tolist()})
        x = x + step(p)
        if wrap:
            x = wrap(x)
    return {"name": name, "pairs": len(solver.pairs), "calls": rows}


def capped(p, coefficient=1.0, cap=0.1):
    """coefficient*p with every atom's displacement cut to the cap, direction kept."""
    move = coefficient * p
    norm = np.linalg.norm(move, axis=1, keepdims=True)
    return move * np.minimum(1.0, cap / np.maximum(norm, 1e-300))


def lbfgs():
    stiffness = np.array([2.0, 5.0, 9.0])
    two = np.array([[1.0, 0.5, -0.3], [0.2, -0.4, 0.6]])
    three = np.array([[0.9, -0.4, 0.3], [-0.2, 0.8, -0.7], [0.1, 0.2, 1.1]])
    cell = np.array(CELLS["adatom"], float)
    pbc = (True, True, False)
    home = np.array([[8.6, 0.1, 7.0], [1.7, 5.2, 6.5]])  # both next to a periodic face

    def anharmonic(x):
        return -stiffness * x - 1.5 * x**3 + 0.3 * np.roll(x, 1, axis=0)

    def minimum(s):
        return find_mic(s, cell, pbc)[0]

    def well(x):
        return -stiffness * minimum(x - home)

    def barrier(x):
        return 4.0 * np.sin(3.0 * x)  # changes curvature: some pairs are refused

    plain = lbfgs_run("quadratic", two, lambda x: -stiffness * x, 4, lambda p: 0.5 * p)
    longer = lbfgs_run("anharmonic", three, anharmonic, 16, lambda p: capped(0.7 * p))
    wrapped = lbfgs_run("wrapped", wrap_positions(home + 0.4 * two, cell, pbc=pbc, eps=0), well, 6,
                        lambda p: 0.6 * p, lambda x: wrap_positions(x, cell, pbc=pbc, eps=0),
                        minimum)
    wrapped.update({"cell": cell.tolist(), "pbc": [1, 1, 0]})
    curved = lbfgs_run("curvature", 0.2 * two, barrier, 12, lambda p: capped(0.5 * p))
    p = np.array([[0.3, -0.2, 0.9], [0.01, 0.02, -0.03], [0.0, 0.0, 0.0]])
    caps = [{"p": p.tolist(), "coefficient": c, "cap": 0.1, "step": capped(p, c).tolist()}
            for c in (1.0, 0.1, 4.98496994e-5)]
    return {"runs": [plain, longer, wrapped, curved], "cap": caps}


def radial():
    """phi_k(d), cutoff function; k = 0..29, r_c = 6."""
    distances = [0.5, 1.0, 2.0, 2.7719, 4.0, 5.9, 5.999]
    centres = np.linspace(0.0, 6.0, 30)
    phi = stats.norm.pdf(np.array(distances)[:, None], centres, 6 / 29)
    phi /= stats.norm.pdf(0.0, 0.0, 6 / 29)
    return {"d": distances, "phi": phi.tolist(),
            "cutoff": (np.cos(np.pi * np.array(distances) / 6.0) / 2 + 0.5).tolist()}


def graph(name, atoms):
    """Edges at 6 A: counts per centre, sum of the edge vectors per centre, sorted distances."""
    i, j, shifts, vectors, distances = systems.neighbour_list(atoms)
    nearest = np.min(np.abs(systems.neighbour_list(atoms, 6.1)[4] - 6.0), initial=np.inf)
    assert nearest > 1e-4, f"{name}: a pair within {nearest} A of the cutoff"
    ordered = np.sort(distances)
    assert np.allclose(ordered[::2], ordered[1::2], atol=1e-9)
    mobile = np.arange(len(atoms)) >= len(atoms) - atoms.info["mobile"]
    touching = distances[mobile[i] | mobile[j]]
    sums = np.zeros((len(atoms), 3))
    np.add.at(sums, i, vectors)
    return {
        "name": name, "cell": atoms.cell[:].tolist(), "pbc": atoms.pbc.astype(int).tolist(),
        "numbers": atoms.numbers.tolist(), "mobile": atoms.info["mobile"],
        "positions": atoms.positions.round(9).tolist(), "edges": len(i),
        "self_edges": int((i == j).sum()), "largest_shift": np.abs(shifts).max(initial=0).item(),
        "per_centre": np.bincount(i, minlength=len(atoms)).tolist(),
        "vector_sum": sums.round(9).tolist(),
        # Every distance occurs in both directions; one of each pair is listed.
        "distances": ordered[::2].round(9).tolist(),
        "shortest_with_mobile": touching.min().round(9).item() if touching.size else None,
    }


def graphs():
    skewed, flat = CELLS["skewed"], CELLS["flat"]
    thin = [[2.6, 0, 0], [1.2, 9.1, 0], [0.7, -3.1, 10.0]]
    wide = [[7.0, 0, 0], [3.4, 6.5, 0], [0, 0, 15.0]]
    ppf, ppp = (True, True, False), (True, True, True)
    structures = [
        ("stepped_bare", systems.stepped_pt(None)),
        ("stepped_low", systems.stepped_pt()),
        ("stepped_mid", systems.stepped_pt((4.0, 1.0, 7.0))),
        ("stepped_high", systems.stepped_pt((1.0, 4.0, 9.0))),
        ("heptamer", systems.heptamer_pt()),
        ("alloy", systems.small_alloy()),
        ("mixed", systems.mixed_slab()),
        ("cluster", systems.open_cluster()),
        ("random_ppf", systems.random_slab(1, wide, 20, ppf, 0.6)),
        ("random_ppp", systems.random_slab(2, skewed, 8, ppp, 0.8)),
        ("random_thin", systems.random_slab(3, thin, 6, ppp, 0.5)),
        ("random_flat", systems.random_slab(4, flat, 7, ppf, 1.0)),
        ("random_pfp", systems.random_slab(5, skewed, 9, (True, False, True), 0.7)),
        ("random_pff", systems.random_slab(6, thin, 9, (True, False, False), 0.4)),
        ("random_fff", systems.random_slab(7, wide, 15, (False, False, False), 0.2)),
    ]
    return [graph(name, atoms) for name, atoms in structures]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the stored files")
    store = Store(parser.parse_args().check)
    store.json("method", {
        "schedule": schedule(),
        "truncated_normal": truncated_normal(),
        "weights": weights(),
        "reservoir": reservoir(),
        "ladders": ladders(),
        "epochs": epochs(),
        "wrap": wrapping(),
        "prior": prior(),
        "loss": loss_cases(),
        "reverse_mean": reverse_means(),
        "linear_chain": chains(),
        "lbfgs": lbfgs(),
        "radial": radial(),
    })
    store.json("graphs", {"cutoff": 6.0, "structures": graphs()})
    return store.finish()


if __name__ == "__main__":
    sys.exit(main())
