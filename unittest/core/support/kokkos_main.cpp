// SPDX-License-Identifier: GPL-2.0-only
// Runs the tests of a program, with Kokkos where its kernels are asked for.
#include <cstdlib>
#include <optional>
#include <string>

#include <Kokkos_Core.hpp>
#include <gtest/gtest.h>

int main(int argc, char **argv) {
  testing::InitGoogleTest(&argc, argv);
  const char *kernels = std::getenv("GODIFF_KERNELS");
  // Its threads are those of KOKKOS_NUM_THREADS.
  std::optional<Kokkos::ScopeGuard> kokkos;
  if (kernels && std::string(kernels) == "kokkos")
    kokkos.emplace(argc, argv);
  return RUN_ALL_TESTS();
}
