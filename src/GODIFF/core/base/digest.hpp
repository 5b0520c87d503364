// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
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
      value_ = (value_ ^ static_cast<unsigned char>(c)) * PRIME;
    return *this;
  }
  /// Adds the bytes eight at a time, which is several times faster and gives another value; at the
  /// end fewer than eight are added as they are.
  Digest &add_words(std::string_view bytes) {
    std::uint64_t word;
    for (; bytes.size() >= sizeof word; bytes.remove_prefix(sizeof word)) {
      std::memcpy(&word, bytes.data(), sizeof word);
      value_ = (value_ ^ word) * PRIME;
      // A product passes high bits on to no others: without this two changed signs would cancel.
      value_ ^= value_ >> 32;
    }
    return add(bytes);
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
  static constexpr std::uint64_t PRIME = 0x100000001b3ull;

  std::uint64_t value_ = 0xcbf29ce484222325ull;
};

}  // namespace godiff
