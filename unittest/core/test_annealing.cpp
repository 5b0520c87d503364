// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/annealing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace {

using godiff::adaptive_temperature;
using godiff::boltzmann_weights;
using godiff::effective_sample_size;
using godiff::geometric_ladder;
using godiff::Purpose;
using godiff::RandomStream;

std::vector<double> energies(int n, double spread, double offset = -100.0) {
  RandomStream random(21, Purpose::INIT);
  std::vector<double> e;
  for (int k = 0; k < n; ++k)
    e.push_back(offset + spread * random.uniform());
  return e;
}

TEST(Ladder, PrintedTemperatures) {
  // Method section 23, eight digits.
  const std::vector<double> paper = geometric_ladder(5.0, 0.02, 20);
  const double printed[] = {5,           3.7390617,   2.7961165,   2.0909705,   1.5636535,
                            1.1693194,   0.87443149,  0.65391067,  0.48900247,  0.36568208,
                            0.27346158,  0.20449794,  0.15292609,  0.11436002,  0.085519832,
                            0.063952786, 0.047824683, 0.035763889, 0.026744678, 0.02};
  ASSERT_EQ(paper.size(), 20u);
  for (int k = 0; k < 20; ++k)
    EXPECT_NEAR(paper[k] / printed[k], 1.0, 1e-7);
  EXPECT_NEAR(geometric_ladder(3.0, 0.02, 20)[18], 0.026035212, 1e-9);
  EXPECT_NEAR(geometric_ladder(5.0, 0.02, 10)[4], 0.42975297, 1e-8);
}

TEST(Ladder, EndsAreExactAndStepsFall) {
  for (int stages : {2, 3, 7, 50}) {
    const std::vector<double> t = geometric_ladder(4.9999999, 0.0213, stages);
    EXPECT_EQ(t.front(), 4.9999999);
    EXPECT_EQ(t.back(), 0.0213);
    for (int k = 1; k < stages; ++k)
      EXPECT_LT(t[k], t[k - 1]);
  }
  EXPECT_EQ(geometric_ladder(5.0, 0.02, 1), std::vector<double>{5.0});
}

TEST(BoltzmannWeights, MeanIsOne) {
  for (double kT : {0.02, 0.5, 5.0}) {
    const std::vector<double> w = boltzmann_weights(energies(777, 4.0), kT);
    EXPECT_NEAR(std::accumulate(w.begin(), w.end(), 0.0) / 777.0, 1.0, 1e-12);
  }
}

TEST(BoltzmannWeights, PrintedWeights) {
  // Method section 23; as many digits as printed there (two for the smallest).
  const std::vector<double> e{-100, -99.9, -99.5, -98, -90};
  const struct {
    double kT, w[5], ess;
  } rows[] = {{5.0, {1.35475970, 1.32793366, 1.22583727, 0.90812258, 0.18334679}, 4.194799},
              {0.5, {2.26764997, 1.85659477, 0.83422180, 0.041533458, 4.674e-9}, 2.691984},
              {0.02, {4.96653575, 0.033464255, 6.897e-11, 1.85e-43, 3.5e-217}, 1.013475}};
  for (const auto &row : rows) {
    const std::vector<double> w = boltzmann_weights(e, row.kT);
    for (int k = 0; k < 5; ++k)
      EXPECT_NEAR(w[k] / row.w[k], 1.0, row.w[k] > 1e-8 ? 1e-7 : 1.5e-2);
    EXPECT_NEAR(effective_sample_size(w), row.ess, 1e-6);
  }
}

TEST(BoltzmannWeights, ConstantInTheEnergyCancels) {
  const std::vector<double> e = energies(50, 2.0, 0.0);
  std::vector<double> shifted = e;
  for (double &x : shifted)
    x -= 4096.0;  // rounds the energies to 1e-12, hence the weights to 1e-11
  const std::vector<double> a = boltzmann_weights(e, 0.3), b = boltzmann_weights(shifted, 0.3);
  for (int k = 0; k < 50; ++k)
    EXPECT_NEAR(a[k], b[k], 1e-11 * std::max(1.0, a[k]));
}

TEST(BoltzmannWeights, LimitsOfEqualEnergiesAndHighTemperature) {
  EXPECT_EQ(boltzmann_weights({-3.1, -3.1, -3.1}, 0.02), std::vector<double>(3, 1.0));
  for (double w : boltzmann_weights(energies(20, 5.0), 1e9))
    EXPECT_NEAR(w, 1.0, 1e-8);
  EXPECT_TRUE(boltzmann_weights({}, 1.0).empty());
  EXPECT_EQ(boltzmann_weights({-7.0}, 1.0), std::vector<double>{1.0});
}

TEST(BoltzmannWeights, KeepTheOrderAndUnderflowQuietly) {
  const std::vector<double> e = energies(100, 3.0);
  for (double kT : {5.0, 0.1, 0.02}) {
    const std::vector<double> w = boltzmann_weights(e, kT);
    for (int a = 0; a < 100; ++a)
      for (int b = 0; b < 100; ++b)
        EXPECT_TRUE(e[a] >= e[b] || w[a] >= w[b]);
  }
  const std::vector<double> w = boltzmann_weights({0.0, 1e6}, 0.02);
  EXPECT_EQ(w[0], 2.0);
  EXPECT_EQ(w[1], 0.0);
}

TEST(NormalizedWeights, AreBoltzmannWeightsOfAnyLogarithm) {
  const std::vector<double> e = energies(40, 3.0);
  std::vector<double> logs;
  for (double x : e)
    logs.push_back(-x / 0.2);
  EXPECT_EQ(godiff::normalized_weights(logs), boltzmann_weights(e, 0.2));
  EXPECT_EQ(godiff::normalized_weights({-INFINITY, 5.0, -INFINITY}),
            (std::vector<double>{0.0, 3.0, 0.0}));
  EXPECT_TRUE(godiff::normalized_weights({}).empty());
}

TEST(EffectiveSampleSize, Limits) {
  EXPECT_EQ(effective_sample_size({}), 0.0);
  EXPECT_EQ(effective_sample_size({0, 0}), 0.0);
  EXPECT_DOUBLE_EQ(effective_sample_size({1, 1, 1, 1}), 4.0);
  EXPECT_DOUBLE_EQ(effective_sample_size({7, 0, 0}), 1.0);
}

TEST(AdaptiveTemperature, KeepsTheWantedSampleSize) {
  const std::vector<double> e = energies(128, 6.0);
  const auto ess = [&](double kT) { return effective_sample_size(boltzmann_weights(e, kT)); };
  for (double wanted : {8.0, 20.0, 60.0}) {
    const double kT = adaptive_temperature(e, 5.0, 0.02, wanted);
    ASSERT_GT(kT, 0.02);
    ASSERT_LT(kT, 5.0);
    EXPECT_GE(ess(kT), wanted);
    EXPECT_LT(ess(kT * (1.0 - 1e-6)), wanted) << "a lower temperature would do";
  }
}

TEST(AdaptiveTemperature, StaysBetweenStopAndCurrent) {
  const std::vector<double> e = energies(128, 6.0);
  EXPECT_EQ(adaptive_temperature(e, 5.0, 0.02, 1.0), 0.02) << "one structure is always there";
  EXPECT_EQ(adaptive_temperature(e, 0.5, 0.02, 128.5), 0.5) << "never warmer";
  EXPECT_EQ(adaptive_temperature({}, 5.0, 0.02, 8.0), 0.02);
  EXPECT_EQ(adaptive_temperature(std::vector<double>(16, -1.0), 5.0, 0.02, 8.0), 0.02);
}

}  // namespace
