// SPDX-License-Identifier: GPL-2.0-only
// The elementwise steps of a PaiNN block's mixing part (method section 8), fused, with their gradients.
//
// Tensors are contiguous: joined [rows,2F] = [q | norm], vu [rows,3,2F] = [V | U], prs [rows,3F],
// q [rows,F], mu [rows,3,F].
#pragma once

#include <ATen/core/Tensor.h>

namespace godiff {

/// Inside of the square root of |V|.
constexpr double NORM_EPS = 1e-8;

/// Writes the second half of `joined`: sqrt(sum_xyz V^2 + eps), eps = NORM_EPS.
void mixing_norm(const at::Tensor &vu, at::Tensor &joined);

/// Writes q = joined's q + p + s (V.U) and mu_out = mu + r U.
void mixing_gate(const at::Tensor &joined, const at::Tensor &mu, const at::Tensor &vu,
                 const at::Tensor &prs, at::Tensor &q, at::Tensor &mu_out);

/// Writes the gradients of prs and vu from those of q and mu_out.
void mixing_gate_backward(const at::Tensor &gq, const at::Tensor &gmu, const at::Tensor &vu,
                          const at::Tensor &prs, at::Tensor &gprs, at::Tensor &gvu);

/// From the gradient of `joined`: adds its first half to gq and that of the norm to gvu.
void mixing_norm_backward(const at::Tensor &vu, const at::Tensor &joined,
                          const at::Tensor &g_joined, at::Tensor &gvu, at::Tensor &gq);

/// sums [columns] += sum over the rows of values [rows, columns]; columns a multiple of 16.
void add_column_sums(const at::Tensor &values, const at::Tensor &sums);

namespace plain {

// The twins: any device, same arguments and results.
void mixing_norm(const at::Tensor &vu, at::Tensor &joined);
void mixing_gate(const at::Tensor &joined, const at::Tensor &mu, const at::Tensor &vu,
                 const at::Tensor &prs, at::Tensor &q, at::Tensor &mu_out);
void mixing_gate_backward(const at::Tensor &gq, const at::Tensor &gmu, const at::Tensor &vu,
                          const at::Tensor &prs, at::Tensor &gprs, at::Tensor &gvu);
void mixing_norm_backward(const at::Tensor &vu, const at::Tensor &joined,
                          const at::Tensor &g_joined, at::Tensor &gvu, at::Tensor &gq);
void add_column_sums(const at::Tensor &values, const at::Tensor &sums);

}  // namespace plain

}  // namespace godiff
