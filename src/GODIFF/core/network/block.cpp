// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/block.hpp"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/network/dense.hpp"
#include "kernels/mixing.hpp"

namespace godiff {

namespace {

void add_gradient(const at::Tensor &gy, const at::Tensor &x, const Dense &gradient) {
  gradient.weight.addmm_(gy.t(), x);
  add_column_sums(gy, gradient.bias);
}

// Through two dense layers with silu between, y = dense[1](silu(dense[0](x))): gradient of x.
void backward(const std::array<Dense, 2> &dense, const at::Tensor &x, const at::Tensor &hidden,
              const at::Tensor &active, const at::Tensor &gy, const std::array<Dense, 2> &gradient,
              at::Tensor &gx, double keep, Workspace &work) {
  add_gradient(gy, active, gradient[1]);
  at::Tensor g = work.take(active.sizes());
  at::mm_out(g, gy, dense[1].weight);
  at::silu_backward_out(g, g, hidden);
  add_gradient(g, x, gradient[0]);
  at::addmm_out(gx, gx, g, dense[0].weight, keep);
}

}  // namespace

at::Tensor context(const BlockWeights &weights, const at::Tensor &q, Workspace &work,
                   ContextTape &tape) {
  tape.q = q;
  tape.hidden = apply(weights.context[0], q, work);
  tape.active = silu(tape.hidden, work);
  return apply(weights.context[1], tape.active, work);
}

void context_backward(const BlockWeights &weights, const ContextTape &tape, const at::Tensor &gx,
                      const BlockWeights &gradient, const at::Tensor &gq, Workspace &work) {
  at::Tensor total = gq;
  backward(weights.context, tape.q, tape.hidden, tape.active, gx, gradient.context, total, 1.0,
           work);
}

void MixingTape::prepare(std::int64_t rows, std::int64_t n_feat, Workspace &work) {
  joined = work.take({rows, 2 * n_feat});
  mu = work.take({rows, 3, n_feat});
}

void mixing(const BlockWeights &weights, MixingTape &tape, at::Tensor &q_out, at::Tensor &mu_out,
            Workspace &work) {
  const std::int64_t rows = tape.mu.size(0), F = tape.mu.size(2);
  tape.vu = work.take({rows, 3, 2 * F});
  at::Tensor flat = tape.vu.view({3 * rows, 2 * F});
  at::mm_out(flat, tape.mu.view({3 * rows, F}), weights.mix.t());
  mixing_norm(tape.vu, tape.joined);
  tape.hidden = apply(weights.mixing[0], tape.joined, work);
  tape.active = silu(tape.hidden, work);
  tape.prs = apply(weights.mixing[1], tape.active, work);
  mixing_gate(tape.joined, tape.mu, tape.vu, tape.prs, q_out, mu_out);
}

void mixing_backward(const BlockWeights &weights, const MixingTape &tape,
                     const BlockWeights &gradient, at::Tensor &gq, at::Tensor &gmu,
                     Workspace &work) {
  const std::int64_t rows = tape.mu.size(0), F = tape.mu.size(2);
  at::Tensor gprs = work.take(tape.prs.sizes()), gvu = work.take(tape.vu.sizes());
  mixing_gate_backward(gq, gmu, tape.vu, tape.prs, gprs, gvu);
  at::Tensor g_joined = work.take(tape.joined.sizes());
  backward(weights.mixing, tape.joined, tape.hidden, tape.active, gprs, gradient.mixing, g_joined,
           0.0, work);
  mixing_norm_backward(tape.vu, tape.joined, g_joined, gvu, gq);
  const at::Tensor flat = gvu.view({3 * rows, 2 * F});
  gradient.mix.addmm_(flat.t(), tape.mu.view({3 * rows, F}));
  gmu.view({3 * rows, F}).addmm_(flat, weights.mix);
}

std::int64_t basis_columns(const NetworkSettings &settings) {
  // With 31 columns instead of 32 the gradient's product takes twice the time.
  constexpr std::int64_t MULTIPLE = 16;
  return (settings.nrbf + MULTIPLE) / MULTIPLE * MULTIPLE;
}

void radial_basis(const at::Tensor &distance, const NetworkSettings &settings, at::Tensor &basis) {
  const double width = settings.cutoff / (settings.nrbf - 1);
  const at::Tensor centres = at::linspace(0.0, settings.cutoff, settings.nrbf, distance.options());
  const at::Tensor cut = (((distance * (M_PI / settings.cutoff)).cos_() + 1.0) * 0.5)
                             .mul_(distance < settings.cutoff)
                             .unsqueeze_(1);
  at::Tensor phi = basis.narrow(1, 0, settings.nrbf);
  at::sub_out(phi, distance.unsqueeze(1), centres);
  phi.square_().mul_(-0.5 / (width * width)).exp_().mul_(cut);
  basis.narrow(1, settings.nrbf, 1).copy_(cut);
  basis.narrow(1, settings.nrbf + 1, basis.size(1) - settings.nrbf - 1).zero_();
}

at::Tensor filter_matrix(const Dense &filter, const NetworkSettings &settings) {
  at::Tensor matrix =
      at::zeros({filter.weight.size(0), basis_columns(settings)}, filter.weight.options());
  matrix.narrow(1, 0, settings.nrbf).copy_(filter.weight);
  matrix.select(1, settings.nrbf).copy_(filter.bias);
  return matrix;
}

void add_filter_gradient(const at::Tensor &gradient, const Dense &filter_gradient) {
  const std::int64_t n_rbf = filter_gradient.weight.size(1);
  filter_gradient.weight.add_(gradient.narrow(1, 0, n_rbf));
  filter_gradient.bias.add_(gradient.select(1, n_rbf));
}

}  // namespace godiff
