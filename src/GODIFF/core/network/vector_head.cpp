// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/vector_head.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/network/dense.hpp"

namespace godiff {

namespace {

constexpr int LAST = 2;  // the block whose scalar is dropped and has no activation

at::Tensor product(const at::Tensor &a, const at::Tensor &b, Workspace &work) {
  at::Tensor y = work.take({a.size(0), b.size(1)});
  at::mm_out(y, a, b);
  return y;
}

void add_gradient(const at::Tensor &gy, const at::Tensor &x, const Dense &gradient) {
  gradient.weight.addmm_(gy.t(), x);
  gradient.bias.add_(gy.sum(0));
}

}  // namespace

at::Tensor vector_head(const HeadWeights &weights, const at::Tensor &scalars,
                       const at::Tensor &vectors, Workspace &work, HeadTape &tape) {
  const std::int64_t rows = scalars.size(0);
  at::Tensor s = scalars, v = vectors;
  for (int b = 0; b <= LAST; ++b) {
    const GatedWeights &w = weights[b];
    HeadTape::Block &block = tape.blocks[b];
    const std::int64_t n = w.mix.size(0) / 2, n_scalar = s.size(1);
    block.vectors = v;
    block.mixed = product(v.view({3 * rows, v.size(2)}), w.mix.t(), work).view({rows, 3, 2 * n});
    block.joined = work.take({rows, n_scalar + n});
    block.joined.narrow(1, 0, n_scalar).copy_(s);
    at::Tensor norm = block.joined.narrow(1, n_scalar, n);
    at::linalg_vector_norm_out(norm, block.mixed.narrow(2, 0, n), 2, {1});
    block.hidden = apply(w.dense[0], block.joined, work);
    block.active = silu(block.hidden, work);
    block.gates = apply(w.dense[1], block.active, work);
    const std::int64_t n_out = block.gates.size(1) - n;
    if (b < LAST)
      s = silu(block.gates.narrow(1, 0, n_out), work);
    v = work.take({rows, 3, n});
    at::mul_out(v, block.gates.narrow(1, n_out, n).unsqueeze(1), block.mixed.narrow(2, n, n));
  }
  return v.view({rows, 3});
}

HeadGradient vector_head_backward(const HeadWeights &weights, const HeadTape &tape,
                                  const at::Tensor &gradient, const HeadWeights &weight_gradient,
                                  Workspace &work) {
  const std::int64_t rows = gradient.size(0);
  at::Tensor gs, gv = gradient.view({rows, 3, 1});
  for (int b = LAST; b >= 0; --b) {
    const GatedWeights &w = weights[b], &gw = weight_gradient[b];
    const HeadTape::Block &block = tape.blocks[b];
    const std::int64_t n = w.mix.size(0) / 2, n_out = block.gates.size(1) - n;
    const std::int64_t n_scalar = block.joined.size(1) - n;
    const at::Tensor v = block.mixed.narrow(2, 0, n), u = block.mixed.narrow(2, n, n);

    at::Tensor g_gates = work.take(block.gates.sizes());
    at::Tensor g_out = g_gates.narrow(1, 0, n_out), g_gate = g_gates.narrow(1, n_out, n);
    if (b < LAST)
      at::silu_backward_out(g_out, gs, block.gates.narrow(1, 0, n_out));
    else
      g_out.zero_();
    at::sum_out(g_gate, gv * u, {1});

    add_gradient(g_gates, block.active, gw.dense[1]);
    at::Tensor g = product(g_gates, w.dense[1].weight, work);
    at::silu_backward_out(g, g, block.hidden);
    add_gradient(g, block.joined, gw.dense[0]);
    const at::Tensor g_joined = product(g, w.dense[0].weight, work);
    gs = g_joined.narrow(1, 0, n_scalar);

    at::Tensor g_mixed = work.take(block.mixed.sizes());
    at::Tensor g_v = g_mixed.narrow(2, 0, n), g_u = g_mixed.narrow(2, n, n);
    const at::Tensor norm = block.joined.narrow(1, n_scalar, n);
    const at::Tensor ratio =
        (g_joined.narrow(1, n_scalar, n) / norm).masked_fill_(norm == 0, 0).unsqueeze_(1);
    at::mul_out(g_v, ratio, v);
    at::mul_out(g_u, block.gates.narrow(1, n_out, n).unsqueeze(1), gv);

    const at::Tensor flat = g_mixed.view({3 * rows, 2 * n});
    gw.mix.addmm_(flat.t(), block.vectors.view({3 * rows, block.vectors.size(2)}));
    gv = product(flat, w.mix, work).view(block.vectors.sizes());
  }
  return {gs, gv};
}

}  // namespace godiff
