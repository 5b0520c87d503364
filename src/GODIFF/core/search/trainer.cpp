// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

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

at::Tensor per_structure(const at::Tensor &values, at::ScalarType dtype) {
  return values.to(dtype).view({-1, 1, 1});
}

}  // namespace

at::Tensor species_tensor(const System &system) {
  const std::vector<std::int64_t> z(system.atomic_numbers.begin(), system.atomic_numbers.end());
  return at::tensor(z, at::kLong);
}

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

at::Tensor score_loss(const Schedule &schedule, ScoreScale scale, const at::Tensor &score,
                      const at::Tensor &noise, const at::Tensor &t, const at::Tensor &weights,
                      std::int64_t n_atoms) {
  at::Tensor factor = at::empty_like(t);
  for (std::int64_t g = 0; g < t.size(0); ++g) {
    const double time = t.const_data_ptr<double>()[g];
    factor.data_ptr<double>()[g] =
        scale == ScoreScale::CONSISTENT ? schedule.std(time) : schedule.variance(time);
  }
  const at::ScalarType dtype = score.scalar_type();
  const at::Tensor residual = noise.to(dtype) + per_structure(factor, dtype) * score;
  return (per_structure(weights, dtype) * residual.square()).sum() /
         static_cast<double>(score.size(0) * n_atoms);
}

Trainer::Trainer(ScoreNetwork &network, const GraphBuilder &graphs, const Settings &settings) :
    network_(network),
    graphs_(graphs),
    settings_(settings),
    schedule_(make_schedule(settings)),
    atomic_numbers_(species_tensor(graphs.system())),
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

  TrainingReport report;
  network_.parameters().flat_gradient().zero_();
  for (std::int64_t epoch = 0; epoch < plan.epochs; ++epoch) {
    const std::vector<std::int64_t> mixed =
        permutation(plan.n_train, RandomStream(settings_.seed, shuffle, stage_number,
                                               static_cast<std::uint32_t>(epoch)));
    double epoch_loss = 0.0;
    for (std::int64_t begin = 0; begin < plan.n_train; begin += settings_.batch) {
      const std::int64_t end = std::min<std::int64_t>(begin + settings_.batch, plan.n_train);
      std::vector<std::int64_t> rows;
      for (std::int64_t k = begin; k < end; ++k)
        rows.push_back(order[mixed[k]]);
      const at::Tensor value =
          loss(rows_tensor(rows, 0, static_cast<std::int64_t>(rows.size())), report.steps, false);
      const double number = value.item<double>();
      if (std::isfinite(number))
        value.backward();
      if (std::isfinite(number) &&
          network_.parameters().flat_gradient().isfinite().all().item<bool>()) {
        optimiser.adamw.step(network_.parameters(), settings_.clip);
      } else {
        network_.parameters().flat_gradient().zero_();
        ++report.skipped;
      }
      ++report.steps;
      epoch_loss += number * static_cast<double>(end - begin) / static_cast<double>(plan.n_train);
      if (tick && !tick(report.steps, plan.epochs * plan.steps_per_epoch)) {
        report.interrupted = true;
        return report;
      }
    }
    double judged = epoch_loss;
    if (plan.n_validation > 0) {
      at::NoGradGuard no_grad;
      judged = 0.0;
      for (std::int64_t begin = 0; begin < plan.n_validation; begin += settings_.batch) {
        const std::int64_t count =
            std::min<std::int64_t>(settings_.batch, plan.n_validation - begin);
        // Streams are numbered by epoch and first structure, so that batches never share one.
        judged += loss(validation.narrow(0, begin, count), epoch * n + begin, true).item<double>() *
                  static_cast<double>(count) / static_cast<double>(plan.n_validation);
      }
    }
    optimiser.adamw.learning_rate = optimiser.plateau.update(judged, optimiser.adamw.learning_rate);
    report.loss = epoch_loss;
  }
  report.learning_rate = optimiser.adamw.learning_rate;
  return report;
}

TrainingReport Trainer::train_score(const at::Tensor &positions, const std::vector<double> &weights,
                                    int stage, const Tick &tick) {
  const at::Tensor all_weights = at::tensor(weights, at::kDouble);
  const auto loss = [&](const at::Tensor &rows, std::int64_t step, bool validation) {
    const at::Tensor t =
        draw_times(settings_.seed, validation ? Purpose::VALIDATION_TIME : Purpose::TRAINING_TIME,
                   stage, step, rows.size(0));
    const Noised noised =
        add_noise(graphs_.system(), schedule_, positions.index_select(0, rows), t, settings_.seed,
                  validation ? Purpose::VALIDATION_NOISE : Purpose::TRAINING_NOISE, stage, step);
    const at::Tensor score = network_.score(graphs_.build(noised.positions), atomic_numbers_, t);
    return score_loss(schedule_, settings_.score_scale, score, noised.noise, t,
                      all_weights.index_select(0, rows), graphs_.system().n_atoms());
  };
  if (settings_.optim_reset)
    score_ = fresh(FORCE_HEAD);
  return train(score_, positions.size(0), Purpose::SPLIT, Purpose::SHUFFLE, stage, loss, tick);
}

TrainingReport Trainer::train_forces(const at::Tensor &positions, const at::Tensor &forces,
                                     int stage, const Tick &tick) {
  const System &system = graphs_.system();
  const bool mobile_only = settings_.force_loss_mobile;
  const auto loss = [&](const at::Tensor &rows, std::int64_t, bool) {
    const BatchGraph graph = graphs_.build(positions.index_select(0, rows));
    at::Tensor target = forces.index_select(0, rows).to(network_.dtype());
    if (mobile_only)
      target = target.narrow(1, system.n_template, system.n_mobile);
    return (network_.forces(graph, atomic_numbers_, mobile_only) - target).square().mean();
  };
  if (settings_.optim_reset)
    force_ = fresh(SCORE_HEAD);
  return train(force_, positions.size(0), Purpose::FORCE_SPLIT, Purpose::FORCE_SHUFFLE, stage, loss,
               tick);
}

}  // namespace godiff
