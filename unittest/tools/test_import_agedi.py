# SPDX-License-Identifier: GPL-2.0-only
"""Tests of tools/import_agedi.py on checkpoints the test writes itself.

The layout of a torch.save is written by `save_like_torch`; `genuine.ckpt` beside this file is a
small file by a real torch.save (PyTorch 2.11) that pins that layout. Where PyTorch can be
imported, a full-size checkpoint goes through the real torch.save too.
"""

import contextlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
from collections import OrderedDict

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(HERE, "..", "..", "tools")
sys.path[:0] = [HERE, TOOLS]

import import_agedi  # noqa: E402

try:
    import torch
except (ImportError, OSError) as problem:  # LibTorch alone lacks what Python's side needs
    torch, NO_TORCH = None, str(problem)

BACKBONE = "score_model.representation"
SCORE = "score_model.heads.0.net"
FORCE = "regressor_model.heads.0.net"

# Source name, target name and shape, written out by hand from the description of the format.
TENSORS = [("embedding.weight", "embedding.weight", (100, 64))]
TENSORS += [
    ("filter_net.weight", "filter.weight", (768, 30)),
    ("filter_net.bias", "filter.bias", (768,)),
]
for k in range(4):
    context, mix = (
        f"interactions.{k}.interatomic_context_net",
        f"mixing.{k}.intraatomic_context_net",
    )
    TENSORS += [
        (f"{context}.0.weight", f"message.{k}.0.weight", (64, 64)),
        (f"{context}.0.bias", f"message.{k}.0.bias", (64,)),
        (f"{context}.1.weight", f"message.{k}.1.weight", (192, 64)),
        (f"{context}.1.bias", f"message.{k}.1.bias", (192,)),
        (f"mixing.{k}.mu_channel_mix.weight", f"mixing.{k}.mix.weight", (128, 64)),
        (f"{mix}.0.weight", f"mixing.{k}.0.weight", (64, 128)),
        (f"{mix}.0.bias", f"mixing.{k}.0.bias", (64,)),
        (f"{mix}.1.weight", f"mixing.{k}.1.weight", (192, 64)),
        (f"{mix}.1.bias", f"mixing.{k}.1.bias", (192,)),
    ]
SCORE_SHAPES = [
    [(64, 64), (66, 98), (66,), (65, 66), (65,)],
    [(32, 32), (33, 49), (33,), (32, 33), (32,)],
    [(2, 16), (16, 17), (16,), (2, 16), (2,)],
]
FORCE_SHAPES = [[(64, 64), (64, 96), (64,), (64, 64), (64,)]]
FORCE_SHAPES += [[(32, 32), (32, 48), (32,), (32, 32), (32,)]]
FORCE_SHAPES += [[(2, 16), (16, 17), (16,), (2, 16), (2,)]]
PARTS = [("mix_vectors.weight", "mix.weight"), ("scalar_net.0.weight", "0.weight")]
PARTS += [("scalar_net.0.bias", "0.bias"), ("scalar_net.1.weight", "1.weight")]
PARTS += [("scalar_net.1.bias", "1.bias")]


def head(root, target, shapes):
    return [
        (f"{root}.{b}.{source}", f"{target}.{b}.{name}", shape)
        for b, block in enumerate(shapes)
        for (source, name), shape in zip(PARTS, block)
    ]


def layout(force):
    """(source, target or None, shape) of every weight."""
    rows = [(f"{BACKBONE}.{s}", f"painn.{t}", shape) for s, t, shape in TENSORS]
    rows += head(SCORE, "score", SCORE_SHAPES)
    return rows + (head(FORCE, "force", FORCE_SHAPES) if force else [])


def make_state(force=False, seed=0):
    """A state_dict as AGeDi writes it, with random weights: OrderedDict of float32 arrays."""
    rng = np.random.default_rng(seed)
    weights = OrderedDict(
        (s, rng.normal(size=shape).astype("<f4")) for s, _, shape in layout(force)
    )
    width = np.float32(6.0 / 29.0)
    state = OrderedDict()
    state[f"{BACKBONE}.cutoff_fn.cutoff"] = np.array([6.0], dtype="<f4")
    state[f"{BACKBONE}.radial_basis.widths"] = np.full(30, width, dtype="<f4")
    state[f"{BACKBONE}.radial_basis.offsets"] = np.linspace(0, 6, 30).astype("<f4")
    state.update(weights)
    if force:
        for name in list(state):
            if name.startswith(BACKBONE):
                state[name.replace("score_model", "regressor_model")] = state[name].copy()
    return state


# --- a writer with the layout of torch.save ------------------------------------------------------


class Global:
    """Pickled as the bare global module.name."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickled as global(*arguments)."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments


class Stored:
    """Pickled as the persistent id of a storage."""

    def __init__(self, *pid):
        self.pid = pid


class Writer(pickle._Pickler):
    """Protocol 2, with globals named freely: nothing needs to be importable here."""

    def __init__(self, handle):
        super().__init__(handle, protocol=2)

    def persistent_id(self, thing):
        return thing.pid if isinstance(thing, Stored) else None

    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, Global):
            self.write(b"c" + f"{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, Call):
            self.save(thing.what)
            self.save(thing.arguments)
            self.write(b"R")
        else:
            super().save(thing, save_persistent_id)


class Spec:
    """A tensor as a test wants it described, right or wrong."""

    def __init__(self, array, shape=None, stride=None, offset=0, kind="FloatStorage", count=None):
        self.data = np.ascontiguousarray(array).tobytes()
        self.shape = array.shape if shape is None else shape
        steps = np.cumprod((1,) + array.shape[:0:-1])[::-1] if array.ndim else ()
        self.stride = tuple(int(v) for v in steps) if stride is None else stride
        self.offset, self.kind = offset, kind
        self.count = array.size if count is None else count


def save_like_torch(
    path, state, root="archive", byteorder=b"little", drop=(), replace=None, top=None
):
    """Write a Lightning checkpoint zip; `replace` swaps whole records, `drop` leaves some out."""
    records = OrderedDict()
    content = OrderedDict()
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    for key, (name, value) in enumerate(state.items()):
        if not isinstance(value, (np.ndarray, Spec)):
            content[name] = value
            continue
        spec = value if isinstance(value, Spec) else Spec(value)
        storage = Stored("storage", Global("torch", spec.kind), str(key), "cpu", spec.count)
        hooks = Call(Global("collections", "OrderedDict"))
        content[name] = Call(rebuild, storage, spec.offset, spec.shape, spec.stride, False, hooks)
        records[f"data/{key}"] = spec.data
    if top is None:
        top = {"epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.5.1"}
        top.update(
            state_dict=content, loops={}, callbacks={}, optimizer_states=[], lr_schedulers=[]
        )
    out = io.BytesIO()
    Writer(out).dump(top)
    records = OrderedDict([("data.pkl", out.getvalue()), ("byteorder", byteorder)], **records)
    records.update(replace or {})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            if name not in drop:
                archive.writestr(f"{root}/{name}", data)


def read_safetensors(path):
    """Metadata and float32 arrays, by the format's own rules."""
    with open(path, "rb") as handle:
        raw = handle.read()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    body = raw[8 + length :]
    meta, arrays, used = header.pop("__metadata__"), {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        assert start == used and entry["dtype"] == "F32", name
        arrays[name] = np.frombuffer(body[start:end], "<f4").reshape(entry["shape"])
        used = end
    assert used == len(body) and length % 8 == 0
    return meta, arrays


def call(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = import_agedi.main([str(a) for a in arguments])
    return status, out.getvalue(), err.getvalue()


class Case(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.source, self.target = self.path("agedi.ckpt"), self.path("godiff.ckpt")

    def path(self, name):
        return os.path.join(self.folder, name)

    def refused(self, *messages):
        """The source is refused, one line per message, and nothing is written."""
        status, out, err = call(self.source, self.target)
        self.assertEqual((status, out), (1, ""))
        lines = err.splitlines()
        self.assertEqual(len(lines), len(messages), err)
        for line, message in zip(lines, messages):
            self.assertTrue(line.startswith("import_agedi: error: "), line)
            self.assertIn(message, line)
        left = set(os.listdir(self.folder)) - {"agedi.ckpt"}
        self.assertEqual(left, set())

    def compare(self, state, force):
        meta, arrays = read_safetensors(self.target)
        self.assertEqual(meta["format"], "godiff-checkpoint")
        self.assertEqual(meta["format_version"], "1")
        shape = {"cutoff": 6.0, "nfeat": 64, "nblock": 4, "nrbf": 30, "force_head": force}
        self.assertEqual(json.loads(meta["network"]), shape)
        rows = layout(force)
        self.assertEqual(set(arrays), {target for _, target, _ in rows})
        for source, target, size in rows:
            self.assertEqual(arrays[target].shape, size, target)
            self.assertEqual(arrays[target].tobytes(), np.asarray(state[source]).tobytes(), target)


class Conversion(Case):
    def test_score_head(self):
        state = make_state()
        self.assertEqual((len(state), sum(a.size for a in state.values())), (57, 231642))
        save_like_torch(self.source, state)
        status, out, err = call(self.source, self.target)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("54 tensors, 231581 parameters, backbone with score head", out)
        self.compare(state, force=False)
        self.assertEqual(sorted(os.listdir(self.folder)), ["agedi.ckpt", "godiff.ckpt"])

    def test_force_head(self):
        state = make_state(force=True)
        save_like_torch(self.source, state, root="last")
        status, out, err = call(self.source, self.target)
        self.assertEqual((status, err), (0, ""))
        self.assertIn("69 tensors, 250047 parameters, backbone with score and force head", out)
        self.compare(state, force=True)

    def test_view_into_a_larger_storage(self):
        state = make_state()
        name = f"{SCORE}.2.scalar_net.1.bias"
        padded = np.concatenate([np.full(3, 7, "<f4"), state[name], np.full(5, 9, "<f4")])
        kept, state[name] = state[name], Spec(padded, shape=(2,), stride=(1,), offset=3)
        save_like_torch(self.source, state)
        self.assertEqual(call(self.source, self.target)[0], 0)
        self.compare({**state, name: kept}, force=False)

    def test_replaces_an_older_target(self):
        save_like_torch(self.source, make_state(seed=1))
        with open(self.target, "w", encoding="ascii") as handle:
            handle.write("old")
        self.assertEqual(call(self.source, self.target)[0], 0)
        self.compare(make_state(seed=1), force=False)

    def test_as_a_program(self):
        save_like_torch(self.source, make_state())
        script = os.path.join(TOOLS, "import_agedi.py")
        done = subprocess.run(
            [sys.executable, script, self.source, self.target], capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Genuine(Case):
    def test_small_file_by_torch_save(self):
        checkpoint = import_agedi.Checkpoint(os.path.join(HERE, "genuine.ckpt"))
        self.assertEqual(checkpoint.root, "archive/")
        self.assertEqual(checkpoint.content["epoch"], 1)
        self.assertEqual(len(checkpoint.content["optimizer_states"][0]["state"]), 4)
        expected = {
            "0.weight": [[0.0, 0.5, 1.0], [1.5, 2.0, 2.5]],
            "0.bias": [-1.0, 3.0],
            "1.weight": [[0.25, -0.25]],
            "1.bias": [8.0],
        }
        self.assertEqual(list(checkpoint.content["state_dict"]), list(expected))
        for name, values in expected.items():
            found = checkpoint.tensor(name, np.shape(values))
            np.testing.assert_array_equal(found, np.array(values, "<f4"))
        with open(os.path.join(HERE, "genuine.ckpt"), "rb") as handle:
            data = handle.read()
        with open(self.source, "wb") as handle:
            handle.write(data)
        status, _, err = call(self.source, self.target)
        self.assertEqual(status, 1)
        self.assertIn("tensor score_model.representation.embedding.weight is missing", err)

    def test_full_file_by_torch_save(self):
        if torch is None:
            self.skipTest(f"no PyTorch in this Python: {NO_TORCH}")
        for force in (False, True):
            state = make_state(force)
            tensors = OrderedDict((k, torch.from_numpy(v.copy())) for k, v in state.items())
            torch.save({"epoch": 1, "state_dict": tensors, "callbacks": {}}, self.source)
            self.assertEqual(call(self.source, self.target)[0], 0)
            self.compare(state, force)

    def test_own_writer_has_the_same_opcodes(self):
        with zipfile.ZipFile(os.path.join(HERE, "genuine.ckpt")) as archive:
            genuine = archive.read("archive/data.pkl")
        save_like_torch(self.source, make_state())
        with zipfile.ZipFile(self.source) as archive:
            ours = archive.read("archive/data.pkl")
        tensor = lambda data: [
            op.name
            for op, _, _ in list(import_agedi.pickletools.genops(data))
            if op.name in ("GLOBAL", "BINPERSID", "REDUCE")
        ]
        self.assertLessEqual(set(tensor(ours)), set(tensor(genuine)))


class Refusals(Case):
    def save(self, state, **more):
        save_like_torch(self.source, state, **more)

    def test_names(self):
        state = make_state()
        del state[f"{BACKBONE}.mixing.2.mu_channel_mix.weight"]
        state["score_model.heads.1.net.0.mix_vectors.weight"] = np.zeros((2, 2), "<f4")
        self.save(state)
        self.refused(
            f"tensor {BACKBONE}.mixing.2.mu_channel_mix.weight is missing",
            "tensor score_model.heads.1.net.0.mix_vectors.weight is not part of the network",
        )

    def test_shapes_and_layout(self):
        state = make_state()
        names = [f"{SCORE}.1.scalar_net.1.weight", f"{SCORE}.0.mix_vectors.weight"]
        names += [f"{SCORE}.2.scalar_net.0.bias", f"{SCORE}.2.scalar_net.1.bias"]
        state[names[0]] = state[names[0]].T.copy()
        state[names[1]] = Spec(state[names[1]], stride=(1, 64))
        state[names[2]] = Spec(state[names[2]], offset=1)
        state[names[3]] = Spec(state[names[3]], stride=(0,))
        self.save(state)
        self.refused(
            f"tensor {names[1]} is not contiguous: shape (64, 64), strides (1, 64)",
            f"tensor {names[0]} has shape (33, 32), expected (32, 33)",
            f"tensor {names[2]} reaches to element 17 of a storage of 16 elements",
            f"tensor {names[3]} is not contiguous: shape (2,), strides (0,)",
        )

    def test_storages(self):
        name = f"{SCORE}.2.scalar_net.1.bias"
        key = list(make_state()).index(name)
        for spec, more, message in (
            (Spec(np.zeros(2, "<f4"), count=3), {}, f"storage {key} has 8 bytes, expected 12"),
            (Spec(np.zeros(9, "<f4"), (2,), (1,), count=2), {}, "has 36 bytes, expected at most 8"),
            (Spec(np.zeros(2, "<f4")), {"drop": [f"data/{key}"]}, f"no record archive/data/{key}"),
            (Spec(np.zeros(2, "<f4"), count=2**25), {}, "a storage of 33554432 elements"),
            (Spec(np.array([1, np.nan], "<f4")), {}, "holds values that are not finite"),
            (Spec(np.zeros(2, "<f4"), offset=-1), {}, "has a damaged description"),
            (Spec(np.zeros(2, "<f4"), shape=(True, 2)), {}, "has a damaged description"),
            (Spec(np.zeros(2, "<f4"), shape=[2]), {}, "has a damaged description"),
            ("text", {}, "is no float32 tensor"),
        ):
            self.save({**make_state(), name: spec}, **more)
            self.refused(message)
            self.assertIn(name, call(self.source, self.target)[2])

    def test_types(self):
        name = f"{BACKBONE}.filter_net.bias"
        for kind, word in (("DoubleStorage", "double"), ("BFloat16Storage", "bfloat16")):
            state = make_state()
            state[name] = Spec(state[name], kind=kind)
            self.save(state)
            self.refused(f"tensor {name} is stored as torch.{kind} ({word})")

    def test_constants(self):
        for suffix, k, value in (
            ("cutoff_fn.cutoff", 0, 5.0),
            ("radial_basis.widths", 7, 0.2),
            ("radial_basis.offsets", 29, 6.001),
        ):
            state = make_state()
            state[f"{BACKBONE}.{suffix}"][k] = value
            self.save(state)
            self.refused(f"constant {BACKBONE}.{suffix}[{k}] is {value:g}, expected ")

    def test_force_head(self):
        name = "regressor_model.representation.interactions.1.interatomic_context_net.0.bias"
        state = make_state(force=True)
        state[name][5] += 1e-6
        self.save(state)
        self.refused(f"tensor {name} differs from {name.replace('regressor', 'score')}")
        state = make_state(force=True)
        del state[name], state[f"{FORCE}.0.scalar_net.0.weight"]
        self.save(state)
        self.refused(
            f"tensor {FORCE}.0.scalar_net.0.weight is missing", f"tensor {name} is missing"
        )

    def test_many_messages_are_capped(self):
        self.save({})
        status, _, err = call(self.source, self.target)
        self.assertEqual((status, len(err.splitlines())), (1, import_agedi.MAX_MESSAGES + 1))
        self.assertIn("and 37 more", err)

    def test_archive(self):
        state = make_state()
        self.save(state, byteorder=b"big")
        self.refused("has byteorder 'big': only little is accepted")
        self.save(state, drop=["byteorder"])
        self.refused("has no record archive/byteorder")
        self.save(state, drop=["data.pkl"])
        self.refused("has no archive/data.pkl: not a PyTorch checkpoint")
        self.save(state)
        with zipfile.ZipFile(self.source, "a") as archive:
            archive.writestr("other/data.pkl", b"")
        self.refused("has no archive/data.pkl: not a PyTorch checkpoint")
        self.save(state)
        with zipfile.ZipFile(self.source, "a") as archive, self.assertWarns(UserWarning):
            archive.writestr("archive/data/0", b"1234")
        self.refused("two zip records of the same name")

    def test_no_zip(self):
        for data in (b"", b"hello", pickle.dumps({"state_dict": {}})):
            with open(self.source, "wb") as handle:
                handle.write(data)
            self.refused("is no complete zip archive")
        os.remove(self.source)
        self.refused("cannot be read: No such file or directory")
        os.mkdir(self.source)
        self.refused("cannot be read: Is a directory")

    def test_cut_and_flipped(self):
        self.save(make_state())
        with open(self.source, "rb") as handle:
            data = handle.read()
        for keep in (100, len(data) // 2, len(data) - 1):
            with open(self.source, "wb") as handle:
                handle.write(data[:keep])
            self.refused("is no complete zip archive")
        broken = bytearray(data)
        broken[len(data) // 2] ^= 1
        with open(self.source, "wb") as handle:
            handle.write(broken)
        self.refused("Bad CRC-32")

    def test_content(self):
        for top, message in (
            ([1, 2], "has no state_dict"),
            ({"model": {}}, "has no state_dict"),
            ({"state_dict": [1]}, "its state_dict is not a table of named tensors"),
            ({"state_dict": {1: 2}}, "its state_dict is not a table of named tensors"),
        ):
            self.save({}, top=top)
            self.refused(message)

    def test_target(self):
        self.save(make_state())
        status, _, err = call(self.source, self.source)
        self.assertEqual(status, 1)
        self.assertIn("is source and target at once", err)
        status, _, err = call(self.source, self.path("absent/godiff.ckpt"))
        self.assertEqual(status, 1)
        self.assertIn("cannot be written: No such file or directory", err)
        os.mkdir(self.target)  # the rename fails; the temporary file must not stay
        status, _, err = call(self.source, self.target)
        self.assertEqual(status, 1)
        self.assertIn("cannot be written", err)
        self.assertEqual(sorted(os.listdir(self.folder)), ["agedi.ckpt", "godiff.ckpt"])


class Malice(Case):
    """Pickles that would run code in a careless reader. A file `owned` would be the proof."""

    def attack(self, data, message):
        save_like_torch(self.source, make_state(), replace={"data.pkl": data})
        self.refused(message)
        self.assertFalse(os.path.exists(self.path("owned")))

    def test_globals(self):
        command = f"touch {self.path('owned')}"
        for module, name in (
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("subprocess", "check_output"),
            ("torch", "load"),
            ("torch._utils", "_rebuild_tensor"),
            ("torch._utils", "_rebuild_parameter"),
            ("collections", "OrderedDict.fromkeys"),
            ("collections", "namedtuple"),
        ):
            out = io.BytesIO()
            Writer(out).dump({"state_dict": {"a.b": Call(Global(module, name), command)}})
            self.attack(out.getvalue(), f"names the global {module}.{name}: refused")

    def test_other_roads_to_a_global(self):
        command = f"touch {self.path('owned')}".encode()
        short = lambda text: b"\x8c" + bytes([len(text)]) + text
        self.attack(
            b"\x80\x04" + short(b"os") + short(b"system") + b"\x93" + short(command) + b"\x85R.",
            "uses the opcode",
        )
        self.attack(b"(S'" + command + b"'\nios\nsystem\n.", "uses the opcode")
        self.attack(b"\x80\x02\x82\x01.", "uses the opcode EXT1")
        self.attack(b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao.", "names the global os.system")
        self.attack(b"Pos\n.", "uses the opcode PERSID")

    def test_second_wall(self):
        # Should the scan ever miss one, the unpickler knows three names only.
        data = b"cos\nsystem\n(S'true'\ntR."
        with self.assertRaisesRegex(import_agedi.ImportProblem, "names the global os.system"):
            import_agedi.InertUnpickler(io.BytesIO(data)).load()

    def test_damaged_pickles(self):
        good = io.BytesIO()
        Writer(good).dump({"state_dict": {}})
        for data in (
            b"",
            b"\x80\x02",
            good.getvalue()[:-1],
            b"\x80\x02]K\x01R.",
            b"\x80\x02h\x07.",
        ):
            self.attack(data, "its pickle is damaged")
        self.attack(b"\x80\x02]r\xff\xff\xff\x7f.", "memo entry 2147483647: refused")
        self.attack(b"\x80\x02K\x01Q.", "a persistent id that is no tensor storage")
        out = io.BytesIO()
        Writer(out).dump(Stored("storage", Global("torch", "FloatStorage"), 5, "cpu", -1))
        self.attack(out.getvalue(), "a tensor storage with a damaged description")

    def test_storage_key_is_no_path(self):
        out = io.BytesIO()
        storage = Stored("storage", Global("torch", "FloatStorage"), "../data.pkl", "cpu", 2)
        rebuild = Global("torch._utils", "_rebuild_tensor_v2")
        name = f"{SCORE}.2.scalar_net.1.bias"
        Writer(out).dump({"state_dict": {name: Call(rebuild, storage, 0, (2,), (1,), False, None)}})
        save_like_torch(self.source, make_state(), replace={"data.pkl": out.getvalue()})
        checkpoint = import_agedi.Checkpoint(self.source)
        with self.assertRaisesRegex(import_agedi.ImportProblem, "names the storage '../data.pkl'"):
            checkpoint.tensor(name, (2,))

    def test_description_cannot_be_changed_after_the_call(self):
        # BUILD on a tensor or a storage would set attributes on an ordinary object.
        out = io.BytesIO()
        rebuild = Global("torch._utils", "_rebuild_tensor_v2")
        Writer(out).dump(Call(rebuild, 1, 2, 3, 4))
        data = out.getvalue()[:-1] + b"}X\x05\x00\x00\x00shapeK\x05sb."
        self.attack(data, "its pickle is damaged")


if __name__ == "__main__":
    unittest.main()
