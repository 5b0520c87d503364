// SPDX-License-Identifier: GPL-2.0-only
// Which kernels work on which tensors; the one place that decides.
#pragma once

#include <ATen/core/Tensor.h>

namespace godiff {
namespace kernels {

/// ROWS: loops for the CPU, in the instruction set of the machine; one thread, several may call them.
/// KOKKOS: functors for the device of Kokkos, all of it; one call after the other.
/// PLAIN: LibTorch operations, for any device.
enum class Implementation { ROWS, KOKKOS, PLAIN };

/// "rows", "kokkos" or "plain".
const char *name(Implementation implementation);

/// What runs for tensors of a device: ROWS on the CPU, KOKKOS on the device of Kokkos where that is
/// built in and initialised, otherwise PLAIN. The environment variable GODIFF_KERNELS names another one:
/// plain for all devices, rows or kokkos for the CPU, the latter if Kokkos runs on the CPU and is
/// initialised. Throws std::runtime_error for other words.
Implementation implementation(c10::Device device);

}  // namespace kernels

namespace kokkos {

/// Whether Kokkos is initialised and its default execution space is this device.
bool runs_on(c10::Device device);

}  // namespace kokkos
}  // namespace godiff

// Leaves the function with what the kernels of another implementation than ROWS return.
#ifdef GODIFF_KOKKOS
#define GODIFF_RETURN_KOKKOS(...) return kokkos::__VA_ARGS__
#else
#define GODIFF_RETURN_KOKKOS(...) break
#endif
#define GODIFF_RETURN_UNLESS_ROWS(tensor, ...)          \
  switch (kernels::implementation((tensor).device())) { \
    case kernels::Implementation::KOKKOS:               \
      GODIFF_RETURN_KOKKOS(__VA_ARGS__);                \
    case kernels::Implementation::PLAIN:                \
      return plain::__VA_ARGS__;                        \
    case kernels::Implementation::ROWS:                 \
      break;                                            \
  }
