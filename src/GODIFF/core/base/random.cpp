// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/random.hpp"

namespace godiff {

namespace {

// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds become unrelated keys.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

StreamKey stream_key(std::uint64_t seed, Purpose purpose, int stage) {
  return {mix(mix(seed + 0x9e3779b97f4a7c15ULL) + static_cast<std::uint64_t>(purpose)),
          static_cast<std::uint32_t>(stage)};
}

RandomStream::RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t stage,
                           std::uint32_t item, std::uint32_t step) :
    RandomNumbers(stream_key(seed, purpose, static_cast<int>(stage)), item, step) {}

std::uint32_t RandomStream::below(std::uint32_t bound) {
  return static_cast<std::uint32_t>(uniform() * bound);  // bound < 2^32 << 2^52: bias below 2^-20
}

}  // namespace godiff
