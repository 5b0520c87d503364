// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/sampler.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "kernels/diffusion_math.hpp"
#include "statistics.hpp"
#include "systems.hpp"

namespace {

using godiff::ForceFunction;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::Sampler;
using godiff::SampleRequest;
using godiff::Schedule;
using godiff::ScoreFunction;
using godiff::ScoreScale;
using godiff::Settings;
using godiff::System;
using godiff::Vec3;
using godiff_test::heptamer_pt;
using godiff_test::kolmogorov_smirnov;
using godiff_test::KS_LIMIT;
using godiff_test::stepped_pt;
using godiff_test::to_vector;

Settings short_chain(int steps) {
  Settings s;
  s.sample_steps = steps;
  s.seed = 77;
  return s;
}

SampleRequest candidates(std::int64_t first, std::int64_t count, double guide = 0.0) {
  SampleRequest r;
  r.stage = 3;
  r.first = first;
  r.count = count;
  r.guide = guide;
  return r;
}

const ScoreFunction ZERO = [](const at::Tensor &x, double) { return at::zeros_like(x); };
const ForceFunction NO_FORCES = [](const at::Tensor &) -> at::Tensor {
  ADD_FAILURE() << "forces asked for without guidance";
  return {};
};

// Pulls every atom towards one place, never the same for two structures.
const ScoreFunction PULL = [](const at::Tensor &x, double t) {
  return -(x - 5.0) / (0.04 + t * t) + at::sin(3.0 * x);
};
const ForceFunction SPRING = [](const at::Tensor &x) { return -2.0 * (x - 5.0); };

// Every mobile atom within the window, exactly, and in the cell (method section 24.2).
void expect_inside(const System &s, const at::Tensor &x) {
  const std::vector<double> v = to_vector(x);
  for (std::size_t i = 0; i < v.size(); i += 3) {
    ASSERT_TRUE(std::isfinite(v[i]) && std::isfinite(v[i + 1]) && std::isfinite(v[i + 2]));
    ASSERT_GE(v[i + 2], s.z_lo);
    ASSERT_LE(v[i + 2], s.z_hi);
    const Vec3 f = s.cell.fractional({v[i], v[i + 1], v[i + 2]});
    for (int k = 0; k < 2; ++k) {
      ASSERT_GE(f[k], -1e-6);
      ASSERT_LT(f[k], 1.0 + 1e-6);
    }
  }
}

TEST(Prior, FillsTheConfinementBoxUniformly) {
  const System s = stepped_pt();
  const Sampler sampler(s, short_chain(2));
  const at::Tensor x = sampler.prior(candidates(0, 20000));
  ASSERT_EQ(x.sizes(), (at::IntArrayRef{20000, 1, 3}));
  std::vector<double> f[3];
  const std::vector<double> v = to_vector(x);
  for (std::size_t i = 0; i < v.size(); i += 3) {
    const Vec3 r = s.cell.fractional({v[i], v[i + 1], 0.0});
    f[0].push_back(r[0]);
    f[1].push_back(r[1]);
    f[2].push_back((v[i + 2] - s.z_lo) / (s.z_hi - s.z_lo));
  }
  double correlation = 0.0;
  for (std::size_t i = 0; i < f[0].size(); ++i)
    correlation += (f[0][i] - 0.5) * (f[1][i] - 0.5);
  for (const auto &part : f)
    EXPECT_LT(kolmogorov_smirnov(part, [](double u) { return u; }), KS_LIMIT);
  EXPECT_NEAR(correlation / 20000, 0.0, 4.0 / 12.0 / std::sqrt(20000.0));
  EXPECT_EQ(sampler.network_calls(), 0);
}

// The authors' program transposes the prior of exactly three atoms; ours must not.
TEST(Prior, SameFormulaForThreeAtoms) {
  System s = heptamer_pt();
  s.n_mobile = 3;
  s.atomic_numbers.resize(75);
  const Sampler sampler(s, short_chain(2));
  const std::vector<double> v = to_vector(sampler.prior(candidates(4, 1)));
  RandomStream random(77, Purpose::PRIOR, 3, 4);
  for (int i = 0; i < 3; ++i) {
    const double f1 = random.uniform(), f2 = random.uniform(), f3 = random.uniform();
    const Vec3 r = s.cell.cartesian({f1, f2, 0.0});
    EXPECT_DOUBLE_EQ(v[3 * i], r[0]);
    EXPECT_DOUBLE_EQ(v[3 * i + 1], r[1]);
    EXPECT_DOUBLE_EQ(v[3 * i + 2], s.z_lo + f3 * (s.z_hi - s.z_lo));
  }
}

TEST(ReverseTimes, BothEndsIncluded) {
  const std::vector<double> t = godiff::reverse_times(500, 0.005);
  ASSERT_EQ(t.size(), 500u);
  EXPECT_EQ(t.front(), 1.0);
  EXPECT_NEAR(t.back(), 0.005, 1e-15);
  for (int i = 1; i < 500; ++i)
    EXPECT_NEAR(t[i - 1] - t[i], 0.995 / 499, 1e-14);
}

// The chain written out once more from method section 12. Equality shows at the same time that the
// streams of the candidates are its only randomness.
TEST(Reverse, IsEulerMaruyamaOfTheMethod) {
  const System s = heptamer_pt();
  constexpr int K = 20;
  for (ScoreScale scale : {ScoreScale::REFERENCE, ScoreScale::RESCALED}) {
    for (bool legacy : {false, true}) {
      Settings settings = short_chain(K);
      settings.score_scale = scale;
      settings.g2_legacy = legacy;
      Sampler sampler(s, settings);
      const std::vector<double> x = to_vector(sampler.reverse(candidates(9, 2), PULL, NO_FORCES));
      const double dt = (1.0 - 0.005) / (K - 1);
      for (std::int64_t g = 0; g < 2; ++g) {
        at::Tensor y = Sampler(s, settings).prior(candidates(9 + g, 1));
        for (int i = 0; i < K; ++i) {
          const double t = 1.0 - i * dt, sigma_bar = 0.01 + 0.99 * t;
          const double g2 = legacy ? 2 * sigma_bar * t : 1.98 * sigma_bar;
          const double kernel = std::sqrt(sigma_bar * sigma_bar - 1e-4);
          const double drift = dt * g2 * (scale == ScoreScale::RESCALED ? kernel : 1.0);
          const std::vector<double> score = to_vector(PULL(y, t));
          RandomStream noise(77, Purpose::REVERSE_NOISE, 3, static_cast<std::uint32_t>(9 + g), i);
          double *r = y.data_ptr<double>();
          for (int k = 0; k < 21; ++k) {
            const double m = r[k] + drift * score[k];
            if (i == K - 1)
              r[k] = k % 3 == 2 ? std::clamp(m, s.z_lo, s.z_hi) : m;
            else if (k % 3 != 2)
              r[k] = m + std::sqrt(dt * g2) * noise.normal();
            else
              r[k] = godiff::truncated_normal(m, std::sqrt(dt * g2), s.z_lo, s.z_hi,
                                              godiff::clip_probability(noise.uniform()));
          }
          for (int k = 0; k < 21; k += 3) {
            const Vec3 w = s.cell.wrap({r[k], r[k + 1], r[k + 2]});
            std::copy(w.begin(), w.end(), r + k);
          }
        }
        // The formulas round differently (1e-15 a step); images are compared as such.
        const std::vector<double> v = to_vector(y);
        for (int k = 0; k < 21; k += 3) {
          const Vec3 d = s.cell.minimum_image(
              {v[k] - x[21 * g + k], v[k + 1] - x[21 * g + k + 1], v[k + 2] - x[21 * g + k + 2]});
          EXPECT_LT(std::sqrt(godiff::dot(d, d)), 1e-9);
        }
      }
    }
  }
}

TEST(Reverse, DependsOnSeedStageAndCandidate) {
  const System s = stepped_pt();
  const auto draw = [&](std::uint64_t seed, int stage, std::int64_t first) {
    Settings settings = short_chain(5);
    settings.seed = seed;
    Sampler sampler(s, settings);
    SampleRequest r = candidates(first, 2);
    r.stage = stage;
    return sampler.reverse(r, ZERO, NO_FORCES);
  };
  const at::Tensor x = draw(1, 0, 0);
  EXPECT_TRUE(at::equal(x, draw(1, 0, 0)));
  EXPECT_FALSE(at::equal(x, draw(2, 0, 0)));
  EXPECT_FALSE(at::equal(x, draw(1, 1, 0)));
  EXPECT_FALSE(at::equal(x, draw(1, 0, 2)));
}

TEST(Reverse, CandidatesDoNotDependOnTheirBatch) {
  const System s = heptamer_pt();
  for (double guide : {0.0, 0.2}) {
    Settings settings = short_chain(12);
    settings.guide = guide;
    settings.guide_extra = guide > 0.0 ? 4 : 0;
    settings.ffg_dt = false;
    Sampler sampler(s, settings);
    const auto draw = [&](std::int64_t first, std::int64_t count) {
      return sampler.reverse(candidates(first, count, guide), PULL,
                             guide > 0.0 ? SPRING : NO_FORCES);
    };
    const at::Tensor whole = draw(0, 10);
    EXPECT_TRUE(at::equal(at::cat({draw(0, 3), draw(3, 7)}), whole));
    std::vector<at::Tensor> one;
    for (std::int64_t c = 9; c >= 0; --c)
      one.insert(one.begin(), draw(c, 1));
    EXPECT_TRUE(at::equal(at::cat(one), whole)) << "in reverse order, one by one";
  }
}

TEST(Reverse, EveryStepStaysInTheWindowAndTheCell) {
  const System s = stepped_pt();
  for (double guide : {0.0, 0.2})
    for (double scale : {1.0, 1e6}) {  // scores a million times too large: method section 24.2
      Settings settings = short_chain(60);
      settings.guide = guide;
      settings.ffg_dt = false;
      settings.guide_extra = guide > 0.0 ? 5 : 0;
      Sampler sampler(s, settings);
      int seen = 0;
      const auto score = [&](const at::Tensor &x, double t) {
        expect_inside(s, x);
        ++seen;
        return scale * PULL(x, t);
      };
      const auto forces = [&](const at::Tensor &x) {
        expect_inside(s, x);
        ++seen;
        return scale * SPRING(x);
      };
      expect_inside(s, sampler.reverse(candidates(0, 50, guide), score, forces));
      EXPECT_GE(seen, guide > 0.0 ? 120 : 60);
      EXPECT_EQ(sampler.non_finite_scores(), 0);
    }
}

TEST(Reverse, NonFiniteScoresAreZeroedAndCounted) {
  const System s = heptamer_pt();
  const auto broken = [](double value, int component) {
    return ScoreFunction([=](const at::Tensor &x, double t) {
      at::Tensor score = PULL(x, t);
      score[1][2][component] = value;  // one atom of the second structure
      return score;
    });
  };
  const auto zeroed = ScoreFunction([](const at::Tensor &x, double t) {
    at::Tensor score = PULL(x, t);
    score[1][2].zero_();
    return score;
  });
  Sampler plain(s, short_chain(15));
  const at::Tensor expected = plain.reverse(candidates(0, 3), zeroed, NO_FORCES);
  EXPECT_EQ(plain.non_finite_scores(), 0);
  for (int component = 0; component < 3; ++component)
    for (double value : std::vector<double>{std::nan(""), INFINITY, -INFINITY}) {
      Sampler sampler(s, short_chain(15));
      const at::Tensor x = sampler.reverse(candidates(0, 3), broken(value, component), NO_FORCES);
      EXPECT_TRUE(at::equal(x, expected));
      EXPECT_EQ(sampler.non_finite_scores(), 15);
    }
  // A float32 score that overflows becomes infinite.
  Sampler sampler(s, short_chain(15));
  const auto overflow = [](const at::Tensor &x, double) {
    return at::full_like(x, 1e30).to(at::kFloat) * 1e30;
  };
  expect_inside(s, sampler.reverse(candidates(0, 2), overflow, NO_FORCES));
  EXPECT_EQ(sampler.non_finite_scores(), 15 * 2 * 7);
}

TEST(Reverse, CountsNetworkCalls) {
  const System s = stepped_pt();
  Settings settings = short_chain(11);
  Sampler plain(s, settings);
  plain.reverse(candidates(0, 4), ZERO, NO_FORCES);
  EXPECT_EQ(plain.network_calls(), 4 * 11);
  settings.guide = 0.2;
  Sampler guided(s, settings);
  guided.reverse(candidates(0, 4, 0.2), ZERO, SPRING);
  EXPECT_EQ(guided.network_calls(), 4 * 2 * 11);
  guided.reverse(candidates(0, 4), ZERO, NO_FORCES);  // as in stage 0
  EXPECT_EQ(guided.network_calls(), 4 * 2 * 11 + 4 * 11);
}

// Method section 13 and claim C9: every pass counts, also the one that finds nothing left to do.
TEST(Reverse, CountsNetworkCallsOfTheRelaxationAfterwards) {
  const System s = stepped_pt();
  Settings settings = short_chain(5);
  settings.guide = 0.2;
  settings.guide_extra = 6;
  std::int64_t passes = 0;
  const auto count = [&](const at::Tensor &x) { passes += x.size(0); };
  const auto score = [&](const at::Tensor &x, double t) {
    count(x);
    return ZERO(x, t);
  };
  for (double stiffness : {0.0, 1e-3, 2.0}) {
    Sampler sampler(s, settings);
    passes = 0;
    sampler.reverse(candidates(0, 3, 0.2), score, [&](const at::Tensor &x) {
      count(x);
      return -stiffness * (x - 7.0);
    });
    EXPECT_EQ(sampler.network_calls(), passes) << stiffness;
    EXPECT_GE(passes, 3 * (2 * 5 + 1));
    EXPECT_LE(passes, 3 * (2 * 5 + 1 + 6));
  }
}

TEST(Reverse, GuidanceMovesATenthOfAnAngstromAtMost) {
  const System s = heptamer_pt();
  Settings settings = short_chain(25);
  settings.guide = 50.0;
  settings.ffg_dt = false;
  Sampler sampler(s, settings);
  at::Tensor pushed;
  double largest = 0.0;
  const auto moved = [&](const at::Tensor &x) {
    const std::vector<double> a = to_vector(pushed), b = to_vector(x);
    for (std::size_t k = 0; k < a.size(); k += 3) {
      const Vec3 d = s.cell.minimum_image({b[k] - a[k], b[k + 1] - a[k + 1], b[k + 2] - a[k + 2]});
      largest = std::max(largest, std::sqrt(godiff::dot(d, d)));
    }
  };
  const auto score = [&](const at::Tensor &x, double t) {
    if (pushed.defined())
      moved(x);
    return PULL(x, t);
  };
  const auto forces = [&](const at::Tensor &x) {
    pushed = x.clone();
    return 100.0 * SPRING(x);
  };
  moved(sampler.reverse(candidates(0, 4, 50.0), score, forces));
  EXPECT_LE(largest, 0.1 + 1e-9);
  EXPECT_GT(largest, 0.09) << "the cap was never reached: this test shows nothing";
}

TEST(Reverse, RelaxationAfterwardsStopsPerStructure) {
  const System s = godiff_test::open_box(20, 2);
  Settings settings = short_chain(3);
  settings.guide = 0.2;
  // A spring of 1 eV/A^2 converges in the 0.1 A steps of at most 200 calls.
  const auto forces = [](const at::Tensor &x) { return -(x - 10.0); };
  settings.guide_extra = 0;
  const at::Tensor before = Sampler(s, settings).reverse(candidates(0, 3, 0.2), ZERO, forces);
  settings.guide_extra = 400;
  Sampler sampler(s, settings);
  const at::Tensor after = sampler.reverse(candidates(0, 3, 0.2), ZERO, forces);
  EXPECT_GT((before - 10.0).square().sum(2).sqrt().amax().item<double>(), 0.05);
  EXPECT_LE((after - 10.0).square().sum(2).sqrt().amax().item<double>(), 0.05);
  // Starting converged, nothing moves.
  const auto weak = [](const at::Tensor &x) { return at::full_like(x, 0.02); };
  settings.guide_extra = 0;
  const at::Tensor a = Sampler(s, settings).reverse(candidates(0, 3, 0.2), ZERO, weak);
  settings.guide_extra = 5;
  const at::Tensor b = Sampler(s, settings).reverse(candidates(0, 3, 0.2), ZERO, weak);
  EXPECT_TRUE(at::equal(a, b));
}

TEST(Reverse, TickSeesEveryStepAndCanStop) {
  const System s = stepped_pt();
  Sampler sampler(s, short_chain(10));
  std::vector<std::int64_t> seen;
  const at::Tensor x = sampler.reverse(candidates(0, 2), ZERO, NO_FORCES,
                                       [&](std::int64_t done, std::int64_t total) {
                                         EXPECT_EQ(total, 10);
                                         seen.push_back(done);
                                         return true;
                                       });
  EXPECT_TRUE(x.defined());
  EXPECT_EQ(seen, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  int calls = 0;
  EXPECT_FALSE(sampler
                   .reverse(candidates(0, 2), ZERO, NO_FORCES,
                            [&](std::int64_t, std::int64_t) { return ++calls < 4; })
                   .defined());
  EXPECT_EQ(calls, 4);
  // An interrupted draw leaves no trace in the next one.
  EXPECT_TRUE(at::equal(sampler.reverse(candidates(0, 2), ZERO, NO_FORCES), x));
}

// Method section 24.7: the score of N(m, sig^2) is known, the start is uniform with variance 4/3.
struct GaussianRow {
  double sig, consistent, reference, frozen;
};
const GaussianRow GAUSSIAN[] = {{0.1, 0.100332, 0.004689, 0.034025},
                                {0.5, 0.503258, 0.103407, 0.143640}};

// Score of N(centre, sig^2) as the network would return it; `floor`: times below use the score there.
ScoreFunction gaussian_score(double sig, double centre, ScoreScale scale, double floor = 0.0) {
  return [=](const at::Tensor &x, double t) {
    const Schedule schedule;
    const double time = std::max(t, floor), v = schedule.variance(time);
    const double divide = scale == ScoreScale::CONSISTENT ? 1.0 : schedule.std(time);
    return -(x - centre) / ((sig * sig + v) * divide);
  };
}

TEST(GaussianChain, FinalWidthAndMean) {
  // x and y of open boxes 4 Angstrom wide; z is truncated and not looked at.
  const System s = godiff_test::open_box(4.0, 1);
  constexpr std::int64_t COUNT = 2000;
  const auto width = [&](double sig, ScoreScale scale, double floor, double expected) {
    Settings settings = short_chain(500);
    settings.score_scale = scale;
    Sampler sampler(s, settings);
    const at::Tensor x =
        sampler.reverse(candidates(0, COUNT), gaussian_score(sig, 2.0, scale, floor), NO_FORCES);
    const std::vector<double> xy = to_vector(x.narrow(2, 0, 2));
    // 4 standard errors over 2*COUNT numbers (normal but for a small uniform part).
    EXPECT_NEAR(godiff_test::mean(xy), 2.0, 4.0 * expected / std::sqrt(2.0 * COUNT));
    EXPECT_NEAR(std::sqrt(godiff_test::variance(xy)) / expected, 1.0, 4.0 / std::sqrt(4.0 * COUNT))
        << sig;
  };
  for (const GaussianRow &row : GAUSSIAN) {
    width(row.sig, ScoreScale::CONSISTENT, 0.0, row.consistent);
    width(row.sig, ScoreScale::REFERENCE, 0.0, row.reference);
    width(row.sig, ScoreScale::REFERENCE, 0.1, row.frozen);
  }
  // Rescaled with the frozen score is too wide.
  width(0.2, ScoreScale::RESCALED, 0.1, 0.2216);
}

// Rescaled is the consistent sampler for a network trained with the other residual.
TEST(GaussianChain, RescaledEqualsConsistent) {
  const System s = stepped_pt();
  Settings settings = short_chain(50);
  settings.score_scale = ScoreScale::CONSISTENT;
  const at::Tensor a =
      Sampler(s, settings)
          .reverse(candidates(0, 20), gaussian_score(0.2, 7.0, ScoreScale::CONSISTENT), NO_FORCES);
  settings.score_scale = ScoreScale::RESCALED;
  const at::Tensor b =
      Sampler(s, settings)
          .reverse(candidates(0, 20), gaussian_score(0.2, 7.0, ScoreScale::RESCALED), NO_FORCES);
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-10);
}

}  // namespace
