// SPDX-License-Identifier: GPL-2.0-only
// Ranks that sample and train together give the bits of one rank, and end together.
#include "core/search/learner.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "temporary_folder.hpp"
#include "thread_comm.hpp"
#include "toy_search.hpp"

namespace {

using godiff::Comm;
using godiff::Error;
using godiff::Learner;
using godiff::Purpose;
using godiff::RandomStream;
using godiff::SampleRequest;
using godiff::Settings;
using godiff::System;
using godiff::Trainer;
using godiff::TrainingPosition;
using godiff::TrainingReport;
using godiff_test::message_of;
using godiff_test::on_ranks;
using godiff_test::toy_system;

constexpr std::int64_t STRUCTURES = 120;
constexpr std::int64_t CANDIDATES = 70;

// 5 atoms a structure: a chunk has 16 structures at least, so these batches have several. 120
// structures are 84 to train, in batches of 70 and 14, and 36 for validation.
Settings many_chunks(bool guided = false, bool double_precision = false) {
  Settings s = godiff_test::toy_settings();
  s.batch = 70;
  s.train_steps = 3;
  s.val_fraction = 0.3;
  s.patience = 0;  // the learning rate takes part
  s.sample_steps = 4;
  s.double_precision = double_precision;
  if (guided) {
    s.guide = 0.5;
    s.guide_extra = 3;
  }
  return s;
}

at::Tensor structures() {
  RandomStream random(9, Purpose::PRIOR);
  at::Tensor x =
      godiff_test::one_structure({4.2, 3.7, 4.0, 5.0, 5.0, 5.4}).repeat({STRUCTURES, 1, 1});
  for (std::int64_t k = 0; k < x.numel(); ++k)
    x.data_ptr<double>()[k] += 0.3 * random.normal();
  return x;
}

at::Tensor forces() {
  const at::Tensor x = structures();
  at::Tensor f = at::zeros({STRUCTURES, 5, 3}, at::kFloat);
  f.narrow(1, 3, 2).copy_(-2.0 * (x - x.mean(0, true)));
  return f;
}

std::vector<double> loss_weights() {
  std::vector<double> w;
  for (std::int64_t k = 0; k < STRUCTURES; ++k)
    w.push_back(0.5 + 0.01 * static_cast<double>(k));
  return w;
}

// What a stage leaves behind, to be compared bit for bit.
struct Outcome {
  std::vector<at::Tensor> tensors;
  std::vector<double> numbers;

  void expect_equal(const Outcome &other, const std::string &what) const {
    ASSERT_EQ(tensors.size(), other.tensors.size());
    for (std::size_t k = 0; k < tensors.size(); ++k)
      EXPECT_TRUE(at::equal(tensors[k], other.tensors[k])) << what << ": tensor " << k;
    EXPECT_EQ(numbers, other.numbers) << what;
  }
};

void add_state(Outcome &outcome, const Learner &learner) {
  outcome.tensors.push_back(learner.network().parameters().flat().clone());
  for (const Trainer::Optimiser *o :
       {&learner.trainer().score_optimiser(), &learner.trainer().force_optimiser()}) {
    outcome.tensors.push_back(o->adamw.first_moment.clone());
    outcome.tensors.push_back(o->adamw.second_moment.clone());
    outcome.numbers.insert(outcome.numbers.end(),
                           {o->adamw.learning_rate.item<double>(), o->adamw.steps.item<double>(),
                            o->plateau.best.item<double>(), o->plateau.bad.item<double>()});
  }
}

void add_report(Outcome &outcome, const TrainingReport &report) {
  EXPECT_FALSE(report.interrupted);
  outcome.numbers.insert(outcome.numbers.end(),
                         {report.loss, report.learning_rate, static_cast<double>(report.steps),
                          static_cast<double>(report.skipped)});
}

TrainingReport train_score(Learner &learner, const Learner::Tick &tick = {}) {
  return learner.train_score(structures(), loss_weights(), 1, tick);
}

TrainingReport train_forces(Learner &learner, const Learner::Tick &tick = {}) {
  return learner.train_forces(structures(), forces(), 1, tick);
}

SampleRequest request(const Settings &settings) {
  SampleRequest r;
  r.stage = 1;
  r.first = 3;
  r.count = CANDIDATES;
  r.guide = settings.guide;
  return r;
}

Outcome whole_stage(Learner &learner, const Settings &settings) {
  Outcome outcome;
  if (settings.guided())
    add_report(outcome, train_forces(learner));
  add_report(outcome, train_score(learner));
  add_state(outcome, learner);
  const at::Tensor drawn = learner.sample(request(settings), {});
  EXPECT_TRUE(drawn.isfinite().all().item<bool>());
  outcome.tensors.push_back(drawn);
  outcome.numbers.push_back(static_cast<double>(learner.network_calls()));
  outcome.numbers.push_back(static_cast<double>(learner.non_finite_scores()));
  return outcome;
}

// A force head with forces that keep the extra steps of guidance busy.
void strengthen_forces(Learner &learner) {
  godiff::Parameters &parameters = learner.network().parameters();
  for (const std::string &name : parameters.names())
    if (name.rfind("force.", 0) == 0)
      parameters[name].mul_(4.0);
  parameters.touch();
}

// Rank 0 does `work` with a learner, the others serve it and call `tick`, which is told their rank.
using Tick = std::function<bool(int rank, std::int64_t done)>;
std::vector<std::int64_t> together(int ranks, const Settings &settings,
                                   const std::function<void(Learner &)> &work,
                                   const Tick &tick = {}) {
  return on_ranks(ranks, [&](Comm &comm) {
    Learner learner(toy_system(), settings, c10::Device(c10::kCPU), comm);
    if (comm.rank() != 0) {
      // Whatever this rank knows is replaced by what rank 0 sends.
      learner.network().parameters().copy_from(
          at::full_like(learner.network().parameters().flat(), 0.1 * comm.rank()));
      learner.serve(
          [&](std::int64_t done, std::int64_t) { return !tick || tick(comm.rank(), done); });
      return;
    }
    strengthen_forces(learner);
    work(learner);
    learner.dismiss();
  });
}

Outcome alone(const Settings &settings) {
  Learner learner(toy_system(), settings, c10::Device(c10::kCPU));
  strengthen_forces(learner);
  const Outcome outcome = whole_stage(learner, settings);
  if (settings.guide_extra > 1) {
    // More than one pass of the extra steps, or nothing is tested of them.
    EXPECT_GT(learner.network_calls(), CANDIDATES * (2 * settings.sample_steps + 1));
  }
  return outcome;
}

TEST(Learner, BatchesOfTheseTestsHaveSeveralChunks) {
  Learner learner(toy_system(), many_chunks(), c10::Device(c10::kCPU));
  EXPECT_GE(learner.engine().most_ranks(70, true), 4);
  EXPECT_EQ(learner.engine().most_ranks(14, true), 1);
  EXPECT_EQ(learner.engine().most_ranks(36, false), 3);
  EXPECT_GE(learner.engine().most_ranks(CANDIDATES, false), 5);
}

TEST(Learner, SameBitsForAnyNumberOfRanks) {
  for (bool guided : {false, true})
    for (bool double_precision : {false, true}) {
      const Settings settings = many_chunks(guided, double_precision);
      const Outcome expected = alone(settings);
      for (int ranks : {1, 2, 3, 5, 11})
        together(ranks, settings, [&](Learner &learner) {
          whole_stage(learner, settings)
              .expect_equal(expected, std::to_string(ranks) + " ranks, guided " +
                                          std::to_string(guided) + ", double " +
                                          std::to_string(double_precision));
        });
    }
}

// With the forces of all atoms, or of the mobile ones where only these are learned.
TEST(Learner, SameBitsWithOtherForces) {
  for (bool all_atoms : {false, true}) {
    Settings settings = many_chunks(true);
    settings.ffg_all_atoms = all_atoms;
    settings.force_loss_mobile = !all_atoms;
    const Outcome expected = alone(settings);
    together(3, settings, [&](Learner &learner) {
      whole_stage(learner, settings).expect_equal(expected, "3 ranks");
    });
  }
}

TEST(Learner, UniformCandidatesNeedNoHelp) {
  Settings settings = many_chunks();
  settings.sample = godiff::SampleKind::PRIOR;
  Learner one(toy_system(), settings, c10::Device(c10::kCPU));
  const at::Tensor expected = one.sample(request(settings), {});
  together(2, settings, [&](Learner &learner) {
    EXPECT_TRUE(at::equal(learner.sample(request(settings), {}), expected));
  });
}

TEST(Learner, LossThatIsNotFiniteIsSkippedOnAllRanks) {
  const auto train = [](Learner &learner) {
    std::vector<double> w = loss_weights();
    w[5] = INFINITY;
    Outcome outcome;
    const TrainingReport report = learner.train_score(structures(), w, 1, {});
    EXPECT_GT(report.skipped, 0);
    EXPECT_LT(report.skipped, report.steps);
    outcome.numbers = {static_cast<double>(report.skipped)};
    add_state(outcome, learner);
    return outcome;
  };
  Settings settings = many_chunks();
  settings.val_fraction = 0.0;
  Learner one(toy_system(), settings, c10::Device(c10::kCPU));
  const Outcome expected = train(one);
  together(3, settings,
           [&](Learner &learner) { train(learner).expect_equal(expected, "3 ranks"); });
}

TEST(Learner, StopEndsAllRanksWithTheSameStep) {
  const Settings settings = many_chunks(true);
  for (std::int64_t k : {1, 2, 3, 4}) {
    std::vector<std::atomic<int>> calls(3);
    const auto count = [&](int rank, std::int64_t) {
      ++calls[static_cast<std::size_t>(rank)];
      return true;
    };
    const auto until = [&](std::int64_t done, std::int64_t) { return done < k; };
    const auto expect_calls = [&](const char *what) {
      for (std::size_t r = 1; r < calls.size(); ++r)
        EXPECT_EQ(calls[r].exchange(0), k) << what << ", rank " << r;
    };
    together(
        3, settings,
        [&](Learner &learner) {
          EXPECT_FALSE(learner.sample(request(settings), until).defined());
          EXPECT_EQ(learner.network_calls(), 0);
          expect_calls("sampling");
          TrainingReport report = train_forces(learner, until);
          EXPECT_TRUE(report.interrupted);
          EXPECT_EQ(report.steps, k);
          expect_calls("training");
        },
        count);
  }
}

// A failure of one rank in one step, on each of the ranks.
TEST(Learner, FailureEndsAllRanksAndTheNextCommandWorks) {
  const Settings settings = many_chunks(true);
  const Outcome expected = alone(settings);
  // Sampling: 4 reverse steps, then the extra steps of guidance.
  for (std::int64_t step : {1, 3, 5})
    for (int failing = 0; failing < 3; ++failing) {
      const std::string text = "rank " + std::to_string(failing);
      std::atomic<bool> armed{true};
      const auto tick = [&](int rank, std::int64_t done) {
        if (armed && rank == failing && done == step)
          throw Error(text);
        return true;
      };
      const auto on_zero = [&](std::int64_t done, std::int64_t) { return tick(0, done); };
      together(
          3, settings,
          [&](Learner &learner) {
            EXPECT_EQ(message_of<Error>([&] { learner.sample(request(settings), on_zero); }), text);
            const godiff::TrainingPosition before = learner.trainer().position();
            const at::Tensor weights = learner.network().parameters().flat().clone();
            const Trainer::Optimiser force = learner.trainer().force_optimiser();
            if (step < 5) {
              EXPECT_EQ(message_of<Error>([&] { train_forces(learner, on_zero); }), text);
            }
            armed = false;
            // As it was before the failure.
            learner.network().parameters().copy_from(weights);
            learner.trainer().set_position(before);
            whole_stage(learner, settings).expect_equal(expected, text);
          },
          tick);
    }
}

TEST(Learner, LowestOfSeveralFailuresIsThrown) {
  const Settings settings = many_chunks();
  const auto tick = [](int rank, std::int64_t) -> bool {
    throw Error("rank " + std::to_string(rank));
  };
  together(
      4, settings,
      [&](Learner &learner) {
        EXPECT_EQ(message_of<Error>([&] { learner.sample(request(settings), {}); }), "rank 1");
      },
      tick);
}

// A rank that lacks the last weight fails where this structure is first met: in a batch or in validation.
TEST(Trainer, FailureInTrainingAndValidationEndsAllRanks) {
  int in_training = 0, in_validation = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Settings settings = many_chunks();
    settings.seed = seed;
    for (int failing = 0; failing < 3; ++failing) {
      std::atomic<int> steps{0};
      on_ranks(3, [&](Comm &comm) {
        godiff::ScoreNetwork network(settings.network, at::kFloat);
        network.initialise(settings.seed);
        const System system = toy_system();
        godiff::ScoreEngine engine(system, network);
        Trainer trainer(system, settings, network, engine, comm);
        std::vector<double> w = loss_weights();
        if (comm.rank() == failing)
          w.pop_back();
        const std::string message = message_of<Error>([&] {
          trainer.train_score(structures(), w, 0, [&](std::int64_t, std::int64_t) {
            if (comm.rank() == 0)
              ++steps;
            return true;
          });
        });
        EXPECT_NE(message.find("LibTorch: "), std::string::npos) << message;
        EXPECT_NE(trainer.position().part, TrainingPosition::Part::NONE);
      });
      EXPECT_LE(steps, 2);
      ++(steps == 2 ? in_validation : in_training);
    }
  }
  EXPECT_GT(in_training, 0);
  EXPECT_GT(in_validation, 0);
}

// At each step, and with ranks that know nothing of what was before.
TEST(Learner, InterruptedTrainingGoesOnBitForBit) {
  for (bool reset : {true, false}) {
    Settings settings = many_chunks(true);
    settings.optim_reset = reset;
    const Outcome expected = alone(settings);
    for (int ranks : {1, 3})
      together(ranks, settings, [&](Learner &learner) {
        Outcome outcome;
        const auto one_more = [&](const auto &train) {
          std::int64_t steps = 0;
          while (true) {
            const TrainingReport report =
                train(learner, [&](std::int64_t done, std::int64_t total) {
                  EXPECT_EQ(done, ++steps);
                  EXPECT_LE(done, total);
                  return false;
                });
            if (!report.interrupted) {
              add_report(outcome, report);
              return;
            }
            EXPECT_EQ(report.steps, steps);
            EXPECT_EQ(learner.trainer().position().steps, steps);
          }
        };
        one_more(train_forces);
        EXPECT_EQ(learner.trainer().position().part, TrainingPosition::Part::SCORE);
        one_more(train_score);
        EXPECT_EQ(learner.trainer().position().part, TrainingPosition::Part::NONE);
        add_state(outcome, learner);
        outcome.tensors.push_back(learner.sample(request(settings), {}));
        outcome.numbers.push_back(static_cast<double>(learner.network_calls()));
        outcome.numbers.push_back(static_cast<double>(learner.non_finite_scores()));
        outcome.expect_equal(expected, std::to_string(ranks) + " ranks");
      });
  }
}

TEST(Trainer, PositionsOutOfRangeAreRefused) {
  Learner learner(toy_system(), many_chunks(), c10::Device(c10::kCPU));
  TrainingPosition position;
  position.part = TrainingPosition::Part::SCORE;
  position.stage = 1;
  const auto refused = [&](const std::function<void(TrainingPosition &)> &change) {
    TrainingPosition changed = position;
    change(changed);
    return message_of<Error>([&] {
      learner.trainer().set_position(changed);
      train_score(learner, [](std::int64_t, std::int64_t) { return false; });
    });
  };
  EXPECT_EQ(refused([](TrainingPosition &) {}), "");
  for (const auto &change : std::vector<std::function<void(TrainingPosition &)>>{
           [](TrainingPosition &p) { p.epoch = -1; }, [](TrainingPosition &p) { p.skipped = 1; },
           [](TrainingPosition &p) { p.part = static_cast<TrainingPosition::Part>(3); },
           [](TrainingPosition &p) { p.epoch = 3; }, [](TrainingPosition &p) { p.epoch = 1; },
           [](TrainingPosition &p) { p.done = 70; },
           [](TrainingPosition &p) {
             p.done = 35;
             p.steps = 1;
           },
           [](TrainingPosition &p) {
             p.done = 140;
             p.steps = 2;
           }}) {
    EXPECT_NE(refused(change).find("damaged"), std::string::npos);
  }
}

// A step moves what an allreduce moves where each rank has one chunk, plus a few numbers.
TEST(Learner, BytesOfATrainingStep) {
  Settings settings = many_chunks();
  settings.val_fraction = 0.0;
  const auto sent = [&](std::int64_t steps) {
    return together(4, settings, [&](Learner &learner) {
      learner.train_score(structures().narrow(0, 0, 64), std::vector<double>(64, 1.0), 0,
                          [&](std::int64_t done, std::int64_t) { return done < steps; });
    });
  };
  Learner learner(toy_system(), settings, c10::Device(c10::kCPU));
  ASSERT_EQ(learner.engine().most_ranks(64, true), 4);
  const std::vector<std::int64_t> one = sent(1), two = sent(2);
  for (std::size_t r = 0; r < one.size(); ++r) {
    const std::int64_t bytes = two[r] - one[r];
    const auto flat = static_cast<double>(learner.engine().gradient_bytes());
    // 2 (P-1)/P of the flat gradient; slices differ by 16 elements, and there are the small messages.
    EXPECT_NEAR(static_cast<double>(bytes), 2.0 * 3.0 / 4.0 * flat, 1000.0) << r;
  }
}

}  // namespace
