// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

namespace godiff {

/// Checksum of 64 bits (FNV-1a) of what is added to it, in this order: tells equal bytes from others,
/// but is no defence against somebody who looks for a collision.
class Digest {
public:
  /// Adds the bytes as they are.
  Digest &add(std::string_view bytes) {
    for (const char c : bytes)
      value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    return *this;
  }
  /// Adds the bits of a number: 0.0 and -0.0 differ.
  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> Digest &add(T number) {
    return add(std::string_view(reinterpret_cast<const char *>(&number), sizeof number));
  }
  /// Adds the number of elements and the bits of each.
  template <class T> Digest &add(const std::vector<T> &numbers) {
    static_assert(std::is_arithmetic_v<T>);
    add(static_cast<std::uint64_t>(numbers.size()));
    return add(std::string_view(reinterpret_cast<const char *>(numbers.data()),
                                numbers.size() * sizeof(T)));
  }
  std::uint64_t value() const { return value_; }

private:
  std::uint64_t value_ = 0xcbf29ce484222325ull;
};

}  // namespace godiff
