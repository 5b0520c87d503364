// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/flat_buffers.hpp"

#include <algorithm>

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include "kernels/implementation.hpp"
#include "kernels/instruction_set.hpp"
#include "kernels/kokkos_kernels.hpp"

namespace godiff {

namespace {

constexpr std::int64_t RANGE = 1 << 14;  // elements of one task; sums of squares are per range

}  // namespace

at::Tensor sum_parts(const std::vector<at::Tensor> &parts, const at::Tensor &total) {
  GODIFF_RETURN_UNLESS_ROWS(total, sum_parts(parts, total))
  const std::int64_t n = total.numel(), ranges = (n + RANGE - 1) / RANGE;
  std::vector<double> squares(ranges);
  AT_DISPATCH_FLOATING_TYPES(total.scalar_type(), "godiff::sum_parts", [&] {
    std::vector<const scalar_t *> pointers;
    for (const at::Tensor &part : parts)
      pointers.push_back(part.const_data_ptr<scalar_t>());
    scalar_t *out = total.data_ptr<scalar_t>();
    at::parallel_for(0, ranges, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        squares[r] = kernels::row_kernels<scalar_t>().sum_parts(
            static_cast<std::int64_t>(pointers.size()), pointers.data(), r * RANGE,
            std::min(n, (r + 1) * RANGE), out);
    });
  });
  double sum = 0.0;
  for (double s : squares)
    sum += s;
  return at::scalar_tensor(sum, at::kDouble);
}

void adamw_update(const kernels::AdamWStep &step,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers) {
  AT_DISPATCH_FLOATING_TYPES(buffers.weights.scalar_type(), "godiff::adamw_update", [&] {
    const scalar_t *g = buffers.gradient.const_data_ptr<scalar_t>();
    scalar_t *w = buffers.weights.data_ptr<scalar_t>();
    scalar_t *m = buffers.first_moment.data_ptr<scalar_t>();
    scalar_t *v = buffers.second_moment.data_ptr<scalar_t>();
    for (const auto &range : ranges)
      at::parallel_for(range.first, range.second, RANGE, [&](std::int64_t begin, std::int64_t end) {
        kernels::row_kernels<scalar_t>().adamw(step, begin, end, g, w, m, v);
      });
  });
}

void adamw_update(const kernels::AdamWStep &step, const at::Tensor &numbers,
                  const at::Tensor &accept,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers) {
  GODIFF_RETURN_UNLESS_ROWS(buffers.weights, adamw_update(step, numbers, accept, ranges, buffers))
  if (!accept.item<bool>())
    return;
  const double *p = numbers.const_data_ptr<double>();
  adamw_update({step.beta1, step.beta2, step.eps, p[0], p[1], p[2], p[3]}, ranges, buffers);
}

namespace plain {

at::Tensor sum_parts(const std::vector<at::Tensor> &parts, const at::Tensor &total) {
  total.copy_(at::stack(parts).sum(0));
  return total.to(at::kDouble).square().sum();
}

void adamw_update(const kernels::AdamWStep &step, const at::Tensor &numbers,
                  const at::Tensor &accept,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers) {
  const at::Tensor of_type = numbers.to(buffers.weights.scalar_type());
  const at::Tensor shrink = of_type[0], rate = of_type[1], root = of_type[2], scale = of_type[3];
  for (const auto &range : ranges) {
    const auto part = [&](const at::Tensor &t) {
      return t.narrow(0, range.first, range.second - range.first);
    };
    const at::Tensor g = part(buffers.gradient) * scale, w = part(buffers.weights),
                     m = part(buffers.first_moment), v = part(buffers.second_moment);
    const at::Tensor m_new = m * step.beta1 + g * (1.0 - step.beta1);
    const at::Tensor v_new = v * step.beta2 + g.square() * (1.0 - step.beta2);
    const at::Tensor w_new = w * shrink - rate * m_new / (v_new.sqrt() * root + step.eps);
    w.copy_(at::where(accept, w_new, w));
    m.copy_(at::where(accept, m_new, m));
    v.copy_(at::where(accept, v_new, v));
  }
}

}  // namespace plain

}  // namespace godiff
