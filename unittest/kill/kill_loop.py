# SPDX-License-Identifier: GPL-2.0-only
"""Kills a search again and again, resumes it each time, and compares what comes out with a run that
nobody has disturbed.

    kill_loop.py --build build/release --case CASE [--kills N] [--seed S]
    kill_loop.py --build build/release --input FILE --prefix PREFIX [--kills N] ...

A case is a small search of this script, see CASES. An input of your own must have a `fix godiff` with
`resume yes` and `save PREFIX`; it runs in a copy of its folder, on one rank.

Kills are SIGKILL to the whole process group, in turn
  * before or in the middle of a certain call that changes one of the files of the search (write, rename,
    sync, cut, create, unlink), with kill_at.cpp preloaded,
  * in a certain passage through sampling, training or evaluation, with the plugin variant that fails on
    demand (GODIFF_FAULT),
  * at a moment in time.
When a search ends before all kills are used up, another one begins. The case `every-call` does not draw:
it copies the files before and in the middle of every such call of one run, as a kill would leave them, and
resumes each of these states.

Checked after every kill: .csv and .xyz are a beginning of those of the undisturbed run, and .ckpt is
complete. Checked at the end: .csv, .xyz and .best are the same byte for byte, so are all numbers in .ckpt
but the seconds, and nothing else is left. No energy is evaluated twice: a fix print in front of the fix
writes the energy of every evaluation to a file of its own at once; when a run has been killed the last line
of each world may be followed by the same energy again, every other line is there once."""

import argparse
import collections
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

CASES = {
    "plain": {},
    "relax": {"words": "relax 3 1e-6"},
    "guided": {"words": "guide 0.2 extra 2 switch optim_reset no anneal adaptive 2"},
    "ranks": {"layouts": ["2"]},
    "worlds": {"layouts": ["2x1"]},
    "relaxed-worlds": {"layouts": ["2x1"], "words": "relax 3 1e-6"},
    "layouts": {"layouts": ["1", "2x1"], "words": "relax 2 1e-6"},
    "read_restart": {"restart": True},
    "read_restart-relax": {"restart": True, "words": "relax 3 1e-6"},
    "every-call": {"every_call": True, "stages": 2},
    "every-call-relax": {"every_call": True, "stages": 2, "words": "relax 1 1e-6 guide 0.2"},
}
PREFIX = "k"
SECONDS = {"search.totals": (12, 9), "search.stages": (18, 15), "search.current": (18, 15)}
TIMEOUT = 300.0
MAGIC = b"LammpS RestartT\0"  # at both ends of a whole restart file


class Failure(Exception):
    """What the search has done wrong."""


def slab():
    """Two layers of a square lattice and two mobile atoms."""
    lines = ["slab\n", "20 atoms", "1 atom types\n", "0.0 8.1 xlo xhi", "0.0 8.1 ylo yhi",
             "-2.0 10.0 zlo zhi\n", "Masses\n", "1 100.0\n", "Atoms # atomic\n"]
    for i in range(18):
        layer, y, x = i // 9, i // 3 % 3, i % 3
        lines.append(f"{i + 1} 1 {(x + 0.5 * layer) * 2.7:.12g} {(y + 0.5 * layer) * 2.7:.12g} "
                     f"{layer * 1.9:.12g}")
    lines += ["19 1 1.0 1.0 4.5", "20 1 3.5 1.0 4.5"]
    return "\n".join(lines) + "\n"


def script(case, layout, restart_file=None):
    """The input of a case; with a restart file, the one that goes on from it."""
    world = "world 0 1" if "x" in layout else "string 0"
    begin = f"read_restart {restart_file}" if restart_file else (
        "units metal\nboundary p p f\nread_data data.slab\ngroup template id 1:18\n"
        "group mobile subtract all template")
    restart = "restart 2 a.restart b.restart" if case.get("restart") else ""
    return f"""variable w {world}
{begin}
pair_style lj/cut 5.0
pair_coeff * * 0.25 2.4
variable e equal pe
variable text format e %.17g
print begin append evaluations.${{w}} screen no
fix count all print 1 "${{text}}" append evaluations.${{w}} screen no title ""
fix s mobile godiff {case.get("stages", 3)} 5 4711 20000 300 elements Pt confine above 1.0 4.0 buffer 8 &
    train 6 5 network 4.0 16 1 8 sample em 5 0.01 energy -1000.0 100.0 {case.get("words", "")} &
    save {PREFIX} every 0 resume yes
fix freeze template setforce 0.0 0.0 0.0
thermo 1
{restart}
run 1000
"""


def checkpoint(path):
    """The numbers of a checkpoint by name, without the seconds; raises when it is not complete."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            tensors["settings"] = info["settings"]
            continue
        begin, end = info["data_offsets"]
        if 8 + size + end > len(data):
            raise Failure(f"{path} ends within {name}")
        part = data[8 + size + begin:8 + size + end]
        if name in SECONDS:
            width, kept = SECONDS[name]
            part = b"".join(part[8 * row:8 * (row + kept)]
                            for row in range(0, len(part) // 8, width))
        tensors[name] = part
    return tensors


def content(folder, name):
    """The bytes of a file, none when it is not there."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


class Loop:
    """One case: its programs, its undisturbed run, and what has been seen so far."""

    def __init__(self, options):
        self.options = options
        self.case = dict(CASES[options.case]) if options.case else {}
        self.layouts = self.case.get("layouts", ["1"])
        self.prefix = options.prefix or PREFIX
        self.random = random.Random(options.seed)
        self.folder = os.path.join(options.build, "scratch", "kill", options.case or "input")
        if options.without_journals:
            self.folder += "-without-journals"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.seen = collections.Counter()
        self.runs = 0
        self.seconds = 1.0

    def kind(self, name):
        """The ending of a file, also of the one that is going to replace it."""
        return re.sub("[.]tmp[.].*", "", name[len(self.prefix):])

    def new_folder(self, name):
        folder = os.path.join(self.folder, name)
        if self.options.input:
            shutil.copytree(os.path.dirname(os.path.abspath(self.options.input)), folder)
        else:
            os.makedirs(folder)
            with open(os.path.join(folder, "data.slab"), "w", encoding="ascii") as file:
                file.write(slab())
        return folder

    def command(self, folder, layout, faulty, restart_file):
        if self.options.input:
            name = os.path.basename(self.options.input)
        else:
            name = "in.kill"
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(script(self.case, layout, restart_file))
        build = self.options.build
        lmp = os.path.join(build, "faulty", "lmp") if faulty else os.path.join(build, "..", "lmp")
        words = [lmp, "-in", name, "-nocite"]
        if layout != "1":
            ranks = math.prod(int(number) for number in layout.split("x"))
            words = [os.path.join(build, "..", "mpirun"), "-np", str(ranks)] + words
        return words + (["-partition", layout] if "x" in layout else [])

    def start(self, folder, layout, extra=None, restart_file=None, descriptors=()):
        env = {k: v for k, v in os.environ.items() if not k.startswith("GODIFF_")}
        env.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"})
        env.update(extra or {})
        with open(os.path.join(folder, "screen"), "wb") as screen:
            self.runs += 1
            return subprocess.Popen(
                self.command(folder, layout, "GODIFF_FAULT" in env, restart_file), cwd=folder, env=env,
                stdin=subprocess.DEVNULL, stdout=screen, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=descriptors)

    def finish(self, process, folder, limit=None):
        """Waits, for `limit` seconds at most, and kills what is left; the exit status."""
        try:
            process.wait(limit or TIMEOUT)
        except subprocess.TimeoutExpired:
            if not limit:
                raise Failure(f"the run in {folder} does not end") from None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        text = self.screen(folder)
        if "ERROR" in text or (process.returncode == 0 and "Total wall time" not in text):
            raise Failure(f"the run in {folder} has failed:\n{text[-3000:]}")
        return process.returncode

    @staticmethod
    def screen(folder):
        names = [n for n in os.listdir(folder) if n.startswith("screen") or n.startswith("log.")]
        return "".join(content(folder, n).decode(errors="replace") for n in sorted(names))

    def undisturbed(self):
        """The run that all others are compared with, and the number of calls for each file in it."""
        folder = self.new_folder("undisturbed")
        begin = time.monotonic()
        trace = os.path.join(folder, "trace")
        process = self.start(folder, self.layouts[0],
                             {"LD_PRELOAD": self.options.shim, "GODIFF_KILL_NAME": self.prefix + ".",
                              "GODIFF_KILL_TRACE": trace})
        if self.finish(process, folder) != 0:
            raise Failure("the undisturbed run has failed: " + self.screen(folder)[-3000:])
        self.seconds = time.monotonic() - begin
        self.reference = folder
        self.energies = self.evaluations(folder)
        names = [line.split()[2] for line in content(folder, "trace").decode().splitlines()]
        self.calls = collections.Counter(self.kind(name) for name in names)

    @staticmethod
    def evaluations(folder):
        """By world the lines that its steps have left: energies of candidates, "" for other lines."""
        found = {}
        for name in sorted(os.listdir(folder)):
            if not name.startswith("evaluations."):
                continue
            lines = content(folder, name).decode().split()
            # After "begin" comes the energy of the setup. A step in which there is nothing to evaluate
            # finds the structure of the line before.
            found[name] = ["" if "begin" in (line, before) or line == before else line
                           for before, line in zip([""] + lines, lines)]
        return found

    def compare_part(self, folder):
        """What a kill has left."""
        for ending in (".csv", ".xyz"):
            mine = content(folder, self.prefix + ending)
            if not content(self.reference, self.prefix + ending).startswith(mine):
                raise Failure(f"{folder}: {ending} is no beginning of that of the undisturbed run")
        if os.path.exists(os.path.join(folder, self.prefix + ".ckpt")):
            checkpoint(os.path.join(folder, self.prefix + ".ckpt"))

    def compare_whole(self, folder):
        """What the resumed run has made of it."""
        for ending in (".csv", ".xyz", ".best"):
            mine, other = (content(f, self.prefix + ending) for f in (folder, self.reference))
            if mine != other:
                raise Failure(f"{folder}: {ending} differs from that of the undisturbed run")
        frames = content(folder, self.prefix + ".xyz").count(b"Lattice=")
        lines = content(folder, self.prefix + ".csv").count(b"\n") - 1
        if lines < 1 or frames not in (0, lines):
            raise Failure(f"{folder}: {lines} lines in .csv, {frames} frames in .xyz")
        mine, other = (checkpoint(os.path.join(f, self.prefix + ".ckpt"))
                       for f in (folder, self.reference))
        if len(other) < 15 or sorted(mine) != sorted(other):
            raise Failure(f"{folder}: .ckpt has other tensors: {sorted(set(mine) ^ set(other))}")
        for name, data in mine.items():
            if data != other[name]:
                raise Failure(f"{folder}: {name} in .ckpt differs from that of the undisturbed run")
        mine, other = (sorted(n for n in os.listdir(f) if n.startswith(self.prefix + "."))
                       for f in (folder, self.reference))
        if mine != other:
            raise Failure(f"{folder}: there is {mine} instead of {other}")

    def count_evaluations(self, folder, torn):
        """No energy twice, but those on the way to the journal when the run was killed."""
        wanted = {e for energies in self.energies.values() for e in energies if e}
        times = collections.Counter()
        for name, lines in self.evaluations(folder).items():
            cuts = torn.get(name, set())
            for i, energy in enumerate(lines):
                if energy in wanted and i + 1 not in cuts:
                    times[energy] += 1
        twice = [e for e, n in times.items() if n > 1]
        if twice:
            raise Failure(f"{folder}: evaluated again: {' '.join(twice)}")

    def kill_plan(self):
        """How the next run is to be killed: environment, name, seconds."""
        kind = self.random.choice(("call", "call", "phase", "moment"))
        if kind == "call":
            file, calls = self.random.choice(sorted(self.calls.items()))
            rank, at = 0, self.random.randint(1, max(3, calls // 2))
            if file == ".journal" and "2x1" in self.layouts:
                rank, at = self.random.randint(0, 1), self.random.randint(1, 5)
            return {"LD_PRELOAD": self.options.shim, "GODIFF_KILL_NAME": self.prefix + file,
                    "GODIFF_KILL_RANK": str(rank), "GODIFF_KILL_AT": str(at),
                    "GODIFF_KILL_HALF": str(self.random.randint(0, 1))}, "call", None
        if kind == "phase":
            phase = self.random.choice(("sample", "train", "evaluate"))
            passage = self.random.randint(1, 6)
            return {"GODIFF_FAULT": f"{phase}:0:kill:{passage}"}, phase, None
        return {}, "moment", self.random.uniform(0.2, 1.0) * self.seconds

    def newest_restart(self, folder):
        """The restart file that LAMMPS has completed last; none when there is none yet."""
        paths = [os.path.join(folder, n) for n in ("a.restart", "b.restart")]
        whole = [p for p in paths if self.case.get("restart") and content("", p)[-len(MAGIC):] == MAGIC]
        return os.path.basename(max(whole, key=os.path.getmtime)) if whole else None

    def one_search(self, number, kills):
        """Kills and resumes one search until it ends; the number of kills."""
        folder = self.new_folder(f"search{number}")
        torn = collections.defaultdict(set)
        done = 0
        while True:
            layout = self.layouts[done % len(self.layouts)]
            env, name, limit = ({}, "", None) if done == kills else self.kill_plan()
            trace = os.path.join(folder, "trace")
            if os.path.exists(trace):
                os.remove(trace)
            env.setdefault("GODIFF_KILL_TRACE", trace)
            process = self.start(folder, layout, env, self.newest_restart(folder))
            if self.finish(process, folder, limit) == 0:
                break
            if name == "call":
                calls = content(folder, "trace").decode().splitlines()
                if not calls or calls[-1].split()[0] != env["GODIFF_KILL_AT"]:
                    raise Failure(f"the run in {folder} died by itself:\n{self.screen(folder)[-3000:]}")
                what, file = calls[-1].split()[1:3]
                half = " half" if what == "write" and env["GODIFF_KILL_HALF"] == "1" else ""
                name = f"{what}{half} {self.kind(file)}"
            elif name != "moment" and f"FAULT kill at {name}" not in self.screen(folder):
                raise Failure(f"the run in {folder} died by itself:\n{self.screen(folder)[-3000:]}")
            done += 1
            self.seen[name] += 1
            for world, lines in self.evaluations(folder).items():
                torn[world].add(len(lines))
            self.compare_part(folder)
            if self.options.without_journals:
                for ending in (".journal", ".journal.1"):
                    if os.path.exists(os.path.join(folder, self.prefix + ending)):
                        os.remove(os.path.join(folder, self.prefix + ending))
        self.compare_whole(folder)
        self.count_evaluations(folder, torn)
        if not self.options.keep:
            shutil.rmtree(folder)
        return done

    def search_again_and_again(self):
        done = number = 0
        while done < self.options.kills:
            number += 1
            done += self.one_search(number, self.options.kills - done)
        return f"{done} kills of {number} searches"

    def state(self, folder):
        """A digest of the files that a kill leaves; of those being written only the names count."""
        digest = hashlib.sha256()
        for name in sorted(os.listdir(folder)):
            if not name.startswith(self.prefix + "."):
                continue
            kind = re.sub("[.]tmp[.].*", ".tmp", name)
            digest.update(kind.encode() + b"\n")
            if kind == name:
                digest.update(content(folder, name))
        return digest.hexdigest()

    def every_call(self):
        folder = self.new_folder("watched")
        to_run, from_run = os.pipe(), os.pipe()
        process = self.start(
            folder, "1",
            {"LD_PRELOAD": self.options.shim, "GODIFF_KILL_NAME": self.prefix + ".",
             "GODIFF_KILL_TRACE": os.path.join(folder, "trace"),
             "GODIFF_KILL_PIPES": f"{to_run[0]} {from_run[1]}"}, descriptors=(to_run[0], from_run[1]))
        os.close(from_run[1])
        states = {}
        with os.fdopen(from_run[0], "r", encoding="ascii") as calls:
            for line in calls:
                state = self.state(folder)
                if state not in states:
                    states[state] = line.split()
                    copy = os.path.join(self.folder, f"state{len(states)}")
                    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("screen", "log.*"))
                os.write(to_run[1], b"g")
        os.close(to_run[0])
        os.close(to_run[1])
        if self.finish(process, folder) != 0:
            raise Failure("the watched run has failed: " + self.screen(folder)[-3000:])
        self.compare_whole(folder)
        trace = [line.split() for line in content(folder, "trace").decode().splitlines()]
        for number, (call, half) in enumerate(states.values(), 1):
            copy = os.path.join(self.folder, f"state{number}")
            self.compare_part(copy)
            torn = {w: {len(lines)} for w, lines in self.evaluations(copy).items()}
            if self.finish(self.start(copy, "1"), copy) != 0:
                raise Failure(f"{copy} cannot be resumed: {self.screen(copy)[-3000:]}")
            self.compare_whole(copy)
            self.count_evaluations(copy, torn)
            what, file = trace[int(call) - 1][1:3]
            self.seen[f"{what}{' half' if half == '1' else ''} "
                      f"{self.kind(file)}"] += 1
            if not self.options.keep:
                shutil.rmtree(copy)
        return f"{len(trace)} calls left {len(states)} different states"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--case", choices=CASES)
    what.add_argument("--input", help="an input of your own, with resume yes")
    parser.add_argument("--prefix", help="what keyword save of the input says")
    parser.add_argument("--build", required=True, help="build folder, with tests")
    parser.add_argument("--shim", help="default BUILD/kill/godiff_kill_at.so")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-journals", action="store_true",
                        help="remove them after each kill: energies are evaluated again, which is seen")
    parser.add_argument("--keep", action="store_true", help="keep the folders of what went well")
    options = parser.parse_args()
    if options.input and not options.prefix:
        parser.error("--input needs --prefix")
    options.build = os.path.abspath(options.build)
    options.shim = os.path.abspath(options.shim or
                                   os.path.join(options.build, "kill", "godiff_kill_at.so"))
    if not os.path.exists(options.shim):
        parser.error(f"{options.shim} is not there: build the target godiff_kill_at")
    loop = Loop(options)
    try:
        loop.undisturbed()
        result = loop.every_call() if loop.case.get("every_call") else loop.search_again_and_again()
    except Failure as failure:
        print(f"FAILED after {loop.runs} runs: {failure}")
        return 1
    for name, times in sorted(loop.seen.items()):
        print(f"{times:5d} {name}")
    print(f"{result}, {loop.runs} runs: as if nothing had happened")
    return 0


if __name__ == "__main__":
    sys.exit(main())
