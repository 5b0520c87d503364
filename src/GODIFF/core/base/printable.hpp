// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <string>

namespace godiff {

/// Text of a foreign file as a message can hold it: what is not printable ASCII becomes '?', what is
/// longer than `most` characters is cut.
std::string printable(std::string text, std::size_t most);

}  // namespace godiff
