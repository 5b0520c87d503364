// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace godiff {

/// The rest of the name of everything whose path begins with `prefix`, in no order; nothing when the
/// folder cannot be listed.
std::vector<std::string> endings_of(const std::string &prefix);

/// Whether `text` has one or more decimal digits and nothing else.
bool is_number(std::string_view text);

}  // namespace godiff
