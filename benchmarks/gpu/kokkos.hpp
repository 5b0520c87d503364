// SPDX-License-Identifier: GPL-2.0-only
// The part of gpu_check for builds with Kokkos.
#pragma once

#include <memory>

#include "work.hpp"

namespace godiff_bench {

/// Kokkos, initialised on a device until it goes away.
class KokkosScope {
public:
  explicit KokkosScope(c10::Device device);
  ~KokkosScope();

private:
  struct Scope;
  std::unique_ptr<Scope> scope_;
};

/// That the device does the work of Kokkos and of LibTorch in the order in which it was given.
void check_streams(const CheckOptions &options, Report &report);

}  // namespace godiff_bench
