# SPDX-License-Identifier: GPL-2.0-only
"""Candidates of a small search (in.search) as a given program draws and evaluates them.

    python make_search_golden.py .../build/lmp          # rewrites golden/search.json

Energies in eV, positions of the adatom in Angstrom. README.md says which program the stored file is of.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
DATA = FOLDER.parents[1] / "examples/godiff/adatom/data.adatom"
COLUMNS = ["Step", "PotEng", "v_x", "v_y", "v_z"]


def candidates(lmp, precision):
    """Energy and position of every candidate, in order."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [lmp, "-in", FOLDER / "in.search", "-var", "data", DATA, "-var", "precision", precision,
             "-nocite"],
            cwd=folder, check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"})
        lines = (pathlib.Path(folder) / "log.lammps").read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.split() == COLUMNS)
    rows = []
    for line in lines[begin + 1:]:
        if line.startswith("Loop time"):
            break
        # Lines of the fix stand between those of thermo.
        words = line.split()
        if len(words) == len(COLUMNS) and words[0].isdigit():
            rows.append([float(word) for word in words])
    rows = rows[1:]  # the input structure
    return {"energy": [row[1] for row in rows], "position": [row[2:] for row in rows]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lmp", type=pathlib.Path, help="launcher of LAMMPS with the plugin")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER / "golden" / "search.json")
    arguments = parser.parse_args()
    document = {precision: candidates(arguments.lmp.resolve(), precision)
                for precision in ("double", "single")}
    arguments.output.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
