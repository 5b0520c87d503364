// SPDX-License-Identifier: GPL-2.0-only
// What a Search consists of; private to search.cpp, search_learn.cpp and search_io.cpp.
#pragma once

#include <chrono>
#include <vector>

#include "core/geometry/fingerprint.hpp"
#include "core/search/evaluation.hpp"
#include "core/search/learner.hpp"
#include "core/search/search.hpp"

namespace godiff {

struct Search::State {
  State(const System &given_system, const Settings &given_settings, c10::Device device, Comm &comm);

  // What never changes.
  Settings settings;
  System system;

  LogWeight log_weight = [](const Positions &, double energy, double kT) { return -energy / kT; };

  Learner learner;

  // The history.
  Archive archive;
  ClassRegistry classes;
  Totals totals;
  std::vector<StageSummary> finished;

  // Where the search stands.
  double reference;      // NaN until set
  bool sampled = false;  // the queue belongs to current.stage
  int learned = 0;       // stages whose learning is complete
  StageSummary current;
  std::vector<Positions> queue;  // candidates of the current stage
  std::size_t next = 0;          // of the queue
  std::int64_t stage_begin = 0;  // archive index of the first record of the current stage
  Evaluation evaluation;         // of candidate `next`, when open
  std::chrono::steady_clock::time_point asked{};  // when the open request was first given

  bool all_sampled() const { return current.stage >= settings.stages; }
  /// All energies of the stage have failed: it stays sampled with nothing left to ask for.
  bool stage_failed() const { return sampled && next == queue.size(); }
  bool learning_due() const {
    return settings.train && learned < static_cast<int>(finished.size());
  }

  // search_learn.cpp
  bool learn(const Progress &progress);
  bool sample(const Progress &progress);
  double temperature(int stage) const;
  /// Archive indices of the training buffer of a stage at kT, and the weights of their losses.
  std::vector<std::int64_t> select(int stage, double kT, std::vector<double> &weights,
                                   std::int64_t &duplicates);
  /// Puts the result of candidate `next` on record.
  void record(const Evaluated &result);
  void close_stage();
  [[noreturn]] static void refuse_failed(std::size_t candidates, int stage);
};

}  // namespace godiff
