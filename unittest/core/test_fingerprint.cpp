// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/fingerprint.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::bond_matrix;
using godiff::Cell;
using godiff::ClassRegistry;
using godiff::Error;
using godiff::Fingerprint;
using godiff::fingerprint;
using godiff::fingerprint_distance;
using godiff::FINGERPRINT_TOLERANCE;
using godiff::Positions;
using godiff::RandomStream;
using godiff::System;
using godiff::Vec3;

constexpr int PT = 78;
const double NEAREST = 3.92 / std::sqrt(2.0);  // neighbour distance in fcc Pt, Angstrom

// A cluster alone in a large box; the one template atom plays no part.
System cluster(const std::vector<int> &numbers) {
  System system;
  system.cell = Cell({{{30, 0, 0}, {0, 30, 0}, {0, 0, 30}}}, {true, true, false});
  system.n_template = 1;
  system.n_mobile = static_cast<std::int64_t>(numbers.size());
  system.atomic_numbers = {PT};
  system.template_positions = {0, 0, 0};
  system.z_hi = 30;
  for (int z : numbers)
    system.atomic_numbers.push_back(z);
  for (std::size_t k = 0; k <= numbers.size(); ++k) {
    system.ids.push_back(static_cast<std::int64_t>(k + 1));
    system.types.push_back(1);
  }
  return system;
}

// Centre and ring of the compact heptamer, in the middle of the box.
Positions heptamer(double scale = 1.0) {
  Positions r{15, 15, 15};
  for (int k = 0; k < 6; ++k) {
    r.push_back(15 + scale * NEAREST * std::cos(k * M_PI / 3));
    r.push_back(15 + scale * NEAREST * std::sin(k * M_PI / 3));
    r.push_back(15);
  }
  return r;
}

// Exact eigenvalues of its bond graph (the wheel with six spokes).
Fingerprint wheel() {
  const double s = std::sqrt(7.0);
  return {PT - 2.0, PT + 1.0 - s, PT - 1.0, PT - 1.0, PT + 1.0, PT + 1.0, PT + 1.0 + s};
}

bool succeeds(const Positions &r) {
  static const System system = cluster(std::vector<int>(7, PT));
  return fingerprint_distance(fingerprint(system, r), wheel()) <= FINGERPRINT_TOLERANCE;
}

TEST(Fingerprint, HeptamerHasTheEigenvaluesOfTheWheel) {
  const System system = cluster(std::vector<int>(7, PT));
  EXPECT_LT(fingerprint_distance(fingerprint(system, heptamer()), wheel()), 1e-12);
  const auto bonds = bond_matrix(system, heptamer());
  EXPECT_EQ(std::count(bonds.begin(), bonds.end(), 1), 24);  // 12 bonds, both directions
}

TEST(Fingerprint, ScalingTolerance) {
  for (int percent = 90; percent <= 107; ++percent)
    EXPECT_TRUE(succeeds(heptamer(percent / 100.0))) << percent;
  EXPECT_FALSE(succeeds(heptamer(1.08)));
}

TEST(Fingerprint, JitterTolerance) {
  // Shares and their standard errors from 40,000 draws of a separate implementation (numpy). The
  // first agrees with the bond lengths alone: 0.05 A per coordinate leaves a bond of 2.772 A below
  // the limit of 2.992 A by 3.11 standard deviations, so 12 bonds fail in about 1.1 % of the draws.
  const int draws = 4000;
  const struct {
    double sigma, share, error;
  } cases[] = {{0.05, 0.9886, 0.0005}, {0.1, 0.4708, 0.0025}, {0.2, 0.0295, 0.0008}};
  std::uint32_t item = 0;
  for (const auto &c : cases) {
    RandomStream random(4711, godiff::Purpose::INIT, 0, item++);
    int passed = 0;
    for (int k = 0; k < draws; ++k) {
      Positions r = heptamer();
      for (double &x : r)
        x += c.sigma * random.normal();
      passed += succeeds(r);
    }
    const double share = static_cast<double>(passed) / draws;
    const double variance = c.share * (1 - c.share) / draws + c.error * c.error;
    RecordProperty("share_" + std::to_string(item), std::to_string(share));
    EXPECT_NEAR(share, c.share, 4 * std::sqrt(variance)) << "sigma " << c.sigma;
  }
}

TEST(Fingerprint, OtherHeptamersDiffer) {
  Positions r = heptamer();
  r[3] = 15 - 2 * NEAREST;  // a ring atom moved to the outside of the opposite one
  EXPECT_FALSE(succeeds(r));
  r = heptamer();
  r[2] += 5;  // centre atom far above
  EXPECT_FALSE(succeeds(r));
}

TEST(Fingerprint, SeveralElements) {
  // C-O 1.13 is bonded (1.1 * (0.76 + 0.66) = 1.562): eigenvalues of [[6,1],[1,8]] are 7 -+ sqrt(2).
  const System pair = cluster({8, 6});
  const auto bonded = fingerprint(pair, {15, 15, 15, 15, 16.13, 15});
  ASSERT_EQ(bonded.size(), 2u);
  EXPECT_NEAR(bonded[0], 7 - std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(bonded[1], 7 + std::sqrt(2.0), 1e-12);
  EXPECT_EQ(fingerprint(pair, {15, 15, 15, 15, 16.561, 15}), bonded);
  EXPECT_EQ(fingerprint(pair, {15, 15, 15, 15, 16.563, 15}), (Fingerprint{6, 8}));
  // The radii follow the elements: Pt-C ends at 1.1 * (1.36 + 0.76) = 2.332.
  const System metal = cluster({78, 6});
  EXPECT_EQ(bond_matrix(metal, {15, 15, 15, 15, 17.331, 15})[1], 1);
  EXPECT_EQ(bond_matrix(metal, {15, 15, 15, 15, 17.333, 15})[1], 0);
  // Atoms on top of each other are no bond: d / 2.72 must exceed 1e-3.
  const System same = cluster({78, 78});
  EXPECT_EQ(bond_matrix(same, {15, 15, 15, 15.0027, 15, 15})[1], 0);
  EXPECT_EQ(bond_matrix(same, {15, 15, 15, 15.0028, 15, 15})[1], 1);
}

TEST(Fingerprint, MidPlaneTest) {
  const System three = cluster({PT, PT, PT});
  // On a line: the mid-point of 0-2 lies behind the mid-plane of 0-1.
  const Positions line{15, 15, 15, 16.5, 15, 15, 17.9, 15, 15};
  EXPECT_EQ(bond_matrix(three, line), (std::vector<char>{0, 1, 0, 1, 0, 1, 0, 1, 0}));
  const auto path = fingerprint(three, line);
  EXPECT_NEAR(path[0], PT - std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(path[1], PT, 1e-12);
  EXPECT_NEAR(path[2], PT + std::sqrt(2.0), 1e-12);

  // Atom 1 at distance a, atom 2 at distance b and angle t from it, all in one plane with a point
  // of the circle: the bond 0-2 goes when b (cos t + tan 20 sin t) > a. Here the mid-point alone
  // would pass (b cos t < a), so this is the circle's work.
  const double a = 2.2, b = 2.9;
  const auto bent = [&](double degrees) {
    const double t = degrees * M_PI / 180;
    return Positions{15, 15, 15, 15 + a, 15, 15, 15 + b * std::cos(t), 15 + b * std::sin(t), 15};
  };
  const double limit = 180 / M_PI * std::acos(a / b * std::cos(M_PI / 9)) + 20;
  EXPECT_GT(a, b * std::cos((limit - 0.1) * M_PI / 180));
  EXPECT_EQ(bond_matrix(three, bent(limit - 0.1))[2], 0);
  EXPECT_EQ(bond_matrix(three, bent(limit + 0.1))[2], 1);
}

TEST(Fingerprint, OneDirectionIsNotABond) {
  // From atom 0 the bond 0-2 is shadowed by atom 1; from atom 2 atom 0 is the nearest.
  const System three = cluster({PT, PT, PT});
  const double t = 50 * M_PI / 180;
  const Positions r{15, 15, 15, 17.2, 15, 15, 15 + 2.9 * std::cos(t), 15 + 2.9 * std::sin(t), 15};
  const auto bonds = bond_matrix(three, r);
  EXPECT_EQ(bonds[2], 0);
  EXPECT_EQ(bonds[6], 0);
}

TEST(Fingerprint, SeesPeriodicImages) {
  System system = cluster(std::vector<int>(7, PT));
  system.cell = Cell({{{12, 0, 0}, {-6, 10.4, 0}, {0, 0, 30}}}, {true, true, false});
  Positions r = heptamer();
  for (std::size_t k = 0; k < r.size(); k += 3) {
    const Vec3 wrapped = system.cell.wrap({r[k] - 15, r[k + 1] - 15, r[k + 2]});
    for (int x = 0; x < 3; ++x)
      r[k + x] = wrapped[x];
  }
  EXPECT_LT(fingerprint_distance(fingerprint(system, r), wheel()), 1e-12);
  system.cell = Cell(system.cell.rows(), {false, false, false});
  EXPECT_GT(fingerprint_distance(fingerprint(system, r), wheel()), 0.1);
}

TEST(Fingerprint, InvariantUnderShiftInversionAndPermutation) {
  const System system = cluster(std::vector<int>(12, PT));
  RandomStream random(99, godiff::Purpose::INIT);
  for (int trial = 0; trial < 200; ++trial) {
    Positions r, moved(36);
    for (int k = 0; k < 36; ++k)
      r.push_back(12 + 6 * random.uniform());
    for (int k = 0; k < 12; ++k)
      for (int x = 0; x < 3; ++x)
        moved[3 * ((5 * k + 3) % 12) + x] = 29 - r[3 * k + x];
    EXPECT_LT(fingerprint_distance(fingerprint(system, moved), fingerprint(system, r)), 1e-10);
  }
}

TEST(Fingerprint, RotationsKeepTheHeptamer) {
  const System system = cluster(std::vector<int>(7, PT));
  RandomStream random(100, godiff::Purpose::INIT);
  for (int trial = 0; trial < 200; ++trial) {
    Positions r = heptamer();
    for (int axis = 0; axis < 3; ++axis) {
      const double angle = 2 * M_PI * random.uniform(), c = std::cos(angle), s = std::sin(angle);
      for (std::size_t k = 0; k < r.size(); k += 3) {
        double &x = r[k + axis], &y = r[k + (axis + 1) % 3];
        const double dx = x - 15, dy = y - 15;
        x = 15 + c * dx - s * dy;
        y = 15 + s * dx + c * dy;
      }
    }
    EXPECT_LT(fingerprint_distance(fingerprint(system, r), wheel()), 1e-10) << trial;
  }
}

TEST(Fingerprint, OneAtomAndErrors) {
  EXPECT_EQ(fingerprint(cluster({26}), {1, 2, 3}), (Fingerprint{26}));
  const System pair = cluster({8, 6});
  EXPECT_EQ(godiff_test::message_of<Error>([&] {
              fingerprint(pair, {1, 1, 1, 2, std::nan(""), 2});
            }),
            "the position of atom 3 is not finite");
  EXPECT_EQ(godiff_test::message_of<Error>([&] {
              fingerprint(pair, {1, 1, 1});
            }),
            "a structure has 3 coordinates instead of 6");
  EXPECT_EQ(fingerprint_distance({1, 2}, {1, 2, 3}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(fingerprint_distance({1, 2, 3}, {1, 2.5, 2.75}), 0.5);
}

TEST(Fingerprint, BondsAreThoseOfTheNearestImagesInSmallSkewedCells) {
  // All pairs within 1.1 times the sum of the radii, by a search over images; a third atom takes a
  // bond away only from behind, so pairs are looked at alone.
  RandomStream random(8, godiff::Purpose::INIT);
  int bonds = 0;
  for (int k = 0; k < 2000; ++k) {
    System system = cluster({PT, 8});
    const bool periodic_z = k % 2 == 0;
    system.cell = Cell({{{4.5, 0, 0}, {k % 3 - 1.0, 4.5, 0}, {0.5, -0.7, 6}}},
                       {true, k % 5 != 0, periodic_z});
    Positions r;
    for (int x = 0; x < 6; ++x)
      r.push_back(20.0 * random.uniform() - 10.0);
    double shortest = std::numeric_limits<double>::infinity();
    constexpr int REACH = 10;
    for (int a = -REACH; a <= REACH; ++a)
      for (int b = k % 5 != 0 ? -REACH : 0; b <= (k % 5 != 0 ? REACH : 0); ++b)
        for (int c = periodic_z ? -REACH : 0; c <= (periodic_z ? REACH : 0); ++c) {
          const Vec3 shift = system.cell.cartesian(
              {static_cast<double>(a), static_cast<double>(b), static_cast<double>(c)});
          const Vec3 d{r[3] - r[0] + shift[0], r[4] - r[1] + shift[1], r[5] - r[2] + shift[2]};
          shortest = std::min(shortest, std::sqrt(godiff::dot(d, d)));
        }
    const bool bonded = shortest < 1.1 * (1.36 + 0.66);  // Cordero radii of Pt and O
    EXPECT_EQ(bond_matrix(system, r), (std::vector<char>{0, bonded, bonded, 0})) << k;
    bonds += bonded;
  }
  EXPECT_GT(bonds, 200);
  EXPECT_LT(bonds, 1800);
}

TEST(ClassRegistry, NumbersClassesInOrderOfAppearance) {
  ClassRegistry registry;
  EXPECT_EQ(registry.classify({1, 2, 3}), 0);
  EXPECT_EQ(registry.classify({1, 2, 4}), 1);
  EXPECT_EQ(registry.classify({1, 2, 3.0004}), 0);
  EXPECT_EQ(registry.classify({1, 2, 2.9996}), 0);
  EXPECT_EQ(registry.classify({0.9994, 2, 3}), 2);
  EXPECT_EQ(registry.classify({1, 2}), 3);
  EXPECT_EQ(registry.find({5, 5, 5}), -1);
  EXPECT_EQ(registry.size(), 4);
  // Between two classes, within the tolerance of both: the lower number.
  EXPECT_EQ(registry.classify({0.9997, 2, 3}), 0);

  ClassRegistry wide(0.5);
  EXPECT_EQ(wide.classify({1, 2}), 0);
  EXPECT_EQ(wide.classify({1.5, 1.5}), 0);
  EXPECT_EQ(wide.classify({1.75, 2}), 1);
}

TEST(ClassRegistry, EqualsThePlainSearch) {
  // A coarse tolerance makes classes crowded: most fingerprints are near the border of several.
  const double tolerance = 0.1;
  RandomStream random(5, godiff::Purpose::INIT);
  ClassRegistry registry(tolerance);
  std::vector<Fingerprint> plain;
  for (int k = 0; k < 5000; ++k) {
    Fingerprint f;
    for (int x = 0; x < 3; ++x)
      f.push_back(random.uniform());
    std::sort(f.begin(), f.end());
    int expected = -1;
    for (std::size_t c = 0; c < plain.size() && expected < 0; ++c)
      if (fingerprint_distance(plain[c], f) <= tolerance)
        expected = static_cast<int>(c);
    if (expected < 0) {
      expected = static_cast<int>(plain.size());
      plain.push_back(f);
    }
    ASSERT_EQ(registry.classify(f), expected) << k;
  }
  EXPECT_EQ(registry.representatives(), plain);
  EXPECT_GT(plain.size(), 20u);

  ClassRegistry restored(registry.representatives(), tolerance);
  for (int k = 0; k < 1000; ++k) {
    Fingerprint f;
    for (int x = 0; x < 3; ++x)
      f.push_back(random.uniform());
    std::sort(f.begin(), f.end());
    ASSERT_EQ(restored.classify(f), registry.classify(f));
  }
  EXPECT_EQ(restored.representatives(), registry.representatives());
}

TEST(ClassRegistry, ComparesWithFewOfManyClasses) {
  // Every structure is new. A plain search would compare each with 10,000 classes on average.
  const int n = 20000;
  for (const int atoms : {7, 100}) {
    ClassRegistry registry;
    double compared = 0.0;
    for (int k = 0; k < n; ++k) {
      RandomStream random(6, godiff::Purpose::INIT, static_cast<std::uint32_t>(atoms),
                          static_cast<std::uint32_t>(k));
      Fingerprint f;
      for (int x = 0; x < atoms; ++x)
        f.push_back(PT + 1.5 * random.normal());
      std::sort(f.begin(), f.end());
      compared += static_cast<double>(registry.nearby(f).size());
      ASSERT_EQ(registry.classify(f), k);
    }
    // The ends of the spectrum are spread over thousands of cells, of which nine are looked at.
    EXPECT_LT(compared / n, 1.0) << atoms << " atoms";
  }
}

TEST(ClassRegistry, ComparesWithFewOfTheStructuresOfALargeSearch) {
  // Adatoms anywhere in a window: the eigenvalues are those of small clusters, not random numbers.
  System system = cluster(std::vector<int>(40, PT));
  system.cell = Cell({{{22, 0, 0}, {0, 22, 0}, {0, 0, 30}}}, {true, true, false});
  ClassRegistry registry;
  double compared = 0.0;
  const int n = 2000;
  for (int k = 0; k < n; ++k) {
    RandomStream random(6, godiff::Purpose::INIT, 0, static_cast<std::uint32_t>(k));
    Positions r;
    for (int x = 0; x < 120; ++x)
      r.push_back(x % 3 == 2 ? 10.0 + 5.0 * random.uniform() : 22.0 * random.uniform());
    const Fingerprint f = fingerprint(system, r);
    compared += static_cast<double>(registry.nearby(f).size());
    registry.classify(f);
  }
  EXPECT_GT(registry.size(), n / 2);
  EXPECT_LT(compared / n, 5.0);
}

}  // namespace
