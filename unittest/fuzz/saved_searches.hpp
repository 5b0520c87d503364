// SPDX-License-Identifier: GPL-2.0-only
// Saved searches of every kind, and the rules that hold for whoever reads a damaged one.
#pragma once

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../core/toy_search.hpp"
#include "core/base/error.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/search.hpp"

namespace godiff_test {

/// A search that has been stopped somewhere.
struct SavedSearch {
  std::string name;
  godiff::Settings settings;
  std::string bytes;
};

/// As toy_settings(), with as little work as a search can have.
inline godiff::Settings tiny_settings() {
  godiff::Settings s = toy_settings();
  s.samples = 3;
  s.buffer = 4;
  s.train_steps = 2;
  s.batch = 2;
  s.sample_steps = 3;
  s.network.nfeat = 16;
  s.network.nblock = 1;
  s.network.nrbf = 4;
  return s;
}

/// The bytes of a search after this many energies, one of which has failed. With `learned` it has
/// also learned from them and drawn what comes next.
inline SavedSearch saved_after(const std::string &name, const godiff::Settings &settings,
                               int energies, bool learned) {
  godiff::Search search(toy_system(), settings);
  search.set_reference(-10.0);
  for (int k = 0; k < energies && !search.finished(); ++k) {
    search.prepare({});
    if (k == 1)
      search.report(std::numeric_limits<double>::quiet_NaN(), std::vector<double>(15, 0.0).data());
    else
      evaluate_one(search, springs());
  }
  if (learned)
    search.prepare({});
  godiff::SafeTensors state = search.save();
  state.put_metadata("files.prefix", "run");
  state.put_metadata("files.csv", "300");
  state.put_metadata("files.xyz", "-1");
  return {name, settings, state.to_bytes()};
}

/// The search while the first stage is learned, after this many steps of the training.
inline std::unique_ptr<godiff::Search> in_training(const godiff::Settings &settings, int steps) {
  auto search = std::make_unique<godiff::Search>(toy_system(), settings);
  search->set_reference(-10.0);
  search->prepare({});
  while (search->has_request())
    evaluate_one(*search, springs());
  search->prepare([&](const char *, std::int64_t, std::int64_t) { return --steps > 0; });
  return search;
}

/// Searches that are stopped in their training: of the force head, and of the score.
inline std::vector<SavedSearch> saved_in_training() {
  std::vector<SavedSearch> saved;
  for (const bool guided : {true, false}) {
    godiff::Settings settings = tiny_settings();
    settings.guide = guided ? 0.2 : 0.0;
    settings.train_steps = 4;
    saved.push_back({guided ? "training its force head" : "training its score", settings,
                     in_training(settings, 3)->save().to_bytes()});
  }
  return saved;
}

inline std::vector<SavedSearch> saved_searches() {
  std::vector<SavedSearch> saved;
  saved.push_back(saved_after("in the middle of a stage", tiny_settings(), 8, true));

  godiff::Settings guided = tiny_settings();
  guided.guide = 0.2;
  guided.optim_reset = false;
  guided.unique_tolerance = 1e-3;
  guided.annealing = godiff::Annealing::ADAPTIVE_ESS;
  guided.adaptive_ess = 2;
  guided.weights_all = true;
  saved.push_back(saved_after("force head, before learning", guided, 6, false));

  godiff::Settings relaxing = tiny_settings();
  relaxing.relax_steps = 9;
  relaxing.relax_ftol = 1e-3;
  saved.push_back(saved_after("in the middle of a relaxation", relaxing, 37, true));

  godiff::Settings exact = tiny_settings();
  exact.double_precision = true;
  exact.stages = 2;
  saved.push_back(saved_after("finished, double precision", exact, 6, true));

  for (SavedSearch &training : saved_in_training())
    saved.push_back(std::move(training));
  return saved;
}

/// A reader did what no reader may.
class RuleBroken : public std::logic_error {
public:
  using std::logic_error::logic_error;
};

/// Throws RuleBroken unless the message is one printable line of less than 600 characters.
inline void check_message(const std::string &message) {
  bool good = !message.empty() && message.size() < 600;
  for (const char c : message)
    good = good && c >= ' ' && c != 0x7f;
  if (!good)
    throw RuleBroken("not a message for a user: " + message.substr(0, 1000));
}

/// Runs `call`, which may throw a godiff::Error with a good message and nothing else. Returns the
/// message, "" when there was none.
template <class Call> std::string keeps_the_rules(Call call) {
  std::string message;
  try {
    call();
    return "";
  } catch (const godiff::Error &error) {
    message = error.what();
  } catch (const std::exception &error) {
    throw RuleBroken(std::string("an exception of another kind: ") + error.what());
  }
  check_message(message);
  return message;
}

/// Reads damaged files as `fix godiff` does: when it goes on with a search, and for its word load.
class Reader {
public:
  explicit Reader(SavedSearch saved) :
      saved_(std::move(saved)),
      search_(toy_system(), saved_.settings),
      fresh_(search_.save()) {}

  const SavedSearch &saved() const { return saved_; }

  /// Reads `bytes`; what is accepted goes on for some candidates. Returns the message of the refusal,
  /// "" if there was none. Throws RuleBroken.
  std::string restore(const std::string &bytes) {
    godiff::SafeTensors again;
    const std::string refusal = keeps_the_rules([&] {
      const auto file = godiff::SafeTensors::from_bytes(bytes, "run.ckpt");
      search_.restore(file);
      again = search_.save();
    });
    if (!refusal.empty())
      return refusal;
    const std::string second = keeps_the_rules([&] { search_.restore(again); });
    if (!second.empty())
      throw RuleBroken("what it had restored and saved is refused: " + second);
    go_on();
    return "";
  }

  /// The same for the word load: weights only, into a new search.
  std::string load(const std::string &bytes) {
    search_.restore(fresh_);
    const std::string refusal = keeps_the_rules(
        [&] { search_.load_network(godiff::SafeTensors::from_bytes(bytes, "teacher.ckpt")); });
    if (refusal.empty())
      go_on();
    return refusal;
  }

  /// Reads the state of a training for the search that was saved; what is accepted goes on. Returns
  /// the message of the refusal, "" if there was none. Throws RuleBroken.
  std::string train(const std::string &bytes) {
    search_.restore(godiff::SafeTensors::from_bytes(saved_.bytes, "run.ckpt"));
    const std::string before = state_bytes(search_);
    bool taken = false;
    const std::string refusal = keeps_the_rules([&] {
      taken = search_.restore_training(godiff::SafeTensors::from_bytes(bytes, "run.training"));
    });
    if (!taken && state_bytes(search_) != before)
      throw RuleBroken("a refused training has changed the search");
    if (refusal.empty())
      go_on();
    return refusal;
  }

  /// The search that read.
  const godiff::Search &search() const { return search_; }

private:
  void go_on() {
    keeps_the_rules([&] {
      if (!search_.has_reference())
        search_.set_reference(-10.0);
      for (int stage = 0; stage < 2 && !search_.finished(); ++stage) {
        search_.prepare({});
        for (int k = 0; k < 4 && search_.has_request(); ++k)
          evaluate_one(search_, springs());
      }
    });
    keeps_the_rules([&] {
      search_.best_distinct(5);
      search_.save();
    });
  }

  SavedSearch saved_;
  godiff::Search search_;
  godiff::SafeTensors fresh_;
};

}  // namespace godiff_test
