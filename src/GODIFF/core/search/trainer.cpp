// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/base/random.hpp"
#include "core/diffusion/noiser.hpp"
#include "core/diffusion/sampler.hpp"

namespace godiff {

namespace {

// A stage moves the backbone and one head; weight decay must not shrink the other meanwhile.
constexpr const char *SCORE_HEAD = "score.", *FORCE_HEAD = "force.";

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

Trainer::Trainer(const System &system, const Settings &settings, ScoreNetwork &network,
                 ScoreEngine &engine) :
    system_(system),
    settings_(settings),
    network_(network),
    engine_(engine),
    schedule_(make_schedule(settings)),
    score_(fresh(FORCE_HEAD)),
    force_(fresh(SCORE_HEAD)) {}

Trainer::Optimiser Trainer::fresh(const char *frozen_head) const {
  return {AdamW(network_.parameters(), settings_.learning_rate, frozen_head),
          Plateau{settings_.lr_factor, settings_.patience}};
}

TrainingReport Trainer::train(Optimiser &optimiser, std::int64_t n, Purpose split, Purpose shuffle,
                              int stage, const Loss &loss, const Tick &tick) {
  const EpochPlan plan =
      plan_epochs(n, settings_.train_steps, settings_.batch, settings_.val_fraction);
  const auto stage_number = static_cast<std::uint32_t>(stage);
  const std::vector<std::int64_t> order =
      permutation(n, RandomStream(settings_.seed, split, stage_number));
  const at::Tensor validation = rows_tensor(order, plan.n_train, n);
  // A loss stays on its device until the epoch ends.
  const auto share = [](const at::Tensor &value, std::int64_t part, std::int64_t whole) {
    return value * (static_cast<double>(part) / static_cast<double>(whole));
  };

  TrainingReport report;
  const std::int64_t skipped_before = optimiser.adamw.skipped.item<std::int64_t>();
  const auto finish = [&] {
    report.skipped = optimiser.adamw.skipped.item<std::int64_t>() - skipped_before;
    return report;
  };
  for (std::int64_t epoch = 0; epoch < plan.epochs; ++epoch) {
    const std::vector<std::int64_t> mixed =
        permutation(plan.n_train, RandomStream(settings_.seed, shuffle, stage_number,
                                               static_cast<std::uint32_t>(epoch)));
    at::Tensor epoch_loss;
    for (std::int64_t begin = 0; begin < plan.n_train; begin += settings_.batch) {
      const std::int64_t end = std::min<std::int64_t>(begin + settings_.batch, plan.n_train);
      std::vector<std::int64_t> rows;
      for (std::int64_t k = begin; k < end; ++k)
        rows.push_back(order[mixed[k]]);
      const at::Tensor value = loss(rows_tensor(rows, 0, static_cast<std::int64_t>(rows.size())),
                                    report.steps, Pass::TRAINING);
      optimiser.adamw.step(network_.parameters(), settings_.clip, value);
      ++report.steps;
      const at::Tensor part = share(value, end - begin, plan.n_train);
      epoch_loss = epoch_loss.defined() ? epoch_loss + part : part;
      if (tick && !tick(report.steps, plan.epochs * plan.steps_per_epoch)) {
        report.interrupted = true;
        return finish();
      }
    }
    report.loss = epoch_loss.item<double>();
    double judged = report.loss;
    if (plan.n_validation > 0) {
      at::Tensor total;
      for (std::int64_t begin = 0; begin < plan.n_validation; begin += settings_.batch) {
        const std::int64_t count =
            std::min<std::int64_t>(settings_.batch, plan.n_validation - begin);
        // Streams are numbered by epoch and first structure, so that batches never share one.
        const at::Tensor part =
            share(loss(validation.narrow(0, begin, count), epoch * n + begin, Pass::VALIDATION),
                  count, plan.n_validation);
        total = total.defined() ? total + part : part;
      }
      judged = total.item<double>();
    }
    optimiser.adamw.learning_rate = optimiser.plateau.update(judged, optimiser.adamw.learning_rate);
  }
  report.learning_rate = optimiser.adamw.learning_rate;
  return finish();
}

TrainingReport Trainer::train_score(const at::Tensor &positions, const std::vector<double> &weights,
                                    int stage, const Tick &tick) {
  const at::Tensor all_weights = at::tensor(weights, at::kDouble);
  const auto loss = [&](const at::Tensor &rows, std::int64_t step, Pass pass) {
    const bool training = pass == Pass::TRAINING;
    const at::Tensor t =
        draw_times(settings_.seed, training ? Purpose::TRAINING_TIME : Purpose::VALIDATION_TIME,
                   stage, step, rows.size(0));
    const Noised noised =
        add_noise(system_, schedule_, positions.index_select(0, rows), t, settings_.seed,
                  training ? Purpose::TRAINING_NOISE : Purpose::VALIDATION_NOISE, stage, step);
    const LeastSquares target = score_loss(schedule_, settings_.score_scale, noised.noise, t,
                                           all_weights.index_select(0, rows), system_.n_atoms());
    return training ? engine_.score_gradient(noised.positions, t, target)
                    : engine_.score_loss(noised.positions, t, target);
  };
  if (settings_.optim_reset)
    score_ = fresh(FORCE_HEAD);
  return train(score_, positions.size(0), Purpose::SPLIT, Purpose::SHUFFLE, stage, loss, tick);
}

TrainingReport Trainer::train_forces(const at::Tensor &positions, const at::Tensor &forces,
                                     int stage, const Tick &tick) {
  const auto loss = [&](const at::Tensor &rows, std::int64_t, Pass pass) {
    const at::Tensor x = positions.index_select(0, rows);
    at::Tensor target = forces.index_select(0, rows);
    if (settings_.force_loss_mobile)
      target = target.narrow(1, system_.n_template, system_.n_mobile);
    return pass == Pass::TRAINING ? engine_.force_gradient(x, force_loss(target))
                                  : engine_.force_loss(x, force_loss(target));
  };
  if (settings_.optim_reset)
    force_ = fresh(SCORE_HEAD);
  return train(force_, positions.size(0), Purpose::FORCE_SPLIT, Purpose::FORCE_SHUFFLE, stage, loss,
               tick);
}

}  // namespace godiff
