# SPDX-License-Identifier: GPL-2.0-only
"""Writes golden data, or compares freshly computed data with the stored files."""

import json
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

FOLDER = pathlib.Path(__file__).resolve().parent / "golden"
TOLERANCE = 1e-9  # relative to the largest number of a tensor, or to 1 if that is larger


class Store:
    """Collects documents; `finish` returns the exit status."""

    def __init__(self, check):
        self.check = check
        self.wrong = []

    def tensors(self, name, arrays):
        arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        path = FOLDER / f"{name}.safetensors"
        if not self.check:
            save_file(arrays, path)
            return
        stored = load_file(path)
        self._compare(name, {k: v.tolist() for k, v in stored.items()},
                      {k: v.tolist() for k, v in arrays.items()})

    def json(self, name, document):
        path = FOLDER / f"{name}.json"
        if not self.check:
            path.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")
            return
        self._compare(name, json.loads(path.read_text()), json.loads(json.dumps(document)))

    def finish(self):
        for line in self.wrong:
            print("differs:", line)
        for path in [] if self.check else sorted(FOLDER.glob("*")):
            print(f"{path.name}: {path.stat().st_size} bytes")
        return 1 if self.wrong else 0

    def _compare(self, where, stored, fresh):
        if isinstance(fresh, dict) and isinstance(stored, dict) and stored.keys() == fresh.keys():
            for key in fresh:
                self._compare(f"{where}.{key}", stored[key], fresh[key])
        elif isinstance(fresh, list) and isinstance(stored, list) and len(stored) == len(fresh):
            try:
                a, b = np.asarray(stored, float), np.asarray(fresh, float)
            except (TypeError, ValueError):
                for n, (one, two) in enumerate(zip(stored, fresh)):
                    self._compare(f"{where}[{n}]", one, two)
                return
            scale = max(1.0, np.abs(a).max()) if a.size else 1.0
            if a.shape != b.shape or np.any(np.abs(a - b) > TOLERANCE * scale):
                self.wrong.append(where)
        elif isinstance(fresh, float) and isinstance(stored, (int, float)):
            if abs(stored - fresh) > TOLERANCE * max(1.0, abs(stored)):
                self.wrong.append(where)
        elif stored != fresh:
            self.wrong.append(where)
