// SPDX-License-Identifier: GPL-2.0-only
// The random steps of the diffusion, for all structures at once: loops for the CPU, functors for the device of
// Kokkos (implementation.hpp says which). Which step it is comes as a tensor, so that a recorded call can be
// replayed for the next one. Tensors are float64 and contiguous, all on one device; "mobile" is [B, n, 3].
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "kernels/cell_math.hpp"
#include "kernels/diffusion_math.hpp"

namespace godiff {

/// Writes the times of a training batch to t [B], t ~ U(1e-5, 1): structure g draws from the stream
/// (item = step, step = g). `step` is an int64 scalar.
void draw_times(const StreamKey &key, const at::Tensor &step, const at::Tensor &t);

/// Noises the mobile positions `clean` to the times t [B] and writes x_t and w = (x_t - clean)/s(t)
/// (method section 3); structure g draws from the stream (step, g).
void add_noise(const StreamKey &key, const at::Tensor &step, const Schedule &schedule,
               const Window &window, const at::Tensor &clean, const at::Tensor &t,
               const at::Tensor &positions, const at::Tensor &noise);

/// What the steps of a reverse chain have in common.
struct ReverseChain {
  StreamKey key;
  std::uint32_t first = 0;  ///< number of the first candidate
  Window window;
  CellMath cell;
  at::Tensor drift, sigma;  ///< [steps], see ReverseStep; the last step has no noise
};

/// Moves the mobile positions x in place by step i, an int64 scalar (method section 12); candidate c draws
/// from the stream (first + c, i). They are not wrapped into the cell.
void reverse_move(const ReverseChain &chain, const at::Tensor &i, const at::Tensor &score,
                  const at::Tensor &x);

/// Wraps the mobile positions x into the cell, in place.
void wrap_positions(const CellMath &cell, const at::Tensor &x);

namespace kokkos {

void draw_times(const StreamKey &key, const at::Tensor &step, const at::Tensor &t);
void add_noise(const StreamKey &key, const at::Tensor &step, const Schedule &schedule,
               const Window &window, const at::Tensor &clean, const at::Tensor &t,
               const at::Tensor &positions, const at::Tensor &noise);
void reverse_move(const ReverseChain &chain, const at::Tensor &i, const at::Tensor &score,
                  const at::Tensor &x);
void wrap_positions(const CellMath &cell, const at::Tensor &x);

}  // namespace kokkos
}  // namespace godiff
