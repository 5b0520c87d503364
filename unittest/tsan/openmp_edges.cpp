// SPDX-License-Identifier: GPL-2.0-only
// Linked into all tests with the thread sanitizer. The OpenMP runtime is not built with it, so the start
// and the end of a parallel region look unordered, and all that threads hand to each other looks like a
// race. This stands before GOMP_parallel of the runtime, for LibTorch as well as for our files, and tells
// the sanitizer of both. Races inside of a region stay visible. Barriers and critical sections are not
// covered: the project has none.
#include <cstdlib>
#include <dlfcn.h>

#include <sanitizer/tsan_interface.h>

namespace {

struct Region {
  void (*body)(void *);
  void *data;
  char begun, ended;  // only their addresses matter
};

// Not instrumented: it reads the region before the sanitizer may know that it is there.
__attribute__((no_sanitize("thread"))) void run(void *opaque) {
  auto *region = static_cast<Region *>(opaque);
  __tsan_acquire(&region->begun);
  region->body(region->data);
  __tsan_release(&region->ended);
}

}  // namespace

extern "C" __attribute__((visibility("default"), no_sanitize("thread"))) void
GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags) {
  using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
  static const auto real = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  if (!real)
    std::abort();
  Region region{body, data, 0, 0};
  __tsan_release(&region.begun);
  real(&run, &region, threads, flags);
  __tsan_acquire(&region.ended);
}

// Read by the sanitizer when the program starts. LibTorch is not built with it: what that does with memory
// is not looked at, because most of what orders it is not seen either.
extern "C" __attribute__((visibility("default"))) const char *__tsan_default_options() {
  return "ignore_noninstrumented_modules=1";
}
