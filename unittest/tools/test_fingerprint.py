# SPDX-License-Identifier: GPL-2.0-only
"""Tests of tools/godiff_fingerprint.py against closed forms and the published tolerances."""

import json
import os
import sys
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tools")]

import godiff_fingerprint as gf  # noqa: E402
import synthetic_run as made  # noqa: E402

PT = [78] * 7
SURFACE = (True, True, False)
CENTRE = np.array([10.3944696834, 6.0012498698, 4.5264130552])


class Hexagon(unittest.TestCase):
    def setUp(self):
        self.cell, _ = made.terrace()
        self.ideal = made.hexagon(CENTRE)

    def success(self, positions):
        return gf.is_hexagon(positions, PT, self.cell, SURFACE)

    def test_closed_form(self):
        found = gf.fingerprint(self.ideal, PT, self.cell, SURFACE)
        expected = [76.0, 79 - np.sqrt(7), 77.0, 77.0, 79.0, 79.0, 79 + np.sqrt(7)]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        np.testing.assert_allclose(gf.hexagon_fingerprint(78), expected, atol=1e-12)
        self.assertEqual(gf.bond_matrix(self.ideal, PT, self.cell, SURFACE).sum(), 24)

    def test_scaling_range(self):
        for scale, passes in ((0.90, True), (1.0, True), (1.07, True), (1.08, False)):
            scaled = CENTRE + scale * (self.ideal - CENTRE)
            self.assertEqual(self.success(scaled), passes, f"scale {scale}")

    def test_jitter_rates(self):
        # Published rates; 1500 draws give a standard error below 1.3 %.
        rng = np.random.default_rng(5)
        for jitter, rate in ((0.05, 0.995), (0.1, 0.44), (0.2, 0.035)):
            draws = self.ideal + rng.normal(0.0, jitter, (1500, 7, 3))
            found = np.mean([self.success(r) for r in draws])
            error = np.sqrt(rate * (1 - rate) / 1500)
            self.assertLess(abs(found - rate), 4 * error + 0.005, f"jitter {jitter}: {found}")

    def test_moves_that_change_nothing(self):
        rng = np.random.default_rng(6)
        jittered = self.ideal + rng.normal(0.0, 0.12, (7, 3))
        before = gf.fingerprint(jittered, PT, self.cell, SURFACE)
        wrapped = jittered + rng.integers(-2, 3, (7, 2)) @ self.cell[:2] + rng.random(3)
        wrapped += rng.random(3) - rng.random(3)
        order = rng.permutation(7)
        after = gf.fingerprint(wrapped[order], PT, self.cell, SURFACE)
        np.testing.assert_allclose(after, before, atol=1e-9)

    def test_other_shapes_fail(self):
        broken = self.ideal.copy()
        broken[6] += [3.0, 0.0, 0.0]
        self.assertFalse(self.success(broken))
        self.assertFalse(gf.is_hexagon(self.ideal[:6], PT[:6], self.cell, SURFACE))
        self.assertFalse(gf.is_hexagon(self.ideal, [78] * 6 + [79], self.cell, SURFACE))


class Parts(unittest.TestCase):
    def test_radii(self):
        table = {"H": 0.31, "C": 0.76, "O": 0.66, "Ni": 1.24, "Cu": 1.32, "Pd": 1.39, "Ag": 1.45}
        table.update({"Pt": 1.36, "Au": 1.36, "U": 1.96, "Cm": 1.69})
        for symbol, radius in table.items():
            self.assertEqual(gf.covalent_radius(gf.atomic_number(symbol)), radius, symbol)
        with self.assertRaisesRegex(KeyError, "unknown element 'Xx'"):
            gf.atomic_number("Xx")

    def test_minimum_image_by_brute_force(self):
        rng = np.random.default_rng(7)
        cell = np.array([[7.0, 0, 0], [17.5, 8.0, 0], [9.4, -13.2, 9.0]])
        vectors = rng.uniform(-20, 20, (40, 3))
        axes = [np.arange(-n, n + 1) for n in (30, 10, 5)]
        shifts = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3) @ cell
        for flags in ((True, True, True), (True, True, False), (False, False, False)):
            allowed = shifts
            if not all(flags):
                keep = np.linalg.inv(cell).T @ shifts.T
                allowed = shifts[np.all(np.abs(keep.T[:, ~np.array(flags)]) < 1e-9, axis=1)]
            lengths = np.linalg.norm(vectors[:, None] + allowed[None], axis=2).min(axis=1)
            found = gf.minimum_image(vectors, cell, flags)
            np.testing.assert_allclose(np.linalg.norm(found, axis=1), lengths, atol=1e-9)

    def test_bond_between_two_is_shadowed_by_a_third(self):
        cell, free = np.eye(3) * 30, (False, False, False)
        line = np.array([[0, 0, 0], [1.45, 0.05, 0], [2.9, 0, 0]], dtype=float)
        bonds = gf.bond_matrix(line, [78, 78, 78], cell, free)
        np.testing.assert_array_equal(bonds, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        bonds = gf.bond_matrix(line[[0, 2]], [78, 78], cell, free)
        np.testing.assert_array_equal(bonds, [[0, 1], [1, 0]])

    def test_circle(self):
        vector = np.array([0.3, -2.1, 1.4])
        ring = gf.circle_points(vector) - 0.5 * vector
        np.testing.assert_allclose(ring @ vector, 0.0, atol=1e-12)
        radius = 0.5 * np.linalg.norm(vector) * np.tan(np.radians(20))
        np.testing.assert_allclose(np.linalg.norm(ring, axis=1), radius, rtol=1e-12)


class Golden(unittest.TestCase):
    def test_stored_clusters(self):
        path = os.path.join(HERE, "..", "parity", "fingerprint.json")
        with open(path, encoding="ascii") as handle:
            data = json.load(handle)
        self.assertGreaterEqual(len(data["clusters"]), 40)
        for entry in data["clusters"]:
            found = gf.fingerprint(
                entry["positions"], entry["numbers"], entry["cell"], entry["pbc"]
            )
            np.testing.assert_allclose(
                found, entry["eigenvalues"], atol=1e-9, err_msg=entry["name"]
            )


if __name__ == "__main__":
    unittest.main()
