// SPDX-License-Identifier: GPL-2.0-only
// Small helpers for arrays of Kokkos: memory with slack, sums in a fixed order, sorting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kokkos_type.h"

namespace LAMMPS_NS {
namespace GODiff {

/// Makes a one-dimensional view at least `size` long, with slack, so that it is rarely made anew; what was
/// in it is lost then. Adds 1 to `allocations` when memory is taken.
template <class View>
void reserve(View &view, const char *name, std::int64_t size, bigint &allocations) {
  if (static_cast<std::size_t>(size) <= view.extent(0))
    return;
  view = View();  // never both at the same time
  view = View(Kokkos::view_alloc(Kokkos::WithoutInitializing, std::string(name)),
              static_cast<std::size_t>(size + size / 4 + 64));
  ++allocations;
}

/// A number of an array on the device.
template <class View> typename View::non_const_value_type one_of(const View &view, std::int64_t i) {
  typename View::non_const_value_type value{};
  const auto at = static_cast<std::size_t>(i);
  Kokkos::deep_copy(
      Kokkos::View<decltype(value) *, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(&value, 1),
      Kokkos::subview(view, Kokkos::make_pair(at, at + 1)));
  return value;
}

/// Sorts numbers in ascending order, in place: a heap sort, which takes no memory.
template <class Number> KOKKOS_INLINE_FUNCTION void sort(Number *numbers, std::int64_t size) {
  for (std::int64_t begin = size / 2, end = size; end > 1;) {
    Number moving;
    if (begin > 0) {
      moving = numbers[--begin];
    } else {
      --end;
      moving = numbers[end];
      numbers[end] = numbers[0];
    }
    std::int64_t hole = begin;
    for (std::int64_t child = 2 * hole + 1; child < end; child = 2 * hole + 1) {
      if (child + 1 < end && numbers[child] < numbers[child + 1])
        ++child;
      if (!(moving < numbers[child]))
        break;
      numbers[hole] = numbers[child];
      hole = child;
    }
    numbers[hole] = moving;
  }
}

/// Sums of N numbers over i = 0 ... n - 1. The order depends on n alone, not on the number of threads:
/// blocks are added up one after the other, then blocks of the sums of blocks.
template <class DeviceType, int N> class BlockSum {
public:
  /// `term(i, sum)` adds to double sum[N]; the result is in `sum` on the host.
  template <class Term>
  void operator()(const char *name, std::int64_t n, const Term &term, double *sum) {
    for (int k = 0; k < N; ++k)
      sum[k] = 0.0;
    if (n <= 0)
      return;
    std::int64_t blocks = (n + BLOCK - 1) / BLOCK;
    reserve(partial_, name, N * (blocks + (blocks + BLOCK - 1) / BLOCK), allocations_);
    const auto partial = partial_;
    Kokkos::parallel_for(
        name, Policy(0, blocks), KOKKOS_LAMBDA(const std::int64_t block) {
          double s[N];
          for (int k = 0; k < N; ++k)
            s[k] = 0.0;
          const std::int64_t end = block * BLOCK + BLOCK < n ? block * BLOCK + BLOCK : n;
          for (std::int64_t i = block * BLOCK; i < end; ++i)
            term(i, s);
          for (int k = 0; k < N; ++k)
            partial(N * block + k) = s[k];
        });
    // What was summed lies at `from`, the next sums go where there is room.
    std::int64_t from = 0, to = N * blocks;
    while (blocks > 1) {
      const std::int64_t size = blocks;
      blocks = (size + BLOCK - 1) / BLOCK;
      Kokkos::parallel_for(
          name, Policy(0, blocks), KOKKOS_LAMBDA(const std::int64_t block) {
            double s[N];
            for (int k = 0; k < N; ++k)
              s[k] = 0.0;
            const std::int64_t end = block * BLOCK + BLOCK < size ? block * BLOCK + BLOCK : size;
            for (std::int64_t i = block * BLOCK; i < end; ++i)
              for (int k = 0; k < N; ++k)
                s[k] += partial(from + N * i + k);
            for (int k = 0; k < N; ++k)
              partial(to + N * block + k) = s[k];
          });
      const std::int64_t read = from;
      from = to;
      to = read;
    }
    const auto begin = static_cast<std::size_t>(from);
    Kokkos::deep_copy(Kokkos::View<double *, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(sum, N),
                      Kokkos::subview(partial, Kokkos::make_pair(begin, begin + N)));
  }

  /// How often memory was taken.
  bigint allocations() const { return allocations_; }
  double memory() const { return static_cast<double>(partial_.extent(0) * sizeof(double)); }

private:
  using Policy = Kokkos::RangePolicy<DeviceType, Kokkos::IndexType<std::int64_t>>;
  static constexpr std::int64_t BLOCK = 64;
  Kokkos::View<double *, DeviceType> partial_;
  bigint allocations_ = 0;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
