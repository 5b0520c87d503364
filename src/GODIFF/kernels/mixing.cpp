// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/mixing.hpp"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "kernels/implementation.hpp"
#include "kernels/instruction_set.hpp"
#include "kernels/kokkos_kernels.hpp"

namespace godiff {

void mixing_norm(const at::Tensor &vu, at::Tensor &joined) {
  GODIFF_RETURN_UNLESS_ROWS(vu, mixing_norm(vu, joined))
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::mixing_norm", [&] {
    kernels::row_kernels<scalar_t>().norm(
        vu.size(0), vu.size(2) / 2, static_cast<scalar_t>(NORM_EPS), vu.const_data_ptr<scalar_t>(),
        joined.data_ptr<scalar_t>());
  });
}

void mixing_gate(const at::Tensor &joined, const at::Tensor &mu, const at::Tensor &vu,
                 const at::Tensor &prs, at::Tensor &q, at::Tensor &mu_out) {
  GODIFF_RETURN_UNLESS_ROWS(vu, mixing_gate(joined, mu, vu, prs, q, mu_out))
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::mixing_gate", [&] {
    kernels::row_kernels<scalar_t>().gate(
        vu.size(0), vu.size(2) / 2, joined.const_data_ptr<scalar_t>(),
        mu.const_data_ptr<scalar_t>(), vu.const_data_ptr<scalar_t>(),
        prs.const_data_ptr<scalar_t>(), q.data_ptr<scalar_t>(), mu_out.data_ptr<scalar_t>());
  });
}

void mixing_gate_backward(const at::Tensor &gq, const at::Tensor &gmu, const at::Tensor &vu,
                          const at::Tensor &prs, at::Tensor &gprs, at::Tensor &gvu) {
  GODIFF_RETURN_UNLESS_ROWS(vu, mixing_gate_backward(gq, gmu, vu, prs, gprs, gvu))
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::mixing_gate_backward", [&] {
    kernels::row_kernels<scalar_t>().gate_backward(
        vu.size(0), vu.size(2) / 2, gq.const_data_ptr<scalar_t>(), gmu.const_data_ptr<scalar_t>(),
        vu.const_data_ptr<scalar_t>(), prs.const_data_ptr<scalar_t>(), gprs.data_ptr<scalar_t>(),
        gvu.data_ptr<scalar_t>());
  });
}

void mixing_norm_backward(const at::Tensor &vu, const at::Tensor &joined,
                          const at::Tensor &g_joined, at::Tensor &gvu, at::Tensor &gq) {
  GODIFF_RETURN_UNLESS_ROWS(vu, mixing_norm_backward(vu, joined, g_joined, gvu, gq))
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::mixing_norm_backward", [&] {
    kernels::row_kernels<scalar_t>().norm_backward(
        vu.size(0), vu.size(2) / 2, vu.const_data_ptr<scalar_t>(),
        joined.const_data_ptr<scalar_t>(), g_joined.const_data_ptr<scalar_t>(),
        gvu.data_ptr<scalar_t>(), gq.data_ptr<scalar_t>());
  });
}

void add_column_sums(const at::Tensor &values, const at::Tensor &sums) {
  GODIFF_RETURN_UNLESS_ROWS(values, add_column_sums(values, sums))
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "godiff::add_column_sums", [&] {
    kernels::row_kernels<scalar_t>().add_column_sums(values.size(0), values.size(1),
                                                     values.const_data_ptr<scalar_t>(),
                                                     sums.data_ptr<scalar_t>());
  });
}

namespace plain {

void mixing_norm(const at::Tensor &vu, at::Tensor &joined) {
  const std::int64_t F = vu.size(2) / 2;
  joined.narrow(1, F, F).copy_((vu.narrow(2, 0, F).square().sum(1) + NORM_EPS).sqrt());
}

void mixing_gate(const at::Tensor &joined, const at::Tensor &mu, const at::Tensor &vu,
                 const at::Tensor &prs, at::Tensor &q, at::Tensor &mu_out) {
  const std::int64_t F = vu.size(2) / 2;
  const auto part = prs.split(F, 1);
  const at::Tensor v = vu.narrow(2, 0, F), u = vu.narrow(2, F, F);
  q.copy_(joined.narrow(1, 0, F) + part[0] + part[2] * (v * u).sum(1));
  mu_out.copy_(mu + part[1].unsqueeze(1) * u);
}

void mixing_gate_backward(const at::Tensor &gq, const at::Tensor &gmu, const at::Tensor &vu,
                          const at::Tensor &prs, at::Tensor &gprs, at::Tensor &gvu) {
  const std::int64_t F = vu.size(2) / 2;
  const auto part = prs.split(F, 1);
  const at::Tensor v = vu.narrow(2, 0, F), u = vu.narrow(2, F, F);
  const at::Tensor dot_gradient = (part[2] * gq).unsqueeze(1);
  gprs.copy_(at::cat({gq, (gmu * u).sum(1), gq * (v * u).sum(1)}, 1));
  gvu.copy_(at::cat({dot_gradient * u, part[1].unsqueeze(1) * gmu + dot_gradient * v}, 2));
}

void mixing_norm_backward(const at::Tensor &vu, const at::Tensor &joined,
                          const at::Tensor &g_joined, at::Tensor &gvu, at::Tensor &gq) {
  const std::int64_t F = vu.size(2) / 2;
  const at::Tensor ratio = g_joined.narrow(1, F, F) / joined.narrow(1, F, F);
  gvu.narrow(2, 0, F).add_(ratio.unsqueeze(1) * vu.narrow(2, 0, F));
  gq.add_(g_joined.narrow(1, 0, F));
}

void add_column_sums(const at::Tensor &values, const at::Tensor &sums) {
  sums.add_(values.sum(0));
}

}  // namespace plain

}  // namespace godiff
