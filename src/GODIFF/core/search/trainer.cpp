// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/base/error.hpp"
#include "core/base/fault.hpp"
#include "core/base/random.hpp"
#include "core/diffusion/noiser.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/network/recorded_step.hpp"

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
  const double range = schedule.sigma_max - schedule.sigma_min;
  const at::Tensor growth = t * range;
  const at::Tensor variance = growth * (growth + 2.0 * schedule.sigma_min);
  return {noise, scale == ScoreScale::CONSISTENT ? variance.sqrt() : variance,
          weights / static_cast<double>(noise.size(0) * n_atoms)};
}

LeastSquares force_loss(const at::Tensor &forces) {
  const std::int64_t B = forces.size(0);
  const at::TensorOptions options = forces.options().dtype(at::kDouble);
  return {forces.to(at::kDouble), at::full({B}, -1.0, options),
          at::full({B}, 1.0 / static_cast<double>(forces.numel()), options)};
}

// One evaluation of the loss.
struct Trainer::Call {
  at::Tensor rows;  // structures
  at::Tensor step;  // int64 scalar, the number of its random streams
  Pass pass;
  Comm &comm;
  ScoreEngine::DeviceBatch *batch;
};

// A recorded call is none of the host: its fault points are where it is replayed.
void Trainer::meet_fault(const Call &call) {
  if (!call.batch)
    fault_point(call.pass == Pass::TRAINING ? "train" : "validate");
}

struct Trainer::Lesson {
  at::Tensor positions, targets;
  double z_low, z_high;  // of all positions that the network will see
  // Positions and targets of the call, of the whole stage where they lie.
  std::function<at::Tensor(const Call &call, const at::Tensor &positions,
                           const at::Tensor &targets)>
      loss;
};

// The training of one head in one stage.
struct Trainer::Course {
  Part part;
  const Lesson &lesson;
  EpochPlan plan;
  std::vector<std::int64_t> order = {};  // the first plan.n_train are trained on
  std::int64_t mixed_epoch = -1;         // that `mixed` belongs to
  std::vector<std::int64_t> mixed = {};  // order of training
  std::unique_ptr<OnDevice> device = {};

  std::int64_t n() const { return lesson.positions.size(0); }
};

// All of a training on a device: nothing in a step or at the end of an epoch comes from the host.
struct Trainer::OnDevice {
  at::Tensor positions, targets;
  at::Tensor mixed;               // [n_train] structures in the order of training
  at::Tensor validated;           // [n_validation]
  at::Tensor done, steps, epoch;  // int64 [1], as in TrainingPosition
  // By the number of structures: for training, for validation.
  std::map<std::int64_t, std::shared_ptr<ScoreEngine::DeviceBatch>> training, validation;
  std::map<std::int64_t, RecordedStep> recorded;
  std::optional<RecordedStep> recorded_end;
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
    force_(fresh(Part::FORCE)),
    epoch_loss_(at::zeros({}, network.parameters().flat().options().dtype(at::kDouble))),
    last_epoch_loss_(at::full_like(epoch_loss_, std::numeric_limits<double>::quiet_NaN())) {}

Trainer::Optimiser Trainer::fresh(Part part) const {
  // A stage moves the backbone and one head; weight decay must not shrink the other meanwhile.
  const char *frozen_head = part == Part::SCORE ? "force." : "score.";
  return {AdamW(network_.parameters(), settings_.learning_rate, frozen_head),
          Plateau(settings_.lr_factor, settings_.patience, network_.parameters().flat().device())};
}

TrainingPosition Trainer::position() const {
  TrainingPosition position = position_;
  if (position.part == Part::NONE)
    return position;
  position.epoch_loss = epoch_loss_.item<double>();
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
  epoch_loss_.fill_(position.epoch_loss);
  skipped_before_ = 0;
  if (position.part == Part::NONE)
    return;
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
                std::to_string(course.n()) + " structures");
  const Purpose split = course.part == Part::SCORE ? Purpose::SPLIT : Purpose::FORCE_SPLIT;
  course.order = permutation(
      course.n(), RandomStream(settings_.seed, split, static_cast<std::uint32_t>(stage)));
  if (at.steps > 0)
    return;
  epoch_loss_.zero_();
  Optimiser &used = optimiser(course.part);
  if (settings_.optim_reset)
    used = fresh(course.part);
  skipped_before_ = used.adamw.skipped.item<std::int64_t>();
}

std::unique_ptr<Trainer::OnDevice> Trainer::on_device(const Course &course) {
  const EpochPlan &plan = course.plan;
  const c10::Device device = network_.parameters().flat().device();
  auto there = std::make_unique<OnDevice>();
  const auto add = [&](std::map<std::int64_t, std::shared_ptr<ScoreEngine::DeviceBatch>> &batches,
                       std::int64_t count) {
    if (count > 0 && batches.count(count) == 0)
      batches[count] = engine_.device_batch(count, course.lesson.z_low, course.lesson.z_high);
    return count == 0 || batches[count];
  };
  const std::int64_t batch = settings_.batch;
  if (!add(there->training, std::min(batch, plan.n_train)) ||
      !add(there->training, plan.n_train % batch) ||
      !add(there->validation, std::min(batch, plan.n_validation)) ||
      !add(there->validation, plan.n_validation % batch))
    return nullptr;
  there->positions = course.lesson.positions.to(device);
  there->targets = course.lesson.targets.to(device);
  const at::TensorOptions numbers = at::TensorOptions(device).dtype(at::kLong);
  there->mixed = at::empty({plan.n_train}, numbers);
  there->validated = rows_tensor(course.order, plan.n_train, course.n()).to(device);
  for (at::Tensor *counter : {&there->done, &there->steps, &there->epoch})
    *counter = at::zeros({1}, numbers);
  OnDevice *d = there.get();
  for (const auto &[count, memory] : there->training) {
    const at::Tensor next = at::arange(count, numbers);
    d->recorded.emplace(
        count, RecordedStep(device, [this, &course, d, count = count, memory = memory, next] {
          const at::Tensor rows = d->mixed.index_select(0, next + d->done);
          learn(course, {rows, d->steps, Pass::TRAINING, serial_comm(), memory.get()}, count);
          d->done.add_(count);
          d->steps.add_(1);
        }));
  }
  d->recorded_end.emplace(device, [this, &course] { end_epoch(course, serial_comm()); });
  return there;
}

void Trainer::begin_epoch(Course &course) const {
  const Purpose shuffle = course.part == Part::SCORE ? Purpose::SHUFFLE : Purpose::FORCE_SHUFFLE;
  const std::vector<std::int64_t> order =
      permutation(course.plan.n_train,
                  RandomStream(settings_.seed, shuffle, static_cast<std::uint32_t>(position_.stage),
                               static_cast<std::uint32_t>(position_.epoch)));
  course.mixed.clear();
  for (const std::int64_t k : order)
    course.mixed.push_back(course.order[k]);
  course.mixed_epoch = position_.epoch;
  if (!course.device)
    return;
  // The host goes on while these are under way.
  const at::Tensor staged = rows_tensor(course.mixed, 0, course.plan.n_train);
  const bool to_cuda = course.device->mixed.device().is_cuda();
  course.device->mixed.copy_(to_cuda ? staged.pin_memory() : staged, /*non_blocking=*/true);
  course.device->done.fill_(position_.done);
  course.device->steps.fill_(position_.steps);
  course.device->epoch.fill_(position_.epoch);
}

// Loss, gradient and step of the optimiser.
void Trainer::learn(const Course &course, const Call &call, std::int64_t count) {
  const Lesson &lesson = course.lesson;
  const at::Tensor value = call.batch
                               ? lesson.loss(call, course.device->positions, course.device->targets)
                               : lesson.loss(call, lesson.positions, lesson.targets);
  optimiser(course.part).adamw.step(network_.parameters(), settings_.clip, value);
  epoch_loss_.add_(share_of(value, count, course.plan.n_train));
}

bool Trainer::step(Course &course, const Tick &tick, Comm &comm) {
  const EpochPlan &plan = course.plan;
  if (course.mixed_epoch != position_.epoch)
    begin_epoch(course);
  const std::int64_t begin = position_.done;
  const std::int64_t end = std::min<std::int64_t>(begin + settings_.batch, plan.n_train);
  if (course.device) {
    fault_point("train");
    course.device->recorded.at(end - begin).run();
    network_.parameters().touch();
  } else {
    learn(course,
          {rows_tensor(course.mixed, begin, end), at::scalar_tensor(position_.steps, at::kLong),
           Pass::TRAINING, comm, nullptr},
          end - begin);
  }
  ++position_.steps;
  position_.done = end;
  return !tick || tick(position_.steps, plan.epochs * plan.steps_per_epoch);
}

// Validation, and the learning rate of the next epoch.
void Trainer::end_epoch(const Course &course, Comm &comm) {
  const std::int64_t wanted = course.plan.n_validation;
  const Lesson &lesson = course.lesson;
  const OnDevice *there = course.device.get();
  const at::Tensor total = at::zeros_like(epoch_loss_);
  for (std::int64_t begin = 0; begin < wanted; begin += settings_.batch) {
    const std::int64_t end = std::min<std::int64_t>(begin + settings_.batch, wanted);
    // Streams are numbered by epoch and first structure, so that batches never share one.
    at::Tensor value;
    if (there)
      value = lesson.loss({there->validated.narrow(0, begin, end - begin),
                           there->epoch * course.n() + begin, Pass::VALIDATION, comm,
                           there->validation.at(end - begin).get()},
                          there->positions, there->targets);
    else
      value = lesson.loss(
          {rows_tensor(course.order, course.plan.n_train + begin, course.plan.n_train + end),
           at::scalar_tensor(position_.epoch * course.n() + begin, at::kLong), Pass::VALIDATION,
           comm, nullptr},
          lesson.positions, lesson.targets);
    total.add_(share_of(value, end - begin, wanted));
  }
  last_epoch_loss_.copy_(epoch_loss_);
  Optimiser &used = optimiser(course.part);
  used.plateau.update(wanted > 0 ? total : epoch_loss_, used.adamw.learning_rate);
  epoch_loss_.zero_();
}

TrainingReport Trainer::train(Part part, const Lesson &lesson, int stage, const Tick &tick) {
  const std::int64_t n = lesson.positions.size(0);
  Course course{part, lesson,
                plan_epochs(n, settings_.train_steps, settings_.batch, settings_.val_fraction)};
  const EpochPlan &plan = course.plan;
  const std::int64_t most =
      engine_.most_ranks(std::min<std::int64_t>(settings_.batch, plan.n_train), true);
  Comm *group = comm_.first(static_cast<int>(std::min<std::int64_t>(comm_.size(), most)));
  if (!group)
    return {};

  TrainingReport report;
  on_each(*group, [&] {
    begin(course, stage);
    if (group->size() == 1)
      course.device = on_device(course);
  });
  AdamW &adamw = optimiser(part).adamw;
  const std::int64_t first_epoch = position_.epoch;
  // Here the host waits for the device, if there is one.
  const auto finish = [&] {
    if (course.device)
      for (const auto *batches : {&course.device->training, &course.device->validation})
        for (const auto &[count, batch] : *batches)
          ScoreEngine::check(*batch);
    const TrainingPosition at = position();
    report.steps = at.steps;
    report.skipped = at.skipped;
    if (at.epoch > first_epoch)
      report.loss = last_epoch_loss_.item<double>();
    return report;
  };
  while (position_.epoch < plan.epochs) {
    while (position_.done < plan.n_train)
      if (!true_on_each(*group, [&] { return step(course, tick, *group); })) {
        report.interrupted = true;
        return finish();
      }
    on_each(*group, [&] {
      if (course.device) {
        if (plan.n_validation > 0)
          fault_point("validate");
        course.device->recorded_end->run();
      } else {
        end_epoch(course, *group);
      }
      ++position_.epoch;
      position_.done = 0;
    });
  }
  finish();
  report.learning_rate = adamw.learning_rate.item<double>();
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
  const auto loss = [&](const Call &call, const at::Tensor &all, const at::Tensor &all_weights) {
    const bool training = call.pass == Pass::TRAINING;
    at::Tensor t;
    Noised noised;
    LeastSquares target;
    before_on_each(call.comm, [&] {
      meet_fault(call);
      t = draw_times(settings_.seed, training ? Purpose::TRAINING_TIME : Purpose::VALIDATION_TIME,
                     stage, call.step, call.rows.size(0));
      noised = add_noise(system_, schedule_, all.index_select(0, call.rows), t, settings_.seed,
                         training ? Purpose::TRAINING_NOISE : Purpose::VALIDATION_NOISE, stage,
                         call.step);
      target = score_loss(schedule_, settings_.score_scale, noised.noise, t,
                          all_weights.index_select(0, call.rows), system_.n_atoms());
    });
    if (call.batch)
      return training ? engine_.score_gradient(*call.batch, noised.positions, t, target)
                      : engine_.score_loss(*call.batch, noised.positions, t, target);
    return training ? engine_.score_gradient(noised.positions, t, target, call.comm)
                    : engine_.score_loss(noised.positions, t, target, call.comm);
  };
  return train(Part::SCORE,
               {positions, at::tensor(weights, at::kDouble), system_.z_lo, system_.z_hi, loss},
               stage, tick);
}

TrainingReport Trainer::train_forces(const at::Tensor &positions, const at::Tensor &forces,
                                     int stage, const Tick &tick) {
  const auto loss = [&](const Call &call, const at::Tensor &all, const at::Tensor &all_forces) {
    const bool training = call.pass == Pass::TRAINING;
    at::Tensor x;
    LeastSquares target;
    before_on_each(call.comm, [&] {
      meet_fault(call);
      x = all.index_select(0, call.rows);
      const at::Tensor f = all_forces.index_select(0, call.rows);
      target = force_loss(
          settings_.force_loss_mobile ? f.narrow(1, system_.n_template, system_.n_mobile) : f);
    });
    if (call.batch)
      return training ? engine_.force_gradient(*call.batch, x, target)
                      : engine_.force_loss(*call.batch, x, target);
    return training ? engine_.force_gradient(x, target, call.comm)
                    : engine_.force_loss(x, target, call.comm);
  };
  const at::Tensor z = positions.select(2, 2);
  return train(Part::FORCE,
               {positions, forces, z.min().item<double>(), z.max().item<double>(), loss}, stage,
               tick);
}

}  // namespace godiff
