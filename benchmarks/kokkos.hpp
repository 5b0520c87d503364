// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#ifdef GODIFF_KOKKOS
#include <cstdlib>
#include <optional>
#include <string>

#include <Kokkos_Core.hpp>
#endif

namespace godiff_bench {

/// Kokkos as long as it lives, where GODIFF_KERNELS asks for its functors; KOKKOS_NUM_THREADS says how many
/// threads it has.
class Kokkos {
#ifdef GODIFF_KOKKOS
public:
  Kokkos() {
    const char *kernels = std::getenv("GODIFF_KERNELS");
    if (kernels && std::string(kernels) == "kokkos")
      guard_.emplace();
  }

private:
  std::optional<::Kokkos::ScopeGuard> guard_;
#endif
};

}  // namespace godiff_bench
