// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/threads.hpp"

#include <ATen/Parallel.h>

namespace godiff {

ThreadScope::ThreadScope(int threads) : before_(at::get_num_threads()) {
  at::set_num_threads(threads);
}

ThreadScope::~ThreadScope() {
  at::set_num_threads(before_);
}

}  // namespace godiff
