#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Pictures of one or many `fix godiff` runs, from PREFIX.csv and PREFIX.xyz beside it.

    godiff_plot.py godiff.csv                                  pictures of one run
    godiff_plot.py seed*.csv --success --target -110.12        and the success curve over seeds
    godiff_plot.py seed*.csv --success --fingerprint hexagon   success by shape instead of energy

Needs numpy and matplotlib.
"""

import argparse
import os
import sys

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
except ImportError as problem:
    sys.exit(
        f"godiff_plot: error: {problem}: needs numpy and matplotlib: pip install numpy matplotlib"
    )

from godiff_fingerprint import is_hexagon
from godiff_map import draw_map
from godiff_runs import RunError, read_frames, read_run
from godiff_style import BLACK, BLUE, GREEN, ORANGE, RED, STYLE, UNITS, kt_text

Z_95 = 1.959963984540054


def note(text):
    print(f"godiff_plot: note: {text}", file=sys.stderr)


# --- statistics --------------------------------------------------------------------------------


def wilson_interval(successes, total, z=Z_95):
    """Wilson score interval (low, high) of a success probability; 95 % by default."""
    rate = successes / total
    centre = rate + z * z / (2 * total)
    spread = z * np.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # The ends are exactly 0 and 1 for none and all; rounding must not push them outside.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == total else (centre + spread) / scale
    return low, high


def first_success(run, frames, options):
    """Evaluation index of the first success of a run, or None."""
    if options.fingerprint:
        numbers = frames.mobile_numbers
        for k in np.nonzero(run.counted)[0]:
            positions = frames.mobile[k]
            if np.all(np.isfinite(positions)) and is_hexagon(
                positions, numbers, frames.cell, frames.pbc
            ):
                return int(run.evaluation[k])
        return None
    found = np.nonzero(run.counted & (run.energy <= options.target + options.tolerance))[0]
    return int(run.evaluation[found[0]]) if len(found) else None


def best_on_grid(runs):
    """Best energy of every run (runs, points) on the union of their evaluation indices.

    A run that has ended keeps its best; before its first energy it is nan.
    """
    grid = np.unique(np.concatenate([run.evaluation for run in runs]))
    table = np.full((len(runs), len(grid)), np.nan)
    for row, run in zip(table, runs):
        place = np.searchsorted(run.evaluation, grid, side="right") - 1
        row[place >= 0] = run.best_so_far()[place[place >= 0]]
    table[~np.isfinite(table)] = np.nan
    return grid, table


def same_ladder(runs):
    """Runs whose stages have the temperatures of the first run's; notes the ones left out."""
    first = runs[0].ladder()
    kept = []
    for run in runs:
        ladder = run.ladder()
        shared = set(first) & set(ladder)
        if shared and all(np.isclose(first[s], ladder[s], rtol=1e-3) for s in shared):
            kept.append(run)
        else:
            note(f"{run.path}: other temperatures than {runs[0].path}: not in the stage pictures")
    return kept


# --- pictures ----------------------------------------------------------------------------------


def plot_energies(runs, options, path):
    """Energies per stage: distribution, quartiles, best of the stage and best so far."""
    unit, boltzmann = UNITS[options.units]
    stages = sorted(set().union(*(run.ladder() for run in runs)))
    ladder = {s: t for run in runs for s, t in run.ladder().items()}
    found = min(run.energy[run.counted].min() for run in runs)
    zero = found if options.target is None else options.target
    groups = [
        np.concatenate([run.energy[run.counted & (run.stage == s)] for run in runs]) - zero
        for s in stages
    ]
    filled = [group for group in groups if len(group)]
    top = energy_ceiling(filled)
    size = (max(6.4, 1.8 + 0.46 * len(stages)), 4.8)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    bottom = min(0.0, found - zero)
    rng = np.random.default_rng(0)  # the jitter of the dots only
    lowest, so_far = [], np.inf
    for x, group in enumerate(groups):
        if len(group):
            draw_violin(axes, x, group[group <= top], rng)
            above = int(np.sum(group > top))
            if above:
                place = axes.get_xaxis_transform()
                axes.text(x, 0.985, f"{above}↑", transform=place, ha="center", va="top", size=9)
            so_far = min(so_far, group.min())
            axes.plot(x, group.min(), "o", ms=5, mfc="white", mec=RED, mew=1.5, zorder=5)
        lowest.append(so_far)
    axes.step(np.arange(len(stages)), lowest, where="mid", color=RED, lw=1.2, zorder=4)
    if options.target is not None:
        axes.axhline(0.0, color=GREEN, lw=1.4, ls="--", zorder=1)
    handles = [
        plt.Line2D([], [], color=BLACK, lw=3, marker="o", mfc="white", ms=5),
        plt.Line2D([], [], color=RED, marker="o", mfc="white", mew=1.5, ms=5),
    ]
    names = ["median and quartiles", "best of the stage, best so far"]
    if options.target is not None:
        handles.append(plt.Line2D([], [], color=GREEN, ls="--", lw=1.4))
        names.append("known minimum")
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    margin = 0.05 * (top - bottom)
    axes.set_ylim(bottom - margin, top + 2 * margin)
    axes.set_xlim(-0.7, len(stages) - 0.3)
    axes.set_xticks(range(len(stages)), stages)
    axes.set_xlabel("stage")
    reference = "best found" if options.target is None else "known minimum"
    axes.set_ylabel(f"energy above {reference} ({unit})")
    upper = axes.secondary_xaxis("top")
    upper.spines["top"].set_visible(True)
    small = len(stages) > 12
    upper.set_xticks(
        range(len(stages)),
        [kt_text(ladder[s] * boltzmann) for s in stages],
        rotation=45 if small else 0,
        fontsize=9 if small else 10,
    )
    upper.set_xlabel(rf"$k_\mathrm{{B}}T$ ({unit})")
    save(figure, path)


def energy_ceiling(groups):
    """Upper end of the energy axis: above every upper quartile, below the far outliers."""
    fences = []
    for group in groups:
        low, high = np.percentile(group, [25, 75])
        fences.append(group[group <= high + 1.5 * (high - low)].max())
    return max(max(fences), 1e-3)


def draw_violin(axes, x, values, rng):
    """One distribution: outline, dots, quartile bar and median."""
    if len(values) == 0:
        return
    low, middle, high = np.percentile(values, [25, 50, 75])
    if len(values) >= 8 and high - low > 1e-9:
        parts = axes.violinplot([values], [x], widths=0.84, showextrema=False)
        for body in parts["bodies"]:
            body.set(facecolor=BLUE, edgecolor=BLUE, alpha=0.28)
    spread = rng.uniform(-0.16, 0.16, len(values))
    axes.plot(
        x + spread, values, ".", ms=3 if len(values) < 300 else 1.5, color=BLUE, alpha=0.55, mew=0
    )
    axes.plot([x, x], [low, high], color=BLACK, lw=3, solid_capstyle="butt", zorder=3)
    axes.plot(x, middle, "o", ms=5, mfc="white", mec=BLACK, zorder=3)


def plot_best(runs, options, path):
    """Best energy against evaluations: every run thin, mean and quartiles over the runs."""
    unit, _ = UNITS[options.units]
    zero = 0.0 if options.target is None else options.target
    grid, table = best_on_grid(runs)
    table -= zero
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    many = len(runs) > 1
    for row, run in zip(table, runs):
        inside = grid <= run.evaluation[-1]
        axes.step(
            grid[inside],
            row[inside],
            where="post",
            color=BLUE,
            lw=0.8 if many else 2.0,
            alpha=0.5 if many else 1.0,
        )
    handles = [plt.Line2D([], [], color=BLUE, lw=0.9 if many else 2.0)]
    names = [f"{len(runs)} runs" if many else "best so far"]
    if many:
        ready = np.all(np.isfinite(table), axis=0)
        low, high = np.percentile(table[:, ready], [25, 75], axis=0)
        axes.fill_between(grid[ready], low, high, step="post", color=ORANGE, alpha=0.3, lw=0)
        axes.step(grid[ready], table[:, ready].mean(axis=0), where="post", color=RED, lw=2.2)
        handles.append(plt.Line2D([], [], color=RED, lw=2.2))
        handles.append(plt.Rectangle((0, 0), 1, 1, color=ORANGE, alpha=0.3, lw=0))
        names += ["mean", "quartiles"]
    else:
        run = runs[0]
        shown = run.counted
        axes.plot(run.evaluation[shown], run.energy[shown] - zero, ".", ms=3, color="0.6", mew=0)
        starts = run.evaluation[1:][np.diff(run.stage) > 0]
        for start in starts:
            axes.axvline(start, color="0.85", lw=0.7, zorder=0)
        handles += [
            plt.Line2D([], [], color="0.6", marker=".", ls=""),
            plt.Line2D([], [], color="0.8", lw=0.9),
        ]
        names += ["candidates", "new stage"]
    if options.target is not None:
        axes.axhline(0.0, color=GREEN, lw=1.4, ls="--", zorder=1)
        handles.append(plt.Line2D([], [], color=GREEN, ls="--", lw=1.4))
        names.append("known minimum")
    # The first few candidates are random and can be far too high: they do not set the scale.
    last = grid[-1]
    settled = table[:, grid >= min(last, max(grid[0] + 5, 0.03 * last))]
    top, bottom = np.nanmax(settled), np.nanmin(table)
    if not many:
        top = max(top, np.percentile(runs[0].energy[runs[0].counted], 40) - zero)
    if options.target is not None:
        bottom = min(bottom, 0.0)
    margin = max(0.06 * (top - bottom), 1e-3)
    axes.set_ylim(bottom - margin, top + 2 * margin)
    axes.set_xlim(0, last * 1.01)
    axes.set_xlabel("energy evaluations")
    subject = "best energy" if options.target is None else "best energy above known minimum"
    axes.set_ylabel(f"{subject} ({unit})")
    axes.legend(handles, names, loc="upper right")
    save(figure, path)


def plot_success(runs, firsts, options, path):
    """Fraction of runs that have succeeded against evaluations, with Wilson 95 % intervals."""
    total = len(runs)
    last = max(int(run.evaluation[-1]) for run in runs)
    hits = np.sort([first for first in firsts if first is not None])
    grid = np.concatenate([[0], hits, [last]])
    counts = np.searchsorted(hits, grid, side="right")
    bands = np.array([wilson_interval(k, total) for k in counts])
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    axes.fill_between(grid, bands[:, 0], bands[:, 1], step="post", color=BLUE, alpha=0.2, lw=0)
    axes.step(grid, counts / total, where="post", color=BLUE, lw=2.2)
    axes.plot(hits, np.searchsorted(hits, hits, side="right") / total, "o", ms=5, color=BLUE)
    axes.set_xlim(0, last * 1.01)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("energy evaluations")
    axes.set_ylabel("fraction of runs succeeded")
    low, high = wilson_interval(len(hits), total)
    axes.set_title(
        f"{len(hits)} of {total} runs; 95 % Wilson interval {low:.2f} to {high:.2f}", loc="left"
    )
    handles = [
        plt.Line2D([], [], color=BLUE, lw=2.2, marker="o", ms=5),
        plt.Rectangle((0, 0), 1, 1, color=BLUE, alpha=0.2, lw=0),
    ]
    axes.legend(handles, [f"{total} runs", "95 % Wilson interval"], loc="best")
    save(figure, path)


# --- command line ------------------------------------------------------------------------------


def save(figure, path):
    try:
        figure.savefig(path, bbox_inches="tight")
    except OSError as problem:
        raise RunError(f"cannot write {path}: {problem.strerror}") from None
    finally:
        plt.close(figure)
    print(path)


def print_table(runs, firsts, options):
    """Successes per run and together."""
    unit, _ = UNITS[options.units]
    if options.fingerprint:
        print(f"success: the mobile atoms have the fingerprint of the {options.fingerprint}")
    else:
        print(f"success: energy <= {options.target:g} + {options.tolerance:g} {unit}")
    width = max(8, *(len(run.label) for run in runs))
    print(f"{'run':<{width}}  candidates  evaluations  {'best (' + unit + ')':>16}  first success")
    for run, first in zip(runs, firsts):
        best = run.energy[run.counted].min()
        print(
            f"{run.label:<{width}}  {len(run.candidate):>10}  {run.evaluation[-1]:>11}  "
            f"{best:>16.6f}  {'-' if first is None else first:>13}"
        )
    hits = [first for first in firsts if first is not None]
    low, high = wilson_interval(len(hits), len(runs))
    print(f"runs {len(runs)}, successes {len(hits)}, 95 % Wilson interval {low:.3f} to {high:.3f}")
    if hits:
        print(
            f"evaluation of first success over the {len(hits)} successful: "
            f"median {np.median(hits):g}, mean {np.mean(hits):g}"
        )


def parse_stages(text):
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list such as 1,4,10") from None


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="godiff_plot.py", description="Pictures of one or many fix godiff runs."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="PREFIX.csv or PREFIX of a run")
    parser.add_argument("--out", default=".", metavar="DIR", help="folder of the pictures")
    parser.add_argument(
        "--prefix", help="first part of their names (default: of the single run, else godiff)"
    )
    parser.add_argument("--target", type=float, metavar="E", help="energy of the known minimum")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        metavar="DE",
        help="success: energy <= E + DE (0.05)",
    )
    parser.add_argument(
        "--success", action="store_true", help="success curve and table over the runs"
    )
    parser.add_argument(
        "--fingerprint", choices=["hexagon"], help="success by shape, not by energy"
    )
    parser.add_argument(
        "--surface", metavar="FILE", help="energy surface: lines x y Emin on a grid"
    )
    parser.add_argument("--stages", type=parse_stages, metavar="1,4,..", help="stages of the maps")
    parser.add_argument(
        "--units", choices=sorted(UNITS), default="metal", help="LAMMPS units (metal)"
    )
    options = parser.parse_args(arguments)
    if options.success and options.target is None and not options.fingerprint:
        parser.error("--success needs --target E or --fingerprint hexagon")
    if options.tolerance < 0:
        parser.error(f"--tolerance is {options.tolerance:g}: expected 0 or more")
    return options


def load_structures(runs, drawn, options):
    """Frames of each run that needs them, by path; None for a run without."""
    structures = {}
    for run in runs:
        if run in drawn or (options.success and options.fingerprint):
            frames = read_frames(run)
            if frames is None and options.success and options.fingerprint:
                raise RunError(f"--fingerprint needs the structures: {run.xyz_path} has none")
            structures[run.path] = frames
    return structures


def draw_all(options):
    runs = [read_run(name) for name in options.runs]
    paths = [run.path for run in runs]
    for path in paths:
        if paths.count(path) > 1:
            raise RunError(f"{path} is given twice")
    labels = [run.label for run in runs]
    for run in runs:
        if labels.count(run.label) > 1:
            run.label = run.path[: -len(".csv")]
    try:
        os.makedirs(options.out, exist_ok=True)
    except OSError as problem:
        raise RunError(f"cannot make the folder {options.out}: {problem.strerror}") from None
    name = options.prefix or (labels[0] if len(runs) == 1 else "godiff")
    base = os.path.join(options.out, name)
    alike = same_ladder(runs)
    structures = load_structures(runs, alike, options)
    for run in runs:
        frames = structures.get(run.path)
        for text in run.notes + (frames.notes if frames else []):
            note(text)
    firsts = (
        [first_success(run, structures.get(run.path), options) for run in runs]
        if options.success
        else []
    )
    plot_energies(alike, options, base + "_energies.png")
    mapped = [run for run in alike if structures[run.path] is not None]
    mapped = [run for run in mapped if same_template(structures, mapped[0], run)]
    if len(mapped) > 1 and len(structures[mapped[0].path].mobile_numbers) > 1:
        note(f"several mobile atoms: the map of candidates shows {mapped[0].path} only")
        mapped = mapped[:1]
    if mapped:
        figure = draw_map(mapped, [structures[run.path] for run in mapped], options)
        save(figure, base + "_candidates.png")
    plot_best(runs, options, base + "_best.png")
    if options.success:
        plot_success(runs, firsts, options, base + "_success.png")
        print_table(runs, firsts, options)


def same_template(structures, first, run):
    """True when the run has the cell, the template and the mobile atoms of the first one."""
    one, two = structures[first.path], structures[run.path]
    same = (
        np.allclose(one.cell, two.cell, atol=1e-4)
        and one.template.shape == two.template.shape
        and np.allclose(one.template, two.template, atol=1e-3)
        and one.mobile_numbers == two.mobile_numbers
    )
    if not same:
        note(f"{run.path}: other cell or atoms than {first.path}: not in the map of candidates")
    return same


def main(arguments=None):
    options = parse_arguments(arguments)
    try:
        with plt.rc_context(STYLE):
            draw_all(options)
    except RunError as problem:
        print(f"godiff_plot: error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
