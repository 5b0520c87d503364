// SPDX-License-Identifier: GPL-2.0-only
// Training and sampling that stay on the device of Kokkos from the first step to the last, against those that
// the host leads. Where Kokkos computes on the CPU the device is the CPU: its graphs and counters are tested here,
// its streams are not.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include "core/geometry/structure_graphs.hpp"
#include "core/network/recorded_step.hpp"
#include "core/search/learner.hpp"
#include "engine_cases.hpp"
#include "kernels/device_graph.hpp"
#include "kernels/diffusion.hpp"
#include "kernels/graph_builder.hpp"
#include "systems.hpp"

namespace {

using godiff::Learner;
using godiff::Purpose;
using godiff::SampleRequest;
using godiff::Settings;
using godiff::System;
using godiff::TrainingReport;

// Whether stages stay on the device.
class OnDevice {
public:
  explicit OnDevice(bool wanted) { setenv("GODIFF_RECORD", wanted ? "yes" : "no", 1); }
  ~OnDevice() { unsetenv("GODIFF_RECORD"); }
};

Settings settings_of(bool guided, bool double_precision) {
  Settings s;
  s.seed = 21;
  s.train_steps = 24;
  s.batch = 4;
  s.learning_rate = 2e-3;
  s.patience = 1;
  s.lr_factor = 0.5;
  s.sample_steps = 12;
  s.double_precision = double_precision;
  s.network.nfeat = 16;
  s.network.nblock = 3;
  s.network.nrbf = 10;
  s.network.cutoff = 5.0;
  if (guided)
    s.guide = 0.05;
  return s;
}

// 15 structures: 14 to train in batches of 4, 4, 4 and 2, one to validate.
constexpr std::int64_t STRUCTURES = 15;

struct Stage {
  System system = godiff_test::heptamer_pt();
  at::Tensor positions = godiff_test::noised(godiff_test::heptamer(), STRUCTURES, 0.1, 5);
  std::vector<double> weights;
  at::Tensor forces;

  Stage() {
    for (std::int64_t g = 0; g < STRUCTURES; ++g)
      weights.push_back(0.5 + 0.1 * static_cast<double>(g));
    forces = at::linspace(-1.0, 1.0, STRUCTURES * system.n_atoms() * 3, at::kFloat)
                 .view({STRUCTURES, system.n_atoms(), 3});
  }
};

struct Outcome {
  TrainingReport score, force;
  at::Tensor weights, drawn;
  double learning_rate, best;
};

Outcome outcome(const Settings &settings, bool on_device, const Learner::Tick &tick = {}) {
  const OnDevice switched(on_device);
  const Stage stage;
  Learner learner(stage.system, settings, c10::Device(c10::kCPU));
  Outcome out;
  if (settings.guided())
    out.force = learner.train_forces(stage.positions, stage.forces, 1, tick);
  out.score = learner.train_score(stage.positions, stage.weights, 1, tick);
  const auto &optimiser = learner.trainer().score_optimiser();
  out.learning_rate = optimiser.adamw.learning_rate.item<double>();
  out.best = optimiser.plateau.best.item<double>();
  out.weights = learner.network().parameters().flat().to(at::kDouble, false, true);
  SampleRequest request;
  request.stage = 1;
  request.first = 3;
  request.count = 5;
  out.drawn = learner.sample(request, tick);
  return out;
}

class DeviceStages : public testing::Test {
protected:
  void SetUp() override {
    if (godiff::kernels::implementation(c10::kCPU) != godiff::kernels::Implementation::KOKKOS)
      GTEST_SKIP() << "only the functors of Kokkos keep a stage on a device";
  }
};

// In float64 both do the same arithmetic but for the order of sums; 24 steps of AdamW and 12 of the chain let
// that grow to about 1e-10.
TEST_F(DeviceStages, EqualThoseOfTheHost) {
  for (const bool guided : {false, true}) {
    SCOPED_TRACE(guided ? "with forces" : "score only");
    const Settings settings = settings_of(guided, true);
    const Outcome expected = outcome(settings, false), found = outcome(settings, true);
    EXPECT_EQ(found.score.steps, expected.score.steps);
    EXPECT_EQ(found.score.skipped, 0);
    EXPECT_NEAR(found.score.loss / expected.score.loss, 1.0, 1e-9);
    EXPECT_EQ(found.learning_rate, expected.learning_rate);
    EXPECT_LT(found.learning_rate, settings.learning_rate) << "the plateau was not tried";
    EXPECT_NEAR(found.best / expected.best, 1.0, 1e-9);
    EXPECT_LE((found.weights - expected.weights).abs().max().item<double>(), 1e-8);
    EXPECT_LE((found.drawn - expected.drawn).abs().max().item<double>(), 1e-6);
    if (guided) {
      EXPECT_EQ(found.force.steps, expected.force.steps);
      EXPECT_NEAR(found.force.loss / expected.force.loss, 1.0, 1e-9);
    }
  }
}

TEST_F(DeviceStages, SinglePrecisionIsCloseToDouble) {
  const Outcome exact = outcome(settings_of(false, true), true),
                found = outcome(settings_of(false, false), true);
  EXPECT_NEAR(found.score.loss / exact.score.loss, 1.0, 1e-3);
}

// What makes the host wait for a device, or hands it memory of the host, has no place in a step.
TEST_F(DeviceStages, StepsReadNothingOfTheHost) {
  static std::map<std::string, int> calls;
  static bool counting;
  const auto watcher = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction &f)
                                     -> std::unique_ptr<at::ObserverContext> {
        if (counting)
          ++calls[f.name()];
        return nullptr;
      }).scopes({at::RecordScope::FUNCTION}));
  const auto watch = [&](bool on_device) {
    calls.clear();
    const at::RecordFunctionGuard enabled(true);
    // From the first step of a part on; its beginning and end are the host's.
    outcome(settings_of(on_device, false), on_device, [&](std::int64_t done, std::int64_t total) {
      counting = done < total;
      return true;
    });
    EXPECT_GT(calls["aten::mm"] + calls["aten::mm.out"] + calls["aten::addmm"], 0);
  };
  watch(false);
  EXPECT_GT(calls["aten::_local_scalar_dense"], 0) << "nobody watched";
  watch(true);
  for (const char *name : {"aten::_local_scalar_dense", "aten::item", "aten::is_nonzero",
                           "aten::nonzero", "aten::masked_select", "aten::unique_dim",
                           "aten::_unique2", "aten::pin_memory", "aten::lift_fresh", "aten::equal"})
    EXPECT_EQ(calls.count(name), 0u) << name << " " << calls[name];
  at::removeCallback(watcher);
}

TEST_F(DeviceStages, InterruptedTrainingGoesOn) {
  const Settings settings = settings_of(false, false);
  const Outcome expected = outcome(settings, true);
  const OnDevice switched(true);
  const Stage stage;
  Learner learner(stage.system, settings, c10::Device(c10::kCPU));
  for (const std::int64_t stop : {1, 6, 7, 16, 0}) {
    const TrainingReport report =
        learner.train_score(stage.positions, stage.weights, 1,
                            [&](std::int64_t done, std::int64_t) { return done != stop; });
    EXPECT_EQ(report.interrupted, stop != 0);
  }
  EXPECT_TRUE(at::equal(learner.network().parameters().flat().to(at::kDouble), expected.weights));
}

TEST_F(DeviceStages, NonFiniteLossesAndScores) {
  const OnDevice switched(true);
  Stage stage;
  Learner learner(stage.system, settings_of(false, false), c10::Device(c10::kCPU));
  stage.weights.assign(STRUCTURES, std::nan(""));
  const at::Tensor before = learner.network().parameters().flat().clone();
  const TrainingReport report = learner.train_score(stage.positions, stage.weights, 1, {});
  EXPECT_GT(report.steps, 0);
  EXPECT_EQ(report.skipped, report.steps);
  EXPECT_TRUE(at::equal(learner.network().parameters().flat(), before));
  learner.network().parameters().copy_from(at::full_like(before, std::nan("")));
  SampleRequest request;
  request.count = 3;
  const at::Tensor drawn = learner.sample(request, {});
  EXPECT_TRUE(drawn.isfinite().all().item<bool>());
  EXPECT_EQ(learner.non_finite_scores(), 3 * 7 * 12);
}

// The edges of one atom: sender, distance and direction.
using Edge = std::array<double, 5>;
void expect_same(std::vector<Edge> found, std::vector<Edge> expected) {
  // Distances that are equal but for rounding must not decide on the order.
  const auto before = [](const Edge &a, const Edge &b) {
    for (int k = 0; k < 5; ++k)
      if (std::abs(a[k] - b[k]) > 1e-6)
        return a[k] < b[k];
    return false;
  };
  std::sort(found.begin(), found.end(), before);
  std::sort(expected.begin(), expected.end(), before);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t e = 0; e < found.size(); ++e)
    for (int k = 0; k < 5; ++k)
      EXPECT_NEAR(found[e][k], expected[e][k], 1e-9);
}

TEST_F(DeviceStages, GraphsEqualThoseOfTheHost) {
  constexpr double CUTOFF = 5.0;
  int tried = 0;
  for (const godiff_test::EngineCase &c : godiff_test::engine_cases()) {
    SCOPED_TRACE(c.name);
    const godiff::StructureGraphs graphs(c.system, CUTOFF, at::kDouble);
    const at::Tensor x = c.positions.contiguous(), z = x.select(2, 2);
    const auto most = graphs.most_pairs(z.min().item<double>(), z.max().item<double>());
    if (!most)
      continue;
    ++tried;
    const std::int64_t B = x.size(0), N = c.system.n_atoms(), n = c.system.n_mobile;
    godiff::ChunkGraph expected;
    graphs.build(x.const_data_ptr<double>(), B, 1, expected);
    const auto builder = godiff::GraphBuilder::make(
        {c.system.cell.math(), CUTOFF, c.system.template_positions, n, *most}, B, 1, at::kDouble);
    // The second time in memory that is not fresh.
    builder->build((x + 0.3).contiguous());
    builder->build(x);
    const godiff::ChunkOnDevice &found = on_device(builder->graph(), x);
    const godiff::ChunkPointers &p = found.pointers;
    EXPECT_EQ(found.distance.numel(), B * *most);
    const auto *direction = static_cast<const double *>(p.direction);
    const double *distance = found.distance.const_data_ptr<double>();
    std::vector<std::int32_t> edges_of_pair(found.distance.numel());
    for (std::int32_t g = 0; g < B; ++g) {
      std::map<std::int32_t, std::vector<Edge>> here, there;  // by receiver
      for (std::int64_t slot = 0; slot < N; ++slot) {
        const std::int64_t row = p.offset(1, g) + slot;
        for (std::int32_t e = p.first[row]; e < p.first[row + 1]; ++e) {
          const double *u = direction + 3 * e;
          EXPECT_EQ(p.receiver[e], slot);
          EXPECT_EQ(p.pair_structure[p.pair[e]], g);
          ++edges_of_pair[p.pair[e]];
          there[p.atom[g * N + slot]].push_back(
              {static_cast<double>(p.sender[e]), distance[p.pair[e]], u[0], u[1], u[2]});
        }
      }
      for (std::int32_t slot = 0; slot < expected.count(1, g); ++slot) {
        const std::int32_t row = expected.offset(1, g) + slot;
        for (std::int32_t e = expected.first[row]; e < expected.first[row + 1]; ++e) {
          const double *u = &expected.direction.in_double[3 * e];
          here[expected.atom[g * N + slot]].push_back({static_cast<double>(expected.sender[e]),
                                                       expected.distance[expected.pair[e]], u[0],
                                                       u[1], u[2]});
        }
      }
      for (std::int32_t atom = 0; atom < N; ++atom) {
        SCOPED_TRACE("structure " + std::to_string(g) + ", atom " + std::to_string(atom));
        expect_same(there[atom], here[atom]);
      }
    }
    // Pairs have two edges, one of which they know; those to spare have none.
    for (std::size_t k = 0; k < edges_of_pair.size(); ++k) {
      EXPECT_EQ(edges_of_pair[k], k < expected.distance.size() ? 2 : 0) << k;
      if (edges_of_pair[k] > 0)
        EXPECT_EQ(p.pair[p.pair_edge[k]], static_cast<std::int32_t>(k));
      else
        EXPECT_EQ(p.pair_edge[k], -1);
    }
    EXPECT_NO_THROW(builder->check());
  }
  EXPECT_GE(tried, 6);
}

// Memory that does not suffice is a fault of this program; it is told, and nothing is written beyond it.
TEST_F(DeviceStages, TooManyPairsAreTold) {
  const System s = godiff_test::heptamer_pt();
  const at::Tensor x = godiff_test::noised(godiff_test::heptamer(), 2, 0.1, 5);
  const auto builder = godiff::GraphBuilder::make(
      {s.cell.math(), 5.0, s.template_positions, s.n_mobile, 20}, 2, 1, at::kFloat);
  builder->build(x);
  EXPECT_THROW(builder->check(), std::runtime_error);
}

TEST(RecordedStep, RunsOnceACall) {
  int runs = 0;
  godiff::RecordedStep step(c10::Device(c10::kCPU), [&] { ++runs; });
  for (int k = 1; k <= 4; ++k) {
    step.run();
    EXPECT_EQ(runs, k);
  }
  EXPECT_FALSE(step.recorded());
  godiff::RecordedStep failing(c10::Device(c10::kCPU), [] { throw std::runtime_error("no"); });
  EXPECT_THROW(failing.run(), std::runtime_error);
}

// A stream can be entered anywhere: atom i of a structure needs not the numbers of those before.
TEST(RandomNumbers, EnteredInTheMiddle) {
  const godiff::StreamKey key = godiff::stream_key(17, Purpose::TRAINING_NOISE, 2);
  godiff::RandomNumbers whole(key, 5, 9);
  std::vector<double> numbers;
  for (int k = 0; k < 41; ++k)
    numbers.push_back(whole.uniform());
  for (std::uint32_t k = 0; k < 41; ++k)
    EXPECT_EQ(godiff::RandomNumbers(key, 5, 9, k).uniform(), numbers[k]) << k;
}

}  // namespace
