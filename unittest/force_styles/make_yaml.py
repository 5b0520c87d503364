# SPDX-License-Identifier: GPL-2.0-only
"""Makes mace-*.yaml and data.* of this folder from the golden values in ../mace.

Usage, in the root of the repository, with LAMMPS' own test_pair_style and what it needs to find the plugin:
    python3 unittest/force_styles/make_yaml.py env LAMMPS_PLUGIN_PATH=BUILD/plugin BUILD/unittest/force_styles/test_pair_style

What a file says of the start is what mace-torch has computed; the tester adds what comes of four steps with the
plain style.
"""
import json
import os
import random
import re
import subprocess
import sys

HERE = os.path.relpath(os.path.dirname(os.path.abspath(__file__)))
SYMBOLS = {1: "H", 8: "O", 78: "Pt"}
MASSES = {1: 1.008, 8: 15.999, 78: 195.08}

# Relative, of every component of every force. Sums in another order than mace-torch's, and components as small as
# 1e-3 of the largest: 3e-12 and 6e-5 are seen.
DOUBLE, SINGLE = 1e-10, 1e-3

# model, structure, head (None: that of the file), words after pair_style mace, epsilon
CASES = [
    ("pt_two_layers", "slab", None, "", DOUBLE),
    ("pt_three_layers", "slab", None, "", DOUBLE),
    ("three_elements", "triclinic", None, "", DOUBLE),
    ("three_elements", "cluster", "second", "head second", DOUBLE),
    ("pto_two_heads", "triclinic", None, "", SINGLE),
]


def full(numbers):
    return " ".join(f"{number:23.16e}" for number in numbers)


def data_file(structure, numbers):
    """Atom type 1 is the last element of the model. Velocities of some 300 K, the same for ever."""
    cell = structure["cell"]
    lines = ["made by make_yaml.py", "", f"{len(structure['atomic_numbers'])} atoms", f"{len(numbers)} atom types"]
    lines += [f"0.0 {cell[4 * k]!r} {'xyz'[k]}lo {'xyz'[k]}hi" for k in range(3)]
    if any(cell[k] for k in (3, 6, 7)):
        lines.append(f"{cell[3]!r} {cell[6]!r} {cell[7]!r} xy xz yz")
    lines += ["", "Masses", ""] + [f"{k + 1} {MASSES[z]}" for k, z in enumerate(numbers)]
    lines += ["", "Atoms # atomic", ""]
    for i, z in enumerate(structure["atomic_numbers"]):
        x = structure["positions"][3 * i:3 * i + 3]
        lines.append(f"{i + 1} {numbers.index(z) + 1} {x[0]!r} {x[1]!r} {x[2]!r}")
    lines += ["", "Velocities", ""]
    generator = random.Random(1)
    for i, z in enumerate(structure["atomic_numbers"]):
        v = [10 * (2.5 / MASSES[z]) ** 0.5 * generator.gauss(0, 1) for _ in range(3)]  # sqrt(kT/m), Angstrom/ps
        lines.append(f"{i + 1} {v[0]:.6f} {v[1]:.6f} {v[2]:.6f}")
    return "\n".join(lines) + "\n"


def header(name, data, structure, symbols, words, model, epsilon):
    boundary = " ".join("p" if periodic else "f" for periodic in structure["pbc"])
    return f"""---
epsilon: {epsilon}
skip_tests: single extract extract_omp omp gpu intel opt
prerequisites: ! |
  pair mace
pre_commands: ! |
  variable boundary index '{boundary}'
  variable data_file index ${{input_dir}}/{data}
post_commands: ! ""
input_file: in.mace
pair_style: {("mace " + words).strip()}
pair_coeff: ! |
  * * ${{input_dir}}/../mace/{model}.pt {" ".join(symbols)}
extract: ! ""
natoms: {len(structure["atomic_numbers"])}
init_vdwl: 0
init_coul: 0
...
"""


def replace_start(text, result):
    """Puts the golden values in place of those of the tester."""
    forces = [result["forces"][k:k + 3] for k in range(0, len(result["forces"]), 3)]
    rows = "".join(f"  {i + 1:3d} {full(force)}\n" for i, force in enumerate(forces))
    text, n_energy = re.subn(r"(?m)^init_vdwl: .*$", f"init_vdwl: {result['energy']!r}", text)
    text, n_stress = re.subn(r"(?m)^init_stress: .*\n.*$",
                             f"init_stress: ! |2-\n  {full(result['virial'])}", text)
    text, n_forces = re.subn(r"(?m)^init_forces: .*\n(?:  .*\n)+", "init_forces: ! |2\n" + rows, text)
    assert (n_energy, n_stress, n_forces) == (1, 1, 1), "the tester has written something else"
    return text


def main():
    tester = sys.argv[1:]
    if not tester:
        sys.exit(__doc__)
    for model, which, head, words, epsilon in CASES:
        golden = json.load(open(os.path.join(HERE, "..", "mace", model + ".json")))
        structure = next(s for s in golden["structures"] if s["name"] == which)
        head = head or golden["exported_head"]
        result = next(r for r in structure["results"]
                      if (r["head"], r["precision"]) == (head, golden["dtype"]))
        numbers = golden["atomic_numbers"][::-1]
        name = f"mace-{model}-{which}"
        data = f"data.{model}-{which}"
        with open(os.path.join(HERE, data), "w") as file:
            file.write(data_file(structure, numbers))
        yaml = os.path.join(HERE, name + ".yaml")
        with open(yaml, "w") as file:
            file.write(header(name, data, structure, [SYMBOLS[z] for z in numbers], words, model, epsilon))
        subprocess.run(tester + [yaml, "-u"], check=True, stdout=subprocess.DEVNULL)
        with open(yaml) as file:
            text = file.read()
        with open(yaml, "w") as file:
            file.write(replace_start(text, result))
        print(yaml)


if __name__ == "__main__":
    main()
