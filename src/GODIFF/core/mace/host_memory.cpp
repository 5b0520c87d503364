// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/host_memory.hpp"

#include <cstdlib>
#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace godiff {

namespace {

bool set_thresholds() {
#ifdef __GLIBC__
  const char *wish = std::getenv("GODIFF_MALLOPT");
  if (wish && std::string(wish) == "0")
    return false;
  constexpr int GIB = 1 << 30;
  // Older versions of the C library accept no more than 32 MiB.
  if (mallopt(M_MMAP_THRESHOLD, GIB) == 0)
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, GIB);
  return true;
#else
  return false;
#endif
}

}  // namespace

void keep_freed_memory() {
  static const bool done = set_thresholds();
  static_cast<void>(done);
}

}  // namespace godiff
