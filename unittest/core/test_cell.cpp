// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/cell.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "reference/graph.hpp"
#include "systems.hpp"

namespace {

using godiff::Cell;
using godiff::dot;
using godiff::Error;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::System;
using godiff::too_close;
using godiff::Vec3;

class Random {
public:
  explicit Random(std::uint64_t seed) : stream_(seed, Purpose::INIT) {}
  double between(double lo, double hi) { return lo + (hi - lo) * stream_.uniform(); }
  Vec3 vector(double size) {
    return {between(-size, size), between(-size, size), between(-size, size)};
  }
  // A cell as LAMMPS allows it: tilts up to half the edge, edges of quite different length.
  Cell lammps_cell(const std::array<bool, 3> &periodic) {
    const double lx = between(3, 12), ly = between(3, 12), lz = between(3, 12);
    return Cell({{{lx, 0, 0},
                  {between(-0.5, 0.5) * lx, ly, 0},
                  {between(-0.5, 0.5) * lx, between(-0.5, 0.5) * ly, lz}}},
                periodic);
  }

private:
  RandomStream stream_;
};

Vec3 plus(const Vec3 &r, const Cell &cell, int a, int b, int c) {
  Vec3 s;
  for (int k = 0; k < 3; ++k)
    s[k] = r[k] + a * cell.rows()[0][k] + b * cell.rows()[1][k] + c * cell.rows()[2][k];
  return s;
}

// All images up to `reach` cells away, as plainly as possible.
std::vector<Vec3> images(const Cell &cell, const Vec3 &r, int reach) {
  std::vector<Vec3> all;
  const auto n = [&](int k) { return cell.periodic(k) ? reach : 0; };
  for (int a = -n(0); a <= n(0); ++a)
    for (int b = -n(1); b <= n(1); ++b)
      for (int c = -n(2); c <= n(2); ++c)
        all.push_back(plus(r, cell, a, b, c));
  return all;
}

const std::array<bool, 3> PERIODICITIES[] = {
    {true, true, true}, {true, true, false}, {false, true, false}, {false, false, false}};

TEST(Cell, FractionalAndBack) {
  Random random(1);
  for (int k = 0; k < 100; ++k) {
    const Cell cell = random.lammps_cell({true, true, true});
    const Vec3 r = random.vector(30), back = cell.cartesian(cell.fractional(r));
    for (int d = 0; d < 3; ++d)
      EXPECT_NEAR(back[d], r[d], 1e-12);
  }
}

TEST(Cell, WidthIsTheDistanceOfTheFaces) {
  const Cell cell({{{4, 0, 0}, {1, 2, 0}, {0, 0, 7}}}, {true, true, true});
  EXPECT_DOUBLE_EQ(cell.width(0), 8.0 / std::sqrt(5.0));  // area over |b|
  EXPECT_DOUBLE_EQ(cell.width(1), 2.0);
  EXPECT_DOUBLE_EQ(cell.width(2), 7.0);
}

TEST(Cell, RefusesVectorsWithoutVolume) {
  EXPECT_THROW(Cell({{{1, 0, 0}, {2, 0, 0}, {0, 0, 1}}}, {true, true, true}), Error);
  EXPECT_THROW(Cell({{{1, 0, 0}, {0, std::nan(""), 0}, {0, 0, 1}}}, {true, true, true}), Error);
}

TEST(Cell, WrapMovesByLatticeVectorsIntoTheCell) {
  Random random(2);
  for (const auto &periodic : PERIODICITIES)
    for (int trial = 0; trial < 300; ++trial) {
      const Cell cell = random.lammps_cell(periodic);
      const Vec3 r = random.vector(40), w = cell.wrap(r);
      const Vec3 before = cell.fractional(r), after = cell.fractional(w);
      for (int k = 0; k < 3; ++k) {
        if (periodic[k]) {
          EXPECT_GE(after[k], -1e-12);
          EXPECT_LT(after[k], 1.0 + 1e-12);
          EXPECT_NEAR(before[k] - after[k], std::round(before[k] - after[k]), 1e-9);
        } else {
          EXPECT_NEAR(before[k], after[k], 1e-12);
        }
      }
    }
}

TEST(Cell, WrapAtTheFacesAndFarAway) {
  const Cell cell = godiff_test::stepped_pt().cell;
  // Method section 23.
  const Vec3 a = cell.wrap({-0.5, -0.3, 6}), b = cell.wrap({11, 5.5, 7});
  EXPECT_NEAR(a[0], 10.0184638, 1e-7);
  EXPECT_NEAR(a[1], 4.9592319, 1e-7);
  EXPECT_NEAR(b[0], 0.4815362, 1e-7);
  EXPECT_NEAR(b[1], 0.2407681, 1e-7);
  for (double tiny : {-1e-20, -1e-17, 0.0, 1e-20}) {
    const Vec3 f = cell.fractional(cell.wrap({tiny, 0, 6}));
    EXPECT_GE(f[0], -1e-12);
    EXPECT_LT(f[0], 1.0);
  }
  // Far beyond the 2^53 images that a double can count, the result is still a place in the cell.
  for (double far : {1e6, -1e9, 1e25, -1e300}) {
    const Vec3 w = cell.wrap({far, 2.0 * far, 6}), f = cell.fractional(w);
    EXPECT_EQ(w[2], 6.0);
    for (int k = 0; k < 2; ++k) {
      EXPECT_GE(f[k], -1e-9) << far;
      EXPECT_LE(f[k], 1.0 + 1e-9) << far;
    }
  }
}

// A clamped z stays exactly on the face of the confinement window: no rounding through fractional
// coordinates, because a and b have no z component.
TEST(Cell, WrapKeepsOtherComponentsBitForBit) {
  const Cell cell = godiff_test::heptamer_pt().cell;
  Random random(3);
  for (int trial = 0; trial < 2000; ++trial) {
    Vec3 r = random.vector(60);
    r[2] = 3.2632131 + 1e-3 * trial;
    EXPECT_EQ(cell.wrap(r)[2], r[2]);
  }
}

// Wrapping what is wrapped changes nothing: a resumed run wraps positions a second time.
TEST(Cell, WrapTwiceIsWrapOnce) {
  Random random(4);
  for (const auto &periodic : PERIODICITIES)
    for (int trial = 0; trial < 500; ++trial) {
      const Cell cell = random.lammps_cell(periodic);
      const Vec3 once = cell.wrap(random.vector(40));
      EXPECT_EQ(cell.wrap(once), once);
    }
}

TEST(Cell, MinimumImageAgainstBruteForce) {
  Random random(5);
  for (const auto &periodic : PERIODICITIES)
    for (int trial = 0; trial < 200; ++trial) {
      const Cell cell = random.lammps_cell(periodic);
      const Vec3 r = random.vector(12), m = cell.minimum_image(r);
      double shortest = INFINITY, same = INFINITY;
      for (const Vec3 &image : images(cell, r, 9)) {
        shortest = std::min(shortest, dot(image, image));
        const Vec3 difference{image[0] - m[0], image[1] - m[1], image[2] - m[2]};
        same = std::min(same, dot(difference, difference));
      }
      EXPECT_NEAR(std::sqrt(dot(m, m)), std::sqrt(shortest), 1e-9);
      EXPECT_LT(std::sqrt(same), 1e-9) << "not an image of the vector";
    }
}

// A flat cell with the largest tilt LAMMPS allows: the shortest image is more than one cell away.
TEST(Cell, MinimumImageInAFlatCell) {
  const Cell cell({{{20, 0, 0}, {10, 2, 0}, {0, 0, 20}}}, {true, true, false});
  Random random(6);
  for (int trial = 0; trial < 500; ++trial) {
    const Vec3 r{random.between(0, 30), random.between(0, 2), random.between(-1, 1)};
    const Vec3 m = cell.minimum_image(r);
    double shortest = INFINITY;
    for (const Vec3 &image : images(cell, r, 9))
      shortest = std::min(shortest, dot(image, image));
    EXPECT_NEAR(std::sqrt(dot(m, m)), std::sqrt(shortest), 1e-9);
  }
}

TEST(Cell, ImagesWithinACutoffAgainstBruteForce) {
  Random random(7);
  for (const auto &periodic : PERIODICITIES)
    for (int trial = 0; trial < 60; ++trial) {
      const Cell cell = random.lammps_cell(periodic);
      const Vec3 r = random.vector(8);
      const double cutoff = random.between(0.5, 9.0);
      std::vector<Vec3> found, expected;
      cell.for_images(r, cutoff, [&](const Vec3 &image) { found.push_back(image); });
      for (const Vec3 &image : images(cell, r, 10))
        if (dot(image, image) < cutoff * cutoff)
          expected.push_back(image);
      std::sort(found.begin(), found.end());
      std::sort(expected.begin(), expected.end());
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t k = 0; k < found.size(); ++k)
        for (int d = 0; d < 3; ++d)
          EXPECT_NEAR(found[k][d], expected[k][d], 1e-12);
    }
}

TEST(TooClose, SeesPeriodicImagesUnlessToldNotTo) {
  const System s = godiff_test::stepped_pt();
  // 0.6 Angstrom from template atom 18 (4.38, 0, 5.88) through the face y = 0.
  const godiff::Positions x{4.3826932 + 1.7530773, 5.2592319 - 0.6, 5.88};
  EXPECT_TRUE(too_close(s, x, 1.0));
  EXPECT_FALSE(too_close(s, x, 1.0, false));
  EXPECT_FALSE(too_close(s, x, 0.59));
  EXPECT_FALSE(too_close(s, x, 0.0));
}

TEST(TooClose, ComparesMobileAtomsWithEachOther) {
  const System s = godiff_test::open_box(20, 2);
  EXPECT_TRUE(too_close(s, {10, 10, 10, 10, 10, 10.9}, 1.0));
  EXPECT_FALSE(too_close(s, {10, 10, 10, 10, 10, 11.1}, 1.0));
  EXPECT_TRUE(too_close(s, {10, 10, 10, 0.2, 0.2, 0.2}, 1.0)) << "the template atom, index 0";
}

// Directed edges and self-image edges at 6 Angstrom, method section 23.
TEST(ReferenceGraph, EdgeCountsOfTheTestSystems) {
  const auto check = [](const System &system, const std::vector<double> &x, std::int64_t edges,
                        std::int64_t template_edges, std::int64_t self_edges) {
    const godiff::reference::GraphBuilder builder(system, 6.0, at::kDouble);
    const auto graph = builder.build(godiff_test::one_structure(x));
    EXPECT_EQ(graph.n_edges(), edges);
    const at::Tensor fixed =
        (graph.receiver < system.n_template) & (graph.sender < system.n_template);
    EXPECT_EQ(fixed.sum().item<std::int64_t>(), template_edges);
    EXPECT_EQ((graph.receiver == graph.sender).sum().item<std::int64_t>(), self_edges);
  };
  const System s1 = godiff_test::stepped_pt();
  check(s1, {2.68, 2.03, 6.42}, 772, 720, 42);
  check(s1, {4, 1, 7}, 768, 720, 42);
  check(s1, {1, 4, 9}, 744, 720, 42);

  std::vector<double> x{10.3944696834, 6.0012498698, 4.5264130552};
  for (int k = 0; k < 6; ++k) {
    x.push_back(x[0] + 2.7718586 * std::cos(k * M_PI / 3));
    x.push_back(x[1] + 2.7718586 * std::sin(k * M_PI / 3));
    x.push_back(x[2]);
  }
  check(godiff_test::heptamer_pt(), x, 2496, 2160, 0);
}

TEST(ReferenceGraph, CoincidentAtomsAreFlaggedAndHaveNoDirection) {
  const System s = godiff_test::open_box(20, 2);
  const godiff::reference::GraphBuilder builder(s, 6.0, at::kDouble);
  const auto graph = builder.build(godiff_test::one_structure({10, 10, 10, 10, 10, 10}));
  EXPECT_EQ(graph.coincident_pairs, 1);
  EXPECT_EQ(graph.n_pairs(), 1);
  EXPECT_TRUE((graph.direction == 0).all().item<bool>());
  EXPECT_EQ(builder.build(godiff_test::one_structure({10, 10, 10, 10, 10, 12})).coincident_pairs,
            0);
}

// The sanitizer ends this test where such a number becomes an integer.
TEST(Cell, WhatIsNowhereHasNoImages) {
  for (const bool periodic : {true, false}) {
    const Cell cell({{{7, 0, 0}, {2, 6, 0}, {0, 0, 9}}}, {periodic, true, false});
    for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300, -1e300, 1e11})
      for (int k = 0; k < 3; ++k) {
        Vec3 r{1, 1, 1};
        r[k] = bad;
        int images = 0;
        cell.for_images(r, 5.0, [&](const Vec3 &) { ++images; });
        EXPECT_EQ(images, 0) << bad;
        cell.minimum_image(r);
      }
    int images = 0;
    cell.for_images({1 + 7e6, 1, 1}, 2.0, [&](const Vec3 &) { ++images; });
    EXPECT_EQ(images, periodic ? 1 : 0) << "far away, but a place";
  }
}

}  // namespace
