// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/comm.hpp"
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
  std::int64_t steps = 0;    ///< those before an interruption included
  std::int64_t skipped = 0;  ///< steps without update for a non-finite loss or gradient
  bool interrupted = false;
};

/// Where the training of a stage stands. With the weights and the optimisers it is all that it takes to
/// go on as if nothing had happened.
struct TrainingPosition {
  enum class Part : std::int64_t { NONE, FORCE, SCORE };
  Part part = Part::NONE;  ///< what is under way or comes next
  std::int64_t stage = 0;
  std::int64_t epoch = 0;
  std::int64_t done = 0;     ///< structures of the epoch
  std::int64_t steps = 0;    ///< of the part
  std::int64_t skipped = 0;  ///< of these
  double epoch_loss = 0.0;   ///< of the structures done, their share of the mean

  // Of the force head when that is complete and the score is not.
  double force_loss = std::numeric_limits<double>::quiet_NaN();
  std::int64_t force_skipped = 0;
};

/// Trains the network of a search, stage by stage (method section 16).
///
/// All ranks of `comm` call the same functions and get the same weights; those for whom a batch has no
/// chunk return at once, with an empty report and their weights as they were. A training that a tick has
/// ended goes on where it was when it is called again for its stage. What fails on one rank is thrown as
/// godiff::Error on all that take part.
class Trainer {
public:
  /// Network, engine and comm must outlive the trainer.
  Trainer(const System &system, const Settings &settings, ScoreNetwork &network,
          ScoreEngine &engine, Comm &comm = serial_comm());

  /// Called after every optimiser step with (done, total); returning false ends the training on all
  /// ranks after the same step. Weights, optimisers and position belong together while it runs.
  using Tick = std::function<bool(std::int64_t, std::int64_t)>;

  /// Score stage: positions [n, n_mobile, 3] float64, weights [n] of the loss.
  TrainingReport train_score(const at::Tensor &positions, const std::vector<double> &weights,
                             int stage, const Tick &tick);

  /// Force stage: positions [n, n_mobile, 3], forces [n, N, 3] eV/Angstrom. When it is complete, the
  /// score of the stage comes next.
  TrainingReport train_forces(const at::Tensor &positions, const at::Tensor &forces, int stage,
                              const Tick &tick);

  /// Where the training stands; part NONE when none is under way.
  TrainingPosition position() const;
  /// Puts it there; the optimisers come first. Throws godiff::Error for numbers out of range.
  void set_position(const TrainingPosition &position);

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
  using Part = TrainingPosition::Part;

  // What a stage trains with: positions and targets of all structures, and the loss of some of them. With a
  // device batch all lies on the device, and the loss is computed there; the ranks of `comm` share it
  // otherwise. Training leaves its gradient in the parameters; validation draws from its own streams.
  enum class Pass { TRAINING, VALIDATION };
  struct Call;
  struct Lesson;
  struct Course;
  struct OnDevice;

  static void meet_fault(const Call &call);
  TrainingReport train(Part part, const Lesson &lesson, int stage, const Tick &tick);
  void begin(Course &course, int stage);
  std::unique_ptr<OnDevice> on_device(const Course &course);
  void begin_epoch(Course &course) const;
  bool step(Course &course, const Tick &tick, Comm &comm);
  void learn(const Course &course, const Call &call, std::int64_t count);
  void end_epoch(const Course &course, Comm &comm);
  Optimiser &optimiser(Part part) { return part == Part::FORCE ? force_ : score_; }
  const Optimiser &optimiser(Part part) const { return part == Part::FORCE ? force_ : score_; }
  Optimiser fresh(Part part) const;

  System system_;
  Settings settings_;
  ScoreNetwork &network_;
  ScoreEngine &engine_;
  Comm &comm_;
  Schedule schedule_;
  Optimiser score_, force_;
  TrainingPosition position_;  // but for epoch_loss and skipped, which position() looks up
  at::Tensor epoch_loss_, last_epoch_loss_;  // scalars that stay on their device
  std::int64_t skipped_before_ = 0;          // of the optimiser, when position_.skipped was 0
};

}  // namespace godiff
