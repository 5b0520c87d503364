// SPDX-License-Identifier: GPL-2.0-only
#include "steps.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/base/random.hpp"
#include "core/diffusion/noiser.hpp"
#include "core/diffusion/schedule.hpp"

namespace godiff_bench {

using godiff::Settings;

godiff::ScoreNetwork make_network(const Settings &settings, c10::Device device) {
  godiff::ScoreNetwork network(settings.network, at::kFloat, device);
  network.initialise(settings.seed);
  return network;
}

TrainingStep::TrainingStep(const Slab &slab, const Settings &settings, std::int64_t batch,
                           c10::Device device) :
    slab_(slab),
    settings_(settings),
    batch_(batch),
    network_(make_network(settings, device)),
    engine_(slab.system, network_),
    optimizer_(network_.parameters(), settings.learning_rate) {}

at::Tensor TrainingStep::gradient() {
  // Drawn anew each time although the draws are the same: drawing is part of a step.
  const TrainingBatch drawn = training_batch(slab_, settings_, batch_);
  const godiff::Schedule schedule = godiff::make_schedule(settings_);
  godiff::LeastSquares loss;
  loss.offset = drawn.noise;
  loss.factor = at::empty_like(drawn.times);
  for (std::int64_t g = 0; g < batch_; ++g)
    loss.factor.data_ptr<double>()[g] = schedule.variance(drawn.times.const_data_ptr<double>()[g]);
  loss.weight = drawn.weights / static_cast<double>(batch_ * slab_.system.n_atoms());
  return engine_.score_gradient(drawn.positions, drawn.times, loss);
}

double TrainingStep::run() {
  const at::Tensor loss = gradient();
  optimizer_.step(network_.parameters(), settings_.clip, loss);
  return loss.item<double>();
}

ReverseStep::ReverseStep(const Slab &slab, const Settings &settings, const ReverseBatch &batch,
                         c10::Device device) :
    slab_(slab),
    batch_(batch),
    sampler_(slab.system, settings),
    network_(make_network(settings, device)),
    engine_(slab.system, network_) {
  request_.count = batch.positions.size(0);
}

at::Tensor ReverseStep::score() {
  const at::Tensor times = at::full({request_.count}, batch_.time, at::kDouble);
  return engine_.score(batch_.positions, times).to(at::kCPU, at::kDouble).contiguous();
}

at::Tensor ReverseStep::run() {
  at::Tensor next = sampler_.step(request_, batch_.positions, score(), batch_.step);
  wrap(slab_.system, next);
  return next;
}

}  // namespace godiff_bench
