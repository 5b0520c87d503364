// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <array>

#include <ATen/core/Tensor.h>

#include "core/network/weights.hpp"
#include "core/network/workspace.hpp"

namespace godiff {

/// What vector_head_backward() needs of the three blocks of vector_head().
struct HeadTape {
  struct Block {
    at::Tensor vectors, mixed, joined, hidden, active, gates;
  };
  std::array<Block, 3> blocks;
};

/// Three gated equivariant blocks (method section 9): scalars [rows,n_scalar], vectors [rows,3,F] ->
/// one vector per row, [rows,3].
at::Tensor vector_head(const HeadWeights &weights, const at::Tensor &scalars,
                       const at::Tensor &vectors, Workspace &work, HeadTape &tape);

/// From the gradient of the result, [rows,3]: adds those of the weights, returns those of the scalars
/// and the vectors. The norm of a zero vector has gradient 0.
struct HeadGradient {
  at::Tensor scalars, vectors;
};
HeadGradient vector_head_backward(const HeadWeights &weights, const HeadTape &tape,
                                  const at::Tensor &gradient, const HeadWeights &weight_gradient,
                                  Workspace &work);

}  // namespace godiff
