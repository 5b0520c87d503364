// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "core/base/comm.hpp"
#include "core/base/settings.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/geometry/system.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "core/search/trainer.hpp"

namespace godiff {

/// The network of a search and what works with it, on each of the ranks that learn together.
///
/// Rank 0 has the search. It samples and trains; each of these functions calls the other ranks, which
/// are in serve(), to do their share, and sends them all they need: weights, optimisers, position and
/// structures. The result has the same bits for any number of ranks.
class Learner {
public:
  /// All ranks give the same system and settings; `comm` must outlive the learner. Throws godiff::Error
  /// for invalid settings. Weights are initialised from the seed.
  Learner(const System &system, const Settings &settings, c10::Device device,
          Comm &comm = serial_comm());

  /// The settings as a search uses them. Throws godiff::Error for values out of range.
  static Settings checked(Settings settings);

  /// Called after each step with (done, total); returning false ends the work on all ranks.
  using Tick = std::function<bool(std::int64_t, std::int64_t)>;

  /// Rank 0: the candidates of a request, [count, n_mobile, 3] float64; undefined when `tick` ended it.
  /// A failure on any rank is thrown as godiff::Error.
  at::Tensor sample(const SampleRequest &request, const Tick &tick);
  /// Rank 0: Trainer::train_score() and train_forces() (float32) with all ranks. A failure on any rank
  /// is thrown as godiff::Error.
  TrainingReport train_score(const at::Tensor &positions, const std::vector<double> &weights,
                             int stage, const Tick &tick);
  TrainingReport train_forces(const at::Tensor &positions, const at::Tensor &forces, int stage,
                              const Tick &tick);

  /// Rank 0: the other ranks return from serve(). Without effect on a rank that is alone.
  void dismiss();
  /// The other ranks: does what rank 0 asks for until it calls dismiss(), sleeping in between. What
  /// fails is thrown on rank 0 only. `tick` is called after each step that this rank takes part in.
  void serve(const Tick &tick = {});

  ScoreNetwork &network() { return network_; }
  const ScoreNetwork &network() const { return network_; }
  ScoreEngine &engine() { return engine_; }
  const ScoreEngine &engine() const { return engine_; }
  Trainer &trainer() { return trainer_; }
  const Trainer &trainer() const { return trainer_; }

  /// Structures passed through the network while sampling, and scores of single atoms that were set to
  /// 0, on all ranks (known to rank 0).
  std::int64_t network_calls() const { return network_calls_; }
  std::int64_t non_finite_scores() const { return non_finite_scores_; }

private:
  struct Command;

  void call(Command &command);
  void share_weights();
  void share_training(at::Tensor &positions, at::Tensor &targets);
  at::Tensor run_sample(const SampleRequest &request, const Tick &tick);
  TrainingReport run_training(const Command &command, at::Tensor positions, at::Tensor targets,
                              const Tick &tick);

  Settings settings_;
  System system_;
  Comm &comm_;
  ScoreNetwork network_;
  ScoreEngine engine_;
  Sampler sampler_;
  Trainer trainer_;
  std::int64_t network_calls_ = 0;
  std::int64_t non_finite_scores_ = 0;
};

}  // namespace godiff
