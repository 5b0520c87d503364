// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/version.hpp"

namespace godiff {

const char *version() {
  return GODIFF_VERSION;
}

}  // namespace godiff
