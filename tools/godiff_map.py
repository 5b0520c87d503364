# SPDX-License-Identifier: GPL-2.0-only
"""Candidates stage by stage in the plane of the surface, over the energy projected on it."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path

from godiff_fingerprint import covalent_radius
from godiff_runs import RunError, Surface, read_surface
from godiff_style import BLACK, RED, UNITS, kt_text

BIN_WIDTH, REACH = 0.08, 0.4  # Angstrom, of the surface drawn from the candidates
TEMPLATE_DEPTH = 3.5  # Angstrom below the highest template atom that is still drawn


def image_shifts(frames, low, high):
    """In-plane translations (n, 2) whose copies of the cell can reach the window low..high."""
    plane = frames.cell[:2, :2]
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    fractional = (corners - frames.origin[:2]) @ np.linalg.inv(plane)
    first = np.floor(fractional.min(axis=0)).astype(int) - 1
    last = np.ceil(fractional.max(axis=0)).astype(int)
    ranges = [np.arange(first[k], last[k] + 1) if frames.pbc[k] else np.array([0]) for k in (0, 1)]
    return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 2)


def wrap_plane(points, frames):
    """Points (n, 2+) moved into the cell along the periodic axes, x and y only."""
    plane = frames.cell[:2, :2]
    fractional = (points[:, :2] - frames.origin[:2]) @ np.linalg.inv(plane)
    for k in (0, 1):
        if frames.pbc[k]:
            fractional[:, k] = np.mod(fractional[:, k], 1.0)
    return fractional @ plane + frames.origin[:2]


def repeat(points, frames, low, high, reach=0.0):
    """All periodic copies (n, 2) of the points inside the window widened by `reach`."""
    shifts = image_shifts(frames, low - reach, high + reach) @ frames.cell[:2, :2]
    copies = (wrap_plane(points, frames)[None, :, :] + shifts[:, None, :]).reshape(-1, 2)
    index = np.tile(np.arange(len(points)), len(shifts))
    inside = np.all((copies > low - reach) & (copies < high + reach), axis=1)
    return copies[inside], index[inside]


def binned_surface(runs, structures):
    """Lowest energy of a candidate with an atom within REACH, on a fine grid; nan where none is."""
    frames = structures[0]
    plane = frames.cell[:2, :2]
    shape = np.maximum(4, np.round(np.linalg.norm(plane, axis=1) / BIN_WIDTH)).astype(int)
    value = np.full(shape, np.inf)
    for run, own in zip(runs, structures):
        shown = run.counted & np.all(np.isfinite(own.mobile), axis=(1, 2))
        points = wrap_plane(own.mobile[shown].reshape(-1, 3), frames)
        place = np.floor((points - frames.origin[:2]) @ np.linalg.inv(plane) * shape).astype(int)
        place = np.clip(place, 0, shape - 1)
        np.minimum.at(value, tuple(place.T), np.repeat(run.energy[shown], own.mobile.shape[1]))
    # Spread every bin over a disc, across periodic faces only.
    inverse = np.linalg.inv(plane)
    pad = np.ceil(REACH * np.linalg.norm(inverse, axis=0) * shape).astype(int)
    padded = value
    for k in (0, 1):
        width = [(int(pad[m]),) * 2 if m == k else (0, 0) for m in (0, 1)]
        if frames.pbc[k]:
            padded = np.pad(padded, width, mode="wrap")
        else:
            padded = np.pad(padded, width, constant_values=np.inf)
    spread = np.full(shape, np.inf)
    for i in range(-pad[0], pad[0] + 1):
        for j in range(-pad[1], pad[1] + 1):
            if np.linalg.norm(np.array([i, j]) / shape @ plane) <= REACH:
                window = padded[pad[0] + i :, pad[1] + j :][: shape[0], : shape[1]]
                spread = np.minimum(spread, window)
    return np.where(np.isinf(spread), np.nan, spread)


def draw_background(axes, frames, surface, zero, scale, low, high):
    """Energy surface above `zero` with its periodic copies, in the colours of `scale`.

    A gap-free grid is interpolated between its points; one with gaps is drawn bin by bin.
    """
    plane = frames.cell[:2, :2]
    shifts = image_shifts(frames, low, high)
    start, stop = shifts.min(axis=0), shifts.max(axis=0) + 1
    smooth = not np.isnan(surface.value).any()
    grids = []
    for k in (0, 1):
        n = surface.value.shape[k]
        count = n * (stop[k] - start[k]) + (0 if smooth else 1)
        grids.append(start[k] + surface.first[k] + np.arange(count) / n)
    fractional = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
    points = fractional @ plane + frames.origin[:2]
    axes.pcolormesh(
        points[..., 0],
        points[..., 1],
        np.ma.masked_invalid(np.tile(surface.value - zero, stop - start)),
        shading="gouraud" if smooth else "flat",
        cmap=scale.cmap,
        norm=scale.norm,
        rasterized=True,
        zorder=0,
    )


def draw_template(axes, frames, low, high, shade):
    """Outlines of the template atoms in a shade of grey, fainter with depth, and the cell."""
    if len(frames.template):
        depth = frames.template[:, 2].max() - frames.template[:, 2]
        seen = depth < TEMPLATE_DEPTH
        radii = np.array([covalent_radius(z) for z in frames.template_numbers])[seen]
        centres, index = repeat(frames.template[seen], frames, low, high, reach=2.0)
        strength = np.exp(-depth[seen] / 1.2)[index]
        order = np.argsort(strength)
        sizes = 1.5 * radii[index][order]
        axes.add_collection(
            EllipseCollection(
                sizes,
                sizes,
                0.0,
                units="x",
                offsets=centres[order],
                offset_transform=axes.transData,
                facecolors="none",
                edgecolors=[(shade, shade, shade, a) for a in strength[order]],
                linewidths=1.1,
                zorder=1,
            )
        )
    a, b = frames.cell[0, :2], frames.cell[1, :2]
    corners = frames.origin[:2] + np.array([0 * a, a, a + b, b])
    axes.add_patch(Polygon(corners, fill=False, ec=BLACK, lw=1.4, zorder=4))
    # Copies outside the cell are shown paler: every candidate counts once.
    window = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    turn = 1 if np.linalg.det(frames.cell[:2, :2]) > 0 else -1
    ring = np.concatenate([window, window[:1], corners[::-turn], corners[::-turn][:1]])
    codes = ([Path.MOVETO] + [Path.LINETO] * 3 + [Path.CLOSEPOLY]) * 2
    axes.add_patch(PathPatch(Path(ring, codes), fc="white", ec="none", alpha=0.45, zorder=3))


def choose_background(runs, structures, options):
    """Surface to draw (or None), its zero of energy, the colour scale, its label and `extend`.

    Several atoms have no energy surface over x and y: unless a file gives one of another kind,
    their dots carry the colour of the candidate's energy.
    """
    unit, _ = UNITS[options.units]
    frames = structures[0]
    if options.surface:
        if not frames.pbc[:2].all():
            raise RunError("--surface needs a cell that is periodic in x and y")
        surface = read_surface(options.surface, frames.cell, frames.origin)
        label, ceiling = f"lowest energy over z, above its minimum ({unit})", 100
    elif len(frames.mobile_numbers) == 1:
        surface = Surface(binned_surface(runs, structures), np.zeros(2))
        label = f"lowest candidate with an atom within {REACH:g} Å,\nabove the best ({unit})"
        ceiling = 90
    else:
        surface, label, ceiling = None, f"candidate's energy above the best ({unit})", 90
    if surface is None:
        values = np.concatenate([run.energy[run.counted] for run in runs])
    else:
        values = surface.value[np.isfinite(surface.value)]
    zero = values.min()
    top = max(np.percentile(values - zero, ceiling), 1e-6)
    extend = "max" if values.max() - zero > top * 1.001 else "neither"
    scale = plt.cm.ScalarMappable(plt.Normalize(0.0, top), "cividis")
    return surface, zero, scale, label, extend


def draw_map(runs, structures, options):
    """Figure: mobile atoms of chosen stages in the plane, over the energy surface.

    options: units, surface (path or None) and stages (list or None) of the command line.
    """
    unit, boltzmann = UNITS[options.units]
    frames = structures[0]
    a, b = frames.cell[0, :2], frames.cell[1, :2]
    corners = frames.origin[:2] + np.array([0 * a, a, b, a + b])
    low, high = corners.min(axis=0) - 0.5, corners.max(axis=0) + 0.5
    surface, zero, scale, label, extend = choose_background(runs, structures, options)
    shade = 0.6 if surface is None else 1.0 if options.surface else 0.15  # against the background
    ladder = {s: t for run in runs for s, t in run.ladder().items()}
    stages = chosen_stages(ladder, options.stages)
    width, height = high - low
    columns = min(len(stages), 2 if width > 1.45 * height else 3)
    rows = -(-len(stages) // columns)
    panel = 8.0 / columns
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(8.0 + 1.5, rows * (0.95 * panel * height / width + 0.36) + 0.9),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="compressed",
    )
    for axes in grid.flat[len(stages) :]:
        axes.set_axis_off()
    for axes, stage in zip(grid.flat, stages):
        if surface is not None:
            draw_background(axes, frames, surface, zero, scale, low, high)
        draw_template(axes, frames, low, high, shade)
        dots = None if surface is not None else (zero, scale)
        draw_candidates(axes, runs, structures, stage, low, high, dots)
        axes.set_facecolor("0.88" if surface is not None else "white")
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_aspect("equal")
        axes.set_title(
            rf"stage {stage}, $k_\mathrm{{B}}T$ = {kt_text(ladder[stage] * boltzmann)} {unit}"
        )
        for side in ("top", "right"):
            axes.spines[side].set_visible(True)
    for axes in grid.flat[max(0, len(stages) - columns) : len(stages)]:  # nothing below them
        axes.set_xlabel("x (Å)")
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("y (Å)")
    bar = figure.colorbar(scale, ax=grid, extend=extend, shrink=0.9, aspect=28, pad=0.015)
    bar.set_label(label, fontsize=11 if rows > 1 else 8.5)
    add_legend(figure, len(frames.mobile_numbers) == 1)
    return figure


def add_legend(figure, single):
    """Legend below the panels; single: one mobile atom."""
    handles = [
        plt.Line2D([], [], ls="", marker="o", mfc="white", mec=BLACK, mew=0.7, ms=5),
        plt.Line2D([], [], ls="", marker="*", mfc=RED, mec="white", mew=0.7, ms=12),
    ]
    atoms = "mobile atom" if single else "mobile atoms"
    figure.legend(
        handles,
        [f"{atoms} of a candidate", "lowest energy of the stage"],
        loc="outside lower center",
        ncols=2,
    )


def draw_candidates(axes, runs, structures, stage, low, high, colours):
    """Dots of one stage, and stars on the atoms of its lowest candidate.

    colours: None for white dots, or (zero, scale) to paint them by the candidate's energy.
    """
    frames = structures[0]
    points, energies, best = [], [], None
    for run, own in zip(runs, structures):
        shown = run.counted & (run.stage == stage) & np.all(np.isfinite(own.mobile), axis=(1, 2))
        for energy, atoms in zip(run.energy[shown], own.mobile[shown]):
            points.append(atoms)
            energies.append(np.full(len(atoms), energy))
            if best is None or energy < best[0]:
                best = (energy, atoms)
    if best is None:
        return
    copies, index = repeat(np.concatenate(points), frames, low, high)
    paint = "white"
    if colours is not None:
        zero, scale = colours
        values = np.concatenate(energies)[index] - zero
        order = np.argsort(-values, kind="stable")
        copies, paint = copies[order], scale.to_rgba(values[order])
    size = np.clip(3500.0 / len(copies), 5.0, 20.0)
    edge = 0.6 if size > 6 else 0.35
    axes.scatter(*copies.T, s=size, c=paint, edgecolors=BLACK, linewidths=edge, zorder=2)
    stars, _ = repeat(best[1], frames, low, high)
    axes.scatter(*stars.T, s=110, marker="*", c=RED, edgecolors="white", linewidths=0.7, zorder=2.5)


def chosen_stages(ladder, wanted):
    """The stages asked for, or six spread evenly from the first to the last."""
    stages = sorted(ladder)
    if wanted is None:
        return [
            stages[k] for k in np.unique(np.round(np.linspace(0, len(stages) - 1, 6)).astype(int))
        ]
    for stage in wanted:
        if stage not in ladder:
            raise RunError(
                f"--stages: there is no stage {stage}: expected {stages[0]} to {stages[-1]}"
            )
    return wanted
