// SPDX-License-Identifier: GPL-2.0-only
// The reverse sampler against numbers for single steps and for linear chains.
#include <stdexcept>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/diffusion/schedule.hpp"
#include "parity/golden.hpp"

namespace {

using godiff::Sampler;
using godiff::SampleRequest;
using godiff::ScoreScale;
using godiff::Settings;
using nlohmann::json;

// One mobile atom in an open box of edge `edge`; the window is far from everything unless given.
godiff::System open_box(double edge, double lo = -1000.0, double hi = 1000.0) {
  godiff::System system;
  system.cell = godiff::Cell({{{edge, 0, 0}, {0, edge, 0}, {0, 0, 40.0}}}, {false, false, false});
  system.n_template = 1;
  system.n_mobile = 1;
  system.atomic_numbers = {78, 78};
  system.ids = {1, 2};
  system.types = {1, 1};
  system.template_positions = {0, 0, 0};
  system.z_lo = lo;
  system.z_hi = hi;
  return system;
}

SampleRequest request_of(std::int64_t count) {
  SampleRequest request;
  request.stage = 1;
  request.count = count;
  return request;
}

ScoreScale scale_of(const std::string &name) {
  if (name == "reference")
    return ScoreScale::REFERENCE;
  if (name == "rescaled")
    return ScoreScale::RESCALED;
  if (name == "consistent")
    return ScoreScale::CONSISTENT;
  throw std::runtime_error("no score scale " + name);
}

// The data step by dt of 500 steps. 200 steps have t = 0.5 and t = 0.1 on their grid; their dt is
// longer by `stretch`, and drift and variance of a step are proportional to dt.
struct GridPoint {
  int steps, index;
  double stretch;
};

GridPoint grid_point(double t) {
  const std::vector<double> fine = godiff::reverse_times(500, 0.005);
  for (const int steps : {500, 200}) {
    const std::vector<double> times = godiff::reverse_times(steps, 0.005);
    for (int i = 0; i < steps; ++i)
      if (std::abs(times[i] - t) < 1e-12)
        return {steps, i, (times[0] - times[1]) / (fine[0] - fine[1])};
  }
  throw std::runtime_error("no grid has the time " + std::to_string(t));
}

const json &rows(const char *key) {
  static const json data = golden::read_json("method.json");
  return data[key];
}

TEST(SamplerParity, MeanOfOneStep) {
  ASSERT_EQ(rows("reverse_mean").size(), 8u);
  for (const json &row : rows("reverse_mean")) {
    const GridPoint grid = grid_point(row["t"]);
    const at::Tensor x = golden::tensor(row["x"]).view({1, 1, 3});
    const at::Tensor score = golden::tensor(row["score"]).view({1, 1, 3});
    for (const std::string scale : {"reference", "consistent", "rescaled"}) {
      SCOPED_TRACE(scale + ", t " + row["t"].dump() + ", g2 " + row["g2"].get<std::string>());
      Settings settings;
      settings.seed = 3;
      settings.sample_steps = grid.steps;
      settings.g2_legacy = row["g2"] == "legacy";
      settings.score_scale = scale_of(scale);
      const Sampler sampler(open_box(10.0), settings);
      // Both calls draw the same noise, so the difference is the drift.
      const SampleRequest request = request_of(1);
      const at::Tensor with = sampler.step(request, x, score, grid.index);
      const at::Tensor without = sampler.step(request, x, at::zeros_like(score), grid.index);
      const at::Tensor mean = x + (with - without) / grid.stretch;
      EXPECT_LE((mean.flatten() - golden::tensor(row[scale])).abs().max().item<double>(), 1e-12);
      if (grid.index == grid.steps - 1) {
        EXPECT_TRUE(at::equal(without, x)) << "the last step has no noise";
      }
    }
  }
}

TEST(SamplerParity, NoiseOfOneStep) {
  constexpr std::int64_t COUNT = 20000;
  for (const json &row : rows("reverse_mean")) {
    const GridPoint grid = grid_point(row["t"]);
    if (grid.index == grid.steps - 1)
      continue;
    Settings settings;
    settings.sample_steps = grid.steps;
    settings.g2_legacy = row["g2"] == "legacy";
    const Sampler sampler(open_box(10.0), settings);
    const at::Tensor x = golden::tensor(row["x"]).view({1, 1, 3}).repeat({COUNT, 1, 1});
    const at::Tensor noise =
        (sampler.step(request_of(COUNT), x, at::zeros_like(x), grid.index) - x).squeeze(1);
    const double std = row["std"].get<double>() * std::sqrt(grid.stretch);
    for (int k = 0; k < 3; ++k) {  // 4 standard errors
      const at::Tensor component = noise.select(1, k);
      EXPECT_NEAR(component.mean().item<double>(), 0.0, 4.0 * std / std::sqrt(COUNT));
      EXPECT_NEAR(component.std().item<double>(), std, 4.0 * std / std::sqrt(2.0 * COUNT));
    }
    const at::Tensor correlation = at::matmul(noise.t(), noise) / (COUNT * std * std);
    for (int k = 0; k < 3; ++k)
      EXPECT_NEAR(correlation[k][(k + 1) % 3].item<double>(), 0.0, 4.0 / std::sqrt(COUNT));
  }
}

// z stays in the window, and in the last step is cut to it.
TEST(SamplerParity, Window) {
  Settings settings;
  const Sampler sampler(open_box(10.0, 5.88, 9.88), settings);
  const at::Tensor x = at::full({500, 1, 3}, 6.0, at::kDouble);
  for (const double score : {-1e6, 0.0, 1e6})
    for (const int i : {0, 250, 498, 499}) {
      const at::Tensor next = sampler.step(request_of(500), x, at::full_like(x, score), i);
      EXPECT_TRUE(next.isfinite().all().item<bool>());
      const at::Tensor z = next.select(2, 2);
      EXPECT_GE(z.min().item<double>(), 5.88);
      EXPECT_LE(z.max().item<double>(), 9.88);
      if (i == 499 && score != 0.0) {
        EXPECT_TRUE((z == (score < 0.0 ? 5.88 : 9.88)).all().item<bool>());
      }
    }
}

// The score of N(m, sig^2) noised to time t, in the units that a network of that scale
// learns. Below `freeze` it keeps its value at that time. z is left alone.
struct Well {
  double m, sig, freeze;
  ScoreScale scale;
  godiff::Schedule schedule;

  at::Tensor operator()(const at::Tensor &x, double t) const {
    const double seen = std::max(t, freeze), v = schedule.variance(seen);
    const double slope =
        -1.0 / (sig * sig + v) / (scale == ScoreScale::CONSISTENT ? 1.0 : std::sqrt(v));
    at::Tensor score = (x - m) * slope;
    score.select(2, 2).zero_();
    return score;
  }
};

struct Chain {
  explicit Chain(const json &row) :
      std(row["std"]),
      factor(row["factor"]),
      // A uniform start has variance edge^2/12.
      edge(std::sqrt(12.0 * row["start_variance"].get<double>())),
      start_variance(row["start_variance"]),
      well{0.0,
           row["sig"],
           row["freeze"].is_null() ? 0.0 : row["freeze"].get<double>(),
           scale_of(row["score_scale"]),
           {}} {
    settings.seed = 5;
    settings.score_scale = well.scale;
    name = row["score_scale"].get<std::string>() + ", sig " + row["sig"].dump() + ", freeze " +
           row["freeze"].dump() + ", start variance " + row["start_variance"].dump();
  }

  double std, factor, edge, start_variance;
  Well well;
  Settings settings;
  std::string name;
};

// The multiplier and the noise of every step, read off the sampler, give the exact spread.
TEST(SamplerParity, LinearChainsStepByStep) {
  ASSERT_EQ(rows("linear_chain").size(), 27u);
  for (const json &row : rows("linear_chain")) {
    Chain chain(row);
    SCOPED_TRACE(chain.name);
    const Sampler sampler(open_box(chain.edge), chain.settings);
    const SampleRequest request = request_of(1);
    const std::vector<double> times = godiff::reverse_times(500, 0.005);
    const at::Tensor centre = at::zeros({1, 1, 3}, at::kDouble), beside = centre + 1.0;
    double variance = chain.start_variance, factor = 1.0, lowest = 1.0;
    for (int i = 0; i < 500; ++i) {
      const at::Tensor a = sampler.step(request, centre, chain.well(centre, times[i]), i);
      const at::Tensor b = sampler.step(request, beside, chain.well(beside, times[i]), i);
      const double multiplier = (b - a)[0][0][0].item<double>();
      godiff::RandomStream random(5, godiff::Purpose::REVERSE_NOISE, 1, 0, i);
      const double noise = a[0][0][0].item<double>() / random.normal();
      lowest = std::min(lowest, multiplier);
      factor *= multiplier;
      variance = multiplier * multiplier * variance + noise * noise;
    }
    EXPECT_NEAR(std::sqrt(variance) / chain.std, 1.0, 1e-9);
    EXPECT_NEAR(factor, chain.factor, 1e-9 * std::abs(chain.factor));
    EXPECT_NEAR(lowest, row["lowest_multiplier"], 1e-11);
  }
}

// Whole chains: the same noise around two centres shows the factor on the start offset.
TEST(SamplerParity, LinearChainsFactor) {
  for (const json &row : rows("linear_chain")) {
    Chain chain(row);
    SCOPED_TRACE(chain.name);
    Sampler sampler(open_box(chain.edge), chain.settings);
    std::int64_t ticks = 0;
    const auto end = [&](double m) {
      chain.well.m = m;
      return sampler.reverse(request_of(1), chain.well, {}, [&](std::int64_t, std::int64_t) {
        ++ticks;
        return true;
      });
    };
    const at::Tensor moved = end(3.0) - end(1.0);
    for (int k = 0; k < 2; ++k)  // x = factor*(start - m) + m + noise
      EXPECT_NEAR(1.0 - 0.5 * moved[0][0][k].item<double>(), chain.factor, 1e-11);
    EXPECT_EQ(ticks, 2 * 500);
    EXPECT_EQ(sampler.network_calls(), 2 * 500);
    EXPECT_EQ(sampler.non_finite_scores(), 0);
  }
}

// Whole chains again, many at once: mean and spread of what comes out.
TEST(SamplerParity, LinearChainsSpread) {
  constexpr std::int64_t COUNT = 1000;
  int checked = 0;
  for (const json &row : rows("linear_chain")) {
    Chain chain(row);
    if (row["sig"] != 0.2)
      continue;
    SCOPED_TRACE(chain.name);
    ++checked;
    chain.well.m = 0.5 * chain.edge - 0.4;
    Sampler sampler(open_box(chain.edge), chain.settings);
    const at::Tensor x =
        sampler.reverse(request_of(COUNT), chain.well, {}).narrow(2, 0, 2).flatten();
    ASSERT_EQ(x.numel(), 2 * COUNT);  // x and y are two independent chains; 4 standard errors
    EXPECT_NEAR(x.mean().item<double>(), chain.well.m + 0.4 * chain.factor,
                4.0 * chain.std / std::sqrt(2.0 * COUNT));
    EXPECT_NEAR(x.std().item<double>(), chain.std, 4.0 * chain.std / std::sqrt(4.0 * COUNT));
  }
  EXPECT_EQ(checked, 6);
}

}  // namespace
