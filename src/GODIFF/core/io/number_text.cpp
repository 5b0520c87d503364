// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/number_text.hpp"

#include <charconv>
#include <cmath>

namespace godiff {

namespace {

constexpr int MAX_CHARS = 400;  // 309 digits of the largest double in fixed notation, and decimals

template <class... Format> std::string to_text(double value, Format... format) {
  if (std::isnan(value))
    return "nan";  // never "-nan": its sign says nothing
  char buffer[MAX_CHARS];
  const auto end = std::to_chars(buffer, buffer + MAX_CHARS, value, format...).ptr;
  return std::string(buffer, end);
}

}  // namespace

std::string exact_text(double value) {
  return to_text(value);
}

std::string short_text(double value, int digits) {
  return to_text(value, std::chars_format::general, digits);
}

std::string fixed_text(double value, int decimals) {
  return to_text(value, std::chars_format::fixed, decimals);
}

}  // namespace godiff
