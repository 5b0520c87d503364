// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/random.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include <gtest/gtest.h>

#include "statistics.hpp"

namespace {

using godiff::Purpose;
using godiff::RandomStream;
using godiff_test::kolmogorov_smirnov;
using godiff_test::KS_LIMIT;
using godiff_test::mean;
using godiff_test::normal_cdf;

constexpr int DRAWS = 100000;

std::vector<double> uniforms(RandomStream stream, int n) {
  std::vector<double> x;
  for (int k = 0; k < n; ++k)
    x.push_back(stream.uniform());
  return x;
}

// Philox4x32-10 once more, from Salmon et al., SC11 (2011): counter and key as 32-bit words.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c,
                                    std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ULL * c[0], b = 0xCD9E8D57ULL * c[2];
    c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(a)};
    k = {k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
  }
  return c;
}

std::uint64_t splitmix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// The checkpoint of a run is worth nothing when a new LibTorch changes the generator: these are the
// known answers of the Random123 distribution.
TEST(RandomStream, GeneratorGivesTheKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  at::Philox4_32 engine(0, 0, 0);
  for (std::uint32_t known : {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u})
    EXPECT_EQ(engine(), known);
}

TEST(RandomStream, NumbersAreThoseOfThePublishedRecipe) {
  const std::uint64_t seed = 42;
  const std::uint64_t key =
      splitmix(splitmix(seed + 0x9e3779b97f4a7c15ULL) + static_cast<std::uint64_t>(Purpose::KEYS));
  const std::uint32_t stage = 3, item = 17, step = 70001;
  RandomStream stream(seed, Purpose::KEYS, stage, item, step);
  for (std::uint64_t block = 0; block < 3; ++block) {
    const std::uint64_t counter = (static_cast<std::uint64_t>(step) << 16) + block;
    const auto words =
        philox({static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                item, stage},
               {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    for (int half = 0; half < 2; ++half) {
      const std::uint64_t bits =
          ((static_cast<std::uint64_t>(words[2 * half]) << 32) | words[2 * half + 1]) >> 12;
      EXPECT_EQ(stream.uniform(), (static_cast<double>(bits) + 0.5) / 4503599627370496.0);
    }
  }
}

TEST(RandomStream, DependsOnItsKeyOnly) {
  const std::vector<double> alone = uniforms({7, Purpose::PRIOR, 1, 2, 3}, 50);
  RandomStream a(7, Purpose::PRIOR, 1, 2, 3), b(7, Purpose::PRIOR, 1, 2, 4);
  for (double expected : alone) {
    b.normal();
    EXPECT_EQ(a.uniform(), expected);
    b.uniform();
  }
}

TEST(RandomStream, EveryPartOfTheKeyCounts) {
  std::set<double> first;
  int streams = 0;
  for (std::uint64_t seed : {0ULL, 1ULL, 2ULL, 1ULL << 32, ~0ULL})
    for (Purpose purpose : {Purpose::INIT, Purpose::PRIOR, Purpose::FORCE_SHUFFLE})
      for (std::uint32_t stage : {0u, 1u, 19u})
        for (std::uint32_t item : {0u, 1u, 19u, 0xffffffffu})
          for (std::uint32_t step : {0u, 1u, 19u, 0xffffffffu}) {
            first.insert(RandomStream(seed, purpose, stage, item, step).uniform());
            ++streams;
          }
  EXPECT_EQ(static_cast<int>(first.size()), streams);
}

// The documented length of a stream: number 2^17 is the first number of the next step, not before.
TEST(RandomStream, HoldsTwoToTheSeventeenNumbers) {
  constexpr int LENGTH = 1 << 17;
  const std::vector<double> x = uniforms({1, Purpose::KEYS, 0, 0, 0}, LENGTH + 1);
  const double next = RandomStream(1, Purpose::KEYS, 0, 0, 1).uniform();
  EXPECT_EQ(x[LENGTH], next);
  EXPECT_EQ(std::count(x.begin(), x.end() - 1, next), 0);
}

TEST(RandomStream, UniformNumbers) {
  const std::vector<double> x = uniforms({5, Purpose::TRAINING_TIME}, DRAWS);
  for (double u : x) {
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
  }
  EXPECT_LT(kolmogorov_smirnov(x, [](double u) { return u; }), KS_LIMIT);
  // 4 standard errors of mean (std 1/sqrt(12)) and of the lag-one product of centred numbers.
  EXPECT_NEAR(mean(x), 0.5, 4.0 / std::sqrt(12.0 * DRAWS));
  double lag = 0.0;
  for (int k = 1; k < DRAWS; ++k)
    lag += (x[k] - 0.5) * (x[k - 1] - 0.5);
  EXPECT_NEAR(lag / DRAWS, 0.0, 4.0 / 12.0 / std::sqrt(DRAWS));
}

TEST(RandomStream, NormalNumbers) {
  RandomStream stream(5, Purpose::TRAINING_NOISE);
  std::vector<double> x;
  double second = 0.0, third = 0.0, fourth = 0.0, lag = 0.0;
  for (int k = 0; k < DRAWS; ++k) {
    x.push_back(stream.normal());
    second += x[k] * x[k];
    third += x[k] * x[k] * x[k];
    fourth += x[k] * x[k] * x[k] * x[k];
    if (k > 0)
      lag += x[k] * x[k - 1];
  }
  EXPECT_LT(kolmogorov_smirnov(x, normal_cdf), KS_LIMIT);
  // 4 standard errors: the variances of x, x^2, x^3, x^4 and x*y are 1, 2, 15, 96 and 1.
  const double error = 4.0 / std::sqrt(DRAWS);
  EXPECT_NEAR(mean(x), 0.0, error);
  EXPECT_NEAR(second / DRAWS, 1.0, error * std::sqrt(2.0));
  EXPECT_NEAR(third / DRAWS, 0.0, error * std::sqrt(15.0));
  EXPECT_NEAR(fourth / DRAWS, 3.0, error * std::sqrt(96.0));
  EXPECT_NEAR(lag / DRAWS, 0.0, error);
}

// What the sampler does: one stream per candidate, few numbers of each.
TEST(RandomStream, FirstNumbersOfNeighbouringStreams) {
  using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;
  for (const Key &unit : {Key{1, 0, 0}, Key{0, 1, 0}, Key{0, 0, 1}}) {
    std::vector<double> x;
    double lag = 0.0;
    for (std::uint32_t k = 0; k < 20000; ++k) {
      x.push_back(RandomStream(3, Purpose::REVERSE_NOISE, k * std::get<0>(unit),
                               k * std::get<1>(unit), k * std::get<2>(unit))
                      .normal());
      if (k > 0)
        lag += x[k] * x[k - 1];
    }
    EXPECT_LT(kolmogorov_smirnov(x, normal_cdf), KS_LIMIT);
    EXPECT_NEAR(lag / 20000.0, 0.0, 4.0 / std::sqrt(20000.0));
  }
}

TEST(RandomStream, IntegersBelowABound) {
  RandomStream stream(9, Purpose::SHUFFLE);
  for (int k = 0; k < 100; ++k)
    EXPECT_EQ(stream.below(1), 0u);
  constexpr int SIDES = 6, THROWS = 60000;
  std::array<int, SIDES> seen{};
  for (int k = 0; k < THROWS; ++k) {
    const std::uint32_t n = stream.below(SIDES);
    ASSERT_LT(n, static_cast<std::uint32_t>(SIDES));
    ++seen[n];
  }
  double chi2 = 0.0;
  const double expected = static_cast<double>(THROWS) / SIDES;
  for (int count : seen)
    chi2 += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi2, 20.5);  // 5 degrees of freedom, probability 0.001
  for (int k = 0; k < 1000; ++k)
    ASSERT_LT(stream.below(0xffffffffu), 0xffffffffu);
}

}  // namespace
