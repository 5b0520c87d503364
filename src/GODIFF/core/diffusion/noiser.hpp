// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "core/base/random.hpp"
#include "core/diffusion/schedule.hpp"
#include "core/geometry/system.hpp"

namespace godiff {

/// Noised positions and the standardised noise that led to them, both [B, n_mobile, 3] float64.
struct Noised {
  at::Tensor positions;
  at::Tensor noise;  ///< w = (x_t - x_0)/s(t)
};

/// Times of one training batch, t ~ U(1e-5, 1), [B] float64, on the device of `step`, an int64 scalar; structure
/// g of the batch has its own stream (stage, step, g).
at::Tensor draw_times(std::uint64_t seed, Purpose purpose, int stage, const at::Tensor &step,
                      std::int64_t count);

/// Noises clean positions x0 [B, n_mobile, 3] to the times t [B] (method section 3), all on one device: x and y
/// normal, z truncated to the window. Structure g draws from the stream (stage, step, g).
Noised add_noise(const System &system, const Schedule &schedule, const at::Tensor &x0,
                 const at::Tensor &t, std::uint64_t seed, Purpose purpose, int stage,
                 const at::Tensor &step);

}  // namespace godiff
