// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cstdint>

#include <ATen/Dispatch.h>
#include <ATen/TensorOperators.h>

#include "kernels/kokkos_kernels.hpp"
#include "kernels/kokkos_space.hpp"

namespace godiff {
namespace kokkos {

namespace {

using Space = Kokkos::DefaultExecutionSpace;

constexpr int PARTS = 8;             // of a call; there may be several
constexpr std::int64_t SUMS = 4096;  // partial sums of squares, part of the result's bits

// Element i of every SUMS-th on a GPU, of a range of its own on the CPU: neighbours in memory are visited
// by neighbouring threads, or by one after the other.
template <class Space, class T> struct SumParts {
  std::int64_t n, n_parts;
  const T *parts[PARTS];
  T *total;
  double *squares;
  bool add;  // to what is there

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t k) const {
    const std::int64_t begin = IS_HOST<Space> ? k * n / SUMS : k,
                       end = IS_HOST<Space> ? (k + 1) * n / SUMS : n,
                       step = IS_HOST<Space> ? 1 : SUMS;
    double sum_of_squares = 0.0;
    for (std::int64_t i = begin; i < end; i += step) {
      T sum = add ? total[i] : T(0);
      for (std::int64_t p = 0; p < n_parts; ++p)
        sum += parts[p][i];
      total[i] = sum;
      sum_of_squares += static_cast<double>(sum) * static_cast<double>(sum);
    }
    squares[k] = sum_of_squares;
  }
};

template <class T> struct AdamW {
  kernels::AdamWStep step;
  const double *numbers;
  const bool *accept;
  const T *gradient;
  T *weights, *first_moment, *second_moment;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t i) const {
    if (!*accept)
      return;
    kernels::AdamWStep now = step;
    now.shrink = numbers[0];
    now.rate = numbers[1];
    now.root = numbers[2];
    now.scale = numbers[3];
    kernels::AdamWNumbers<T>(now).step(gradient[i], weights[i], first_moment[i], second_moment[i]);
  }
};

}  // namespace

at::Tensor sum_parts(const std::vector<at::Tensor> &parts, const at::Tensor &total) {
  const at::Tensor squares = at::empty({SUMS}, total.options().dtype(at::kDouble));
  AT_DISPATCH_FLOATING_TYPES(total.scalar_type(), "godiff::kokkos::sum_parts", [&] {
    using T = scalar_t;
    const auto count = static_cast<std::int64_t>(parts.size());
    for (std::int64_t first = 0; first < count; first += PARTS) {
      SumParts<Space, T> functor{total.numel(),
                                 std::min<std::int64_t>(PARTS, count - first),
                                 {},
                                 total.data_ptr<T>(),
                                 squares.data_ptr<double>(),
                                 first > 0};
      for (std::int64_t p = 0; p < functor.n_parts; ++p)
        functor.parts[p] = parts[static_cast<std::size_t>(first + p)].const_data_ptr<T>();
      for_each<Space>("godiff::sum_parts", total, SUMS, functor);
    }
  });
  return squares.sum();
}

void adamw_update(const kernels::AdamWStep &step, const at::Tensor &numbers,
                  const at::Tensor &accept,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers) {
  AT_DISPATCH_FLOATING_TYPES(buffers.weights.scalar_type(), "godiff::kokkos::adamw_update", [&] {
    using T = scalar_t;
    for (const auto &range : ranges) {
      const AdamW<T> functor{step,
                             numbers.const_data_ptr<double>(),
                             accept.const_data_ptr<bool>(),
                             buffers.gradient.const_data_ptr<T>() + range.first,
                             buffers.weights.data_ptr<T>() + range.first,
                             buffers.first_moment.data_ptr<T>() + range.first,
                             buffers.second_moment.data_ptr<T>() + range.first};
      for_each<Space>("godiff::adamw_update", buffers.weights, range.second - range.first, functor);
    }
  });
}

}  // namespace kokkos
}  // namespace godiff
