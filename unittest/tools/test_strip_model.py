# SPDX-License-Identifier: GPL-2.0-only
"""Tests of tools/mace/strip_model.py."""

import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = os.path.join(HERE, "..", "..", "tools", "mace", "strip_model.py")
RECORDS = {
    "m/data.pkl": b"pickle",
    "m/constants.pkl": b"constants",
    "m/data/0": bytes(range(256)) * 64,
    "m/code/__torch__/a.py": b"def forward(self): pass\n",
    "m/code/__torch__/a.py.debug_pkl": b"/home/somebody/a.py",
    "m/.data/serialization_id": b"1234",
    "m/version": b"3\n",
}


class StripModel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "model.pt")

    def write(self, records):
        with zipfile.ZipFile(self.path, "w") as archive:
            for name, content in records.items():
                archive.writestr(name, content)

    def run_tool(self):
        return subprocess.run([sys.executable, TOOL, self.path], capture_output=True, text=True)

    def test_only_source_positions_go(self):
        self.write(RECORDS)
        result = self.run_tool()
        self.assertEqual(result.returncode, 0, result.stderr)
        with zipfile.ZipFile(self.path) as archive:
            left = {name: archive.read(name) for name in archive.namelist()}
        gone = ("m/code/__torch__/a.py.debug_pkl", "m/.data/serialization_id")
        self.assertEqual(left, {k: v for k, v in RECORDS.items() if k not in gone})

    def test_again_changes_nothing(self):
        self.write(RECORDS)
        self.run_tool()
        with open(self.path, "rb") as file:
            first = file.read()
        self.assertEqual(self.run_tool().returncode, 0)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), first)

    def test_other_files_stay(self):
        self.write({"m/data.pkl": b"a pickled model"})
        with open(self.path, "rb") as file:
            before = file.read()
        result = self.run_tool()
        self.assertEqual(result.returncode, 1)
        self.assertIn("is not a TorchScript file", result.stderr)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["model.pt"])

    def test_models_of_the_tests_hold_no_positions(self):
        folder = os.path.join(HERE, "..", "mace")
        models = [name for name in os.listdir(folder) if name.endswith(".pt")]
        self.assertTrue(models)
        for name in models:
            with zipfile.ZipFile(os.path.join(folder, name)) as archive:
                found = [entry for entry in archive.namelist() if entry.endswith(".debug_pkl")]
            self.assertEqual(found, [], name)


if __name__ == "__main__":
    unittest.main()
