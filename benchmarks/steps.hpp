// SPDX-License-Identifier: GPL-2.0-only
// One training step and one reverse step, put together as the trainer and the sampler do.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "core/base/settings.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "core/search/optimizer.hpp"
#include "systems.hpp"

namespace godiff_bench {

/// The network of all benchmarks: float32, weights as a search starts with.
godiff::ScoreNetwork make_network(const godiff::Settings &settings, c10::Device device);

/// Times, noise, loss and gradient, clip and AdamW on the batch of training_batch(): the same
/// structures at every call, while the weights move on.
class TrainingStep {
public:
  TrainingStep(const Slab &slab, const godiff::Settings &settings, std::int64_t batch,
               c10::Device device);

  /// One whole step; returns the loss of the batch before it, so a device has finished by then.
  double run();
  /// The loss (a scalar) and its gradient only; the gradient is left in network().parameters().
  at::Tensor gradient();

  godiff::ScoreNetwork &network() { return network_; }

private:
  const Slab &slab_;
  godiff::Settings settings_;
  std::int64_t batch_;
  godiff::ScoreNetwork network_;
  godiff::ScoreEngine engine_;
  godiff::AdamW optimizer_;
};

/// Score, Euler-Maruyama step and wrap of a batch; every call starts from the same positions.
class ReverseStep {
public:
  ReverseStep(const Slab &slab, const godiff::Settings &settings, const ReverseBatch &batch,
              c10::Device device);

  /// One whole step; returns the new positions [B, n_mobile, 3].
  at::Tensor run();
  /// The scores only, [B, n_mobile, 3] float64 on the CPU.
  at::Tensor score();

private:
  const Slab &slab_;
  ReverseBatch batch_;
  godiff::SampleRequest request_;
  godiff::Sampler sampler_;
  godiff::ScoreNetwork network_;
  godiff::ScoreEngine engine_;
};

}  // namespace godiff_bench
