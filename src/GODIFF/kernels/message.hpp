// SPDX-License-Identifier: GPL-2.0-only
// The message of a PaiNN block (method section 8), the one place where edges are visited.
#pragma once

#include <tuple>

#include <ATen/core/Tensor.h>

#include "kernels/graph_edges.hpp"

namespace godiff {

/// Sums the messages into every node:
///   (a,b,c) = W_ij * x_j,  dq_i = sum_j a,  dmu_i = sum_j u_ij (x) b + c * mu_j.
///
/// x [nodes, 3F], mu [nodes, 3, F] (undefined = all zero), filters of the pairs
/// fixed_filter [fixed pairs, 3F] and mobile_filter [mobile pairs, 3F] (rows may be strided, columns
/// contiguous). Returns dq [nodes, F] and dmu [nodes, 3, F]. Differentiable with respect to x, mu and
/// both filters (not to the directions). F must be a multiple of 16. On the CPU the fused kernels run,
/// with a fixed order of summation (same bits for any number of threads); other devices take
/// message_reference.
std::tuple<at::Tensor, at::Tensor> message(const at::Tensor &x, const at::Tensor &mu,
                                           const at::Tensor &fixed_filter,
                                           const at::Tensor &mobile_filter,
                                           const BatchGraph &graph);

/// The same in plain LibTorch operations, differentiated by autograd: the twin that tests compare with.
std::tuple<at::Tensor, at::Tensor> message_reference(const at::Tensor &x, const at::Tensor &mu,
                                                     const at::Tensor &fixed_filter,
                                                     const at::Tensor &mobile_filter,
                                                     const BatchGraph &graph);

}  // namespace godiff
