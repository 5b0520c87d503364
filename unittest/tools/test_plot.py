# SPDX-License-Identifier: GPL-2.0-only
"""Tests of tools/godiff_plot.py on made-up runs: readers, statistics, pictures, messages."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(HERE, "..", "..", "tools")
sys.path[:0] = [HERE, TOOLS]

import godiff_map  # noqa: E402
import godiff_plot  # noqa: E402
import godiff_runs as gr  # noqa: E402
import synthetic_run as made  # noqa: E402

HEADER = made.HEADER


def write(path, text):
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)


def call(*arguments):
    """Exit status, stdout and stderr of the command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = godiff_plot.main([str(a) for a in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
    return status, out.getvalue(), err.getvalue()


def png_size(path):
    with open(path, "rb") as handle:
        head = handle.read(24)
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


class Folder(unittest.TestCase):
    """A test with a temporary folder and an adatom run in it."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.cell, self.template, self.stages = made.adatom_stages(
            np.random.default_rng(1), count=4, samples=12
        )

    def path(self, name):
        return os.path.join(self.folder, name)

    def adatom(self, name="run", **more):
        made.write_run(self.path(name), self.cell, self.template, self.stages, **more)
        return self.path(name) + ".csv"

    def text(self, name):
        with open(self.path(name), encoding="ascii") as handle:
            return handle.read()


class Reading(Folder):
    def test_table(self):
        run = gr.read_run(self.adatom())
        energies = np.concatenate([stage[2] for stage in self.stages])
        self.assertEqual(len(run.energy), 48)
        self.assertEqual(run.status[3], "failed")
        self.assertTrue(np.isnan(run.energy[3]))
        keep = np.arange(48) != 3
        np.testing.assert_allclose(run.energy[keep], energies[keep], rtol=1e-9)
        np.testing.assert_array_equal(run.stage, np.repeat([1, 2, 3, 4], 12))
        self.assertEqual(run.notes, [])
        self.assertEqual(gr.read_run(self.path("run")).path, run.path)

    def test_best_so_far_ignores_low_and_failed(self):
        rows = [
            "1,1,1,300,-1,1,ok,0,-1",
            "2,2,1,300,-9,1,low,0,-1",
            "3,4,1,300,nan,nan,failed,-1,-1",
        ]
        rows += ["4,5,2,200,-2,1,high,0,-1", "5,6,2,200,-1.5,1,ok,0,-1"]
        write(self.path("few.csv"), HEADER + "\n".join(rows) + "\n")
        run = gr.read_run(self.path("few"))
        np.testing.assert_array_equal(run.best_so_far(), [-1, -1, -1, -2, -2])
        self.assertEqual(run.ladder(), {1: 300.0, 2: 200.0})

    def test_frames(self):
        run = gr.read_run(self.adatom())
        frames = gr.read_frames(run)
        placed = np.concatenate([stage[1] for stage in self.stages])
        np.testing.assert_allclose(frames.mobile, placed, atol=1e-6)
        np.testing.assert_allclose(frames.template, self.template, atol=1e-6)
        np.testing.assert_allclose(frames.cell, self.cell, atol=1e-6)
        self.assertEqual(frames.pbc.tolist(), [True, True, False])
        self.assertEqual((frames.mobile_numbers, len(frames.template_numbers)), ([78], 20))

    def test_partly_written_last_lines(self):
        path = self.adatom()
        write(path, self.text("run.csv")[:-20])
        run = gr.read_run(path)
        self.assertEqual(len(run.energy), 47)
        self.assertIn("only partly written", run.notes[0])
        # A cut that still parses (an offset with fewer digits) is as suspect.
        self.adatom()
        write(path, self.text("run.csv")[:-2])
        self.assertEqual(len(gr.read_run(path).energy), 47)
        self.adatom()
        write(self.path("run.xyz"), self.text("run.xyz")[:-30])
        frames = gr.read_frames(gr.read_run(path))
        self.assertTrue(np.all(np.isnan(frames.mobile[-1])))
        self.assertIn("only partly written", frames.notes[0])

    def test_without_structures(self):
        path = self.adatom()
        os.remove(self.path("run.xyz"))
        run = gr.read_run(path)
        self.assertIsNone(gr.read_frames(run))
        self.assertIn("run.xyz does not exist", run.notes[0])
        rows = self.text("run.csv").splitlines()
        rows[1:] = [row.rsplit(",", 1)[0] + ",-1" for row in rows[1:]]
        write(path, "\n".join(rows) + "\n")
        write(self.path("run.xyz"), "")
        run = gr.read_run(path)
        self.assertIsNone(gr.read_frames(run))
        self.assertIn("dumpall no", run.notes[0])


class Surfaces(Folder):
    def grid(self, n1, n2, first=(0.0, 0.0), digits=6, closed=False, order=None):
        """Lines of a plane wave on a grid of the cell; its values as they should be read."""
        rows, values = [], np.empty((n1, n2))
        for i in range(n1 + closed):
            for j in range(n2 + closed):
                f = np.array([first[0] + i / n1, first[1] + j / n2])
                x, y = f @ self.cell[:2, :2]
                energy = np.cos(2 * np.pi * f[0]) + 0.3 * np.sin(2 * np.pi * f[1])
                values[i % n1, j % n2] = energy
                rows.append(f"{x:.{digits}f} {y:.{digits}f} {energy:.6f}")
        if order is not None:
            rows = [rows[k] for k in order.permutation(len(rows))]
        write(self.path("surface.txt"), "# x y Emin\n" + "\n".join(rows) + "\n")
        return values

    def read(self, origin=(0.0, 0.0, 0.0)):
        return gr.read_surface(self.path("surface.txt"), self.cell, np.array(origin))

    def test_grids(self):
        rng = np.random.default_rng(3)
        for case in (
            dict(n1=12, n2=7),
            dict(n1=12, n2=7, order=rng),
            dict(n1=48, n2=32, digits=4),
            dict(n1=9, n2=5, closed=True),
            dict(n1=10, n2=6, first=(0.05, 1 / 12)),
        ):
            values = self.grid(**case)
            surface = self.read()
            start = np.array(case.get("first", (0.0, 0.0)))
            shift = (surface.first - start) * values.shape
            np.testing.assert_allclose(shift, np.round(shift), atol=0.02)
            turn = tuple(-np.round(shift).astype(int))
            np.testing.assert_allclose(
                np.roll(surface.value, np.negative(turn), axis=(0, 1)), values, atol=2e-6
            )

    def test_origin(self):
        values = self.grid(8, 6)
        surface = self.read(origin=0.5 * self.cell[0])
        place = np.round(np.mod(surface.first + [0.5, 0.0], 1.0) * [8, 6]).astype(int)
        self.assertAlmostEqual(surface.value[0, 0], values[place[0] % 8, place[1] % 6], places=5)

    def test_complaints(self):
        self.grid(8, 6)
        lines = self.text("surface.txt").splitlines()
        for text, message in (
            ("\n".join(lines[:20] + lines[21:]), "8 x 6 grid with 1 points missing"),
            ("\n".join(lines[:5] + ["1.0 2.0"]), "line 6: expected three numbers"),
            ("\n".join(lines[:5] + ["1.0 2.0 low"]), "line 6: expected three numbers"),
            ("# nothing\n", "0 points are no grid"),
        ):
            write(self.path("surface.txt"), text)
            with self.assertRaisesRegex(gr.RunError, message):
                self.read()
        rng = np.random.default_rng(4)
        rows = [f"{x} {y} 0.0" for x, y in rng.random((50, 2)) * 5]
        write(self.path("surface.txt"), "\n".join(rows))
        with self.assertRaisesRegex(gr.RunError, "not a regular grid"):
            self.read()


class Statistics(unittest.TestCase):
    def test_wilson(self):
        # Closed form at the ends: z^2/(n+z^2); the middle from the quadratic it solves.
        z = 1.959963984540054
        self.assertEqual(godiff_plot.wilson_interval(8, 8)[1], 1.0)
        self.assertAlmostEqual(godiff_plot.wilson_interval(8, 8)[0], 8 / (8 + z * z), 12)
        self.assertAlmostEqual(godiff_plot.wilson_interval(0, 8)[1], z * z / (8 + z * z), 12)
        low, high = godiff_plot.wilson_interval(5, 8)
        for p in (low, high):
            self.assertAlmostEqual((5 / 8 - p) ** 2, z * z * p * (1 - p) / 8, 12)
        self.assertAlmostEqual(low, 0.3057, 4)
        self.assertAlmostEqual(high, 0.8632, 4)

    def test_best_on_grid(self):
        def run(evaluation, energy):
            n = len(evaluation)
            status = np.array(["failed" if np.isnan(e) else "ok" for e in energy])
            zeros = np.zeros(n, dtype=int)
            return gr.Run(
                "a.csv", "a", zeros, np.array(evaluation), zeros, zeros, np.array(energy),
                status, zeros, [],
            )  # fmt: skip

        grid, table = godiff_plot.best_on_grid(
            [run([1, 3, 6], [2.0, 1.0, 1.5]), run([2, 3], [np.nan, 4.0])]
        )
        np.testing.assert_array_equal(grid, [1, 2, 3, 6])
        np.testing.assert_array_equal(table[0], [2, 2, 1, 1])
        np.testing.assert_array_equal(table[1], [np.nan, np.nan, 4, 4])


class Maps(Folder):
    def test_periodic_copies_fill_the_window(self):
        run = gr.read_run(self.adatom(origin=(1.0, -2.0, 0.0)))
        frames = gr.read_frames(run)
        low, high = np.array([-7.0, -9.0]), np.array([20.0, 15.0])
        # A lattice of points has the density of one per cell area wherever one looks.
        copies, index = godiff_map.repeat(frames.mobile[0], frames, low, high)
        n = np.arange(-9, 10)
        shifts = np.stack(np.meshgrid(n, n), axis=-1).reshape(-1, 2) @ frames.cell[:2, :2]
        every = frames.mobile[0][0, :2] + shifts
        every = every[np.all((every > low) & (every < high), axis=1)]
        self.assertEqual(len(copies), len(every))
        self.assertGreater(len(copies), 10)
        np.testing.assert_allclose(
            copies[np.lexsort(copies.round(6).T)], every[np.lexsort(every.round(6).T)], atol=1e-6
        )
        frames.pbc = np.array([False, False, False])
        copies, _ = godiff_map.repeat(frames.mobile[0], frames, low, high)
        self.assertEqual(len(copies), 1)

    def test_surface_from_candidates(self):
        run = gr.read_run(self.adatom())
        frames = gr.read_frames(run)
        value = godiff_map.binned_surface([run], [frames])
        shown = run.counted
        plane = frames.cell[:2, :2]
        # Brute force at every tenth pixel: the lowest candidate within the disc, images included.
        n = np.arange(-1, 2)
        shifts = np.stack(np.meshgrid(n, n), axis=-1).reshape(-1, 2) @ plane
        points = (frames.mobile[shown][:, 0, :2][None] + shifts[:, None]).reshape(-1, 2)
        energies = np.tile(run.energy[shown], 9)
        reach, blur = godiff_map.REACH, 0.12  # a point counts at the middle of its bin
        checked = 0
        for i in range(0, value.shape[0], 10):
            for j in range(0, value.shape[1], 10):
                pixel = (np.array([i, j]) + 0.5) / value.shape @ plane
                distance = np.linalg.norm(points - pixel, axis=1)
                inner = np.min(energies[distance < reach - blur], initial=np.inf)
                outer = np.min(energies[distance < reach + blur], initial=np.inf)
                if inner == outer and np.isfinite(inner):
                    self.assertEqual(value[i, j], inner)
                    checked += 1
                elif np.isinf(outer):
                    self.assertTrue(np.isnan(value[i, j]))
                    checked += 1
        self.assertGreater(checked, 20)


class CommandLine(Folder):
    def test_pictures_of_one_run(self):
        path = self.adatom()
        made.write_surface(self.path("surface.txt"), self.cell, self.template, 12, 8)
        status, out, err = call(
            path, "--out", self.path("new/pics"), "--surface", self.path("surface.txt"),
            "--target", "-103.25",
        )  # fmt: skip
        self.assertEqual((status, err), (0, ""))
        names = [f"run_{what}.png" for what in ("energies", "candidates", "best")]
        self.assertEqual(sorted(os.listdir(self.path("new/pics"))), sorted(names))
        self.assertEqual([os.path.basename(line) for line in out.split()], names)
        for name in names:
            width, height = png_size(self.path("new/pics/" + name))
            self.assertGreater(min(width, height), 600)

    def test_success_by_energy(self):
        names = []
        for seed in range(1, 6):
            _, _, stages = made.adatom_stages(np.random.default_rng(seed), count=4, samples=12)
            stages = [(t, r, np.maximum(e, -102.0), s) for t, r, e, s in stages]
            if seed in (2, 3, 5):
                stages[3][2][seed] = -103.0  # candidates 39, 40 and 42
            made.write_run(self.path(f"s{seed}"), self.cell, self.template, stages)
            names.append(self.path(f"s{seed}"))
        status, out, err = call(
            *names, "--success", "--target", -103.04, "--tolerance", 0.05, "--out", self.folder
        )
        self.assertEqual((status, err), (0, ""))
        self.assertIn("runs 5, successes 3, 95 % Wilson interval 0.231 to 0.882", out)
        self.assertIn("over the 3 successful: median 40, mean 40.3333", out)
        self.assertIn("s1                48           48       -102.000000              -", out)
        self.assertIn("s5                48           48       -103.000000             42", out)
        self.assertTrue(os.path.exists(self.path("godiff_success.png")))
        status, out, _ = call(
            *names, "--success", "--target", -103.04, "--tolerance", 0.03, "--out", self.folder
        )
        self.assertIn("successes 0, 95 % Wilson interval 0.000 to 0.434", out)

    def test_success_by_fingerprint(self):
        cell, template = made.terrace()
        rng = np.random.default_rng(8)
        for name, hit in (("a", 4), ("b", None)):
            stages = []
            for k, temperature in enumerate(made.ladder(2)):
                loose = rng.random((5, 7, 3)) * [8, 14, 4] + [0, 0, 3.3]
                if k == 1 and hit is not None:
                    # Across the cell's corner, atoms on all sides of it.
                    loose[hit] = made.hexagon([0.1, 0.1, 4.5]) + rng.normal(0, 0.03, (7, 3))
                stages.append((temperature, loose, rng.uniform(-300, -290, 5), ["ok"] * 5))
            made.write_run(self.path(name), cell, template, stages)
        status, out, err = call(
            self.path("a"), self.path("b"), "--success", "--fingerprint", "hexagon",
            "--out", self.folder, "--prefix", "both",
        )  # fmt: skip
        self.assertEqual(status, 0)
        self.assertIn("successes 1, 95 % Wilson interval 0.095 to 0.905", out)
        self.assertIn("over the 1 successful: median 10, mean 10", out)
        self.assertIn("several mobile atoms", err)
        self.assertTrue(os.path.exists(self.path("both_candidates.png")))

    def test_odd_runs_still_draw(self):
        # One candidate; equal energies; stages with a single candidate; high ones only.
        rows = {
            "one": ["1,1,1,300,-1,1,ok,0,-1"],
            "equal": [f"{k},{k},{(k + 9) // 10},300,-1,1,ok,0,-1" for k in range(1, 31)],
            "high": [f"{k},{2 * k},{k},{300 / k},{5.0 * k},1,high,0,-1" for k in range(1, 4)],
        }
        for name, lines in rows.items():
            write(self.path(name + ".csv"), HEADER + "\n".join(lines) + "\n")
            status, _, err = call(self.path(name), "--out", self.folder)
            self.assertEqual(status, 0, err)
            self.assertTrue(os.path.exists(self.path(name + "_energies.png")))

    def test_runs_that_do_not_match(self):
        self.adatom("a")
        self.stages = [(1.5 * t, r, e, s) for t, r, e, s in self.stages]
        self.adatom("b")
        status, _, err = call(self.path("a"), self.path("b"), "--out", self.folder)
        self.assertEqual(status, 0)
        self.assertIn("b.csv: other temperatures than", err)

    def test_one_line_errors(self):
        good = self.adatom("good")
        text, frames = self.text("good.csv"), self.text("good.xyz")
        lines = text.splitlines()
        cases = {
            "empty.csv": ("", "is empty"),
            "foreign.csv": ("a,b,c\n1,2,3\n", "not a candidate table of fix godiff"),
            "binary.csv": ("\x00\x01\n", "not a candidate table of fix godiff"),
            "header.csv": (HEADER, "holds no complete candidate line"),
            "cuthead.csv": (HEADER[:-1], "holds no complete candidate line"),
            "hole.csv": ("\n".join(lines[:4] + [lines[4][:9]] + lines[5:]) + "\n", "line 5 has"),
            "word.csv": (text.replace("\n2,2,", "\n2,two,"), "line 3: evaluation is 'two'"),
            "status.csv": (text.replace(",ok,", ",fine,", 1), "line 2: status is 'fine'"),
            "twice.csv": (text + "\n".join(lines[1:]) + "\n", "two runs share the file"),
            "nan.csv": (HEADER + "1,1,1,9,nan,1,ok,0,-1\n", "energy is nan but status is ok"),
            "failed.csv": (HEADER + "1,1,1,9,nan,nan,failed,-1,-1\n", "none of its 1 candidates"),
        }
        for name, (content, message) in cases.items():
            write(self.path(name), content)
            self.check_error(message, self.path(name))
        self.check_error("cannot read .*absent.csv: No such file", self.path("absent.csv"))
        self.check_error("is given twice", good, self.path("good"))
        self.check_error("there is no stage 9: expected 1 to 4", good, "--stages", "1,9")
        self.check_error("cannot make the folder", good, "--out", self.path("good.csv/x"))
        self.check_error("cannot read .*gone", good, "--surface", self.path("gone"))

        xyz = {
            "half": (frames[: len(frames) // 2], "is truncated"),
            "shifted": (" " + frames, "no atom count there|belongs to another run"),
            "numbered": (frames.replace("candidate=7 ", "candidate=8 "), "it says candidate=8"),
            "plain": (frames.replace("Lattice=", "Lattixx="), "no Lattice= in the comment"),
            "columns": (frames.replace(":mobile:I:1", ":mobil_:I:1"), "lacks species, pos or mob"),
            "element": (frames.replace("Pt 0.0", "Xx 0.0"), "unknown element 'Xx'"),
        }
        for name, (content, message) in xyz.items():
            write(self.path(name + ".csv"), text)
            write(self.path(name + ".xyz"), content)
            self.check_error(message, self.path(name))

    def check_error(self, message, *arguments):
        if "--out" not in arguments:
            arguments += ("--out", self.folder)
        status, _, err = call(*arguments)
        self.assertEqual(status, 1, f"{arguments}: {err}")
        self.assertRegex(err, message)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertTrue(err.startswith("godiff_plot: error: "), err)

    def test_options_are_checked(self):
        path = self.adatom()
        for more, message in (
            (["--success"], "needs --target E or --fingerprint hexagon"),
            (["--success", "--target", "-1", "--tolerance", "-1"], "expected 0 or more"),
            (["--stages", "a,b"], "no list such as 1,4,10"),
        ):
            status, _, err = call(path, *more)
            self.assertEqual(status, 2)
            self.assertIn(message, err)

    def test_fingerprint_needs_structures(self):
        path = self.adatom()
        os.remove(self.path("run.xyz"))
        self.check_error("--fingerprint needs the structures", path, "--success",
                         "--fingerprint", "hexagon")  # fmt: skip

    def test_as_a_program(self):
        path = self.adatom()
        script = os.path.join(TOOLS, "godiff_plot.py")
        done = subprocess.run(
            [sys.executable, script, path, "--out", self.path("pics")],
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(os.listdir(self.path("pics"))), 3)


if __name__ == "__main__":
    unittest.main()
