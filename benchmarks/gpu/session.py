# SPDX-License-Identifier: GPL-2.0-only
"""What gpu_check runs, says and writes down: commands with time limits, facts, checks, times, the table."""

import datetime
import json
import os
import re
import signal
import subprocess
import threading
import time

# Milliseconds on a GPU of the class of an H100, by the name of the work.
TARGETS = {
    "training step S2/16": 1.0,
    "reverse step S2/128": 1.0,
    "medium MACE energies and forces of 128 slabs S2, float32": 100.0,
}
GRACE = 5.0  # seconds between asking a command to end and killing it


class Stop(Exception):
    """Nothing more can be done; the text says why."""


class Session:
    """Runs commands, keeps their output in a file, and collects what there is to say at the end."""

    def __init__(self, build, minutes):
        self.build = build
        self.build.mkdir(parents=True, exist_ok=True)
        self.log = open(self.build / "log", "w")
        self.facts = {}
        self.missing = []
        self.checks = []    # dicts, in order
        self.times = {}     # name of the work: dict of milliseconds and gigabytes
        self.failed = []
        self.timed_out = False  # whether the last command was
        self.begin = time.monotonic()
        self.minutes = minutes
        self.end = self.begin + 60.0 * minutes
        self.process = None

    def seconds(self):
        return time.monotonic() - self.begin

    def left(self):
        return self.end - time.monotonic()

    def say(self, text):
        line = f"[{self.seconds():5.0f} s] {text}"
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    def lacks(self, text):
        self.missing.append(text)
        self.say("missing: " + text)

    def fails(self, text):
        self.failed.append(text)
        self.say("FAILED: " + text)

    def has_time(self, what, least=5.0):
        """Whether `least` seconds are left; says that `what` is left out where not."""
        if self.left() >= least:
            return True
        self.lacks(f"time for {what} (--minutes)")
        return False

    def run(self, command, limit, environment=None, each_line=None, cwd=None):
        """Exit status of a command that may take `limit` seconds, less where less is left; what it prints goes to
        the log and to each_line. Whatever it started ends with it."""
        words = [str(word) for word in command]
        print("+", " ".join(words), file=self.log, flush=True)
        self.timed_out = False
        limit = max(1.0, min(limit, self.left()))
        try:
            process = subprocess.Popen(words, env=environment, cwd=cwd, text=True, errors="replace",
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            print(error, file=self.log, flush=True)
            return 127
        self.process = process

        def give_up():
            self.timed_out = True
            self.kill()

        timer = threading.Timer(limit, give_up)
        timer.start()
        try:
            for line in process.stdout:
                self.log.write(line)
                self.log.flush()
                if each_line:
                    each_line(line.rstrip("\n"))
            return process.wait()
        finally:
            timer.cancel()
            self.kill()
            self.process = None
            if self.timed_out:
                print(f"stopped after {limit:.0f} s", file=self.log, flush=True)

    def kill(self):
        """Ends the running command with all that it started; at once where it does not end by itself."""
        process = self.process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                pass

    def output(self, command, limit=30.0):
        """What a command prints; empty when it cannot be run, fails or takes too long."""
        try:
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                                  errors="replace", stdin=subprocess.DEVNULL, timeout=limit)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def text_since(self, place):
        """What the log has got from `place` on, a number of bytes; Session.place() says where it ends."""
        with open(self.build / "log", errors="replace") as file:
            file.seek(place)
            return file.read()

    def place(self):
        self.log.flush()
        return os.path.getsize(self.build / "log")

    def note_check(self, name, deviation, limit, verdict):
        self.checks.append({"check": name, "deviation": deviation, "limit": limit, "verdict": verdict})
        text = f"{name}: off by {deviation:.1e}, limit {limit:.1e}"
        if verdict == "ok":
            self.say(text)
        else:
            self.fails(f"{text}: {verdict}")

    def note_time(self, name, device, milliseconds, gigabytes=None):
        """`device` is cpu or cuda."""
        row = self.times.setdefault(name, {})
        row[device] = milliseconds
        if gigabytes is not None:
            row["peak_gb"] = gigabytes
        self.say(f"{name}: {milliseconds:.3f} ms on the {'CPU' if device == 'cpu' else 'GPU'}")


def first_error(text):
    """The first error of cmake, of a compiler or of a linker in `text`, in one line; empty where none is found."""
    found = re.search(r"^CMake Error[^\n]*:\n\s*\n?((?:  [^\n]*\n)+)", text, re.MULTILINE)
    if found:
        return " ".join(found.group(1).split())
    for pattern in (r"^(.*\b(?:fatal error|[Ee]rror)\b ?:.*)$", r"^(nvcc fatal.*)$",
                    r"^(.*undefined reference to.*)$", r"^(CMake Error.*)$", r"^(.*(?:Killed|No space left).*)$"):
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            return found.group(1).strip()
    return ""


def target_of(name):
    """Milliseconds that the work is to take; None where there is no such number."""
    return TARGETS.get(name.split(" (")[0].replace(" in a stage", ""))


def table(session):
    """All that is known so far, in Markdown."""
    lines = ["# gpu_check, " + datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), ""]
    lines += ["| | |", "|---|---|"] + [f"| {k} | {v} |" for k, v in session.facts.items()] + [""]
    if session.times:
        lines += ["Medians. Targets are those of a GPU of the class of an H100.", "",
                  "| work | ms on the GPU | target (ms) | | ms on the CPU | ratio | peak on the GPU (GB) |",
                  "|---|---|---|---|---|---|---|"]
        for name, row in session.times.items():
            gpu, cpu, peak, target = row.get("cuda"), row.get("cpu"), row.get("peak_gb"), target_of(name)
            verdict = ("met" if gpu <= target else "missed") if gpu and target else ""
            cells = [name, number(gpu, ".3f"), number(target, "g"), verdict, number(cpu, ".2f"),
                     number(cpu / gpu if gpu and cpu else None, ".1f"), number(peak, ".2f")]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    if session.checks:
        lines += ["| check | off by | limit | |", "|---|---|---|---|"]
        lines += [f"| {c['check']} | {c['deviation']:.1e} | {c['limit']:.1e} | {c['verdict']} |"
                  for c in session.checks]
        lines.append("")
    lines += [f"- missing: {text}" for text in session.missing]
    lines += [f"- FAILED: {text}" for text in session.failed]
    return "\n".join(lines) + "\n"


def number(value, how):
    return "" if value is None else format(value, how)


def write_results(session):
    """results.md and results.json; called after each part, so that they are there whatever happens next."""
    text = table(session)
    (session.build / "results.md").write_text(text)
    times = [{"time": name, "target_ms": target_of(name), **row} for name, row in session.times.items()]
    (session.build / "results.json").write_text(json.dumps(
        {"facts": session.facts, "checks": session.checks, "times": times, "missing": session.missing,
         "failed": session.failed, "seconds": round(session.seconds(), 1)}, indent=1))
    return text
