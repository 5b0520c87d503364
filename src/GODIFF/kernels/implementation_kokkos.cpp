// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/implementation.hpp"
#include "kernels/kokkos_space.hpp"

namespace godiff {
namespace kokkos {

bool runs_on(c10::Device device) {
  if (!Kokkos::is_initialized() || Kokkos::is_finalized())
    return false;
  if (IS_HOST<Kokkos::DefaultExecutionSpace>)
    return device.is_cpu();
#ifdef KOKKOS_ENABLE_CUDA
  return device.is_cuda() && device.index() == Kokkos::device_id();
#else
  return false;
#endif
}

}  // namespace kokkos
}  // namespace godiff
