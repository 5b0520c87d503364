# SPDX-License-Identifier: GPL-2.0-only
"""Two thousand damaged AGeDi checkpoints, and some that were made to do harm.

Whatever is in the file, tools/import_agedi.py ends with a line or some on stderr, in bounded
memory, runs nothing, and leaves no file unless the whole checkpoint is sound.
"""

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import unittest
import warnings
import zipfile

import numpy as np

from test_import_agedi import HERE, SCORE, TOOLS, Call, Global, Spec, Writer, call, make_state
from test_import_agedi import save_like_torch

MUTATIONS = 2000
MAX_LINE = 600
MAX_LINES = 21
MEGABYTE = 2**20

# What a program asks Python for when it runs something, reaches out or deletes.
FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen")
FORBIDDEN += ("socket.connect", "socket.bind", "ctypes.dlopen", "shutil.rmtree", "os.rmdir")
FORBIDDEN += ("os.mkdir", "os.chdir", "pickle.find_class")

watching, seen = False, []


def watch(event, arguments):
    if not watching:
        return
    if event in FORBIDDEN:
        seen.append((event, repr(arguments)[:200]))
    elif event == "open" and isinstance(arguments[0], str):
        writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            seen.append((event, repr(arguments)[:200]))


sys.addaudithook(watch)


def odd_bytes(dice, data):
    """Damages that know nothing of the format."""
    data = bytearray(data)
    kind = dice.randrange(5)
    if kind == 0:
        del data[dice.randrange(len(data) + 1) :]
    elif kind == 1:
        for _ in range(dice.randint(1, 6)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif kind == 2:
        for _ in range(dice.randint(1, 12)):
            data[dice.randrange(len(data))] = dice.randrange(256)
    elif kind == 3:
        begin = dice.randrange(len(data))
        del data[begin : begin + dice.randint(1, 40)]
    else:
        begin = dice.randrange(len(data))
        data[begin:begin] = data[begin : begin + dice.randint(1, 40)]
    return bytes(data)


# Opcodes that reach out, nest, repeat or overwrite, put anywhere into a pickle.
SNIPPETS = [
    b"cos\nsystem\n",
    b"cposix\nsystem\n(X\x08\x00\x00\x00touch rantR.",
    b"c__builtin__\neval\n(X\x03\x00\x00\x001+1tR",
    b"ctorch._utils\n_rebuild_tensor_v2\n)R",
    b"ctorch._utils\n_rebuild_tensor_v2\n(I1\nI2\nI3\nI4\ntR",
    b"ccollections\nOrderedDict\n)R",
    b"ccollections\nOrderedDict\n(K\x01tR",
    b"ctorch\nFloatStorage\n)R",
    b"\x80\x04",
    b"\x93",
    b"\x82\x01",
    b"i__builtin__\neval\n",
    b"o",
    b"\x81",
    b"Pkey\n",
    b"Q",
    b"}b",
    b"}}\x86b",
    b"q\x00",
    b"h\x00",
    b"h\xff",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"I999999999999999999999999\n",
    b"L-1L\n",
    b"Fnan\n",
    b"\x8a\xff" + b"\xff" * 255,
    b"X\xff\xff\xff\x7f",
    b"X\x05\x00\x00\x00a\nb\x1b[",
    b"(",
    b")",
    b"]",
    b"}",
    b"0",
    b"1",
    b"2",
    b"N",
    b".",
    b"t",
    b"R",
    b"s",
    b"u",
    b"e",
    b"a",
    b"b",
    b"\x85" * 50,
    b"]" * 200,
]


def odd_pickle(dice, data):
    if dice.random() < 0.5:
        return odd_bytes(dice, data)
    for _ in range(dice.randint(1, 3)):
        begin = dice.randrange(len(data))
        end = begin + dice.choice((0, 0, 1, 5))
        data = data[:begin] + dice.choice(SNIPPETS) + data[end:]
    return data


def records_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def zipped(records, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in records:
            archive.writestr(name, data)
    return out.getvalue()


def odd_archive(dice, data):
    """A sound zip with other records."""
    records = records_of(data)
    kind = dice.randrange(6)
    k = dice.randrange(len(records))
    if kind <= 2:
        k = next(i for i, (name, _) in enumerate(records) if name.endswith("data.pkl"))
        records[k] = (records[k][0], odd_pickle(dice, records[k][1]))
    elif kind == 3:
        names = ["../../up", "/etc/passwd", "archive/data/../data.pkl", "a\nb\x1b[31m/data.pkl"]
        records[k] = (dice.choice(names), records[k][1])
    elif kind == 4:
        records[k] = (records[k][0], odd_bytes(dice, records[k][1] or b"0"))
    else:
        del records[k]
    return zipped(records, dice.choice([0, 0, 0, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))


def odd_state(dice):
    """A full checkpoint with one tensor described wrongly; rarely a sound one."""
    state = make_state(force=dice.random() < 0.3, seed=1)
    name = dice.choice(list(state))
    array = state[name]
    kind = dice.randrange(8)
    if kind == 0:
        array.reshape(-1)[dice.randrange(array.size)] = dice.choice([np.nan, np.inf, -np.inf])
    elif kind == 1:
        state[name] = Spec(array, shape=dice.choice([(), (-1,), (2**62, 2**62), ("a",), None, [1]]))
    elif kind == 2:
        strides = [(), (0,), (0, 0), (-1, 1), (2**70, 1), (1, 1)]
        state[name] = Spec(array, stride=dice.choice(strides))
    elif kind == 3:
        state[name] = Spec(array, offset=dice.choice([-1, 1, 2**40, 2**80, None, "0", 0.5]))
    elif kind == 4:
        state[name] = Spec(array, kind=dice.choice(["HalfStorage", "LongStorage", "Storage\nx"]))
    elif kind == 5:
        state[name] = Spec(array, count=dice.choice([0, -1, 2**30, 2**70, None, array.size - 1]))
    elif kind == 6:
        state[dice.choice(["x\ny", "\x1b[31m", "n" * 5000, "\u202ename", name + "."])] = array
    return state


class Damaged(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.source = os.path.join(self.folder, "agedi.ckpt")
        self.target = os.path.join(self.folder, "godiff.ckpt")
        with open(os.path.join(HERE, "genuine.ckpt"), "rb") as handle:
            self.genuine = handle.read()

    def convert(self, what, data=None):
        """Converts `data` (None: the file that is there), checks the rules; the exit status."""
        global watching
        if data is not None:
            with open(self.source, "wb") as handle:
                handle.write(data)
        seen.clear()
        watching = True
        try:
            status, out, err = call(self.source, self.target)
        except BaseException as problem:
            watching = False
            self.fail(f"{what}: {type(problem).__name__}: {str(problem)[:300]}")
        watching = False
        left = set(os.listdir(self.folder)) - {"agedi.ckpt"}
        if status == 0:
            self.assertEqual((err, left), ("", {"godiff.ckpt"}), what)
            os.unlink(self.target)
            return status
        self.assertEqual((status, out, left, seen), (1, "", set(), []), what)
        lines = err.split("\n")
        self.assertEqual(lines.pop(), "", what)
        self.assertTrue(1 <= len(lines) <= MAX_LINES, what)
        for line in lines:
            self.assertTrue(line.startswith("import_agedi: error: "), f"{what}: {line[:300]!r}")
            self.assertTrue(line.isprintable() and line.isascii(), f"{what}: {line[:300]!r}")
            self.assertLess(len(line), MAX_LINE, what)
        return status

    def peak(self, what, data=None):
        """Megabytes of Python memory that the conversion takes at most."""
        tracemalloc.start()
        try:
            self.assertEqual(self.convert(what, data), 1)
            return tracemalloc.get_traced_memory()[1] / MEGABYTE
        finally:
            tracemalloc.stop()

    def test_mutations(self):
        converted = 0
        for k in range(MUTATIONS):
            dice = random.Random(k)
            kind = k % 10
            with self.subTest(k=k):
                if kind < 4:
                    self.convert(k, odd_bytes(dice, self.genuine))
                elif kind < 9:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of names that come twice
                        data = odd_archive(dice, self.genuine)
                    self.convert(k, data)
                else:
                    save_like_torch(self.source, odd_state(dice))
                    converted += self.convert(k) == 0
        self.assertGreater(converted, 5)

    def bomb(self, name, compression, size):
        """The genuine file with a record of `size` zeros."""
        records = [(n, d) for n, d in records_of(self.genuine) if n != name]
        return zipped(records + [(name, bytes(size))], compression)

    def test_declared_sizes(self):
        for name in ("archive/data.pkl", "archive/byteorder"):
            data = self.bomb(name, zipfile.ZIP_DEFLATED, 100 * MEGABYTE)
            self.assertLess(self.peak(name, data), 20)

    def test_sizes_that_lie(self):
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            size = 200 * MEGABYTE
            data = self.bomb("archive/byteorder", method, size)
            lie = data.replace(struct.pack("<L", size), struct.pack("<L", 6))
            self.assertNotEqual(lie, data)
            self.assertLess(self.peak(method, lie), 20, method)

    def with_pickle(self, data):
        records = [(n, d) for n, d in records_of(self.genuine) if n != "archive/data.pkl"]
        return zipped(records + [("archive/data.pkl", data)])

    def test_pickles_of_nothing_but_lists(self):
        data = b"\x80\x02" + b"]" * (64 * MEGABYTE - 100) + b"."
        self.assertLess(self.peak("lists", self.with_pickle(data)), 600)

    def test_deep_keys(self):
        # The hash of nested tuples recurses in C: the interpreter itself would crash.
        for nest in (b"\x85" * 3_000_000, b"h\x01\x85R" * 400_000, b"Q" * 2_000_000):
            for start in (b")", b"ccollections\nOrderedDict\nq\x010)"):
                with open(self.source, "wb") as handle:
                    handle.write(self.with_pickle(b"\x80\x02}" + start + nest + b"Ns."))
                script = os.path.join(TOOLS, "import_agedi.py")
                done = subprocess.run(
                    [sys.executable, script, self.source, self.target],
                    capture_output=True,
                    text=True,
                )
                self.assertEqual(done.returncode, 1, done.stderr[-300:])
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr[-300:])
                self.assertFalse(os.path.exists(self.target))

    def test_payloads_are_not_run(self):
        ran = os.path.join(self.folder, "ran")
        for module, name in (("os", "system"), ("posix", "system"), ("subprocess", "call")):
            out = io.BytesIO()
            Writer(out).dump({"state_dict": Call(Global(module, name), f"touch {ran}")})
            self.convert(name, self.with_pickle(out.getvalue()))
            # The same behind what is allowed.
            out = io.BytesIO()
            harmless = Call(Global("collections", "OrderedDict"))
            Writer(out).dump([harmless, Call(Global(module, name), f"touch {ran}")])
            self.convert(name, self.with_pickle(out.getvalue()))
        for protocol in range(6):
            self.convert(protocol, self.with_pickle(pickle.dumps(print, protocol)))
        self.assertFalse(os.path.exists(ran))

    def test_names_are_printed_safely(self):
        for name in ("x\ny", "\x1b[31mred", "n" * 5000, "\u202eltr"):
            save_like_torch(self.source, {**make_state(), name: np.zeros(1, "<f4")})
            self.assertEqual(self.convert(name), 1)
        root = "a\nb\x1b[31m" + "c" * 3000
        save_like_torch(self.source, make_state(), root=root, drop=["byteorder"])
        self.assertEqual(self.convert("root"), 1)
        long = Spec(np.zeros(2, "<f4"), shape=tuple(range(5000)), stride=(1,))
        save_like_torch(self.source, {**make_state(), f"{SCORE}.2.scalar_net.1.bias": long})
        self.assertEqual(self.convert("shape"), 1)


if __name__ == "__main__":
    unittest.main()
