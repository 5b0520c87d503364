# SPDX-License-Identifier: GPL-2.0-only
"""Readers for the files of a `fix godiff` run: PREFIX.csv, PREFIX.xyz and an energy surface grid.

Every complaint is a RunError with one line: which file, what is wrong, what was expected.
"""

import dataclasses
import os
import re

import numpy as np

from godiff_fingerprint import SYMBOLS, atomic_number

COLUMNS = "candidate,evaluation,stage,temperature,energy,weight,status,class,offset".split(",")
STATUSES = ("ok", "high", "low", "failed")


class RunError(Exception):
    """A file that cannot be used; the message is one complete line."""


@dataclasses.dataclass
class Run:
    """One run's candidate table, one array entry per candidate, in the order of evaluation."""

    path: str
    label: str
    candidate: np.ndarray
    evaluation: np.ndarray
    stage: np.ndarray
    temperature: np.ndarray
    energy: np.ndarray
    status: np.ndarray
    offset: np.ndarray
    notes: list

    @property
    def xyz_path(self):
        """The candidate file beside the table."""
        return self.path[: -len(".csv")] + ".xyz"

    @property
    def counted(self):
        """Candidates that can be the best: 'low' is a false minimum, 'failed' has no energy."""
        return (self.status == "ok") | (self.status == "high")

    def best_so_far(self):
        """Running minimum of the energy over the counted candidates; inf before the first."""
        return np.minimum.accumulate(np.where(self.counted, self.energy, np.inf))

    def ladder(self):
        """Mapping stage -> temperature."""
        return dict(zip(self.stage.tolist(), self.temperature.tolist()))


@dataclasses.dataclass
class Frames:
    """The structures of one run: fixed template, and mobile atoms (candidates, n, 3), Angstrom.

    Rows of candidates without a frame are nan.
    """

    cell: np.ndarray
    origin: np.ndarray
    pbc: np.ndarray
    template: np.ndarray
    template_numbers: list
    mobile: np.ndarray
    mobile_numbers: list
    notes: list


@dataclasses.dataclass
class Surface:
    """Lowest energy over z on a regular grid in the cell: value[i, j] at first + (i/n1, j/n2)."""

    value: np.ndarray
    first: np.ndarray


def read_run(name):
    """Read PREFIX.csv, given as that path or as PREFIX."""
    path = name if name.endswith(".csv") else name + ".csv"
    try:
        with open(path, "rb") as handle:
            raw = handle.read()
    except OSError as problem:
        raise RunError(f"cannot read {path}: {problem.strerror}") from None
    label = os.path.basename(path)[: -len(".csv")]
    lines = raw.decode("utf-8", "replace").split("\n")
    if not raw:
        raise RunError(f"{path} is empty: no header, no candidates")
    if lines[0].strip().split(",") != COLUMNS:
        shown = lines[0].strip()[:60]
        raise RunError(
            f"{path} is not a candidate table of fix godiff: its first line is '{shown}', "
            f"expected '{','.join(COLUMNS)}'"
        )
    notes = []
    if lines[-1] != "":
        notes.append(f"{path}: the last line is only partly written and is left out")
    rows = [parse_row(path, k, line) for k, line in enumerate(lines[1:-1], start=2)]
    if not rows:
        raise RunError(f"{path} holds no complete candidate line yet")
    columns = list(zip(*rows))
    run = Run(
        path,
        label,
        np.array(columns[0]),
        np.array(columns[1]),
        np.array(columns[2]),
        np.array(columns[3]),
        np.array(columns[4]),
        np.array(columns[6]),
        np.array(columns[8]),
        notes,
    )
    for name_, values, least in (
        ("candidate", run.candidate, 1),
        ("evaluation", run.evaluation, 0),
        ("stage", run.stage, 0),
    ):
        falls = np.nonzero(np.diff(values) < least)[0]
        if len(falls):
            raise RunError(
                f"{path}: line {falls[0] + 3}: {name_} {values[falls[0] + 1]} after "
                f"{values[falls[0]]}: lines are out of order or two runs share the file"
            )
    if not run.counted.any():
        raise RunError(f"{path}: none of its {len(rows)} candidates has status ok or high")
    return run


def parse_row(path, number, line):
    """Values of one line of the table, converted; the line number is for the message."""
    fields = line.strip().split(",")
    if len(fields) != len(COLUMNS):
        raise RunError(
            f"{path}: line {number} has {len(fields)} fields instead of {len(COLUMNS)}: "
            f"the file is damaged"
        )
    values = []
    for name, text in zip(COLUMNS, fields):
        kind = str if name == "status" else float
        if name in ("candidate", "evaluation", "stage", "class", "offset"):
            kind = int
        try:
            values.append(kind(text))
        except ValueError:
            raise RunError(f"{path}: line {number}: {name} is '{text}', not a number") from None
    status, energy = values[6], values[4]
    if status not in STATUSES:
        raise RunError(
            f"{path}: line {number}: status is '{status}', expected one of {', '.join(STATUSES)}"
        )
    if status != "failed" and not np.isfinite(energy):
        raise RunError(f"{path}: line {number}: energy is {fields[4]} but status is {status}")
    return values


def parse_comment(path, where, line):
    """Key/value pairs of an extended XYZ comment line."""
    pairs = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
    pairs = {key: text.strip('"') for key, text in pairs.items()}
    for key in ("Lattice", "Properties", "candidate"):
        if key not in pairs:
            raise RunError(
                f"{path}: {where}: no {key}= in the comment line: not a candidate file of fix godiff"
            )
    return pairs


def property_columns(path, where, text):
    """Start column of every property, and the number of columns."""
    words = text.split(":")
    start, columns = 0, {}
    try:
        for name, count in zip(words[0::3], words[2::3]):
            columns[name] = start
            start += int(count)
    except ValueError:
        start = 0
    if start == 0 or not {"species", "pos", "mobile"} <= set(columns):
        raise RunError(
            f"{path}: {where}: Properties={text} lacks species, pos or mobile: "
            f"not a candidate file of fix godiff"
        )
    return columns, start


def numbers_of(path, where, text, default, count):
    """`count` floats of a comment entry, or the default when the entry is absent."""
    if text is None:
        return np.array(default, dtype=float)
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.all(np.isfinite(values)):
        raise RunError(f"{path}: {where}: '{text}' is not {count} numbers")
    return values


def read_one_frame(path, handle, offset, candidate):
    """The frame that starts at this byte, or None when the file ends before the frame does."""
    where = f"frame of candidate {candidate} at byte {offset}"
    handle.seek(offset)
    head = handle.readline()
    if not head.endswith(b"\n"):
        return None
    if not head.strip().isdigit():
        raise RunError(f"{path}: {where}: no atom count there: the file belongs to another run")
    n = int(head)
    lines = [handle.readline() for _ in range(n + 1)]
    if not lines[-1].endswith(b"\n"):
        return None
    pairs = parse_comment(path, where, lines[0].decode("utf-8", "replace"))
    if pairs["candidate"] != str(candidate):
        raise RunError(
            f"{path}: {where}: it says candidate={pairs['candidate']}: the file belongs to "
            f"another run"
        )
    columns, width = property_columns(path, where, pairs["Properties"])
    words = b" ".join(lines[1:]).split()
    if len(words) != n * width:
        raise RunError(f"{path}: {where}: atom lines do not have {width} fields")
    table = np.array(words).reshape(n, width)
    species = [word.decode("utf-8", "replace") for word in table[:, columns["species"]]]
    for symbol in species:
        if symbol not in SYMBOLS:
            raise RunError(f"{path}: {where}: unknown element '{symbol}'")
    try:
        positions = table[:, columns["pos"] : columns["pos"] + 3].astype(float)
        mobile = table[:, columns["mobile"]].astype(int).astype(bool)
        order = table[:, columns["id"]].astype(int) if "id" in columns else np.arange(n)
    except ValueError:
        raise RunError(
            f"{path}: {where}: an atom line holds a word where a number is due"
        ) from None
    cell = numbers_of(path, where, pairs["Lattice"], None, 9).reshape(3, 3)
    if abs(np.linalg.det(cell)) < 1e-9:
        raise RunError(f"{path}: {where}: the cell has no volume")
    origin = numbers_of(path, where, pairs.get("Origin"), [0.0, 0.0, 0.0], 3)
    pbc = np.array([word == "T" for word in pairs.get("pbc", "T T T").split()])
    sort = np.argsort(order, kind="stable")
    return cell, origin, pbc, [species[k] for k in sort], positions[sort], mobile[sort]


def read_frames(run):
    """Structures of a run from PREFIX.xyz; None when the run wrote none (see the note)."""
    path = run.xyz_path
    if not os.path.exists(path):
        run.notes.append(f"{path} does not exist: no picture of the candidates")
        return None
    rows = np.nonzero(run.offset >= 0)[0]
    if len(rows) == 0:
        run.notes.append(f"{run.path}: no candidate has a frame (dumpall no)")
        return None
    frames, missing = None, []
    try:
        with open(path, "rb") as handle:
            for row in rows:
                found = read_one_frame(path, handle, int(run.offset[row]), run.candidate[row])
                if found is None:
                    missing.append(row)
                    continue
                frames = store_frame(path, frames, found, row, run)
    except OSError as problem:
        raise RunError(f"cannot read {path}: {problem.strerror}") from None
    if frames is None or len(missing) > 1:
        raise RunError(
            f"{path} is truncated: {len(missing)} of {len(rows)} candidates of {run.path} "
            f"have no complete frame"
        )
    if missing:
        frames.notes.append(f"{path}: the last frame is only partly written and is left out")
    return frames


def store_frame(path, frames, found, row, run):
    """Put one frame into its row; the first one fixes cell, template and mobile atoms."""
    cell, origin, pbc, species, positions, mobile = found
    numbers = [atomic_number(symbol) for symbol in species]
    of = lambda flags: [z for z, flag in zip(numbers, flags) if flag]
    if frames is None:
        if not mobile.any():
            raise RunError(f"{path}: no atom is marked mobile")
        room = np.full((len(run.candidate), int(mobile.sum()), 3), np.nan)
        template = positions[~mobile]
        frames = Frames(cell, origin, pbc, template, of(~mobile), room, of(mobile), [])
    same = (
        len(numbers) == len(frames.template_numbers) + len(frames.mobile_numbers)
        and of(mobile) == frames.mobile_numbers
        and np.allclose(cell, frames.cell, atol=1e-6)
    )
    if not same:
        raise RunError(
            f"{path}: candidate {run.candidate[row]} has another cell or other atoms than the "
            f"first one"
        )
    frames.mobile[row] = positions[mobile]
    return frames


def grid_axis(fractional):
    """Indices on a regular periodic axis, its number of points and its first coordinate."""
    wrapped = np.mod(fractional, 1.0)
    ordered = np.sort(wrapped)
    gaps = np.diff(np.append(ordered, ordered[0] + 1.0))
    n = int(np.sum(gaps > 0.5 * gaps.max()))
    # The mean phase of all points: an average that rounding across 0 or 1 does not upset.
    first = np.mod(np.angle(np.mean(np.exp(2j * np.pi * n * wrapped))) / (2 * np.pi * n), 1.0)
    place = (wrapped - first) * n
    if np.abs(place - np.round(place)).max() > 0.1:
        return None
    return np.mod(np.round(place).astype(int), n), n, first


def read_surface(path, cell, origin):
    """Energy surface from text columns x y Emin (Angstrom, energy) on a grid over the whole cell.

    The points must form a regular grid in the fractional coordinates of the cell's a and b, in any
    order; lines starting with # are comments. A closing row equal to the first one is allowed.
    """
    rows = []
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            for number, line in enumerate(handle, start=1):
                words = line.split("#")[0].split()
                if not words:
                    continue
                try:
                    values = [float(word) for word in words[:3]]
                except ValueError:
                    values = []
                if len(values) != 3:
                    raise RunError(f"{path}: line {number}: expected three numbers: x y Emin")
                rows.append(values)
    except OSError as problem:
        raise RunError(f"cannot read {path}: {problem.strerror}") from None
    table = np.array(rows).reshape(-1, 3)
    if len(table) < 4 or not np.all(np.isfinite(table[:, :2])):
        raise RunError(f"{path}: {len(table)} points are no grid: expected lines x y Emin")
    fractional = (table[:, :2] - origin[:2]) @ np.linalg.inv(cell[:2, :2])
    axes = [grid_axis(fractional[:, k]) for k in (0, 1)]
    if axes[0] is None or axes[1] is None:
        raise RunError(f"{path}: points are not a regular grid in this run's cell")
    (i, n1, first1), (j, n2, first2) = axes
    filled = np.zeros((n1, n2), dtype=bool)
    filled[i, j] = True
    if not filled.all():
        raise RunError(
            f"{path}: a {n1} x {n2} grid with {int((~filled).sum())} points missing: "
            f"expected a complete regular grid over this run's cell"
        )
    value = np.full((n1, n2), np.nan)
    value[i, j] = table[:, 2]
    return Surface(value, np.array([first1, first2]))
