// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <stdexcept>
#include <string>

namespace godiff {

/// The only exception the core throws on purpose; the message is complete (what, value, remedy).
class Error : public std::runtime_error {
public:
  explicit Error(const std::string &message) : std::runtime_error(message) {}
};

}  // namespace godiff
