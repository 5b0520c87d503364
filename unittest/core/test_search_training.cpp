// SPDX-License-Identifier: GPL-2.0-only
// Interrupting, saving and restoring a search in the middle of sampling and training.
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/search/learner.hpp"
#include "core/search/search.hpp"
#include "temporary_folder.hpp"
#include "thread_comm.hpp"
#include "toy_search.hpp"

namespace {

using godiff::Error;
using godiff::SafeTensors;
using godiff::Search;
using godiff::Settings;
using godiff_test::evaluate_one;
using godiff_test::message_of;
using godiff_test::run;
using godiff_test::springs;
using godiff_test::state_bytes;
using godiff_test::toy_settings;
using godiff_test::toy_system;

// Epochs of two steps; one structure of six, later two, for validation.
Settings short_search(bool guided, bool reset) {
  Settings s = toy_settings();
  s.stages = 2;
  s.samples = 7;
  s.batch = 3;
  s.train_steps = 6;
  s.val_fraction = 0.3;
  s.patience = 0;
  s.optim_reset = reset;
  s.guide = guided ? 0.2 : 0.0;
  return s;
}

std::unique_ptr<Search> reborn(const SafeTensors &state, const Settings &settings) {
  auto copy = std::make_unique<Search>(toy_system(), settings);
  copy->restore(SafeTensors::from_bytes(state.to_bytes(), "test"));
  return copy;
}

SafeTensors reread(const SafeTensors &file) {
  return SafeTensors::from_bytes(file.to_bytes(), "test");
}

std::string end_of(const Settings &settings) {
  Search whole(toy_system(), settings);
  run(whole);
  return state_bytes(whole);
}

// A search whose first stage is full.
std::unique_ptr<Search> with_a_full_stage(const Settings &settings) {
  auto search = std::make_unique<Search>(toy_system(), settings);
  search->set_reference(-10.0);
  search->prepare({});
  while (search->has_request())
    evaluate_one(*search, springs());
  return search;
}

// Ends the next training after `steps` of its steps.
void train_until(Search &search, int steps) {
  int calls = 0;
  ASSERT_FALSE(search.prepare([&](const char *what, std::int64_t, std::int64_t) {
    EXPECT_STRNE(what, "sampling");
    return ++calls < steps;
  }));
}

// Interrupts prepare() at one call of its progress after the other.
TEST(Interruption, TrainingGoesOnAndSamplingStartsAgain) {
  for (bool guided : {false, true}) {
    const Settings s = short_search(guided, true);
    Search search(toy_system(), s);
    search.set_reference(-10.0);
    int sampling = 0, training = 0;
    while (true) {
      for (int allowed = 0;; ++allowed) {
        const std::string before = state_bytes(search);
        const int learned = search.learned_stages();
        int calls = 0;
        std::string last;
        const bool done =
            search.prepare([&](const char *what, std::int64_t part, std::int64_t total) {
              last = what;
              EXPECT_GE(part, 1);
              EXPECT_LE(part, total);
              return calls++ < allowed;
            });
        if (done)
          break;
        EXPECT_EQ(calls, allowed + 1) << "it went on after the refusal";
        EXPECT_EQ(search.training_under_way(), last != "sampling");
        if (last != "sampling") {
          ++training;
          EXPECT_EQ(search.learned_stages(), learned);
        } else {
          ++sampling;
          // What has been learned completely stays learned; the candidates leave no trace.
          if (search.learned_stages() == learned) {
            EXPECT_EQ(state_bytes(search), before);
          }
        }
        EXPECT_FALSE(search.has_request());
        EXPECT_TRUE(search.work_due());
      }
      EXPECT_FALSE(search.training_under_way());
      if (search.finished())
        break;
      while (search.has_request())
        evaluate_one(search, springs());
    }
    EXPECT_GT(sampling, 5);
    EXPECT_GT(training, 5);
    EXPECT_EQ(state_bytes(search), end_of(s));
  }
}

// The state that the progress of a training sees, at every step of a search, continued elsewhere.
TEST(Interruption, EveryStepOfATrainingCanBeSaved) {
  for (bool guided : {false, true})
    for (bool reset : {false, true}) {
      const Settings s = short_search(guided, reset);
      const std::string end = end_of(s);
      Search search(toy_system(), s);
      search.set_reference(-10.0);
      int cuts = 0;
      while (true) {
        const SafeTensors before = search.save();
        search.prepare([&](const char *what, std::int64_t, std::int64_t) {
          EXPECT_EQ(search.training_under_way(), std::string(what) != "sampling");
          if (!search.training_under_way()) {
            EXPECT_NE(message_of<Error>([&] { search.save_training(); }), "");
            return true;
          }
          const auto whole = reborn(search.save(), s);
          EXPECT_TRUE(whole->training_under_way());
          EXPECT_EQ(state_bytes(*whole), state_bytes(search));
          const auto parts = reborn(before, s);
          EXPECT_TRUE(parts->restore_training(reread(search.save_training())));
          EXPECT_EQ(state_bytes(*parts), state_bytes(search));
          run(*whole);
          EXPECT_EQ(state_bytes(*whole), end) << "step " << cuts;
          if (cuts++ % 3 == 0) {
            run(*parts);
            EXPECT_EQ(state_bytes(*parts), end) << "step " << cuts;
          }
          return true;
        });
        if (search.finished())
          break;
        while (search.has_request())
          evaluate_one(search, springs());
      }
      EXPECT_GT(cuts, guided ? 20 : 10);
      EXPECT_EQ(state_bytes(search), end) << "saving has changed the search";
    }
}

// Interrupted again and again, each time continued by another program.
TEST(Interruption, ManyInOneTraining) {
  const Settings s = short_search(true, false);
  auto search = with_a_full_stage(s);
  int interruptions = 0;
  const auto one_step = [](const char *, std::int64_t, std::int64_t) { return false; };
  while (search->learned_stages() == 0) {
    search->prepare(one_step);
    search = reborn(search->save(), s);
    ++interruptions;
  }
  EXPECT_GT(interruptions, 10);
  run(*search);
  EXPECT_EQ(state_bytes(*search), end_of(s));
}

TEST(Interruption, NothingOfItIsLeftInTheEnd) {
  const Settings s = short_search(true, true);
  const auto search = with_a_full_stage(s);
  const std::vector<std::string> before = search->save().names();
  train_until(*search, 3);
  EXPECT_GT(search->save().names().size(), before.size());
  while (search->learned_stages() == 0)
    search->prepare({});
  EXPECT_EQ(search->save().names(), before);
  EXPECT_GT(search->stages()[0].seconds_training, 0.0);
}

TEST(TrainingState, IsRefusedWhereItDoesNotBelong) {
  const Settings s = short_search(false, true);
  const auto search = with_a_full_stage(s);
  const SafeTensors full = search->save();
  train_until(*search, 3);
  const SafeTensors training = search->save_training();

  const auto expect_foreign = [&](Search &other) {
    const std::string before = state_bytes(other);
    EXPECT_FALSE(other.restore_training(training));
    EXPECT_EQ(state_bytes(other), before);
  };
  Search fresh(toy_system(), s);
  expect_foreign(fresh);
  // One energy, or one coordinate, in its last bit.
  for (const char *name : {"archive.numbers", "archive.positions"}) {
    SafeTensors changed = full;
    at::Tensor numbers = full.get(name).clone();
    double &value = numbers.data_ptr<double>()[1];
    value = std::nextafter(value, 1e9);
    changed.put(name, numbers);
    expect_foreign(*reborn(changed, s));
  }
  // The next stage, which has more structures.
  const auto next = reborn(full, s);
  next->prepare({});
  expect_foreign(*next);
  while (next->has_request())
    evaluate_one(*next, springs());
  expect_foreign(*next);
  Settings only_sample = s;
  only_sample.train = false;
  expect_foreign(*with_a_full_stage(only_sample));
  // And is taken where it belongs, also over a training that has got elsewhere.
  const auto same = reborn(full, s);
  train_until(*same, 5);
  EXPECT_TRUE(same->restore_training(training));
  EXPECT_EQ(state_bytes(*same), state_bytes(*search));
}

TEST(TrainingState, DamageIsRefused) {
  for (bool guided : {false, true}) {
    const Settings s = short_search(guided, true);
    const auto search = with_a_full_stage(s);
    const SafeTensors full = search->save();
    train_until(*search, 3);
    const SafeTensors training = search->save_training(), whole = search->save();
    const auto expect_refused = [&](const std::string &what,
                                    const std::function<void(SafeTensors &)> &damage) {
      SafeTensors damaged = training;
      damage(damaged);
      const auto other = reborn(full, s);
      const std::string before = state_bytes(*other);
      EXPECT_NE(message_of<Error>([&] { other->restore_training(damaged); }), "") << what;
      EXPECT_EQ(state_bytes(*other), before) << what;
      // The same in a whole state.
      if (what != "identity" && what != "format") {
        damaged = whole;
        damage(damaged);
        EXPECT_NE(message_of<Error>([&] { other->restore(damaged); }), "") << what;
        EXPECT_EQ(state_bytes(*other), before) << what;
      }
    };
    expect_refused("format", [](SafeTensors &f) { f.put_metadata("format", "godiff-checkpoint"); });
    expect_refused("format", [](SafeTensors &f) { f.put_metadata("format_version", "2"); });
    for (const std::string &name : training.names()) {
      expect_refused(name == "training.identity" ? "identity" : name, [&](SafeTensors &f) {
        f.put(name, at::zeros({2, 2, 2}, at::kHalf));
      });
    }
    const auto number = [&](int k, double value) {
      expect_refused("number " + std::to_string(k), [&](SafeTensors &f) {
        at::Tensor v = f.get("search.training").clone();
        v[k] = value;
        f.put("search.training", v);
      });
    };
    for (int k : {0, 1, 2, 3, 4, 5, 8})
      for (double value : std::vector<double>{-1.0, 0.5, 1e300, std::nan("")})
        number(k, value);
    number(0, 0.0);
    number(0, 3.0);
    number(1, 1.0);  // another stage
    number(5, 4.0);  // more steps skipped than done
    if (!guided)
      number(0, 1.0);  // there are no forces to train
    // A checkpoint is no state of a training, and the other way round.
    EXPECT_NE(message_of<Error>([&] { reborn(full, s)->restore_training(full); }), "");
    EXPECT_NE(message_of<Error>([&] { reborn(full, s)->restore(training); }), "");
  }
}

// The position is within range, but not one of this training.
TEST(TrainingState, ImpossiblePositionIsNotTrainedOn) {
  const Settings s = short_search(false, true);
  const auto search = with_a_full_stage(s);
  train_until(*search, 3);
  SafeTensors state = search->save();
  at::Tensor v = state.get("search.training").clone();
  v[2] = 1000.0;  // epoch
  state.put("search.training", v);
  const auto other = reborn(state, s);
  EXPECT_NE(message_of<Error>([&] { other->prepare({}); }).find("damaged"), std::string::npos);
}

// Whole searches on several ranks, every training interrupted once.
TEST(Search, SameBitsForAnyNumberOfRanks) {
  Settings s = toy_settings();
  s.stages = 2;
  s.samples = 40;  // several chunks of 16
  s.buffer = 40;
  s.batch = 36;
  s.train_steps = 3;
  s.guide = 0.2;
  s.guide_extra = 2;
  const std::string end = end_of(s);
  for (int ranks : {2, 3})
    godiff_test::on_ranks(ranks, [&](godiff::Comm &comm) {
      if (comm.rank() != 0) {
        godiff::Learner(toy_system(), s, c10::Device(c10::kCPU), comm).serve();
        return;
      }
      Search search(toy_system(), s, c10::Device(c10::kCPU), comm);
      search.set_reference(-10.0);
      while (!search.finished()) {
        int calls = 0;
        const auto stop_third = [&](const char *what, std::int64_t, std::int64_t) {
          return std::string(what) == "sampling" || ++calls != 3;
        };
        while (!search.prepare(stop_third))
          EXPECT_TRUE(search.training_under_way());
        while (search.has_request())
          evaluate_one(search, springs());
      }
      search.prepare({});
      search.dismiss_helpers();
      EXPECT_EQ(state_bytes(search), end) << ranks << " ranks";
    });
}

}  // namespace
