// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/reservoir.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"

namespace {

using godiff::Error;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::weighted_draw;
using Indices = std::vector<std::int64_t>;

// The example of method section 24.4.
const std::vector<double> W{2.0, 1.0, 0.9, 0.1};

// Exact probabilities that each index, and the pairs (0,1) and (0,2), are drawn in `left` successive
// draws without replacement, each with probability proportional to the weight.
void enumerate(int left, unsigned taken, double probability, std::vector<double> &inclusion,
               double (&pairs)[2]) {
  if (left == 0) {
    for (std::size_t k = 0; k < W.size(); ++k)
      if (taken >> k & 1u)
        inclusion[k] += probability;
    pairs[0] += (taken & 3u) == 3u ? probability : 0.0;
    pairs[1] += (taken & 5u) == 5u ? probability : 0.0;
    return;
  }
  double sum = 0.0;
  for (std::size_t k = 0; k < W.size(); ++k)
    sum += taken >> k & 1u ? 0.0 : W[k];
  for (std::size_t k = 0; k < W.size(); ++k)
    if (!(taken >> k & 1u))
      enumerate(left - 1, taken | 1u << k, probability * W[k] / sum, inclusion, pairs);
}

TEST(WeightedDraw, InclusionFrequencies) {
  // The numbers printed in the method, to the six digits given there.
  const double printed[3][4] = {{0.5, 0.25, 0.225, 0.025},
                                {0.824648, 0.578991, 0.530769, 0.065591},
                                {0.984054, 0.939749, 0.928260, 0.147937}};
  constexpr int TRIALS = 100000;
  for (int capacity = 1; capacity <= 3; ++capacity) {
    std::vector<double> exact(4, 0.0), seen(4, 0.0);
    double exact_pairs[2] = {0, 0}, pairs[2] = {0, 0};
    enumerate(capacity, 0, 1.0, exact, exact_pairs);
    RandomStream random(11, Purpose::KEYS, static_cast<std::uint32_t>(capacity));
    for (int trial = 0; trial < TRIALS; ++trial) {
      if (trial % 10000 == 0)  // a stream holds 2^17 numbers
        random = RandomStream(11, Purpose::KEYS, static_cast<std::uint32_t>(capacity),
                              static_cast<std::uint32_t>(trial));
      std::vector<double> u;
      for (int k = 0; k < 4; ++k)
        u.push_back(random.uniform());
      const Indices chosen = weighted_draw(W, u, capacity);
      ASSERT_EQ(static_cast<int>(chosen.size()), capacity);
      for (std::int64_t k : chosen)
        ++seen[k];
      const auto has = [&](std::int64_t k) {
        return std::find(chosen.begin(), chosen.end(), k) != chosen.end();
      };
      pairs[0] += has(0) && has(1);
      pairs[1] += has(0) && has(2);
    }
    // 4 standard errors of a frequency.
    const auto error = [&](double p) { return 4.0 * std::sqrt(p * (1.0 - p) / TRIALS); };
    for (int k = 0; k < 4; ++k) {
      EXPECT_NEAR(exact[k], printed[capacity - 1][k], 1e-6);
      EXPECT_NEAR(seen[k] / TRIALS, exact[k], error(exact[k]));
    }
    if (capacity == 2) {
      EXPECT_NEAR(exact_pairs[0], 0.416667, 1e-6);
      EXPECT_NEAR(exact_pairs[1], 0.370161, 1e-6);
    }
    for (int p = 0; p < 2; ++p)
      EXPECT_NEAR(pairs[p] / TRIALS, exact_pairs[p], error(exact_pairs[p]) + 1e-12);
  }
}

TEST(WeightedDraw, TakesTheLargestKeysInAscendingOrder) {
  // Method section 23: keys 0.949, 0.5, 0.167, 0.904.
  const std::vector<double> u{0.9, 0.5, 0.2, 0.99};
  EXPECT_EQ(weighted_draw(W, u, 1), (Indices{0}));
  EXPECT_EQ(weighted_draw(W, u, 2), (Indices{0, 3}));
  EXPECT_EQ(weighted_draw(W, u, 3), (Indices{0, 1, 3}));
}

TEST(WeightedDraw, CapacityAtTheEnds) {
  const std::vector<double> u{0.9, 0.5, 0.2, 0.99};
  EXPECT_EQ(weighted_draw(W, u, 4), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(weighted_draw(W, u, 100), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(weighted_draw({}, {}, 3), Indices{});
  EXPECT_THROW(weighted_draw(W, {0.5}, 1), Error);
}

// At low temperature most weights underflow to 0; the rest of the buffer is filled with the newest.
TEST(WeightedDraw, TiesOfZeroWeightsGoToTheLargerIndex) {
  const std::vector<double> u{0.9, 0.1, 0.5, 0.3, 0.7};
  EXPECT_EQ(weighted_draw({0, 1e-300, 0, 0, 0}, u, 3), (Indices{1, 3, 4}));
  EXPECT_EQ(weighted_draw({0, 0, 0, 0, 0}, u, 2), (Indices{3, 4}));
  // ln(u)/W overflows for the smallest positive weights and ties with the zeros.
  EXPECT_EQ(weighted_draw({1, 4.9e-324, 0, 0, 0}, u, 2), (Indices{0, 4}));
}

TEST(WeightedDraw, CommonFactorChangesNothing) {
  RandomStream random(12, Purpose::KEYS);
  std::vector<double> w, u, scaled;
  for (int k = 0; k < 200; ++k) {
    w.push_back(random.uniform());
    u.push_back(random.uniform());
    scaled.push_back(w.back() * 0x1p-30);  // a power of two: no rounding
  }
  EXPECT_EQ(weighted_draw(w, u, 20), weighted_draw(scaled, u, 20));
}

}  // namespace
