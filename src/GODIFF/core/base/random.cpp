// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/random.hpp"

#include <cmath>

namespace godiff {

namespace {

// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds become unrelated keys.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::uint64_t key(std::uint64_t seed, Purpose purpose) {
  return mix(mix(seed + 0x9e3779b97f4a7c15ULL) + static_cast<std::uint64_t>(purpose));
}

constexpr int COUNTER_BITS_PER_STEP = 16;  // 2^16 blocks of four 32-bit words for one stream

}  // namespace

RandomStream::RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t stage,
                           std::uint32_t item, std::uint32_t step) :
    engine_(key(seed, purpose), (static_cast<std::uint64_t>(stage) << 32) | item,
            static_cast<std::uint64_t>(step) << COUNTER_BITS_PER_STEP) {}

double RandomStream::uniform() {
  const std::uint64_t high = engine_();
  const std::uint64_t low = engine_();
  const std::uint64_t bits = ((high << 32) | low) >> 12;  // 52 bits: bits + 0.5 is exact
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

double RandomStream::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2.0 * std::log(uniform()));
  const double angle = 2.0 * M_PI * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

std::uint32_t RandomStream::below(std::uint32_t bound) {
  return static_cast<std::uint32_t>(uniform() * bound);  // bound < 2^32 << 2^52: bias below 2^-20
}

}  // namespace godiff
