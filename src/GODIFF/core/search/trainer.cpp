// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/base/error.hpp"
#include "core/base/fault.hpp"
#include "core/base/random.hpp"
#include "core/diffusion/noiser.hpp"
#include "core/diffusion/sampler.hpp"

namespace godiff {

namespace {

// Fisher-Yates.
std::vector<std::int64_t> permutation(std::int64_t n, RandomStream random) {
  std::vector<std::int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = n - 1; i > 0; --i)
    std::swap(order[i], order[random.below(static_cast<std::uint32_t>(i + 1))]);
  return order;
}

at::Tensor rows_tensor(const std::vector<std::int64_t> &rows, std::int64_t begin,
                       std::int64_t end) {
  return at::tensor(at::ArrayRef<std::int64_t>(rows.data() + begin, end - begin), at::kLong);
}

at::Tensor share_of(const at::Tensor &value, std::int64_t part, std::int64_t whole) {
  return value * (static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace

EpochPlan plan_epochs(std::int64_t n, std::int64_t steps, std::int64_t batch, double val_fraction) {
  EpochPlan plan;
  // The default 0.1 must give floor(n/10) in spite of rounding (0.1*10 = 1, but 0.1*70 < 7.0000001).
  plan.n_validation = static_cast<std::int64_t>(std::floor(val_fraction * n + 1e-9));
  plan.n_validation = std::min(plan.n_validation, n - 1);
  plan.n_train = n - plan.n_validation;
  plan.epochs = std::max<std::int64_t>(1, steps / std::max<std::int64_t>(1, n / batch));
  plan.steps_per_epoch = (plan.n_train + batch - 1) / batch;
  return plan;
}

LeastSquares score_loss(const Schedule &schedule, ScoreScale scale, const at::Tensor &noise,
                        const at::Tensor &t, const at::Tensor &weights, std::int64_t n_atoms) {
  at::Tensor factor = at::empty_like(t);
  for (std::int64_t g = 0; g < t.size(0); ++g) {
    const double time = t.const_data_ptr<double>()[g];
    factor.data_ptr<double>()[g] =
        scale == ScoreScale::CONSISTENT ? schedule.std(time) : schedule.variance(time);
  }
  return {noise, factor, weights / static_cast<double>(noise.size(0) * n_atoms)};
}

LeastSquares force_loss(const at::Tensor &forces) {
  const std::int64_t B = forces.size(0);
  return {forces.to(at::kDouble), at::full({B}, -1.0, at::kDouble),
          at::full({B}, 1.0 / static_cast<double>(forces.numel()), at::kDouble)};
}

// The training of one head in one stage.
struct Trainer::Course {
  Part part;
  std::int64_t n;  // structures
  EpochPlan plan;
  std::vector<std::int64_t> order = {};  // the first plan.n_train are trained on
  std::int64_t mixed_epoch = -1;         // that `mixed` belongs to
  std::vector<std::int64_t> mixed = {};
};

Trainer::Trainer(const System &system, const Settings &settings, ScoreNetwork &network,
                 ScoreEngine &engine, Comm &comm) :
    system_(system),
    settings_(settings),
    network_(network),
    engine_(engine),
    comm_(comm),
    schedule_(make_schedule(settings)),
    score_(fresh(Part::SCORE)),
    force_(fresh(Part::FORCE)) {}

Trainer::Optimiser Trainer::fresh(Part part) const {
  // A stage moves the backbone and one head; weight decay must not shrink the other meanwhile.
  const char *frozen_head = part == Part::SCORE ? "force." : "score.";
  return {AdamW(network_.parameters(), settings_.learning_rate, frozen_head),
          Plateau{settings_.lr_factor, settings_.patience}};
}

TrainingPosition Trainer::position() const {
  TrainingPosition position = position_;
  if (position.part == Part::NONE)
    return position;
  position.epoch_loss = epoch_loss_.defined() ? epoch_loss_.item<double>() : 0.0;
  position.skipped = optimiser(position.part).adamw.skipped.item<std::int64_t>() - skipped_before_;
  return position;
}

void Trainer::set_position(const TrainingPosition &position) {
  const std::int64_t smallest =
      std::min({position.stage, position.epoch, position.done, position.steps, position.skipped,
                position.force_skipped});
  if (smallest < 0 || position.skipped > position.steps || position.part < Part::NONE ||
      position.part > Part::SCORE)
    throw Error("the saved state of the training is damaged: its counters are out of range");
  position_ = position;
  epoch_loss_.reset();
  skipped_before_ = 0;
  if (position.part == Part::NONE)
    return;
  if (position.done > 0)
    epoch_loss_ = at::full({}, position.epoch_loss,
                           network_.parameters().flat().options().dtype(at::kDouble));
  skipped_before_ = optimiser(position.part).adamw.skipped.item<std::int64_t>() - position.skipped;
}

void Trainer::begin(Course &course, int stage) {
  const EpochPlan &plan = course.plan;
  TrainingPosition &at = position_;
  if (at.part != course.part || at.stage != stage) {
    at = TrainingPosition();
    at.part = course.part;
    at.stage = stage;
  }
  const std::int64_t steps_of_epoch = (at.done + settings_.batch - 1) / settings_.batch;
  if (at.epoch >= plan.epochs || at.done > plan.n_train ||
      (at.done % settings_.batch != 0 && at.done != plan.n_train) ||
      at.steps != at.epoch * plan.steps_per_epoch + steps_of_epoch)
    throw Error("the saved state of the training is damaged: epoch " + std::to_string(at.epoch) +
                ", step " + std::to_string(at.steps) + " is none of the training of " +
                std::to_string(course.n) + " structures");
  const Purpose split = course.part == Part::SCORE ? Purpose::SPLIT : Purpose::FORCE_SPLIT;
  course.order =
      permutation(course.n, RandomStream(settings_.seed, split, static_cast<std::uint32_t>(stage)));
  if (at.steps > 0)
    return;
  epoch_loss_.reset();
  Optimiser &used = optimiser(course.part);
  if (settings_.optim_reset)
    used = fresh(course.part);
  skipped_before_ = used.adamw.skipped.item<std::int64_t>();
}

bool Trainer::step(Course &course, const Loss &loss, const Tick &tick, Comm &comm) {
  const EpochPlan &plan = course.plan;
  if (course.mixed_epoch != position_.epoch) {
    const Purpose shuffle = course.part == Part::SCORE ? Purpose::SHUFFLE : Purpose::FORCE_SHUFFLE;
    course.mixed =
        permutation(plan.n_train, RandomStream(settings_.seed, shuffle,
                                               static_cast<std::uint32_t>(position_.stage),
                                               static_cast<std::uint32_t>(position_.epoch)));
    course.mixed_epoch = position_.epoch;
  }
  const std::int64_t begin = position_.done;
  const std::int64_t end = std::min<std::int64_t>(begin + settings_.batch, plan.n_train);
  std::vector<std::int64_t> rows;
  for (std::int64_t k = begin; k < end; ++k)
    rows.push_back(course.order[course.mixed[k]]);
  const at::Tensor value =
      loss(rows_tensor(rows, 0, end - begin), position_.steps, Pass::TRAINING, comm);
  optimiser(course.part).adamw.step(network_.parameters(), settings_.clip, value);
  ++position_.steps;
  position_.done = end;
  const at::Tensor part = share_of(value, end - begin, plan.n_train);
  epoch_loss_ = epoch_loss_.defined() ? epoch_loss_ + part : part;
  return !tick || tick(position_.steps, plan.epochs * plan.steps_per_epoch);
}

double Trainer::validation_loss(const Course &course, const Loss &loss, Comm &comm) const {
  const std::int64_t wanted = course.plan.n_validation;
  at::Tensor total;
  for (std::int64_t begin = 0; begin < wanted; begin += settings_.batch) {
    const std::int64_t end = std::min<std::int64_t>(begin + settings_.batch, wanted);
    const std::int64_t first = course.plan.n_train;
    // Streams are numbered by epoch and first structure, so that batches never share one.
    const at::Tensor value = loss(rows_tensor(course.order, first + begin, first + end),
                                  position_.epoch * course.n + begin, Pass::VALIDATION, comm);
    const at::Tensor part = share_of(value, end - begin, wanted);
    total = total.defined() ? total + part : part;
  }
  return total.item<double>();
}

TrainingReport Trainer::train(Part part, std::int64_t n, int stage, const Loss &loss,
                              const Tick &tick) {
  Course course{part, n,
                plan_epochs(n, settings_.train_steps, settings_.batch, settings_.val_fraction)};
  const EpochPlan &plan = course.plan;
  const std::int64_t most =
      engine_.most_ranks(std::min<std::int64_t>(settings_.batch, plan.n_train), true);
  Comm *group = comm_.first(static_cast<int>(std::min<std::int64_t>(comm_.size(), most)));
  if (!group)
    return {};

  TrainingReport report;
  on_each(*group, [&] { begin(course, stage); });
  AdamW &adamw = optimiser(part).adamw;
  const auto finish = [&] {
    const TrainingPosition at = position();
    report.steps = at.steps;
    report.skipped = at.skipped;
    return report;
  };
  while (position_.epoch < plan.epochs) {
    while (position_.done < plan.n_train)
      if (!true_on_each(*group, [&] { return step(course, loss, tick, *group); })) {
        report.interrupted = true;
        return finish();
      }
    on_each(*group, [&] {
      report.loss = epoch_loss_.item<double>();
      const double judged =
          plan.n_validation > 0 ? validation_loss(course, loss, *group) : report.loss;
      adamw.learning_rate = optimiser(part).plateau.update(judged, adamw.learning_rate);
      ++position_.epoch;
      position_.done = 0;
      epoch_loss_.reset();
    });
  }
  report.learning_rate = adamw.learning_rate;
  finish();
  position_ = TrainingPosition();
  if (part == Part::FORCE) {
    position_.part = Part::SCORE;
    position_.stage = stage;
    position_.force_loss = report.loss;
    position_.force_skipped = report.skipped;
    skipped_before_ = optimiser(Part::SCORE).adamw.skipped.item<std::int64_t>();
  }
  return report;
}

TrainingReport Trainer::train_score(const at::Tensor &positions, const std::vector<double> &weights,
                                    int stage, const Tick &tick) {
  const at::Tensor all_weights = at::tensor(weights, at::kDouble);
  const auto loss = [&](const at::Tensor &rows, std::int64_t step, Pass pass, Comm &comm) {
    const bool training = pass == Pass::TRAINING;
    at::Tensor t;
    Noised noised;
    LeastSquares target;
    before_on_each(comm, [&] {
      fault_point(training ? "train" : "validate");
      t = draw_times(settings_.seed, training ? Purpose::TRAINING_TIME : Purpose::VALIDATION_TIME,
                     stage, step, rows.size(0));
      noised =
          add_noise(system_, schedule_, positions.index_select(0, rows), t, settings_.seed,
                    training ? Purpose::TRAINING_NOISE : Purpose::VALIDATION_NOISE, stage, step);
      target = score_loss(schedule_, settings_.score_scale, noised.noise, t,
                          all_weights.index_select(0, rows), system_.n_atoms());
    });
    return training ? engine_.score_gradient(noised.positions, t, target, comm)
                    : engine_.score_loss(noised.positions, t, target, comm);
  };
  return train(Part::SCORE, positions.size(0), stage, loss, tick);
}

TrainingReport Trainer::train_forces(const at::Tensor &positions, const at::Tensor &forces,
                                     int stage, const Tick &tick) {
  const auto loss = [&](const at::Tensor &rows, std::int64_t, Pass pass, Comm &comm) {
    at::Tensor x;
    LeastSquares target;
    before_on_each(comm, [&] {
      fault_point(pass == Pass::TRAINING ? "train" : "validate");
      x = positions.index_select(0, rows);
      const at::Tensor all = forces.index_select(0, rows);
      target = force_loss(
          settings_.force_loss_mobile ? all.narrow(1, system_.n_template, system_.n_mobile) : all);
    });
    return pass == Pass::TRAINING ? engine_.force_gradient(x, target, comm)
                                  : engine_.force_loss(x, target, comm);
  };
  return train(Part::FORCE, positions.size(0), stage, loss, tick);
}

}  // namespace godiff
