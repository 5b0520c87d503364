// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/network/parameters.hpp"

namespace godiff {

/// AdamW with decoupled weight decay on one flat parameter tensor (Loshchilov and Hutter 2019;
/// betas 0.9 and 0.999, eps 1e-8, decay 0.01), method section 16.
class AdamW {
public:
  /// Tensors whose name starts with `frozen` (one head, say) are left alone, decay included.
  AdamW(const Parameters &parameters, double learning_rate, const std::string &frozen = "");

  /// Scales the flat gradient to at most `clip` (g *= min(1, clip/(|g| + 1e-6))) and steps. Nothing
  /// changes when the gradient or `loss` (a scalar; undefined: not looked at) is not finite: such steps
  /// are counted in `skipped`. No host synchronisation on other devices than the CPU.
  void step(Parameters &parameters, double clip, const at::Tensor &loss = {});

  double learning_rate = 1e-4;

  // State, for checkpoints.
  std::int64_t steps = 0;  ///< on other devices than the CPU skipped ones included
  at::Tensor first_moment, second_moment;

  /// Steps skipped so far, an int64 scalar on the device of the parameters; not part of the state.
  at::Tensor skipped;

private:
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges_;  // of the flat tensor to step
};

/// Reduce-on-plateau rule of method section 16: relative threshold 1e-4, no cooldown, no minimum.
struct Plateau {
  double factor = 0.95;
  int patience = 100;
  double best = std::numeric_limits<double>::infinity();
  int bad = 0;

  /// Takes the loss of one epoch and returns the learning rate for the next.
  double update(double loss, double learning_rate);
};

}  // namespace godiff
