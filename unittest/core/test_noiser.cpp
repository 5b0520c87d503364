// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/noiser.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/search/trainer.hpp"
#include "kernels/diffusion_math.hpp"
#include "reference/network.hpp"
#include "statistics.hpp"
#include "systems.hpp"

namespace {

using godiff::add_noise;
using godiff::draw_times;
using godiff::Noised;
using godiff::Purpose;
using godiff::Schedule;
using godiff::ScoreScale;
using godiff::System;
using godiff::truncated_normal;
using godiff_test::kolmogorov_smirnov;
using godiff_test::KS_LIMIT;
using godiff_test::normal_cdf;
using godiff_test::stepped_pt;
using godiff_test::to_vector;

constexpr int DRAWS = 100000;

// `count` copies of one structure.
at::Tensor copies(const std::vector<double> &x, std::int64_t count) {
  return godiff_test::one_structure(x).repeat({count, 1, 1});
}

at::Tensor times(double t, std::int64_t count) {
  return at::full({count}, t, at::kDouble);
}

at::Tensor number(std::int64_t step) {
  return at::scalar_tensor(step, at::kLong);
}

std::vector<double> component(const at::Tensor &x, int k) {
  return to_vector(x.select(2, k));
}

TEST(Schedule, PrintedValues) {
  // Method section 23: t, variance, std, g^2 exact, g^2 legacy.
  const double rows[][5] = {{1e-5, 1.9809801e-7, 4.450820e-4, 0.0198196, 2.00198e-7},
                            {0.1, 0.011781, 0.108540315, 0.2158200, 0.0218},
                            {0.5, 0.254925, 0.504900980, 0.9999000, 0.505},
                            {1.0, 0.9999, 0.999949999, 1.98, 2.0}};
  Schedule exact, legacy;
  legacy.g2_legacy = true;
  for (const auto &row : rows) {
    EXPECT_NEAR(exact.variance(row[0]) / row[1], 1.0, 1e-7);
    EXPECT_NEAR(exact.std(row[0]) / row[2], 1.0, 1e-6);
    EXPECT_NEAR(exact.g2(row[0]) / row[3], 1.0, 1e-6);
    EXPECT_NEAR(legacy.g2(row[0]) / row[4], 1.0, 1e-6);
  }
  EXPECT_EQ(exact.variance(0.0), 0.0);
}

// g^2 is the derivative of the kernel variance, so it integrates to it.
TEST(Schedule, DiffusionIntegratesToTheVariance) {
  const Schedule schedule;
  for (double t : {0.01, 0.3, 1.0}) {
    constexpr int CELLS = 1000;
    double integral = 0.0;
    for (int k = 0; k < CELLS; ++k)  // mid-point rule, exact for the linear g^2
      integral += schedule.g2(t * (k + 0.5) / CELLS) * t / CELLS;
    EXPECT_NEAR(integral, schedule.variance(t), 1e-12);
  }
}

TEST(TruncatedNormal, InvertsItsDistributionFunction) {
  const double lo = 5.88, hi = 9.88;
  for (double mu : {5.88, 6.42, 8.0, 9.88})
    for (double sigma : {0.01, 0.3, 1.0, 20.0})
      for (double p : {1.2e-7, 0.01, 0.3, 0.5, 0.99}) {
        const double z = truncated_normal(mu, sigma, lo, hi, p);
        const double location = std::clamp(mu, lo + 1e-4, hi - 1e-4);
        const double a = normal_cdf((lo - location) / sigma),
                     b = normal_cdf((hi - location) / sigma);
        const double back = (normal_cdf((z - location) / sigma) - a) / (b - a);
        // The upper tail is known to the 1e-16 that 1 - Phi keeps there.
        EXPECT_NEAR(back, p, 1e-11) << mu << " " << sigma << " " << p;
      }
}

TEST(TruncatedNormal, FarLocationsStayFiniteAndInside) {
  for (double mu : {-1e30, -1e6, 5.87, 9.89, 1e6, 1e30})
    for (double sigma : {1e-12, 1e-3, 0.04, 1.0, 1e6})
      for (double p : {godiff::clip_probability(1e-16), 0.5, godiff::clip_probability(1 - 1e-16)}) {
        const double z = truncated_normal(mu, sigma, 5.88, 9.88, p);
        EXPECT_TRUE(z >= 5.88 && z <= 9.88) << mu << " " << sigma << " " << p << " " << z;
      }
  EXPECT_EQ(truncated_normal(7.5, 0.0, 5.88, 9.88, 0.3), 7.5);
  EXPECT_DOUBLE_EQ(truncated_normal(1.0, 0.0, 5.88, 9.88, 0.3), 5.8801);
  const double narrow = truncated_normal(0.0, 0.3, 7.0, 7.00001, 0.5);
  EXPECT_TRUE(narrow >= 7.0 && narrow <= 7.00001);
}

TEST(TruncatedNormal, ErfinvInvertsErf) {
  for (double x : {-0.999999, -0.5, -1e-9, 0.0, 0.1, 0.7, 0.999})
    EXPECT_NEAR(std::erf(godiff::erfinv(x)), x, 2e-16 + 1e-15 * std::abs(x));
}

TEST(Noiser, TimesAreUniformAndBelongToTheStructure) {
  const at::Tensor t = draw_times(3, Purpose::TRAINING_TIME, 2, number(5), DRAWS);
  const std::vector<double> v = to_vector(t);
  EXPECT_GE(*std::min_element(v.begin(), v.end()), 1e-5);
  EXPECT_LE(*std::max_element(v.begin(), v.end()), 1.0);
  EXPECT_LT(kolmogorov_smirnov(v, [](double x) { return x; }), KS_LIMIT);
  EXPECT_TRUE(
      at::equal(draw_times(3, Purpose::TRAINING_TIME, 2, number(5), 100), t.narrow(0, 0, 100)));
  EXPECT_FALSE(
      at::equal(draw_times(3, Purpose::TRAINING_TIME, 2, number(6), 100), t.narrow(0, 0, 100)));
  EXPECT_FALSE(
      at::equal(draw_times(3, Purpose::TRAINING_TIME, 1, number(5), 100), t.narrow(0, 0, 100)));
  EXPECT_FALSE(
      at::equal(draw_times(4, Purpose::TRAINING_TIME, 2, number(5), 100), t.narrow(0, 0, 100)));
}

// Method section 24.1: mean and variance within 4 standard errors, z by Kolmogorov-Smirnov.
TEST(Noiser, KernelMomentsAndTruncatedDistribution) {
  const System s = stepped_pt();
  const Schedule schedule;
  const std::vector<double> x0{2.68, 2.03, 6.42};
  for (double t : {0.1, 0.5, 1.0}) {
    const Noised noised = add_noise(s, schedule, copies(x0, DRAWS), times(t, DRAWS), 8,
                                    Purpose::TRAINING_NOISE, 0, number(static_cast<int>(10 * t)));
    const double v = schedule.variance(t), std = schedule.std(t);
    for (int k = 0; k < 2; ++k) {
      const std::vector<double> x = component(noised.positions, k);
      EXPECT_NEAR(godiff_test::mean(x), x0[k], 4.0 * std / std::sqrt(DRAWS));
      EXPECT_NEAR(godiff_test::variance(x), v, 4.0 * v * std::sqrt(2.0 / DRAWS));
      EXPECT_LT(kolmogorov_smirnov(x, [&](double r) { return normal_cdf((r - x0[k]) / std); }),
                KS_LIMIT);
    }
    const std::vector<double> z = component(noised.positions, 2);
    const double a = normal_cdf((s.z_lo - x0[2]) / std), b = normal_cdf((s.z_hi - x0[2]) / std);
    EXPECT_LT(kolmogorov_smirnov(
                  z, [&](double r) { return (normal_cdf((r - x0[2]) / std) - a) / (b - a); }),
              KS_LIMIT);
    EXPECT_GE(*std::min_element(z.begin(), z.end()), s.z_lo);
    EXPECT_LE(*std::max_element(z.begin(), z.end()), s.z_hi);
  }
}

TEST(Noiser, NoiseIsTheStandardisedDisplacement) {
  const System s = godiff_test::heptamer_pt();
  const Schedule schedule;
  std::vector<double> x;
  for (int i = 0; i < 7; ++i) {
    x.insert(x.end(), {2.0 * i, 3.0 * i, i % 2 == 0 ? s.z_lo : s.z_hi});  // on the faces
  }
  const at::Tensor x0 = copies(x, 40);
  const at::Tensor t = draw_times(1, Purpose::TRAINING_TIME, 0, number(0), 40);
  t.data_ptr<double>()[0] = 1e-5;
  t.data_ptr<double>()[1] = 1.0;
  const Noised noised = add_noise(s, schedule, x0, t, 1, Purpose::TRAINING_NOISE, 0, number(0));
  EXPECT_TRUE(noised.positions.isfinite().all().item<bool>());
  EXPECT_TRUE(noised.noise.isfinite().all().item<bool>());
  for (int g = 0; g < 40; ++g) {
    const double std = schedule.std(t.const_data_ptr<double>()[g]);
    const at::Tensor w = (noised.positions[g] - x0[g]) / std;
    // x_t = x_0 + s w was rounded at about 20 Angstrom: 4e-15 over s.
    EXPECT_LT((w - noised.noise[g]).abs().max().item<double>(), 1e-14 / std);
  }
}

TEST(Noiser, StructuresDoNotDependOnTheirBatch) {
  const System s = stepped_pt();
  const Schedule schedule;
  const at::Tensor x0 = copies({2.68, 2.03, 6.42}, 10), t = times(0.5, 10);
  const auto noise = [&](std::int64_t n, std::uint64_t seed, Purpose purpose, int stage,
                         std::int64_t step) {
    return add_noise(s, schedule, x0.narrow(0, 0, n), t.narrow(0, 0, n), seed, purpose, stage,
                     number(step))
        .positions;
  };
  const at::Tensor all = noise(10, 1, Purpose::TRAINING_NOISE, 2, 3);
  EXPECT_TRUE(at::equal(noise(4, 1, Purpose::TRAINING_NOISE, 2, 3), all.narrow(0, 0, 4)));
  EXPECT_FALSE(at::equal(noise(10, 2, Purpose::TRAINING_NOISE, 2, 3), all));
  EXPECT_FALSE(at::equal(noise(10, 1, Purpose::VALIDATION_NOISE, 2, 3), all));
  EXPECT_FALSE(at::equal(noise(10, 1, Purpose::TRAINING_NOISE, 1, 3), all));
  EXPECT_FALSE(at::equal(noise(10, 1, Purpose::TRAINING_NOISE, 2, 4), all));
  EXPECT_FALSE(at::equal(all[0], all[1]));
}

// For data N(m, sig^2) the best score is known, and what it leaves of the loss is sig^2/(sig^2+v)
// per component (method section 5), for either residual.
TEST(Noiser, IrreducibleLossOfGaussianData) {
  constexpr double SIG = 0.3, CENTRE = 500.0;
  const System s = godiff_test::open_box(2 * CENTRE, 1);  // no truncation in reach
  const Schedule schedule;
  for (double t : {0.1, 0.5, 1.0}) {
    godiff::RandomStream random(4, Purpose::INIT);
    at::Tensor x0 = at::empty({DRAWS, 1, 3}, at::kDouble);
    for (std::int64_t k = 0; k < x0.numel(); ++k) {
      if (k % 100000 == 0)
        random = godiff::RandomStream(4, Purpose::INIT, 0, static_cast<std::uint32_t>(k));
      x0.data_ptr<double>()[k] = CENTRE + SIG * random.normal();
    }
    const at::Tensor t_all = times(t, DRAWS), weights = at::ones({DRAWS}, at::kDouble);
    const Noised noised =
        add_noise(s, schedule, x0, t_all, 4, Purpose::TRAINING_NOISE, 0, number(0));
    const double v = schedule.variance(t), expected = SIG * SIG / (SIG * SIG + v);
    const at::Tensor true_score = -(noised.positions - CENTRE) / (SIG * SIG + v);
    // The mean over 3*DRAWS squared normals of variance `expected`; 4 standard errors.
    const double error = 4.0 * expected * std::sqrt(2.0 / (3.0 * DRAWS));
    const std::int64_t n_atoms = 1;
    const auto loss = [&](ScoreScale scale, const at::Tensor &score) {
      const godiff::LeastSquares l =
          godiff::score_loss(schedule, scale, noised.noise, t_all, weights, n_atoms);
      return godiff::reference::least_squares(score, l.offset, l.factor, l.weight).item<double>() /
             3.0;
    };
    EXPECT_NEAR(loss(ScoreScale::CONSISTENT, true_score), expected, error);
    EXPECT_NEAR(loss(ScoreScale::REFERENCE, true_score / schedule.std(t)), expected, error);
    // Any other factor is worse: the minimiser is that of the table, not only near it.
    for (double factor : {0.9, 1.1}) {
      EXPECT_GT(loss(ScoreScale::CONSISTENT, factor * true_score), expected);
      EXPECT_GT(loss(ScoreScale::REFERENCE, factor * true_score / schedule.std(t)), expected);
    }
  }
}

}  // namespace
