// SPDX-License-Identifier: GPL-2.0-only
// The whole loop on problems whose outcome is known (method sections 24.8 and 24.9).
#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/search/annealing.hpp"
#include "core/search/reservoir.hpp"
#include "core/search/search.hpp"
#include "statistics.hpp"
#include "systems.hpp"

namespace {

using godiff::Positions;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::Sampler;
using godiff::SampleRequest;
using godiff::Schedule;
using godiff::ScoreScale;
using godiff::Search;
using godiff::Settings;
using godiff::System;
using godiff_test::to_vector;

// One coordinate, E = 2 x^2, box 8 Angstrom. The learner is an exact fit of a Gaussian; draws,
// weights and samples are those of the core. Every x and y of 24 atoms in an open box is a search of
// its own, so that one chain of the sampler serves 48 seeds.
constexpr double BOX = 8.0, STIFFNESS = 4.0, KT_START = 5.0, KT_STOP = 0.02;
constexpr int STAGES = 20, SAMPLES = 128, BUFFER = 64, ATOMS = 24, SEEDS = 2 * ATOMS;

enum class Teaching {
  BOLTZMANN,        // W = exp(-E/T) in the draw and in the loss: the paper's method
  DRAW_ONLY,        // W in the draw only
  IMPORTANCE_DRAW,  // exp(-E/T)/q in the draw only
  IMPORTANCE_LOSS   // exp(-E/T)/q in the loss, all of D instead of the draw
};

struct Gaussian {
  double mean = 0.0, variance = 0.0;
};

double log_density(const Gaussian &g, double x) {
  return -0.5 * (x - g.mean) * (x - g.mean) / g.variance - 0.5 * std::log(2 * M_PI * g.variance);
}

// A trained network does not follow its target below t = 0.1 (method section 5).
double frozen_time(ScoreScale scale, double t) {
  return scale == ScoreScale::REFERENCE ? std::max(t, 0.1) : t;
}

// s_theta of N(m, variance) divided by -(x - m).
double slope(ScoreScale scale, double variance, double t) {
  const Schedule schedule;
  const double time = frozen_time(scale, t);
  return 1.0 / ((variance + schedule.variance(time)) *
                (scale == ScoreScale::CONSISTENT ? 1.0 : schedule.std(time)));
}

// What the reverse chain makes of the uniform start (variance BOX^2/12 around 0) for a fitted
// Gaussian: the chain is linear, so mean and variance are exact.
Gaussian sampled(ScoreScale scale, const Gaussian &fit) {
  const Schedule schedule;
  const std::vector<double> times = godiff::reverse_times(500, 0.005);
  const double dt = times[0] - times[1];
  double factor = 1.0, variance = BOX * BOX / 12.0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    const double g2 = schedule.g2(times[i]);
    const double keep = 1.0 - dt * g2 * slope(scale, fit.variance, times[i]);
    factor *= keep;
    variance = keep * keep * variance + (i + 1 < times.size() ? dt * g2 : 0.0);
  }
  return {fit.mean * (1.0 - factor), variance};
}

// One search of one seed: everything it has evaluated and fitted so far.
struct Seed {
  std::vector<double> x;
  std::vector<Gaussian> proposals;  // of the stages 1, 2, ... ; stage 0 is uniform
  Gaussian fit;

  double log_q(double at) const {
    double q = 1.0 / BOX;
    for (const Gaussian &g : proposals)
      q += std::exp(log_density(g, at));
    return std::log(q / static_cast<double>(proposals.size() + 1));
  }

  // Selects, weighs and fits as the method says, with the weights and the draw of the core.
  void learn(Teaching teaching, double kT, int stage, int number) {
    const bool importance =
        teaching == Teaching::IMPORTANCE_DRAW || teaching == Teaching::IMPORTANCE_LOSS;
    std::vector<double> logs;
    for (double value : x)
      logs.push_back(-0.5 * STIFFNESS * value * value / kT - (importance ? log_q(value) : 0.0));
    const std::vector<double> all = godiff::normalized_weights(logs);
    std::vector<std::int64_t> chosen;
    if (teaching == Teaching::IMPORTANCE_LOSS) {
      for (std::size_t k = 0; k < x.size(); ++k)
        chosen.push_back(static_cast<std::int64_t>(k));
    } else {
      RandomStream random(5, Purpose::KEYS, static_cast<std::uint32_t>(stage),
                          static_cast<std::uint32_t>(number));
      std::vector<double> u;
      for (std::size_t k = 0; k < x.size(); ++k)
        u.push_back(random.uniform());
      chosen = godiff::weighted_draw(all, u, BUFFER);
    }
    const bool weighted = teaching == Teaching::BOLTZMANN || teaching == Teaching::IMPORTANCE_LOSS;
    std::vector<double> buffer_logs;
    for (std::int64_t k : chosen)
      buffer_logs.push_back(weighted ? logs[k] : 0.0);
    const std::vector<double> w = godiff::normalized_weights(buffer_logs);
    fit = Gaussian();
    for (std::size_t k = 0; k < chosen.size(); ++k)
      fit.mean += w[k] * x[chosen[k]] / static_cast<double>(chosen.size());
    for (std::size_t k = 0; k < chosen.size(); ++k)
      fit.variance +=
          w[k] * std::pow(x[chosen[k]] - fit.mean, 2) / static_cast<double>(chosen.size());
  }
};

struct Outcome {
  std::vector<double> data, samples, means;  // in units of the Boltzmann standard deviation
};

Outcome run_toy(ScoreScale scale, Teaching teaching) {
  const System system = godiff_test::open_box(BOX, ATOMS);
  Settings settings;
  settings.seed = 12;
  settings.score_scale = scale;
  Sampler sampler(system, settings);
  std::vector<Seed> seeds(SEEDS);
  const std::vector<double> ladder = godiff::geometric_ladder(KT_START, KT_STOP, STAGES);
  for (int stage = 0; stage < STAGES; ++stage) {
    SampleRequest request;
    request.stage = stage;
    request.count = SAMPLES;
    const auto score = [&](const at::Tensor &x, double t) {
      at::Tensor s = at::zeros_like(x);
      const double *r = x.const_data_ptr<double>();
      double *out = s.data_ptr<double>();
      std::vector<double> slopes;
      for (const Seed &seed : seeds)
        slopes.push_back(slope(scale, seed.fit.variance, t));
      for (std::int64_t g = 0; g < SAMPLES; ++g)
        for (int n = 0; n < SEEDS; ++n) {
          const std::int64_t k = (g * ATOMS + n / 2) * 3 + n % 2;
          out[k] = -slopes[n] * (r[k] - BOX / 2 - seeds[n].fit.mean);
        }
      return s;
    };
    const at::Tensor x = stage == 0 ? sampler.prior(request) : sampler.reverse(request, score, {});
    const std::vector<double> all = to_vector(x);
    for (std::int64_t g = 0; g < SAMPLES; ++g)
      for (int n = 0; n < SEEDS; ++n)
        seeds[n].x.push_back(all[(g * ATOMS + n / 2) * 3 + n % 2] - BOX / 2);
    for (int n = 0; n < SEEDS; ++n) {
      if (stage > 0)
        seeds[n].proposals.push_back(sampled(scale, seeds[n].fit));
      seeds[n].learn(teaching, ladder[stage], stage, n);
    }
  }
  const double target = std::sqrt(KT_STOP / STIFFNESS);
  Outcome outcome;
  for (const Seed &seed : seeds) {
    outcome.data.push_back(std::sqrt(seed.fit.variance) / target);
    outcome.samples.push_back(std::sqrt(sampled(scale, seed.fit).variance) / target);
    outcome.means.push_back(seed.fit.mean / target);
  }
  return outcome;
}

// Median of the fitted spread, and median, 5 and 95 % of the sampled spread as printed.
void expect_row(const Outcome &o, double data, double samples, double low, double high) {
  // 5-95 % span 3.3 standard deviations. The median of 48 seeds has 1.25/sqrt(48) = 0.18 of one as
  // its error; the printed value comes from 48 seeds too, so the difference has 0.26: 4 of these,
  // and the rounding of the print. The spread of the data is that of the samples, scaled.
  const double deviation = (high - low) / 3.3;
  EXPECT_NEAR(godiff_test::median(o.samples), samples, 4 * 0.26 * deviation + 0.005);
  // Reference position: the map from data to samples is flat, the data vary much more.
  const double data_deviation = std::sqrt(godiff_test::variance(o.data));
  EXPECT_NEAR(godiff_test::median(o.data), data, 4 * 0.26 * data_deviation + 0.005);
  // The printed range holds 90 % of the seeds; 43 +- 2.1 of 48, at least 34 with 4 errors.
  const auto inside = std::count_if(o.samples.begin(), o.samples.end(), [&](double s) {
    return s >= low - 0.005 && s <= high + 0.005;
  });
  EXPECT_GE(inside, 34);
}

double rms(const std::vector<double> &x) {
  const double m = godiff_test::mean(x);
  return std::sqrt(godiff_test::variance(x) + m * m);
}

// The chain of the sampler and its linear map are the same thing.
TEST(ToyLoop, SamplerFollowsItsLinearMap) {
  const System system = godiff_test::open_box(BOX, 1);
  for (ScoreScale scale : {ScoreScale::CONSISTENT, ScoreScale::REFERENCE}) {
    Settings settings;
    settings.score_scale = scale;
    Sampler sampler(system, settings);
    const Gaussian fit{0.7, 0.09};
    SampleRequest request;
    request.count = 2000;
    const std::vector<double> x =
        to_vector(sampler
                      .reverse(request,
                               [&](const at::Tensor &r, double t) {
                                 return -slope(scale, fit.variance, t) * (r - BOX / 2 - fit.mean);
                               },
                               {})
                      .narrow(2, 0, 2));
    const Gaussian expected = sampled(scale, fit);
    // 4 standard errors of 4000 numbers.
    EXPECT_NEAR(godiff_test::mean(x) - BOX / 2, expected.mean,
                4 * std::sqrt(expected.variance / 4000));
    EXPECT_NEAR(godiff_test::variance(x) / expected.variance, 1.0, 4 * std::sqrt(2.0 / 4000));
  }
}

TEST(ToyLoop, ConsistentWeightsTwice) {
  const Outcome o = run_toy(ScoreScale::CONSISTENT, Teaching::BOLTZMANN);
  expect_row(o, 0.62, 0.63, 0.55, 0.69);
  EXPECT_LT(rms(o.means), 0.15 * 1.4);  // printed bound; 48 seeds: 10 % error, 4 of them
}

TEST(ToyLoop, ConsistentWeightsOnce) {
  const Outcome o = run_toy(ScoreScale::CONSISTENT, Teaching::DRAW_ONLY);
  expect_row(o, 0.88, 0.89, 0.76, 1.03);
  EXPECT_LT(rms(o.means), 0.15 * 1.4);
}

// The only positions that end at the Boltzmann spread, in the draw...
TEST(ToyLoop, ConsistentImportanceWeightsInTheDraw) {
  const Outcome o = run_toy(ScoreScale::CONSISTENT, Teaching::IMPORTANCE_DRAW);
  expect_row(o, 1.02, 1.03, 0.87, 1.15);
}

// ... and more precisely in the loss.
TEST(ToyLoop, ConsistentImportanceWeightsInTheLoss) {
  const Outcome o = run_toy(ScoreScale::CONSISTENT, Teaching::IMPORTANCE_LOSS);
  expect_row(o, 1.00, 1.016, 0.99, 1.03);
}

TEST(ToyLoop, ReferenceWeightsTwice) {
  const Outcome o = run_toy(ScoreScale::REFERENCE, Teaching::BOLTZMANN);
  expect_row(o, 0.42, 0.36, 0.359, 0.369);
  // The right minimum: the mean is off by half the target spread, 0.035 Angstrom.
  EXPECT_LT(rms(o.means), 0.5 * 1.4);
}

TEST(ToyLoop, ReferenceWeightsOnce) {
  const Outcome o = run_toy(ScoreScale::REFERENCE, Teaching::DRAW_ONLY);
  expect_row(o, 0.55, 0.37, 0.363, 0.384);
}

TEST(ToyLoop, ReferenceImportanceWeightsInTheLoss) {
  const Outcome o = run_toy(ScoreScale::REFERENCE, Teaching::IMPORTANCE_LOSS);
  expect_row(o, 1.00, 0.420, 0.418, 0.422);
}

// Method section 24.9: the real network. A triangle of template atoms, one mobile atom held 2.5
// Angstrom from each of them by a spring. Few training steps a stage: many make the reference
// position collapse before it has arrived (claim C12).
constexpr double EDGE = 6.5;
const double RADIUS = 2.5 / std::sqrt(3.0);  // of the triangle with sides of 2.5 Angstrom
const double PLACE[3] = {EDGE / 2, EDGE / 2, 2.0 + 2.5 * std::sqrt(2.0 / 3.0)};

System triangle() {
  std::vector<double> x;
  for (int k = 0; k < 3; ++k) {
    const double angle = 2 * M_PI * k / 3 + 0.3;
    x.insert(x.end(),
             {EDGE / 2 + RADIUS * std::cos(angle), EDGE / 2 + RADIUS * std::sin(angle), 2});
  }
  return godiff_test::make_system({{{EDGE, 0, 0}, {0, EDGE, 0}, {0, 0, 12}}}, {true, true, false},
                                  x, {78, 78, 78}, {78}, 2.5, 6.5);
}

double spring_energy(const Positions &x) {
  double sum = 0.0;
  for (int k = 0; k < 3; ++k)
    sum += (x[k] - PLACE[k]) * (x[k] - PLACE[k]);
  return 2.0 * sum;
}

struct NetworkOutcome {
  std::vector<double> mean_energies;  // of every stage
  double place_error = 0.0;           // distance of the last samples' mean from PLACE
  double spread = 0.0;                // their rms distance from their own mean
};

NetworkOutcome run_network(ScoreScale scale) {
  Settings s;
  s.stages = 14;
  s.samples = 128;
  s.seed = 1;
  s.kT_start = 5.0;
  s.kT_stop = 0.02;
  s.buffer = 64;
  s.batch = 32;
  s.train_steps = 130;
  s.learning_rate = 1.5e-3;
  s.val_fraction = 0.0;
  s.network.nfeat = 32;
  s.network.nblock = 2;
  s.network.nrbf = 20;
  s.sample_steps = 60;
  s.score_scale = scale;
  Search search(triangle(), s);
  search.set_reference(0.0);
  while (true) {
    search.prepare({});
    if (search.finished())
      break;
    while (search.has_request())
      search.report(spring_energy(search.request()), nullptr);
  }
  NetworkOutcome out;
  for (const auto &stage : search.stages())
    out.mean_energies.push_back(stage.mean);
  double mean[3] = {0, 0, 0}, square = 0.0;
  const auto last = search.archive().size() - static_cast<std::size_t>(s.samples);
  for (std::size_t i = last; i < search.archive().size(); ++i)
    for (int k = 0; k < 3; ++k)
      mean[k] += search.archive()[i].positions[k] / s.samples;
  for (std::size_t i = last; i < search.archive().size(); ++i)
    for (int k = 0; k < 3; ++k)
      square += std::pow(search.archive()[i].positions[k] - mean[k], 2) / s.samples;
  for (int k = 0; k < 3; ++k)
    out.place_error += std::pow(mean[k] - PLACE[k], 2);
  out.place_error = std::sqrt(out.place_error);
  out.spread = std::sqrt(square);
  return out;
}

TEST(LongToyLoop, RealNetworkFindsTheSpring) {
  const NetworkOutcome reference = run_network(ScoreScale::REFERENCE);
  const NetworkOutcome consistent = run_network(ScoreScale::CONSISTENT);
  for (const NetworkOutcome *o : {&reference, &consistent}) {
    std::string energies;
    for (double e : o->mean_energies)
      energies += std::to_string(e) + " ";
    SCOPED_TRACE("mean energies " + energies + " spread " + std::to_string(o->spread));
    EXPECT_LT(o->place_error, 0.1);
    // Energies fall with T: by a factor of ten at least over the whole search, and on average over
    // each third of it.
    EXPECT_LT(o->mean_energies.back(), 0.1 * o->mean_energies.front());
    double thirds[3] = {0, 0, 0};
    for (int k = 0; k < 12; ++k)
      thirds[k / 4] += o->mean_energies[k];
    EXPECT_GT(thirds[0], thirds[1]);
    EXPECT_GT(thirds[1], thirds[2]);
  }
  EXPECT_LT(reference.spread, consistent.spread);
}

}  // namespace
