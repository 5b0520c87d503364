# SPDX-License-Identifier: GPL-2.0-only
"""Write the small MACE models of this folder, and what mace-torch says about some structures.

make_models.py [NAME ...]    (all by default; run by the Python of tools/mace/environment)

The weights are random, from fixed seeds. Each model is exported by mace_create_lammps_model, only
positions in source files are taken out; the golden values come from the model before it was exported, run by PyTorch without
TorchScript.
"""

import copy
import json
import os
import subprocess
import sys
import tempfile

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from e3nn import o3
from mace import modules
from mace.cli import create_lammps_model
from mace.data.neighborhood import get_neighborhood

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools", "mace"))
from strip_model import strip

DISTANCE = 2.775  # between neighbours in Pt, Angstrom

PLAIN = modules.interaction_classes["RealAgnosticInteractionBlock"]
RESIDUAL = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
DENSITY = modules.interaction_classes["RealAgnosticDensityInteractionBlock"]
DENSITY_RESIDUAL = modules.interaction_classes["RealAgnosticDensityResidualInteractionBlock"]

# Each model: what differs from DEFAULTS. Element data in the order of `elements`; E0 per head, eV.
DEFAULTS = dict(
    kind="ScaleShiftMACE", dtype="float64", seed=1, elements=[78], e0=[[-5.25]],
    heads=["Default"], export="Default", without_heads=False, layers=2, r_max=4.5, bessels=6,
    cutoff_power=5, max_ell=2, hidden="8x0e+8x1o", correlation=2,
    radial=[16, 16], first=RESIDUAL, later=RESIDUAL, scale=[0.8], shift=[0.1], extra={},
)  # fmt: skip
MODELS = {
    # the ordinary case
    "pt_two_layers": dict(),
    # two heads, exported with the last as mace_create_lammps_model does by default; ZBL; float32
    "pto_two_heads": dict(
        seed=2, dtype="float32", elements=[8, 78], e0=[[-2.5, -5.25], [-1.75, -4.5]],
        heads=["surface", "oxide"], export="oxide", scale=[0.8, 1.1], shift=[0.1, -0.2], r_max=4.0,
        extra=dict(pair_repulsion=True),
    ),  # fmt: skip
    # nothing travels between atoms that are more than one cutoff apart
    "pt_one_layer": dict(seed=3, layers=1, hidden="8x0e", correlation=3),
    # three hops; short cutoff so that they fit into small cells
    "pt_three_layers": dict(seed=4, layers=3, r_max=3.4, hidden="4x0e+4x1o"),
    # exported from a model of the time before heads: TorchScript knows one head without a name
    "pt_no_heads": dict(
        seed=7, bessels=4, max_ell=1, hidden="2x0e+2x1o", correlation=1, radial=[4], r_max=4.0,
        without_heads=True,
    ),  # fmt: skip
    # without scale and shift: energies stay in the precision of the model
    "pto_plain": dict(
        seed=5, kind="MACE", dtype="float32", elements=[8, 78], e0=[[-2.5, -5.25]], first=PLAIN,
        r_max=4.0,
    ),  # fmt: skip
    # l up to 3, distances transformed by the elements, density blocks; exported with the first head
    "three_elements": dict(
        seed=6, elements=[1, 8, 78], e0=[[-1.1, -2.5, -5.25], [-0.6, -2.0, -4.75]], max_ell=3,
        hidden="4x0e+4x1o+4x2e", r_max=4.0, heads=["first", "second"], export="first",
        scale=[0.8, 0.7], shift=[0.1, 0.3], first=DENSITY, later=DENSITY_RESIDUAL,
        extra=dict(pair_repulsion=True, distance_transform="Agnesi"),
    ),  # fmt: skip
}


def make(settings):
    """The model with random weights, as mace-torch makes it before a training."""
    torch.manual_seed(settings["seed"])
    torch.set_default_dtype(getattr(torch, settings["dtype"]))
    words = dict(
        r_max=settings["r_max"],
        num_bessel=settings["bessels"],
        num_polynomial_cutoff=settings["cutoff_power"],
        max_ell=settings["max_ell"],
        interaction_cls_first=settings["first"],
        interaction_cls=settings["later"],
        num_interactions=settings["layers"],
        num_elements=len(settings["elements"]),
        hidden_irreps=o3.Irreps(settings["hidden"]),
        MLP_irreps=o3.Irreps("8x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array(settings["e0"]),
        avg_num_neighbors=3.0,
        atomic_numbers=settings["elements"],
        correlation=settings["correlation"],
        radial_MLP=settings["radial"],
        heads=settings["heads"],
        **settings["extra"],
    )
    if settings["kind"] == "MACE":
        model = modules.MACE(**words)
    else:
        one = len(settings["heads"]) == 1
        scale = {k: settings[k][0] if one else settings[k] for k in ("scale", "shift")}
        model = modules.ScaleShiftMACE(
            atomic_inter_scale=scale["scale"], atomic_inter_shift=scale["shift"], **words
        )
    if settings["without_heads"]:
        del model.heads
    # so that forces are about 1 eV/Angstrom, as those of a trained model
    with torch.no_grad():
        for weight in model.readouts.parameters():
            weight *= 2.5
    return model


def structures(elements, seed):
    """(name, cell rows, periodic, positions, atomic numbers); cells as LAMMPS wants them."""
    draw = np.random.default_rng(seed)
    d, row, up = DISTANCE, DISTANCE * np.sqrt(3) / 2, DISTANCE * np.sqrt(2 / 3)
    result = []

    def add(name, cell, periodic, positions, noise=0.12):
        cell, positions = np.array(cell, float), np.array(positions, float)
        positions = positions + draw.uniform(-noise, noise, positions.shape)
        fraction = positions @ np.linalg.inv(cell)
        positions = (fraction - np.floor(fraction) * np.array(periodic)) @ cell
        numbers = np.array(elements)[draw.permutation(np.arange(len(positions)) % len(elements))]
        result.append((name, cell, periodic, positions, numbers))

    # two layers of (111) and two atoms on them
    layer = [(i * d + j * d / 2, j * row, 0) for j in range(2) for i in range(3)]
    slab = [(x, y, 1.0) for x, y, _ in layer]
    slab += [(x + d / 2, y + row / 3, 1.0 + up) for x, y, _ in layer]
    slab += [(d, 2 * row / 3, 1.0 + 2 * up), (2.4 * d, row, 1.2 + 2 * up)]
    add("slab", [(3 * d, 0, 0), (d, 2 * row, 0), (0, 0, 12)], (1, 1, 0), slab)
    # fcc, eight atoms, sheared
    cell = np.array([(2 * d, 0, 0), (d, 2 * row, 0), (d, 2 * row / 3, 2 * up)])
    cell = cell + np.array([(0.2, 0, 0), (-0.15, 0.1, 0), (0.3, -0.1, -0.15)])
    add(
        "triclinic",
        cell,
        (1, 1, 1),
        [np.array((i, j, k)) / 2 @ cell for i in (0, 1) for j in (0, 1) for k in (0, 1)],
    )
    # cells much smaller than the cutoff: an atom is its own neighbour
    add(
        "one_atom_cell",
        [(2.7, 0, 0), (1.5, 2.5, 0), (1.2, 0.9, 2.2)],
        (1, 1, 1),
        [(0.3, 0.2, 0.1)],
        0,
    )
    add(
        "two_atom_cell",
        [(2.8, 0, 0), (0, 2.6, 0), (0, 0, 5.0)],
        (1, 1, 1),
        [(0, 0, 0), (1.4, 1.3, 2.1)],
        0.1,
    )
    # periodic along one axis only, and along z but not in the plane
    add(
        "wire_x",
        [(4.9, 0, 0), (0, 9, 0), (0, 0, 9)],
        (1, 0, 0),
        [(0.5, 4, 4), (2.9, 4.8, 4.2), (1.7, 6.0, 5.9)],
    )
    add("wire_z", [(9, 0, 0), (0, 9, 0), (0, 0, 5.2)], (0, 0, 1), [(4, 4, 0.4), (4.9, 4.3, 2.9)])
    box = [(14, 0, 0), (0, 14, 0), (0, 0, 14)]
    hexagon = [(7 + d * np.cos(a), 7 + d * np.sin(a), 7) for a in np.arange(6) * np.pi / 3]
    add("cluster", box, (0, 0, 0), [(7, 7, 7.8)] + hexagon, 0.25)
    add("dimer", box, (0, 0, 0), [(6, 7, 7), (8.3, 7.4, 7.2)], 0)
    add("close_dimer", box, (0, 0, 0), [(6, 7, 7), (7.1, 7.3, 6.9)], 0)
    # heavy enough that ZBL, which ends at the sum of the covalent radii, matters
    result[-1][-1][:] = (elements + elements)[-2:]
    # more hops than layers
    add(
        "chain",
        [(24, 0, 0), (0, 9, 0), (0, 0, 9)],
        (0, 0, 0),
        [(2 + 2.6 * i, 4.2 + i % 2, 4.5) for i in range(8)],
    )
    # no edges at all
    add("atom", box, (0, 0, 0), [(7, 7, 7)], 0)
    add("apart", box, (0, 0, 0), [(3, 3, 3), (3, 3, 11), (11, 4, 3)], 0)
    return result


def data_of(cell, periodic, positions, numbers, settings, head, dtype):
    """What a model of mace-torch reads, for one structure; number of edges."""
    edges, shifts, units, box = get_neighborhood(
        positions.copy(), settings["r_max"], tuple(bool(p) for p in periodic), cell.copy()
    )
    species = [settings["elements"].index(n) for n in numbers]
    data = dict(
        positions=torch.tensor(positions, dtype=dtype),
        edge_index=torch.tensor(edges, dtype=torch.int64),
        shifts=torch.tensor(shifts, dtype=dtype),
        unit_shifts=torch.tensor(units, dtype=dtype),
        cell=torch.tensor(box, dtype=dtype),
        node_attrs=torch.nn.functional.one_hot(torch.tensor(species), len(settings["elements"])).to(
            dtype
        ),
        batch=torch.zeros(len(positions), dtype=torch.int64),
        ptr=torch.tensor([0, len(positions)]),
        head=torch.tensor([settings["heads"].index(head)]),
    )
    return data, edges.shape[1]


def golden(model, settings, precision):
    """Results of the model for all structures and heads."""
    dtype = getattr(torch, precision)
    torch.set_default_dtype(dtype)
    rows = []
    for name, cell, periodic, positions, numbers in structures(
        settings["elements"], settings["seed"]
    ):
        results = []
        for head in settings["heads"]:
            data, n_edges = data_of(cell, periodic, positions, numbers, settings, head, dtype)
            out = model(data, training=False, compute_force=True, compute_virials=True)
            virial = out["virials"].detach().double().reshape(3, 3).numpy()
            results.append(
                dict(
                    head=head,
                    precision=precision,
                    energy=out["energy"].detach().double().item(),
                    node_energies=out["node_energy"].detach().double().tolist(),
                    forces=out["forces"].detach().double().flatten().tolist(),
                    virial=[
                        virial[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
                    ],
                )
            )
        rows.append(
            dict(
                name=name,
                cell=cell.flatten().tolist(),
                pbc=list(periodic),
                atomic_numbers=numbers.tolist(),
                positions=positions.flatten().tolist(),
                n_edges=n_edges,
                results=results,
            )
        )
    return rows


def export(model, head, dtype, path):
    """The model through mace_create_lammps_model, as a user calls it."""
    with tempfile.TemporaryDirectory() as folder:
        # TorchScript keeps the name of the file inside the file
        source = os.path.join(folder, os.path.basename(path).removesuffix(".pt") + ".model")
        torch.save(model, source)
        words = ["mace_create_lammps_model", source, "--dtype", dtype]
        if hasattr(model, "heads"):
            words += ["--head", head]
        arguments, sys.argv = sys.argv, words
        try:
            create_lammps_model.main()
        finally:
            sys.argv = arguments
        strip(source + "-lammps.pt")
        os.replace(source + "-lammps.pt", path)


def write(name):
    settings = {**DEFAULTS, **MODELS[name]}
    model = make(settings)
    rows = golden(model, settings, settings["dtype"])
    if settings["dtype"] == "float32":  # and what the same weights give in double precision
        double = golden(copy.deepcopy(model).double(), settings, "float64")
        for row, more in zip(rows, double):
            row["results"] += more["results"]
        torch.set_default_dtype(torch.float32)
    file = name + ".pt"
    export(model, settings["export"], settings["dtype"], os.path.join(HERE, file))
    content = dict(
        file=file,
        kind=settings["kind"],
        dtype=settings["dtype"],
        r_max=settings["r_max"],
        layers=settings["layers"],
        atomic_numbers=settings["elements"],
        heads=settings["heads"],
        exported_head=settings["export"],
        pair_repulsion=settings["extra"].get("pair_repulsion", False),
        parameters=sum(p.numel() for p in model.parameters()),
        structures=rows,
    )
    with open(os.path.join(HERE, name + ".json"), "w") as out:
        out.write("{\n")
        head = [
            f"{json.dumps(k)}: {json.dumps(v)}" for k, v in content.items() if k != "structures"
        ]
        out.write(",\n".join(head) + ',\n"structures": [\n')
        out.write(",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]}\n")
    size = os.path.getsize(os.path.join(HERE, file)) / 1e3
    print(f"{file}: {size:.0f} kB, {content['parameters']} parameters")


def main():
    names = sys.argv[1:] or list(MODELS)
    for name in names:
        if name not in MODELS:
            sys.exit(f"make_models.py: there is no model '{name}', only {' '.join(MODELS)}")
    if len(names) == 1:
        torch.set_num_threads(1)
        write(names[0])
        return
    # each in a process of its own: TorchScript numbers the classes of a process
    for name in names:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
