#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Convert an AGeDi checkpoint (PyTorch Lightning zip) into a GODIFF checkpoint (safetensors).

    import_agedi.py AGEDI.ckpt GODIFF.ckpt

Needs numpy and the standard library, not PyTorch. Nothing in the file is ever run: the pickle is
scanned first and may name three globals only, which stand for inert records here. Every tensor is
checked by name, shape, type, layout and value before anything is written.
"""

import argparse
import json
import math
import os
import pickle
import pickletools
import struct
import sys
import tempfile
import typing
import zipfile
from collections import OrderedDict
from io import BytesIO

try:
    import numpy as np
except ImportError:
    sys.exit("import_agedi: error: needs numpy: pip install numpy")

NFEAT, NBLOCK, NRBF, CUTOFF = 64, 4, 30, 6.0
NELEMENT = 100
# Each byte of a pickle can become an object of a hundred bytes, each tuple a level of recursion in
# the interpreter. The weights of two heads take 23 kB and 800 of them.
MAX_PICKLE_BYTES = 2 * 2**20
MAX_NESTED = 10**4
MAX_MEMO = 10**6
MAX_STORAGE = 2**24  # elements; the largest tensor has 23,040
MAX_MESSAGES = 20
MAX_MESSAGE = 400  # characters of one

ORDERED_DICT = ("collections", "OrderedDict")
FLOAT_STORAGE = ("torch", "FloatStorage")
REBUILD_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
ALLOWED_GLOBALS = (ORDERED_DICT, FLOAT_STORAGE, REBUILD_TENSOR)
# What torch.save writes; opcodes that could reach a global by another road are not on the list.
ALLOWED_OPCODES = set(
    "PROTO STOP MARK POP POP_MARK GLOBAL REDUCE BUILD BINPERSID BINPUT LONG_BINPUT PUT BINGET "
    "LONG_BINGET GET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 INT LONG BINFLOAT FLOAT "
    "BINUNICODE SHORT_BINSTRING BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST "
    "APPEND APPENDS EMPTY_DICT SETITEM SETITEMS DICT LIST".split()
)
NESTING_OPCODES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "BINPERSID"}

BACKBONE = "score_model.representation"
SCORE_HEAD = "score_model.heads.0.net"
FORCE_BACKBONE = "regressor_model.representation"
FORCE_HEAD = "regressor_model.heads.0.net"
FORCE_PREFIX = "regressor_model."


class ImportProblem(Exception):
    """The file cannot be converted; holds one complete line per reason."""

    def __init__(self, *reasons):
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Storage(typing.NamedTuple):
    """A flat float32 array of the archive: its record name and its number of elements."""

    key: str
    count: int


class Tensor(typing.NamedTuple):
    """A view of a storage as the pickle describes it, unchecked."""

    storage: object
    offset: object
    shape: object
    stride: object


# --- reading the archive ---------------------------------------------------------------------


def scan_pickle(data):
    """Refuse a pickle that names a foreign global or uses an opcode torch.save never writes."""
    last_name = None
    nested = 0
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                if tuple(argument.split(" ", 1)) not in ALLOWED_GLOBALS:
                    raise ImportProblem(describe_global(argument.replace(" ", "."), last_name))
            elif opcode.name not in ALLOWED_OPCODES:
                raise ImportProblem(
                    f"its pickle uses the opcode {opcode.name}, which torch.save does not write: "
                    f"refused"
                )
            elif opcode.name in NESTING_OPCODES:
                nested += 1
                if nested > MAX_NESTED:
                    raise ImportProblem(f"its pickle has more than {MAX_NESTED} tuples: refused")
            elif opcode.name in ("PUT", "LONG_BINPUT") and int(argument) > MAX_MEMO:
                raise ImportProblem(f"its pickle asks for memo entry {argument}: refused")
            elif opcode.name == "BINUNICODE" and "." in argument:
                last_name = argument
    except (ValueError, TypeError, IndexError, UnicodeError, struct.error) as problem:
        raise ImportProblem(f"its pickle is damaged: {one_line(problem)}") from None


def describe_global(name, last_name):
    """Message for a global outside the list of three; names the tensor when a dtype is the cause."""
    if name.startswith("torch.") and name.endswith("Storage"):
        kind = name[len("torch.") : -len("Storage")].lower()
        return (
            f"tensor {last_name} is stored as {name} ({kind}): only float32 (torch.FloatStorage) "
            f"is accepted"
        )
    allowed = ", ".join(".".join(pair) for pair in ALLOWED_GLOBALS)
    return f"its pickle names the global {name}: refused, only {allowed} are accepted"


def rebuild_tensor(storage, offset, shape, stride, *_):
    """Stands for torch._utils._rebuild_tensor_v2: keeps the description, builds nothing."""
    return Tensor(storage, offset, shape, stride)


class InertUnpickler(pickle.Unpickler):
    """Knows the three globals and nothing else."""

    def find_class(self, module, name):
        if (module, name) == ORDERED_DICT:
            return OrderedDict
        if (module, name) == REBUILD_TENSOR:
            return rebuild_tensor
        if (module, name) == FLOAT_STORAGE:
            return "float32"
        raise ImportProblem(describe_global(f"{module}.{name}", None))

    def persistent_load(self, pid):
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            raise ImportProblem("its pickle holds a persistent id that is no tensor storage")
        _, kind, key, _, count = pid
        if kind != "float32" or not isinstance(key, str) or type(count) is not int or count < 0:
            raise ImportProblem("its pickle holds a tensor storage with a damaged description")
        return Storage(key, count)


class Checkpoint:
    """The zip of a torch.save: unpickled content, and tensors read on demand."""

    def __init__(self, path):
        try:
            self.zip = zipfile.ZipFile(path)
            names = self.zip.namelist()
        except OSError as problem:
            raise ImportProblem(f"cannot be read: {problem.strerror or problem}") from None
        except Exception as problem:  # a damaged directory can fail in any way
            raise ImportProblem(
                f"is no complete zip archive ({one_line(problem)}): not a PyTorch checkpoint, or "
                f"cut short"
            ) from None
        if len(set(names)) != len(names):
            raise ImportProblem("holds two zip records of the same name: refused")
        roots = [name[: -len("data.pkl")] for name in names if name.split("/")[1:] == ["data.pkl"]]
        if len(roots) != 1:
            raise ImportProblem("has no archive/data.pkl: not a PyTorch checkpoint")
        self.root = roots[0]
        order = self.record("byteorder", 64).strip()
        if order != b"little":
            raise ImportProblem(
                f"has byteorder '{order.decode('ascii', 'replace')}': only little is accepted"
            )
        data = self.record("data.pkl", MAX_PICKLE_BYTES)
        scan_pickle(data)
        try:
            self.content = InertUnpickler(BytesIO(data)).load()
        except ImportProblem:
            raise
        except Exception as problem:  # a damaged pickle can fail in any way
            raise ImportProblem(f"its pickle is damaged: {one_line(problem)}") from None

    def record(self, name, limit):
        """Bytes of one zip record of at most `limit` bytes."""
        try:
            info = self.zip.getinfo(self.root + name)
        except KeyError:
            raise ImportProblem(f"has no record {self.root}{name}") from None
        if info.file_size > limit:
            raise ImportProblem(
                f"record {self.root}{name} has {info.file_size} bytes, expected at most {limit}"
            )
        if info.compress_type != zipfile.ZIP_STORED:
            raise ImportProblem(
                f"record {self.root}{name} is compressed, which torch.save does not do: refused"
            )
        try:
            # Only what it says it has, and one byte more for the checksum to be looked at.
            with self.zip.open(info) as handle:
                data = handle.read(info.file_size + 1)
        except Exception as problem:  # bad checksum, encryption, truncation, unknown compression
            raise ImportProblem(
                f"record {self.root}{name} cannot be read: {one_line(problem)}"
            ) from None
        if len(data) != info.file_size:
            raise ImportProblem(f"record {self.root}{name} is cut short")
        return data

    def tensor(self, name, shape):
        """Values of a described tensor after every check; ImportProblem names the tensor."""
        return self.values(name, shape, self.content["state_dict"][name])

    def values(self, name, shape, found):
        """Float32 array of `shape` behind a Tensor record."""
        if not isinstance(found, Tensor) or not isinstance(found.storage, Storage):
            raise ImportProblem(f"{name} is no float32 tensor")
        if not is_sizes(found.shape) or not is_sizes(found.stride) or not is_sizes((found.offset,)):
            raise ImportProblem(f"tensor {name} has a damaged description")
        if found.shape != shape:
            raise ImportProblem(f"tensor {name} has shape {found.shape}, expected {shape}")
        if not is_contiguous(found.shape, found.stride):
            raise ImportProblem(
                f"tensor {name} is not contiguous: shape {found.shape}, strides {found.stride}"
            )
        key, count = found.storage
        last = found.offset + math.prod(shape)
        if count > MAX_STORAGE:
            raise ImportProblem(
                f"tensor {name} is a view of a storage of {count} elements: refused"
            )
        if last > count:
            raise ImportProblem(
                f"tensor {name} reaches to element {last} of a storage of {count} elements"
            )
        if not (key.isascii() and key.isdigit()):
            raise ImportProblem(f"tensor {name} names the storage '{key[:40]}', expected a number")
        try:
            data = self.record(f"data/{key}", 4 * count)
        except ImportProblem as problem:
            raise ImportProblem(f"tensor {name}: {problem}") from None
        if len(data) != 4 * count:
            raise ImportProblem(
                f"tensor {name}: storage {key} has {len(data)} bytes, expected {4 * count}"
            )
        array = np.frombuffer(data, dtype="<f4")[found.offset : last].reshape(shape)
        if not np.all(np.isfinite(array)):
            raise ImportProblem(f"tensor {name} holds values that are not finite")
        return array


def is_sizes(values):
    """True for a tuple of plain non-negative integers."""
    return isinstance(values, tuple) and all(type(v) is int and v >= 0 for v in values)


def is_contiguous(shape, stride):
    """Row-major layout; the stride of a dimension of size 1 does not matter."""
    if len(shape) != len(stride):
        return False
    step = 1
    for size, jump in zip(reversed(shape), reversed(stride)):
        if size != 1 and jump != step:
            return False
        step *= size
    return True


def printable(text):
    """What a terminal can show of text from a foreign file: ASCII, not too long."""
    text = text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "..."
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def one_line(problem):
    """Text of an exception on one line, or its type when it has none."""
    return " ".join(str(problem).split())[:200] or type(problem).__name__


# --- names and shapes ------------------------------------------------------------------------


def dense(source, target, n_out, n_in):
    """Weight and bias of one linear layer: source name -> (target name, shape)."""
    return {
        f"{source}.weight": (f"{target}.weight", (n_out, n_in)),
        f"{source}.bias": (f"{target}.bias", (n_out,)),
    }


def backbone_names(root):
    """PaiNN tensors: source name -> (target name, shape), in the order they are written."""
    f = NFEAT
    names = {f"{root}.embedding.weight": ("painn.embedding.weight", (NELEMENT, f))}
    names.update(dense(f"{root}.filter_net", "painn.filter", NBLOCK * 3 * f, NRBF))
    for l in range(NBLOCK):
        source = f"{root}.interactions.{l}.interatomic_context_net"
        names.update(dense(f"{source}.0", f"painn.message.{l}.0", f, f))
        names.update(dense(f"{source}.1", f"painn.message.{l}.1", 3 * f, f))
    for l in range(NBLOCK):
        source, target = f"{root}.mixing.{l}", f"painn.mixing.{l}"
        names[f"{source}.mu_channel_mix.weight"] = (f"{target}.mix.weight", (2 * f, f))
        names.update(dense(f"{source}.intraatomic_context_net.0", f"{target}.0", f, 2 * f))
        names.update(dense(f"{source}.intraatomic_context_net.1", f"{target}.1", 3 * f, f))
    return names


def head_names(root, target, n_time):
    """Three gated equivariant blocks; n_time features of time join the scalars of the first."""
    f = NFEAT
    blocks = [  # scalars in, vectors in, scalars out, vectors out, hidden
        (f + n_time, f, (f + n_time) // 2, f // 2, f + n_time),
        ((f + n_time) // 2, f // 2, f // 4, f // 4, (f + n_time) // 2),
        (f // 4, f // 4, 1, 1, f // 4),
    ]
    names = {}
    for b, (s_in, v_in, s_out, v_out, hidden) in enumerate(blocks):
        names[f"{root}.{b}.mix_vectors.weight"] = (f"{target}.{b}.mix.weight", (2 * v_out, v_in))
        names.update(dense(f"{root}.{b}.scalar_net.0", f"{target}.{b}.0", hidden, s_in + v_out))
        names.update(dense(f"{root}.{b}.scalar_net.1", f"{target}.{b}.1", s_out + v_out, hidden))
    return names


def constants(root):
    """Constants the source stores beside its weights: name -> the values ours are built on."""
    width = CUTOFF / (NRBF - 1)
    return {
        f"{root}.cutoff_fn.cutoff": np.array([CUTOFF]),
        f"{root}.radial_basis.widths": np.full(NRBF, width),
        f"{root}.radial_basis.offsets": width * np.arange(NRBF),
    }


# --- conversion ------------------------------------------------------------------------------


def convert(checkpoint):
    """Target name -> float32 array, and whether there is a force head; lists every problem."""
    content = checkpoint.content
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ImportProblem("has no state_dict: not a Lightning checkpoint")
    state = content["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ImportProblem("its state_dict is not a table of named tensors")
    force_head = any(name.startswith(FORCE_PREFIX) for name in state)
    weights = {**backbone_names(BACKBONE), **head_names(SCORE_HEAD, "score", 2)}
    expected_constants = constants(BACKBONE)
    repeated = {}
    if force_head:
        weights.update(head_names(FORCE_HEAD, "force", 0))
        for name in (*backbone_names(BACKBONE), *expected_constants):
            repeated[FORCE_BACKBONE + name[len(BACKBONE) :]] = name
    shapes = {name: shape for name, (_, shape) in weights.items()}
    shapes.update({name: values.shape for name, values in expected_constants.items()})
    shapes.update({copy: shapes[name] for copy, name in repeated.items()})

    reasons = [f"tensor {name} is missing" for name in shapes if name not in state]
    reasons += [f"tensor {name} is not part of the network" for name in state if name not in shapes]
    arrays = {}
    for name, shape in shapes.items():
        if name in state:
            try:
                arrays[name] = checkpoint.tensor(name, shape)
            except ImportProblem as problem:
                reasons += problem.reasons
    for name, values in expected_constants.items():
        if name in arrays and not np.allclose(arrays[name], values, rtol=1e-6, atol=1e-6):
            k = int(np.argmax(np.abs(arrays[name] - values)))
            reasons.append(
                f"constant {name}[{k}] is {arrays[name][k]:.7g}, expected {values[k]:.7g}"
            )
    for copy, name in repeated.items():
        if copy in arrays and name in arrays and not np.array_equal(arrays[copy], arrays[name]):
            reasons.append(f"tensor {copy} differs from {name}, which it must repeat")
    if reasons:
        raise ImportProblem(*reasons)
    return {target: arrays[name] for name, (target, _) in weights.items()}, force_head


def write_checkpoint(path, arrays, force_head):
    """Write safetensors through a temporary file in the same folder, then rename."""
    network = {
        "cutoff": CUTOFF,
        "nfeat": NFEAT,
        "nblock": NBLOCK,
        "nrbf": NRBF,
        "force_head": force_head,
    }
    header = {
        "__metadata__": {
            "format": "godiff-checkpoint",
            "format_version": "1",
            "network": json.dumps(network, separators=(",", ":")),
        }
    }
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(
            prefix=os.path.basename(path) + ".", suffix=".tmp", dir=folder
        )
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(struct.pack("<Q", len(text)) + text)
            for array in arrays.values():
                handle.write(np.ascontiguousarray(array, dtype="<f4").tobytes())
            handle.flush()
            os.fsync(handle.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it private
        os.replace(temporary, path)
    except OSError as problem:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise ImportProblem(f"cannot be written: {problem.strerror or problem}") from None


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="import_agedi.py", description="Convert an AGeDi checkpoint for `fix godiff ... load`."
    )
    parser.add_argument("source", metavar="AGEDI.ckpt", help="Lightning checkpoint to read")
    parser.add_argument("target", metavar="GODIFF.ckpt", help="safetensors checkpoint to write")
    options = parser.parse_args(arguments)
    path = options.source
    try:
        if os.path.exists(options.target) and os.path.samefile(path, options.target):
            raise ImportProblem("is source and target at once: give another target")
        arrays, force_head = convert(Checkpoint(path))
        path = options.target
        write_checkpoint(path, arrays, force_head)
    except OSError as problem:
        print(f"import_agedi: error: {path} cannot be read: {problem.strerror}", file=sys.stderr)
        return 1
    except ImportProblem as problem:
        for reason in problem.reasons[:MAX_MESSAGES]:
            print(f"import_agedi: error: {path}: {printable(reason)}", file=sys.stderr)
        if len(problem.reasons) > MAX_MESSAGES:
            rest = len(problem.reasons) - MAX_MESSAGES
            print(f"import_agedi: error: {path}: and {rest} more", file=sys.stderr)
        return 1
    count = sum(array.size for array in arrays.values())
    heads = "score and force head" if force_head else "score head"
    print(f"{options.target}: {len(arrays)} tensors, {count} parameters, backbone with {heads}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
