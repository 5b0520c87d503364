// SPDX-License-Identifier: GPL-2.0-only
#pragma once

namespace godiff {

/// Version of the package, as "0.1.0".
const char *version();

}  // namespace godiff
