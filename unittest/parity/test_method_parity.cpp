// SPDX-License-Identifier: GPL-2.0-only
// Everything around the network against NumPy, SciPy and ASE: schedule, truncated normal, weights,
// reservoir, ladders, epochs, wrapping, prior, loss, L-BFGS, radial basis.
#include <algorithm>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/diffusion/guidance.hpp"
#include "core/diffusion/lbfgs.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/diffusion/schedule.hpp"
#include "core/search/annealing.hpp"
#include "core/search/reservoir.hpp"
#include "core/search/trainer.hpp"
#include "kernels/diffusion_math.hpp"
#include "parity/golden.hpp"
#include "reference/network.hpp"

namespace {

using godiff::Cell;
using godiff::Schedule;
using godiff::System;
using godiff::Vec3;
using golden::deviation;
using nlohmann::json;

const json &method() {
  static const json data = golden::read_json("method.json");
  return data;
}

Cell cell_of(const json &entry, bool periodic) {
  const auto rows = entry["cell"].get<std::array<Vec3, 3>>();
  if (!entry.contains("pbc"))
    return Cell(rows, {periodic, periodic, false});
  std::array<bool, 3> flags;
  for (int k = 0; k < 3; ++k)
    flags[k] = entry["pbc"][k].get<int>() != 0;
  return Cell(rows, flags);
}

// n mobile atoms above one template atom.
System system_of(const Cell &cell, std::int64_t n, double lo, double hi) {
  System system;
  system.cell = cell;
  system.n_template = 1;
  system.n_mobile = n;
  system.atomic_numbers.assign(n + 1, 78);
  system.ids.resize(n + 1);
  system.types.resize(n + 1);
  system.template_positions = {0, 0, 0};
  system.z_lo = lo;
  system.z_hi = hi;
  return system;
}

std::vector<double> flat(const json &list) {
  std::vector<double> values;
  golden::collect(list, values);
  return values;
}

void expect_relative(double value, double expected, double tolerance, const std::string &what) {
  EXPECT_NEAR(value, expected, tolerance * std::abs(expected)) << what;
}

TEST(MethodParity, Schedule) {
  const json &data = method()["schedule"];
  const Schedule exact;
  Schedule legacy;
  legacy.g2_legacy = true;
  for (std::size_t k = 0; k < data["t"].size(); ++k) {
    const double t = data["t"][k].get<double>();
    const std::string at = "t = " + std::to_string(t);
    expect_relative(exact.sigma_bar(t), data["sigma_bar"][k], 1e-14, "sigma_bar, " + at);
    // The data subtract s_min^2 = 1e-4 in float64 and lose digits at small t.
    EXPECT_NEAR(exact.variance(t), data["variance"][k], 1e-19 + 1e-14 * exact.variance(t)) << at;
    expect_relative(exact.std(t), data["std"][k], 1e-12, "std, " + at);
    expect_relative(exact.g2(t), data["g2_exact"][k], 1e-14, "g2 exact, " + at);
    expect_relative(legacy.g2(t), data["g2_legacy"][k], 1e-14, "g2 legacy, " + at);
  }
}

TEST(MethodParity, ReverseTimes) {
  const json &grid = method()["schedule"]["grid"];
  const std::vector<double> t = godiff::reverse_times(grid["steps"], grid["end"]);
  ASSERT_EQ(t.size(), grid["steps"].get<std::size_t>());
  for (std::size_t k = 0; k < grid["index"].size(); ++k)
    EXPECT_NEAR(t[grid["index"][k].get<std::size_t>()], grid["t"][k], 1e-15);
  EXPECT_NEAR(t[0] - t[1], grid["dt"], 1e-15);
  double sum = 0.0;
  for (const double value : t)
    sum += value;
  EXPECT_NEAR(sum, grid["sum"], 1e-10);
}

TEST(MethodParity, GuidanceCoefficient) {
  const json &data = method()["schedule"]["guidance"];
  const System system = system_of(Cell(), 1, 0.0, 1.0);
  godiff::Settings settings;
  settings.guide = data["scale"];
  settings.ffg_zeta = data["zeta"];
  const godiff::Guidance with_dt(system, settings, 0);
  settings.ffg_dt = false;
  const godiff::Guidance without_dt(system, settings, 0);
  const json &grid = method()["schedule"]["grid"];
  const double dt = grid["dt"];
  for (std::size_t k = 0; k < data["t"].size(); ++k)
    expect_relative(with_dt.coefficient(data["t"][k], dt), data["coefficient"][k], 1e-12, "at t");
  double sum = 0.0, largest = 0.0, raw = 0.0;
  for (const double t : godiff::reverse_times(grid["steps"], grid["end"])) {
    sum += with_dt.coefficient(t, dt);
    largest = std::max(largest, with_dt.coefficient(t, dt));
    raw += without_dt.coefficient(t, dt);
  }
  expect_relative(sum, data["sum_with_dt"], 1e-12, "sum with dt");
  expect_relative(largest, data["largest_with_dt"], 1e-12, "largest with dt");
  expect_relative(raw, data["sum_without_dt"], 1e-12, "sum without dt");
}

TEST(MethodParity, TruncatedNormalQuantiles) {
  const json &rows = method()["truncated_normal"]["rows"];
  ASSERT_EQ(rows.size(), 560u);
  for (const json &r : rows) {
    const double z = godiff::truncated_normal(r[0], r[1], r[2], r[3], r[4]);
    EXPECT_NEAR(z, r[5].get<double>(), 1e-8) << r;
  }
}

// The quantile function against CDF, mean and standard deviation of the law.
TEST(MethodParity, TruncatedNormalLaws) {
  const json &laws = method()["truncated_normal"]["laws"];
  ASSERT_EQ(laws.size(), 3u);
  for (const json &law : laws) {
    const auto quantile = [&](double p) {
      return godiff::truncated_normal(law["mu"], law["sigma"], law["lo"], law["hi"], p);
    };
    for (std::size_t k = 0; k < law["z"].size(); ++k) {
      const double z = law["z"][k], p = law["cdf"][k];
      if (p < 1e-9 || p > 1.0 - 1e-4)
        continue;  // there a rounding of p moves z by more than the tolerance
      EXPECT_NEAR(quantile(p), z, 1e-8);
    }
    constexpr int POINTS = 200000;
    double mean = 0.0, square = 0.0;
    for (int k = 0; k < POINTS; ++k) {
      const double d = quantile((k + 0.5) / POINTS) - law["mu"].get<double>();
      mean += d / POINTS;
      square += d * d / POINTS;
    }
    EXPECT_NEAR(law["mu"].get<double>() + mean, law["mean"], 1e-6);
    EXPECT_NEAR(std::sqrt(square - mean * mean), law["std"], 1e-5);
  }
}

TEST(MethodParity, BoltzmannWeights) {
  ASSERT_EQ(method()["weights"].size(), 24u);
  for (const json &row : method()["weights"]) {
    const auto energies = row["energy"].get<std::vector<double>>();
    const double kT = row["temperature"];
    SCOPED_TRACE("kT " + std::to_string(kT) + ", first energy " + std::to_string(energies[0]));
    const std::vector<double> weights = godiff::boltzmann_weights(energies, kT);
    ASSERT_EQ(weights.size(), row["weight"].size());
    // The data round -E/kT before the lowest energy is subtracted.
    double largest = 0.0, sum = 0.0;
    for (const double e : energies)
      largest = std::max(largest, std::abs(e) / kT);
    const double tolerance = 1e-12 + 4e-16 * largest;
    for (std::size_t k = 0; k < weights.size(); ++k) {
      expect_relative(weights[k], row["weight"][k], tolerance, "weight " + std::to_string(k));
      sum += weights[k];
    }
    EXPECT_NEAR(sum / static_cast<double>(weights.size()), 1.0, 1e-12);
    expect_relative(godiff::effective_sample_size(weights), row["ess"], 2 * tolerance, "ESS");
  }
}

TEST(MethodParity, ReservoirOrder) {
  const json &data = method()["reservoir"];
  // The order by falling key shows in which index a draw of one more adds.
  const json &small = data["small"];
  std::vector<std::int64_t> by_key{0, 1, 2, 3};
  std::sort(by_key.begin(), by_key.end(), [&](std::int64_t a, std::int64_t b) {
    return small["log_key"][a].get<double>() > small["log_key"][b].get<double>();
  });
  const auto check = [](const json &draw, const std::vector<std::int64_t> &order) {
    for (std::size_t capacity = 1; capacity <= order.size(); ++capacity) {
      std::vector<std::int64_t> expected(order.begin(), order.begin() + capacity);
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(godiff::weighted_draw(draw["weight"], draw["u"], capacity), expected)
          << "capacity " << capacity;
    }
  };
  check(small, by_key);
  ASSERT_EQ(data["long"]["order"].size(), 24u);
  check(data["long"], data["long"]["order"]);
}

TEST(MethodParity, ReservoirInclusion) {
  const json &data = method()["reservoir"]["inclusion"];
  const auto weights = data["weight"].get<std::vector<double>>();
  const std::size_t n = weights.size();
  constexpr int TRIALS = 100000;
  godiff::RandomStream random(20240611, godiff::Purpose::KEYS);
  ASSERT_EQ(data["cases"].size(), 3u);
  for (const json &row : data["cases"]) {
    const int capacity = row["capacity"];
    std::vector<int> single(n, 0);
    std::vector<std::vector<int>> pairs(n, std::vector<int>(n, 0));
    for (int trial = 0; trial < TRIALS; ++trial) {
      if (trial % 8192 == 0)  // a stream holds 2^17 numbers
        random = godiff::RandomStream(20240611, godiff::Purpose::KEYS, capacity, trial);
      std::vector<double> u(n);
      for (double &value : u)
        value = random.uniform();
      const std::vector<std::int64_t> chosen = godiff::weighted_draw(weights, u, capacity);
      for (const std::int64_t a : chosen) {
        ++single[a];
        for (const std::int64_t b : chosen)
          pairs[a][b] += a != b;
      }
    }
    const auto check = [&](int count, double p, const std::string &what) {
      EXPECT_NEAR(count / double(TRIALS), p, 4.0 * std::sqrt(p * (1.0 - p) / TRIALS) + 1e-12)
          << what << ", capacity " << capacity;
    };
    for (std::size_t a = 0; a < n; ++a) {
      check(single[a], row["single"][a], "index " + std::to_string(a));
      for (std::size_t b = 0; b < a; ++b)
        check(pairs[a][b], row["pairs"][a][b],
              "pair " + std::to_string(a) + " " + std::to_string(b));
    }
  }
}

TEST(MethodParity, Ladders) {
  ASSERT_EQ(method()["ladders"].size(), 5u);
  for (const json &row : method()["ladders"]) {
    const std::vector<double> t =
        godiff::geometric_ladder(row["start"], row["stop"], row["stages"]);
    ASSERT_EQ(t.size(), row["t"].size());
    for (std::size_t k = 0; k < t.size(); ++k)
      expect_relative(t[k], row["t"][k], 1e-12, "stage " + std::to_string(k));
    EXPECT_EQ(t.front(), row["start"].get<double>());
    EXPECT_EQ(t.back(), row["stop"].get<double>());
  }
}

TEST(MethodParity, Epochs) {
  ASSERT_EQ(method()["epochs"]["rows"].size(), 9u);
  for (const json &r : method()["epochs"]["rows"]) {
    const godiff::EpochPlan plan = godiff::plan_epochs(r[0], r[2], r[1], 0.1);
    EXPECT_EQ(plan.n_train, r[3].get<std::int64_t>()) << r;
    EXPECT_EQ(plan.n_validation, r[4].get<std::int64_t>()) << r;
    EXPECT_EQ(plan.epochs, r[5].get<std::int64_t>()) << r;
    EXPECT_EQ(plan.steps_per_epoch, r[6].get<std::int64_t>()) << r;
    const godiff::EpochPlan all = godiff::plan_epochs(r[0], r[2], r[1], 0.0);
    EXPECT_EQ(all.n_validation, 0);
    EXPECT_EQ(all.n_train, r[0].get<std::int64_t>());
  }
  for (std::int64_t n = 1; n <= 2000; ++n)
    ASSERT_EQ(godiff::plan_epochs(n, 100, 8, 0.1).n_validation, n / 10) << n;
}

TEST(MethodParity, Wrap) {
  ASSERT_EQ(method()["wrap"].size(), 4u);
  for (const json &row : method()["wrap"]) {
    const Cell cell = cell_of(row, true);
    for (std::size_t k = 0; k < row["before"].size(); ++k) {
      const Vec3 r = cell.wrap(row["before"][k].get<Vec3>());
      for (int c = 0; c < 3; ++c)
        EXPECT_NEAR(r[c], row["after"][k][c], 1e-12) << row["before"][k];
    }
  }
}

Vec3 prior_map(const Cell &cell, double lo, double hi, const Vec3 &f) {
  Vec3 r;
  for (int k = 0; k < 3; ++k)
    r[k] = f[0] * cell.rows()[0][k] + f[1] * cell.rows()[1][k];
  r[2] += lo + f[2] * (hi - lo);
  return r;
}

// The data confirm the map written out above; the sampler is then compared with it.
TEST(MethodParity, Prior) {
  ASSERT_EQ(method()["prior"].size(), 6u);
  for (const json &row : method()["prior"]) {
    const Cell cell = cell_of(row, true);
    const double lo = row["lo"], hi = row["hi"];
    const Vec3 expected = prior_map(cell, lo, hi, row["fraction"].get<Vec3>());
    for (int k = 0; k < 3; ++k)
      EXPECT_NEAR(expected[k], row["r"][k], 1e-12);

    const System system = system_of(cell, 3, lo, hi);  // three: the number that must not transpose
    godiff::Settings settings;
    settings.seed = 11;
    const godiff::Sampler sampler(system, settings);
    godiff::SampleRequest request;
    request.stage = 2;
    request.first = 40;
    request.count = 2000;
    const at::Tensor x = sampler.prior(request);
    ASSERT_EQ(x.sizes(), (std::vector<std::int64_t>{2000, 3, 3}));
    const double *p = x.const_data_ptr<double>();
    double sum[3] = {0, 0, 0}, square[3] = {0, 0, 0};
    for (std::int64_t g = 0; g < 2000; ++g) {
      godiff::RandomStream random(11, godiff::Purpose::PRIOR, 2, 40 + g);
      for (int i = 0; i < 3; ++i, p += 3) {
        const double f1 = random.uniform(), f2 = random.uniform(), f3 = random.uniform();
        const Vec3 r = prior_map(cell, lo, hi, {f1, f2, f3});
        for (int k = 0; k < 3; ++k)
          ASSERT_NEAR(p[k], r[k], 1e-12);
        const Vec3 f = cell.fractional({p[0], p[1], 0.0});
        const double seen[3] = {f[0], f[1], (p[2] - lo) / (hi - lo)};
        for (int k = 0; k < 3; ++k) {
          ASSERT_TRUE(seen[k] > -1e-12 && seen[k] < 1.0 + 1e-12);
          sum[k] += seen[k] / 6000.0;
          square[k] += (seen[k] - 0.5) * (seen[k] - 0.5) / 6000.0;
        }
      }
    }
    for (int k = 0; k < 3; ++k) {  // uniform: mean 1/2, variance 1/12, 4 standard errors
      EXPECT_NEAR(sum[k], 0.5, 4.0 * std::sqrt(1.0 / 12.0 / 6000.0));
      EXPECT_NEAR(square[k], 1.0 / 12.0, 4.0 * std::sqrt(1.0 / 180.0 / 6000.0));
    }
  }
}

// The structures of one batch of the data differ in size, so each goes through score_loss alone.
TEST(MethodParity, Loss) {
  const Schedule schedule;
  ASSERT_EQ(method()["loss"].size(), 2u);
  for (const json &batch : method()["loss"]) {
    const std::size_t B = batch["t"].size();
    double atoms = 0.0;
    for (const double n : batch["natoms"])
      atoms += n;
    for (const std::string kind : {"reference", "consistent", "zero"}) {
      const auto scale =
          kind == "consistent" ? godiff::ScoreScale::CONSISTENT : godiff::ScoreScale::REFERENCE;
      double total = 0.0;
      for (std::size_t g = 0; g < B; ++g) {
        const double t = batch["t"][g], weight = batch["weight"][g];
        const at::Tensor x0 = golden::tensor(batch["x0"][g]), w = golden::tensor(batch["w"][g]);
        EXPECT_LE(deviation(x0 + schedule.std(t) * w, golden::tensor(batch["x_t"][g])), 1e-14);
        at::Tensor score = golden::tensor(batch["score"][g]).unsqueeze(0);
        if (kind == "zero")
          score.zero_();
        score.requires_grad_(true);
        const std::int64_t n = batch["natoms"][g];
        const godiff::LeastSquares l =
            godiff::score_loss(schedule, scale, w.unsqueeze(0), at::tensor({t}, at::kDouble),
                               at::tensor({weight}, at::kDouble), n);
        const at::Tensor loss =
            godiff::reference::least_squares(score, l.offset, l.factor, l.weight);
        total += loss.item<double>() * static_cast<double>(n);
        if (kind == "zero" || weight == 0.0)
          continue;
        // dL/ds = 2*W*factor*r/N shows the residual.
        loss.backward();
        const double factor = kind == "consistent" ? schedule.std(t) : schedule.variance(t);
        const at::Tensor r = score.grad()[0] * (static_cast<double>(n) / (2.0 * weight * factor));
        EXPECT_LE(deviation(r, golden::tensor(batch["residual"][kind][g])), 1e-12);
      }
      expect_relative(total / atoms, batch["loss"][kind], 1e-12, kind);
    }
  }
}

// A batch of equal structures in one call, in the precision of training as well.
TEST(MethodParity, LossOfBatch) {
  const Schedule schedule;
  const json &batch = method()["loss"][0];
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const at::Tensor score = golden::tensor(batch["score"]).to(dtype);
    const auto loss = [&](godiff::ScoreScale scale, const at::Tensor &s) {
      const godiff::LeastSquares l =
          godiff::score_loss(schedule, scale, golden::tensor(batch["w"]),
                             golden::tensor(batch["t"]), golden::tensor(batch["weight"]), 21);
      return godiff::reference::least_squares(s, l.offset, l.factor, l.weight).item<double>();
    };
    const double tolerance = dtype == at::kDouble ? 1e-12 : 1e-5;
    const json &expected = batch["loss"];
    expect_relative(loss(godiff::ScoreScale::REFERENCE, score), expected["reference"], tolerance,
                    "reference");
    expect_relative(loss(godiff::ScoreScale::RESCALED, score), expected["reference"], tolerance,
                    "rescaled");
    expect_relative(loss(godiff::ScoreScale::CONSISTENT, score), expected["consistent"], tolerance,
                    "consistent");
    expect_relative(loss(godiff::ScoreScale::REFERENCE, at::zeros_like(score)), expected["zero"],
                    tolerance, "zero");
  }
}

TEST(MethodParity, LbfgsDirections) {
  const json &runs = method()["lbfgs"]["runs"];
  ASSERT_EQ(runs.size(), 4u);
  for (const json &run : runs) {
    SCOPED_TRACE(run["name"].get<std::string>());
    const bool wrapped = run.contains("cell");
    const Cell cell = wrapped ? cell_of(run, true) : Cell();
    godiff::LBFGS lbfgs(wrapped ? &cell : nullptr);
    for (std::size_t k = 0; k < run["calls"].size(); ++k) {
      const json &call = run["calls"][k];
      const std::vector<double> p = lbfgs.direction(flat(call["x"]), flat(call["force"]));
      EXPECT_LE(deviation(at::tensor(p, at::kDouble), golden::tensor(call["direction"]).flatten()),
                1e-8)
          << "call " << k;
    }
  }
}

// The first direction is a tenth of small forces, so ten times the coefficient pushes along them.
TEST(MethodParity, GuidanceCap) {
  ASSERT_EQ(method()["lbfgs"]["cap"].size(), 3u);
  for (const json &row : method()["lbfgs"]["cap"]) {
    const at::Tensor p = golden::tensor(row["p"]);
    const System system = system_of(Cell(), p.size(0), -5.0, 5.0);
    godiff::Guidance guidance(system, godiff::Settings(), 1);
    at::Tensor x = at::zeros({1, p.size(0), 3}, at::kDouble);
    guidance.push(x, p.unsqueeze(0), 10.0 * row["coefficient"].get<double>());
    EXPECT_LE(deviation(x[0], golden::tensor(row["step"])), 1e-12);
  }
}

TEST(MethodParity, RadialBasis) {
  const json &data = method()["radial"];
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const double tolerance = dtype == at::kDouble ? 1e-12 : 1e-5;
    const at::Tensor d = golden::tensor(data["d"]).to(dtype);
    EXPECT_LE(deviation(godiff::reference::radial_basis(d, 30, 6.0), golden::tensor(data["phi"])),
              tolerance);
    EXPECT_LE(deviation(godiff::reference::cosine_cutoff(d, 6.0), golden::tensor(data["cutoff"])),
              tolerance);
    const at::Tensor outside = at::tensor({6.0, 6.5, 12.0}, at::kDouble).to(dtype);
    EXPECT_EQ(godiff::reference::cosine_cutoff(outside, 6.0).abs().max().item<double>(), 0.0);
  }
}

}  // namespace
