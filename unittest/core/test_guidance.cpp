// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/guidance.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "systems.hpp"

namespace {

using godiff::Cell;
using godiff::Guidance;
using godiff::LBFGS;
using godiff::Positions;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::Settings;
using godiff::System;
using godiff::Vec3;
using godiff_test::heptamer_pt;
using godiff_test::to_vector;

Settings guided(double scale = 0.2) {
  Settings s;
  s.guide = scale;
  return s;
}

std::vector<double> random_numbers(int n, std::uint64_t seed, double size) {
  RandomStream random(seed, Purpose::INIT);
  std::vector<double> x;
  for (int k = 0; k < n; ++k)
    x.push_back(size * (2.0 * random.uniform() - 1.0));
  return x;
}

// Forces of a quadratic with different stiffness along x, y and z around `centre`, minimum image.
std::vector<double> quadratic(const Cell &cell, const std::vector<double> &x, const Vec3 &centre) {
  const double stiffness[3] = {2.0, 5.0, 9.0};
  std::vector<double> f;
  for (std::size_t i = 0; i < x.size(); i += 3) {
    const Vec3 d =
        cell.minimum_image({x[i] - centre[0], x[i + 1] - centre[1], x[i + 2] - centre[2]});
    for (int k = 0; k < 3; ++k)
      f.push_back(-stiffness[k] * d[k]);
  }
  return f;
}

TEST(LBFGS, PrintedDirections) {
  // Method section 23, eight digits.
  const double printed[4][6] = {
      {-0.04015892, -0.05019866, 0.05421455, -0.00803178, 0.04015892, -0.10842910},
      {-0.44168894, -0.43384457, 0.29824823, -0.08833779, 0.34707566, -0.59649646},
      {-0.39692217, -0.27435948, 0.14421685, -0.07938443, 0.21948759, -0.28843371},
      {-0.34457904, -0.15114401, 0.06862375, -0.06891581, 0.12091521, -0.13724750}};
  const double stiffness[3] = {2, 5, 9};
  std::vector<double> x{1, 0.5, -0.3, 0.2, -0.4, 0.6};
  LBFGS lbfgs;
  for (const auto &row : printed) {
    std::vector<double> f;
    for (int k = 0; k < 6; ++k)
      f.push_back(-stiffness[k % 3] * x[k]);
    const std::vector<double> p = lbfgs.direction(x, f);
    for (int k = 0; k < 6; ++k) {
      EXPECT_NEAR(p[k], row[k], 1.5e-8);
      x[k] += 0.5 * p[k];
    }
  }
}

TEST(LBFGS, FullStepsSolveAQuadratic) {
  const Cell cell({{{50, 0, 0}, {0, 50, 0}, {0, 0, 50}}}, {false, false, false});
  std::vector<double> x{1, 0.5, -0.3, 0.2, -0.4, 0.6};
  LBFGS lbfgs;
  for (int step = 0; step < 40; ++step) {
    const std::vector<double> p = lbfgs.direction(x, quadratic(cell, x, {0, 0, 0}));
    for (int k = 0; k < 6; ++k)
      x[k] += p[k];
  }
  for (double value : x)
    EXPECT_NEAR(value, 0.0, 1e-8);
}

TEST(LBFGS, FirstStepIsATenthOfAnAngstromAtMost) {
  LBFGS strong, weak;
  // mean |F| = (10 + 30)/2 = 20: the mean step is 0.1.
  const std::vector<double> a = strong.direction({0, 0, 0, 5, 5, 5}, {10, 0, 0, 0, 30, 0});
  EXPECT_DOUBLE_EQ(a[0], 0.05);
  EXPECT_DOUBLE_EQ(a[4], 0.15);
  EXPECT_DOUBLE_EQ(weak.direction({0, 0, 0}, {0.5, 0, 0})[0], 0.05) << "factor 0.1 below 1 eV/A";
  LBFGS zero;
  EXPECT_EQ(zero.direction({0, 0, 0}, {0, 0, 0}), std::vector<double>(3, 0.0));
}

TEST(LBFGS, NegativeCurvatureAndStandingStillLeaveTheHistory) {
  LBFGS lbfgs;
  lbfgs.direction({0, 0, 0}, {1, 0, 0});
  // No displacement, then a force that grows along the step: sy <= 0, p = F.
  EXPECT_EQ(lbfgs.direction({0, 0, 0}, {1, 0, 0}), (std::vector<double>{1, 0, 0}));
  EXPECT_EQ(lbfgs.direction({0.1, 0, 0}, {2, 0, 0}), (std::vector<double>{2, 0, 0}));
}

// Method section 24.12.
TEST(Guidance, StructuresOfABatchDoNotMix) {
  const System s = heptamer_pt();
  const Settings settings = guided();
  Guidance batch(s, settings, 3);
  std::deque<Guidance> alone;
  std::vector<at::Tensor> x;
  for (int g = 0; g < 3; ++g) {
    alone.emplace_back(s, settings, 1);
    std::vector<double> start = random_numbers(21, 100 + g, 2.0);
    for (int i = 0; i < 7; ++i)
      start[3 * i + 2] = 5.0 + 0.5 * start[3 * i + 2];
    x.push_back(godiff_test::one_structure(start));
  }
  at::Tensor all = at::cat({x[0], x[1], x[2]});
  for (int step = 0; step < 15; ++step) {
    const auto forces = [&](const at::Tensor &r) {
      std::vector<double> f;
      for (std::int64_t g = 0; g < r.size(0); ++g) {
        const std::vector<double> part = quadratic(s.cell, to_vector(r[g]), {4, 3, 5});
        f.insert(f.end(), part.begin(), part.end());
      }
      return at::tensor(f, at::kDouble).view(r.sizes());
    };
    batch.push(all, forces(all), 0.3);
    for (int g = 0; g < 3; ++g) {
      alone[g].push(x[g], forces(x[g]), 0.3);
      EXPECT_TRUE(at::equal(all.narrow(0, g, 1), x[g])) << "step " << step << " structure " << g;
    }
  }
}

// Method section 24.12: the step along a face is the same for any image of the atom.
TEST(Guidance, AWrapBetweenCallsChangesNothing) {
  const System s = heptamer_pt();
  Settings raw_settings = guided();
  raw_settings.ffg_raw_history = true;
  Guidance plain(s, guided(), 1), wrapped(s, guided(), 1), raw(s, raw_settings, 1);
  std::vector<double> start = random_numbers(21, 7, 0.5);  // around the corner of the cell
  for (int i = 0; i < 7; ++i)
    start[3 * i + 2] += 5.0;
  at::Tensor a = godiff_test::one_structure(start), b = a.clone(), c = a.clone();
  bool crossed = false, raw_differs = false;
  for (int step = 0; step < 10; ++step) {
    for (at::Tensor *x : {&b, &c})
      for (int i = 0; i < 7; ++i) {
        double *r = x->data_ptr<double>() + 3 * i;
        // Another image every second step.
        const Vec3 w = step % 2 == 0 ? s.cell.wrap({r[0], r[1], r[2]})
                                     : Vec3{r[0] + 6 * 2.7718586, r[1], r[2]};
        crossed = crossed || std::abs(w[0] - r[0]) > 1.0;
        std::copy(w.begin(), w.end(), r);
      }
    const auto forces = [&](const at::Tensor &r) {
      return godiff_test::one_structure(quadratic(s.cell, to_vector(r), {0, 0, 5}));
    };
    const at::Tensor before_a = a.clone(), before_b = b.clone(), before_c = c.clone();
    plain.push(a, forces(a), 0.3);
    wrapped.push(b, forces(b), 0.3);
    raw.push(c, forces(c), 0.3);
    // Images are told apart to the rounding of 1e-7 in the cell vector above.
    EXPECT_LT(((a - before_a) - (b - before_b)).abs().max().item<double>(), 1e-5);
    raw_differs =
        raw_differs || ((a - before_a) - (c - before_c)).abs().max().item<double>() > 1e-3;
  }
  EXPECT_TRUE(crossed);
  EXPECT_TRUE(raw_differs) << "ffg_history raw sees the jumps, as in the authors' program";
}

TEST(Guidance, StepIsCappedPerAtomAndKeepsItsDirection) {
  const System s = godiff_test::open_box(20, 2);
  Guidance guidance(s, guided(), 1);
  at::Tensor x = godiff_test::one_structure({10, 10, 10, 5, 5, 5});
  const at::Tensor before = x.clone();
  // First call: p = F * 0.1/mean|F| with |F| = 5 and 0.01, so p = 0.2 and 0.0004 Angstrom.
  guidance.push(x, godiff_test::one_structure({3, 0, 4, 0, 0.01, 0}), 3.0);
  const std::vector<double> d = to_vector(x - before);
  EXPECT_NEAR(std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]), 0.1, 1e-12);
  EXPECT_NEAR(d[0] / d[2], 0.75, 1e-12);
  EXPECT_NEAR(d[4], 3.0 * 0.01 * 0.1 / 2.505, 1e-12) << "the other atom is not shortened";
}

TEST(Guidance, ClampsToTheWindow) {
  System s = godiff_test::open_box(20, 1);
  s.z_lo = 9.95;
  s.z_hi = 10.05;
  for (double sign : {-1.0, 1.0}) {
    Guidance guidance(s, guided(), 1);
    at::Tensor x = godiff_test::one_structure({10, 10, 10});
    guidance.push(x, godiff_test::one_structure({0, 0, sign * 50}), 1.0);
    EXPECT_EQ(to_vector(x)[2], sign < 0 ? s.z_lo : s.z_hi);
  }
}

TEST(Guidance, SkipsStructuresThatAreNotActive) {
  const System s = godiff_test::open_box(20, 1);
  Guidance guidance(s, guided(), 2);
  at::Tensor x = godiff_test::one_structure({10, 10, 10}).repeat({2, 1, 1});
  const at::Tensor f = godiff_test::one_structure({1, 0, 0}).repeat({2, 1, 1});
  guidance.push(x, f, 1.0, {false, true});
  EXPECT_EQ(to_vector(x[0]), (std::vector<double>{10, 10, 10}));
  EXPECT_DOUBLE_EQ(to_vector(x[1])[0], 10.1);
}

TEST(Guidance, TemplateForcesEnterTheHistoryOnlyWhenAsked) {
  const System s = godiff_test::open_box(20, 1);
  Settings all_settings = guided();
  all_settings.ffg_all_atoms = true;
  Guidance mobile(s, guided(), 1), all(s, all_settings, 1);
  at::Tensor a = godiff_test::one_structure({10, 10, 10}), b = a.clone();
  mobile.push(a, godiff_test::one_structure({4, 0, 0}), 1.0);
  // The template atom carries 12 eV/A: the mean over both atoms is 8, the step half as long.
  all.push(b, godiff_test::one_structure({0, 12, 0, 4, 0, 0}), 1.0);
  EXPECT_NEAR(to_vector(a)[0], 10.1, 1e-12);
  EXPECT_NEAR(to_vector(b)[0], 10.05, 1e-12);
  EXPECT_EQ(to_vector(b)[1], 10.0);
}

TEST(Guidance, Coefficient) {
  const System s = godiff_test::open_box(20, 1);
  const double dt = 0.995 / 499;
  Settings settings = guided();
  // Method section 23.
  EXPECT_NEAR(Guidance(s, settings, 1).coefficient(0.5, dt), 4.98496994e-5, 1e-13);
  EXPECT_EQ(Guidance(s, settings, 1).coefficient(1.0, dt), 0.0);
  settings.ffg_dt = false;
  EXPECT_NEAR(Guidance(s, settings, 1).coefficient(0.5, dt), 0.025, 1e-15);
  settings.ffg_zeta = 1.0;
  EXPECT_NEAR(Guidance(s, settings, 1).coefficient(0.5, dt), 0.1, 1e-15);
}

}  // namespace
