// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cstdint>

#include <ATen/Dispatch.h>

#include "kernels/kokkos_kernels.hpp"
#include "kernels/kokkos_space.hpp"
#include "kernels/mixing.hpp"

namespace godiff {
namespace kokkos {

namespace {

using Space = Kokkos::DefaultExecutionSpace;

// Index of the functors below: row, lane.
template <class L> struct RowLane {
  std::int64_t row, f;
  GODIFF_MATH RowLane(std::int64_t i, std::int64_t F) {
    const std::int64_t lanes = F / L::WIDTH;
    row = i / lanes;
    f = (i - row * lanes) * L::WIDTH;
  }
};

template <class T> std::int64_t lanes(std::int64_t columns) {
  return columns / LaneOf<Space, T>::type::WIDTH;
}

template <class Space, class T> struct Norm {
  std::int64_t F;
  T eps;
  const T *vu;
  T *joined;
  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const RowLane<L> at(index, F);
    kernels::norm_lane<L>(F, eps, vu + at.row * 6 * F + at.f, joined + at.row * 2 * F + at.f);
  }
};

template <class Space, class T> struct Gate {
  std::int64_t F;
  const T *joined, *mu, *vu, *prs;
  T *q, *mu_out;
  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const RowLane<L> at(index, F);
    const std::int64_t r = at.row * F, f = at.f;
    kernels::gate_lane<L>(F, joined + 2 * r + f, mu + 3 * r + f, vu + 6 * r + f, prs + 3 * r + f,
                          q + r + f, mu_out + 3 * r + f);
  }
};

template <class Space, class T> struct GateBackward {
  std::int64_t F;
  const T *gq, *gmu, *vu, *prs;
  T *gprs, *gvu;
  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const RowLane<L> at(index, F);
    const std::int64_t r = at.row * F, f = at.f;
    kernels::gate_backward_lane<L>(F, gq + r + f, gmu + 3 * r + f, vu + 6 * r + f, prs + 3 * r + f,
                                   gprs + 3 * r + f, gvu + 6 * r + f);
  }
};

template <class Space, class T> struct NormBackward {
  std::int64_t F;
  const T *vu, *joined, *g_joined;
  T *gvu, *gq;
  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const RowLane<L> at(index, F);
    const std::int64_t r = at.row * F, f = at.f;
    kernels::norm_backward_lane<L>(F, vu + 6 * r + f, joined + 2 * r + f, g_joined + 2 * r + f,
                                   gvu + 6 * r + f, gq + r + f);
  }
};

// Sums over blocks of rows. Index: block, lane of the columns.
template <class Space, class T> struct BlockSums {
  std::int64_t rows, block, columns;
  const T *values;
  T *sums;
  bool add;  // to what is there
  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const RowLane<L> at(index, columns);
    const std::int64_t begin = at.row * block, end = begin + block < rows ? begin + block : rows;
    typename L::Vector sum{};
    for (std::int64_t r = begin; r < end; ++r)
      sum += L::load(values + r * columns + at.f);
    T *to = sums + at.row * columns + at.f;
    if (add)
      kernels::add<L>(to, sum);
    else
      L::store(to, sum);
  }
};

// Two steps of about the same length, and not too many calls for what is to be done.
constexpr std::int64_t SMALLEST_BLOCK = 32, MOST_BLOCKS = 128;

}  // namespace

void mixing_norm(const at::Tensor &vu, at::Tensor &joined) {
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::kokkos::mixing_norm", [&] {
    using T = scalar_t;
    const std::int64_t F = vu.size(2) / 2;
    const Norm<Space, T> functor{F, static_cast<T>(NORM_EPS), vu.const_data_ptr<T>(),
                                 joined.data_ptr<T>()};
    for_each<Space>("godiff::mixing_norm", vu, vu.size(0) * lanes<T>(F), functor);
  });
}

void mixing_gate(const at::Tensor &joined, const at::Tensor &mu, const at::Tensor &vu,
                 const at::Tensor &prs, at::Tensor &q, at::Tensor &mu_out) {
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::kokkos::mixing_gate", [&] {
    using T = scalar_t;
    const std::int64_t F = vu.size(2) / 2;
    const Gate<Space, T> functor{F,
                                 joined.const_data_ptr<T>(),
                                 mu.const_data_ptr<T>(),
                                 vu.const_data_ptr<T>(),
                                 prs.const_data_ptr<T>(),
                                 q.data_ptr<T>(),
                                 mu_out.data_ptr<T>()};
    for_each<Space>("godiff::mixing_gate", vu, vu.size(0) * lanes<T>(F), functor);
  });
}

void mixing_gate_backward(const at::Tensor &gq, const at::Tensor &gmu, const at::Tensor &vu,
                          const at::Tensor &prs, at::Tensor &gprs, at::Tensor &gvu) {
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::kokkos::mixing_gate_backward", [&] {
    using T = scalar_t;
    const std::int64_t F = vu.size(2) / 2;
    const GateBackward<Space, T> functor{F,
                                         gq.const_data_ptr<T>(),
                                         gmu.const_data_ptr<T>(),
                                         vu.const_data_ptr<T>(),
                                         prs.const_data_ptr<T>(),
                                         gprs.data_ptr<T>(),
                                         gvu.data_ptr<T>()};
    for_each<Space>("godiff::mixing_gate_backward", vu, vu.size(0) * lanes<T>(F), functor);
  });
}

void mixing_norm_backward(const at::Tensor &vu, const at::Tensor &joined,
                          const at::Tensor &g_joined, at::Tensor &gvu, at::Tensor &gq) {
  AT_DISPATCH_FLOATING_TYPES(vu.scalar_type(), "godiff::kokkos::mixing_norm_backward", [&] {
    using T = scalar_t;
    const std::int64_t F = vu.size(2) / 2;
    const NormBackward<Space, T> functor{F,
                                         vu.const_data_ptr<T>(),
                                         joined.const_data_ptr<T>(),
                                         g_joined.const_data_ptr<T>(),
                                         gvu.data_ptr<T>(),
                                         gq.data_ptr<T>()};
    for_each<Space>("godiff::mixing_norm_backward", vu, vu.size(0) * lanes<T>(F), functor);
  });
}

void add_column_sums(const at::Tensor &values, const at::Tensor &sums) {
  AT_DISPATCH_FLOATING_TYPES(values.scalar_type(), "godiff::kokkos::add_column_sums", [&] {
    using T = scalar_t;
    const std::int64_t rows = values.size(0), columns = values.size(1);
    const std::int64_t block = std::max(SMALLEST_BLOCK, (rows + MOST_BLOCKS - 1) / MOST_BLOCKS);
    const std::int64_t blocks = (rows + block - 1) / block;
    const at::Tensor parts = at::empty({blocks, columns}, values.options());
    const BlockSums<Space, T> first{
        rows, block, columns, values.const_data_ptr<T>(), parts.data_ptr<T>(), false};
    for_each<Space>("godiff::column_sums_of_blocks", values, blocks * lanes<T>(columns), first);
    const BlockSums<Space, T> second{
        blocks, blocks, columns, parts.const_data_ptr<T>(), sums.data_ptr<T>(), true};
    for_each<Space>("godiff::add_column_sums", values, lanes<T>(columns), second);
  });
}

}  // namespace kokkos
}  // namespace godiff
