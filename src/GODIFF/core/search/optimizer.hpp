// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
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

  // State, for checkpoints; all of it lies on the device of the parameters, scalars too.
  at::Tensor learning_rate;  ///< float64
  at::Tensor steps;          ///< int64, without those skipped
  at::Tensor first_moment, second_moment;

  /// Steps skipped so far, an int64 scalar; not part of the state.
  at::Tensor skipped;

private:
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges_;  // of the flat tensor to step
};

/// Reduce-on-plateau rule of method section 16: relative threshold 1e-4, no cooldown, no minimum.
struct Plateau {
  /// Its state lies on the given device.
  Plateau(double factor, int patience, c10::Device device);

  double factor;
  int patience;
  at::Tensor best;  ///< float64 scalar
  at::Tensor bad;   ///< int64 scalar

  /// Takes the loss of one epoch and makes the learning rate that of the next, both float64 scalars on its
  /// device. The host waits for nothing.
  void update(const at::Tensor &loss, const at::Tensor &learning_rate);
};

}  // namespace godiff
