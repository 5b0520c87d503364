// SPDX-License-Identifier: GPL-2.0-only
// Operations on the flat buffers of weights and gradients.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/row_kernels.hpp"

namespace godiff {

/// total = sum of the parts, all [n], in the order given: same bits for any number of threads. Returns
/// the sum of squares of the total, a float64 scalar on its device.
at::Tensor sum_parts(const std::vector<at::Tensor> &parts, const at::Tensor &total);

/// Tensors of one AdamW update, all [n].
struct AdamWBuffers {
  at::Tensor gradient, weights, first_moment, second_moment;
};

/// One AdamW update of the elements in `ranges`, by the row kernels: on the CPU.
void adamw_update(const kernels::AdamWStep &step,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers);

/// The same on any device: `numbers` (float64 [4]) replaces shrink, rate, root and scale of the step. Where
/// `accept` (a bool scalar) is false nothing changes, without a word from the host on other devices than the
/// CPU.
void adamw_update(const kernels::AdamWStep &step, const at::Tensor &numbers,
                  const at::Tensor &accept,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers);

namespace plain {

// The twins in LibTorch operations, for any device.
at::Tensor sum_parts(const std::vector<at::Tensor> &parts, const at::Tensor &total);
void adamw_update(const kernels::AdamWStep &step, const at::Tensor &numbers,
                  const at::Tensor &accept,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers);

}  // namespace plain

}  // namespace godiff
