// SPDX-License-Identifier: GPL-2.0-only
// The parts of a PaiNN block that act on each atom by itself (method section 8), and their gradients.
//
// They are the plain network: which atoms they are applied to is decided elsewhere (backbone.cpp,
// shared_template.cpp). Temporary tensors come from the workspace.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/network/weights.hpp"
#include "core/network/workspace.hpp"

namespace godiff {

/// What context_backward() needs of context().
struct ContextTape {
  at::Tensor q, hidden, active;
};

/// x = W2 silu(W1 q + b1) + b2: [rows,F] -> [rows,3F].
at::Tensor context(const BlockWeights &weights, const at::Tensor &q, Workspace &work,
                   ContextTape &tape);

/// Adds the gradients of the weights, and that of q to gq.
void context_backward(const BlockWeights &weights, const ContextTape &tape, const at::Tensor &gx,
                      const BlockWeights &gradient, const at::Tensor &gq, Workspace &work);

/// Inputs of mixing(), set by whoever computes the messages, and what its gradient needs.
struct MixingTape {
  at::Tensor joined;  ///< [rows,2F]: q after the messages, then |V|
  at::Tensor mu;      ///< [rows,3,F] after the messages
  at::Tensor vu, hidden, active, prs;

  /// Takes memory for the inputs.
  void prepare(std::int64_t rows, std::int64_t n_feat, Workspace &work);
  /// The q half of `joined`, [rows,F] with row stride 2F.
  at::Tensor q() const { return joined.narrow(1, 0, joined.size(1) / 2); }
};

/// The mixing part: writes q_out [rows,F] and mu_out [rows,3,F].
void mixing(const BlockWeights &weights, MixingTape &tape, at::Tensor &q_out, at::Tensor &mu_out,
            Workspace &work);

/// Turns gq and gmu, the gradients of mixing()'s results, into those of its inputs, in place; adds
/// the gradients of the weights.
void mixing_backward(const BlockWeights &weights, const MixingTape &tape,
                     const BlockWeights &gradient, at::Tensor &gq, at::Tensor &gmu,
                     Workspace &work);

/// Columns of radial_basis() and filter_matrix(): n_rbf + 1, rounded up to what matrix products like;
/// the rest is zero.
std::int64_t basis_columns(const NetworkSettings &settings);

/// Writes [phi_k(d) f_c(d) | f_c(d) | 0], [n, basis_columns]: Gaussians at 0..cutoff of width = spacing
/// times the cosine cutoff (method section 8); with filter_matrix() a filter is one matrix product.
void radial_basis(const at::Tensor &distance, const NetworkSettings &settings, at::Tensor &basis);

/// [A | c | 0] of the filters of all blocks, [nblock*3F, basis_columns].
at::Tensor filter_matrix(const Dense &filter, const NetworkSettings &settings);

/// Adds the gradient of filter_matrix() to those of A and c.
void add_filter_gradient(const at::Tensor &gradient, const Dense &filter_gradient);

}  // namespace godiff
