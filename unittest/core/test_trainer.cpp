// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/trainer.hpp"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/diffusion/noiser.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "reference/network.hpp"
#include "systems.hpp"

namespace {

using godiff::EpochPlan;
using godiff::Noised;
using godiff::plan_epochs;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::ScoreEngine;
using godiff::ScoreNetwork;
using godiff::ScoreScale;
using godiff::Settings;
using godiff::System;
using godiff::Trainer;
using godiff::TrainingReport;

// A triangle of template atoms and two mobile atoms above it.
System toy() {
  return godiff_test::make_system({{{12, 0, 0}, {0, 12, 0}, {0, 0, 14}}}, {true, true, false},
                                  {5, 5, 2, 7.5, 5, 2, 6.2, 7.2, 2}, {78, 78, 29}, {78, 8}, 3, 9);
}

Settings toy_settings() {
  Settings s;
  s.seed = 4;
  s.train_steps = 30;
  s.batch = 4;
  s.learning_rate = 2e-3;
  s.network.nfeat = 16;
  s.network.nblock = 2;
  s.network.nrbf = 10;
  s.network.cutoff = 5.0;
  return s;
}

// n structures scattered by 0.1 Angstrom around one place.
at::Tensor structures(std::int64_t n) {
  RandomStream random(9, Purpose::PRIOR);
  at::Tensor x = godiff_test::one_structure({6.2, 5.7, 4.1, 6.9, 6.6, 5.6}).repeat({n, 1, 1});
  for (std::int64_t k = 0; k < x.numel(); ++k)
    x.data_ptr<double>()[k] += 0.1 * random.normal();
  return x;
}

// Forces of springs on the mobile atoms, and something for the template.
at::Tensor forces_of(const at::Tensor &x) {
  at::Tensor f = at::full({x.size(0), 5, 3}, 0.3, at::kFloat);
  f.narrow(1, 3, 2).copy_(-2.0 * (x - structures(1)));
  return f;
}

struct Learner {
  System system = toy();
  Settings settings;
  ScoreNetwork network;
  ScoreEngine engine;
  Trainer trainer;

  explicit Learner(const Settings &given = toy_settings()) :
      settings(with_head(given)),
      network(settings.network, settings.double_precision ? at::kDouble : at::kFloat),
      engine(system, network),
      trainer(system, settings, network, engine) {
    network.initialise(settings.seed);
  }
  static Settings with_head(Settings s) {
    s.network.force_head = s.guided();
    return s;
  }
  const at::Tensor &weights() const { return network.parameters().flat(); }

  // Loss over fresh noise that the training never saw.
  double score_loss(const at::Tensor &x) {
    const std::int64_t repeats = 40;
    const at::Tensor many = x.repeat({repeats, 1, 1});
    const at::Tensor step_zero = at::zeros({}, at::kLong);
    const at::Tensor t =
        godiff::draw_times(999, Purpose::TRAINING_TIME, 0, step_zero, many.size(0));
    const godiff::Schedule schedule = godiff::make_schedule(settings);
    const Noised noised =
        godiff::add_noise(system, schedule, many, t, 999, Purpose::TRAINING_NOISE, 0, step_zero);
    const godiff::LeastSquares target =
        godiff::score_loss(schedule, settings.score_scale, noised.noise, t,
                           at::ones({many.size(0)}, at::kDouble), system.n_atoms());
    return engine.score_loss(noised.positions, t, target).item<double>();
  }
};

TEST(EpochPlan, ExamplesOfTheMethod) {
  const struct {
    std::int64_t n, batch, steps, train, validation, epochs, per_epoch;
  } rows[] = {{16, 8, 2000, 15, 1, 1000, 2},   {64, 16, 8000, 58, 6, 2000, 4},
              {64, 16, 16000, 58, 6, 4000, 4}, {300, 16, 8000, 270, 30, 444, 17},
              {40, 16, 8000, 36, 4, 4000, 3},  {5, 16, 100, 5, 0, 100, 1},
              {1, 16, 7, 1, 0, 7, 1},          {64, 16, 1, 58, 6, 1, 4}};
  for (const auto &r : rows) {
    const EpochPlan plan = plan_epochs(r.n, r.steps, r.batch, 0.1);
    EXPECT_EQ(plan.n_train, r.train) << r.n;
    EXPECT_EQ(plan.n_validation, r.validation) << r.n;
    EXPECT_EQ(plan.epochs, r.epochs) << r.n;
    EXPECT_EQ(plan.steps_per_epoch, r.per_epoch) << r.n;
  }
}

// floor(9n/10) and floor(n/10) in integers, whatever 0.1*n rounds to.
TEST(EpochPlan, SplitsTenPercentInIntegers) {
  for (std::int64_t n = 1; n < 3000; ++n) {
    const EpochPlan plan = plan_epochs(n, 100, 16, 0.1);
    EXPECT_EQ(plan.n_validation, n / 10);
    EXPECT_EQ(plan.n_train, n - n / 10);
  }
  EXPECT_EQ(plan_epochs(64, 100, 16, 0.0).n_validation, 0);
  for (std::int64_t n = 1; n < 20; ++n)
    EXPECT_GE(plan_epochs(n, 100, 16, 0.9).n_train, 1);
}

TEST(Trainer, LearnsAFixedToy) {
  for (ScoreScale scale : {ScoreScale::REFERENCE, ScoreScale::CONSISTENT}) {
    Settings s = toy_settings();
    s.score_scale = scale;
    s.learning_rate = 4e-3;
    s.train_steps = 450;
    Learner learner(s);
    const at::Tensor x = structures(16);
    const double before = learner.score_loss(x);
    const TrainingReport report =
        learner.trainer.train_score(x, std::vector<double>(16, 1.0), 0, {});
    const double after = learner.score_loss(x);
    // Untrained, w alone gives about 3 per mobile atom and 2 of 5 atoms: 1.2.
    EXPECT_GT(before, 0.7);
    EXPECT_LT(after, 0.75 * before);
    EXPECT_GT(report.loss, 0.0);
    EXPECT_EQ(report.skipped, 0);
    EXPECT_FALSE(report.interrupted);
  }
}

TEST(Trainer, LearnsForces) {
  for (bool mobile_only : {false, true}) {
    Settings s = toy_settings();
    s.guide = 0.2;
    s.force_loss_mobile = mobile_only;
    s.train_steps = 150;
    Learner learner(s);
    const at::Tensor x = structures(16), f = forces_of(x);
    const auto loss = [&] {
      const at::Tensor target = mobile_only ? f.narrow(1, 3, 2) : f;
      return (learner.engine.forces(x, mobile_only) - target).square().mean().item<double>();
    };
    const double before = loss();
    const at::Tensor head = learner.network.parameters()["score.0.mix.weight"].clone();
    learner.trainer.train_forces(x, f, 0, {});
    EXPECT_LT(loss(), 0.5 * before);
    // The score head is left alone: not even the decay of AdamW touches it.
    EXPECT_TRUE(at::equal(learner.network.parameters()["score.0.mix.weight"], head));
  }
}

// The score stage moves the backbone under the force head but not the head itself.
TEST(Trainer, LeavesTheForceHeadAlone) {
  Settings s = toy_settings();
  s.guide = 0.2;
  Learner learner(s);
  const auto copy = [&](const char *name) { return learner.network.parameters()[name].clone(); };
  const at::Tensor head = copy("force.1.0.weight"), backbone = copy("painn.mixing.1.0.weight");
  learner.trainer.train_score(structures(8), std::vector<double>(8, 1.0), 0, {});
  EXPECT_TRUE(at::equal(copy("force.1.0.weight"), head));
  EXPECT_FALSE(at::equal(copy("painn.mixing.1.0.weight"), backbone));
}

TEST(Trainer, CountsStepsAndTicks) {
  Settings s = toy_settings();
  s.train_steps = 20;
  Learner learner(s);
  // n = 10, batch 4: 9 to train, 20/2 = 10 epochs of 3 steps.
  std::vector<std::int64_t> done;
  const TrainingReport report = learner.trainer.train_score(
      structures(10), std::vector<double>(10, 1.0), 0, [&](std::int64_t k, std::int64_t total) {
        EXPECT_EQ(total, 30);
        done.push_back(k);
        return true;
      });
  EXPECT_EQ(report.steps, 30);
  ASSERT_EQ(done.size(), 30u);
  for (std::int64_t k = 0; k < 30; ++k)
    EXPECT_EQ(done[k], k + 1);
}

TEST(Trainer, StopsWhenTheTickSaysSo) {
  Learner learner;
  int calls = 0;
  const TrainingReport report =
      learner.trainer.train_score(structures(10), std::vector<double>(10, 1.0), 0,
                                  [&](std::int64_t, std::int64_t) { return ++calls < 7; });
  EXPECT_TRUE(report.interrupted);
  EXPECT_EQ(report.steps, 7);
  EXPECT_EQ(calls, 7);
}

TEST(Trainer, SameSeedSameBits) {
  const at::Tensor x = structures(12);
  const std::vector<double> w(12, 1.0);
  const auto trained = [&](std::uint64_t seed, int stage) {
    Settings s = toy_settings();
    Learner learner(s);
    s.seed = seed;
    Trainer trainer(learner.system, s, learner.network, learner.engine);
    trainer.train_score(x, w, stage, {});
    return learner.weights().clone();
  };
  const at::Tensor a = trained(4, 1);
  EXPECT_TRUE(at::equal(a, trained(4, 1)));
  EXPECT_FALSE(at::equal(a, trained(5, 1)));
  EXPECT_FALSE(at::equal(a, trained(4, 2)));
}

TEST(Trainer, StructuresOfWeightZeroDoNotTeach) {
  const at::Tensor x = structures(8);
  at::Tensor other = x.clone();
  other.narrow(0, 4, 4).add_(0.7);
  std::vector<double> w(8, 2.0);
  std::fill(w.begin() + 4, w.end(), 0.0);
  Learner a, b;
  a.trainer.train_score(x, w, 0, {});
  b.trainer.train_score(other, w, 0, {});
  // Their noise and graph differ, their gradient is exactly zero; sums in the kernels run over one
  // structure after the other, so adding zeros changes no bit.
  EXPECT_LT((a.weights() - b.weights()).abs().max().item<double>(), 1e-5);
}

TEST(Trainer, NonFiniteLossIsSkippedAndCounted) {
  Learner learner;
  const at::Tensor before = learner.weights().clone();
  const TrainingReport report =
      learner.trainer.train_score(structures(4), std::vector<double>(4, std::nan("")), 0, {});
  EXPECT_GT(report.steps, 0);
  EXPECT_EQ(report.skipped, report.steps);
  EXPECT_TRUE(at::equal(learner.weights(), before));
  // One bad structure of eight: only the steps that meet it are lost.
  Settings s = toy_settings();
  s.val_fraction = 0.0;
  Learner other(s);
  std::vector<double> w(8, 1.0);
  w[3] = INFINITY;
  const TrainingReport half = other.trainer.train_score(structures(8), w, 0, {});
  EXPECT_EQ(half.skipped, half.steps / 2);  // two batches of four per epoch
  EXPECT_TRUE(other.weights().isfinite().all().item<bool>());
  EXPECT_FALSE(at::equal(other.weights(), before));
}

// A gradient can overflow although the loss does not.
TEST(Trainer, NonFiniteGradientIsSkipped) {
  Settings s = toy_settings();
  Learner learner(s);
  const at::Tensor before = learner.weights().clone();
  const TrainingReport report =
      learner.trainer.train_score(structures(4), std::vector<double>(4, 3e37), 0, {});
  EXPECT_TRUE(learner.weights().isfinite().all().item<bool>());
  if (report.skipped == report.steps) {
    EXPECT_TRUE(at::equal(learner.weights(), before));
  }
}

TEST(Trainer, OptimiserLivesOnOnlyWhenAsked) {
  const at::Tensor x = structures(8);
  const std::vector<double> w(8, 1.0);
  for (bool reset : {true, false}) {
    Settings s = toy_settings();
    s.optim_reset = reset;
    s.patience = 1;  // so that the learning rate falls within a few epochs
    s.lr_factor = 0.5;
    s.train_steps = 40;
    Learner learner(s);
    const TrainingReport first = learner.trainer.train_score(x, w, 0, {});
    ASSERT_LT(first.learning_rate, s.learning_rate);
    const auto steps_of = [](const Trainer::Optimiser &o) {
      return o.adamw.steps.item<std::int64_t>();
    };
    const std::int64_t steps = steps_of(learner.trainer.score_optimiser());
    EXPECT_EQ(steps, first.steps);
    const TrainingReport second = learner.trainer.train_score(x, w, 1, {});
    EXPECT_EQ(steps_of(learner.trainer.score_optimiser()),
              reset ? second.steps : steps + second.steps);
    if (!reset) {
      EXPECT_LE(second.learning_rate, first.learning_rate);
    }
    EXPECT_EQ(steps_of(learner.trainer.force_optimiser()), 0);
  }
}

TEST(Trainer, DecayShrinksRowsOfAbsentElements) {
  Learner learner;
  const at::Tensor before = learner.network.parameters()["painn.embedding.weight"].clone();
  const TrainingReport report =
      learner.trainer.train_score(structures(8), std::vector<double>(8, 1.0), 0, {});
  const at::Tensor after = learner.network.parameters()["painn.embedding.weight"];
  // Uranium is nowhere: p *= 1 - 0.01*lr at every step (float32).
  const double shrink = std::pow(1.0 - 0.01 * learner.settings.learning_rate, report.steps);
  EXPECT_LT((after[92] - shrink * before[92]).abs().max().item<double>(), 3e-6);
  EXPECT_GT((after[78] - shrink * before[78]).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(after[0].abs().max().item<double>(), 0.0);
}

TEST(Plateau, LowersTheRateAfterPatience) {
  godiff::Plateau plateau(0.5, 2, at::kCPU);
  const auto next = [&](double loss, double rate) {
    const at::Tensor learning_rate = at::scalar_tensor(rate, at::kDouble);
    plateau.update(at::scalar_tensor(loss, at::kDouble), learning_rate);
    return learning_rate.item<double>();
  };
  EXPECT_EQ(next(1.0, 0.1), 0.1);
  EXPECT_EQ(next(0.99995, 0.1), 0.1) << "better by less than 1e-4: bad 1";
  EXPECT_EQ(next(std::nan(""), 0.1), 0.1) << "bad 2";
  EXPECT_EQ(next(2.0, 0.1), 0.05) << "bad 3 exceeds 2";
  EXPECT_EQ(plateau.bad.item<std::int64_t>(), 0);
  EXPECT_EQ(next(0.5, 0.05), 0.05);
  for (int k = 0; k < 2; ++k)
    EXPECT_EQ(next(0.5, 1.5e-8), 1.5e-8);
  EXPECT_EQ(next(0.5, 1.5e-8), 1.5e-8) << "a change below 1e-8 is none";
}

}  // namespace
