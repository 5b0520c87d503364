// SPDX-License-Identifier: GPL-2.0-only
// Where and how the functors of the kernels run. For *_kokkos.cpp only.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <unordered_map>

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <Kokkos_Core.hpp>
#ifdef KOKKOS_ENABLE_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

#include "kernels/row_math.hpp"

namespace godiff {
namespace kokkos {

/// The memory of the execution space can be read by the host: it is the CPU.
template <class Space>
constexpr bool IS_HOST =
    Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;

/// The lane of features that one call of a functor works on: on a GPU one feature, so that neighbouring
/// threads have neighbouring features; on the CPU a register that every machine has.
template <class Space, class T> struct LaneOf {
#ifdef GODIFF_ON_DEVICES
  using type = kernels::ScalarLane<T>;
#else
  using type =
      std::conditional_t<IS_HOST<Space>, kernels::VectorLane<T, 16>, kernels::ScalarLane<T>>;
#endif
};

#ifdef KOKKOS_ENABLE_CUDA
/// The stream that LibTorch uses, so that functors and its operations keep their order.
inline Kokkos::Cuda space_of(const Kokkos::Cuda &space, const at::Tensor &tensor) {
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
  if (stream == space.cuda_stream())
    return space;
  static std::unordered_map<cudaStream_t, Kokkos::Cuda> spaces;
  static const bool once = [] {
    Kokkos::push_finalize_hook([] { spaces.clear(); });
    return true;
  }();
  static_cast<void>(once);
  const auto found = spaces.find(stream);
  return found != spaces.end() ? found->second
                               : spaces.emplace(stream, Kokkos::Cuda(stream)).first->second;
}
#endif
template <class Space> Space space_of(const Space &space, const at::Tensor &) {
  return space;
}

/// Calls functor(i) for i < count where the tensor is, in any order. It does not wait on a GPU.
template <class Space, class Functor>
void for_each(const char *name, const at::Tensor &where, std::int64_t count,
              const Functor &functor) {
  // A functor that travels with the call, and not through a buffer on the GPU, can be recorded.
  if (count > 0)
    Kokkos::parallel_for(
        name,
        Kokkos::Experimental::require(Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(
                                          space_of(Space(), where), 0, count),
                                      Kokkos::Experimental::WorkItemProperty::HintLightWeight),
        functor);
}

/// Rows of a tensor; of an undefined one: none. T is const for tables that are only read.
template <class T> struct Table {
  T *data = nullptr;
  std::int64_t stride = 0;
  GODIFF_MATH T *operator[](std::int64_t row) const { return data + row * stride; }
  GODIFF_MATH explicit operator bool() const { return data != nullptr; }
};

template <class T> Table<const T> reading(const at::Tensor &tensor) {
  if (!tensor.defined())
    return {};
  return {tensor.const_data_ptr<T>(), tensor.stride(0)};
}

template <class T> Table<T> writing(const at::Tensor &tensor) {
  if (!tensor.defined())
    return {};
  return {tensor.data_ptr<T>(), tensor.stride(0)};
}

}  // namespace kokkos
}  // namespace godiff
