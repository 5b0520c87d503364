// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/random.hpp"
#include "core/base/settings.hpp"
#include "core/diffusion/schedule.hpp"
#include "core/geometry/system.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "core/search/optimizer.hpp"

namespace godiff {

/// How one training stage splits its structures and steps (method section 16).
struct EpochPlan {
  std::int64_t n_train = 0;
  std::int64_t n_validation = 0;
  std::int64_t epochs = 0;
  std::int64_t steps_per_epoch = 0;
};
EpochPlan plan_epochs(std::int64_t n, std::int64_t steps, std::int64_t batch, double val_fraction);

/// L = sum_g W_g sum_i |w_i + factor_g * s_i|^2 / (B * n_atoms) with factor v(t) or, for the
/// consistent residual, s(t) (method section 5). noise [B, n_mobile, 3], t and weights [B].
LeastSquares score_loss(const Schedule &schedule, ScoreScale scale, const at::Tensor &noise,
                        const at::Tensor &t, const at::Tensor &weights, std::int64_t n_atoms);

/// L = mean over all components of (F - F_theta)^2; forces [B, rows, 3] eV/Angstrom.
LeastSquares force_loss(const at::Tensor &forces);

struct TrainingReport {
  double loss = std::numeric_limits<double>::quiet_NaN();  ///< mean of the last epoch
  double learning_rate = 0.0;
  std::int64_t steps = 0;
  std::int64_t skipped = 0;  ///< steps without update for a non-finite loss or gradient
  bool interrupted = false;
};

/// Trains the network of a search, stage by stage (method section 16).
class Trainer {
public:
  /// Network and engine must outlive the trainer.
  Trainer(const System &system, const Settings &settings, ScoreNetwork &network,
          ScoreEngine &engine);

  /// Called after every optimiser step with (done, total); returning false ends the training.
  using Tick = std::function<bool(std::int64_t, std::int64_t)>;

  /// Score stage: positions [n, n_mobile, 3] float64, weights [n] of the loss.
  TrainingReport train_score(const at::Tensor &positions, const std::vector<double> &weights,
                             int stage, const Tick &tick);

  /// Force stage: positions [n, n_mobile, 3], forces [n, N, 3] eV/Angstrom.
  TrainingReport train_forces(const at::Tensor &positions, const at::Tensor &forces, int stage,
                              const Tick &tick);

  /// The optimisers that live on with `optim_reset no` (score, force), for checkpoints.
  struct Optimiser {
    AdamW adamw;
    Plateau plateau;
  };
  Optimiser &score_optimiser() { return score_; }
  Optimiser &force_optimiser() { return force_; }
  const Optimiser &score_optimiser() const { return score_; }
  const Optimiser &force_optimiser() const { return force_; }

private:
  // Loss of the structures `rows` at a step. Training leaves its gradient in the parameters;
  // validation draws from its own streams.
  enum class Pass { TRAINING, VALIDATION };
  using Loss = std::function<at::Tensor(const at::Tensor &rows, std::int64_t step, Pass pass)>;
  TrainingReport train(Optimiser &optimiser, std::int64_t n, Purpose split, Purpose shuffle,
                       int stage, const Loss &loss, const Tick &tick);
  Optimiser fresh(const char *frozen_head) const;

  System system_;
  Settings settings_;
  ScoreNetwork &network_;
  ScoreEngine &engine_;
  Schedule schedule_;
  Optimiser score_, force_;
};

}  // namespace godiff
