// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/implementation.hpp"

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>

namespace godiff {
namespace kernels {

namespace {

constexpr Implementation ALL[] = {Implementation::ROWS, Implementation::KOKKOS,
                                  Implementation::PLAIN};

std::optional<Implementation> asked_for() {
  const char *word = std::getenv("GODIFF_KERNELS");
  if (!word || *word == '\0')
    return {};
  for (Implementation one : ALL)
    if (word == std::string(name(one)))
      return one;
  throw std::runtime_error("the environment variable GODIFF_KERNELS is '" + std::string(word) +
                           "' but must be rows, kokkos or plain, or not be set");
}

bool kokkos_runs_on(c10::Device device) {
#ifdef GODIFF_KOKKOS
  return kokkos::runs_on(device);
#else
  static_cast<void>(device);
  return false;
#endif
}

}  // namespace

const char *name(Implementation implementation) {
  switch (implementation) {
    case Implementation::KOKKOS:
      return "kokkos";
    case Implementation::PLAIN:
      return "plain";
    default:
      return "rows";
  }
}

Implementation implementation(c10::Device device) {
  static const std::optional<Implementation> asked = asked_for();
  if (asked == Implementation::PLAIN)
    return Implementation::PLAIN;
  if (device.is_cpu())
    return asked == Implementation::KOKKOS && kokkos_runs_on(device) ? Implementation::KOKKOS
                                                                     : Implementation::ROWS;
  return kokkos_runs_on(device) ? Implementation::KOKKOS : Implementation::PLAIN;
}

}  // namespace kernels
}  // namespace godiff
