// SPDX-License-Identifier: GPL-2.0-only
// Random numbers from counters, the same on the CPU and on a GPU but for the rounding of its logarithm, sine and
// cosine.
#pragma once

#include <cmath>
#include <cstdint>

#include <ATen/core/PhiloxRNGEngine.h>

#include "kernels/on_devices.hpp"

namespace godiff {

/// What tells the streams of one purpose and stage apart from all others.
struct StreamKey {
  std::uint64_t key = 0;
  std::uint32_t stage = 0;
};

/// The numbers of one stream (Philox4x32-10, method section 14).
class RandomNumbers {
public:
  /// Stream (item, step) of a key, but for its first `skipped` uniform numbers.
  GODIFF_MATH RandomNumbers(const StreamKey &key, std::uint32_t item, std::uint32_t step,
                            std::uint32_t skipped = 0) :
      engine_(key.key, (static_cast<std::uint64_t>(key.stage) << 32) | item,
              (static_cast<std::uint64_t>(step) << COUNTER_BITS_PER_STEP) + skipped / 2) {
    // A block of the engine has two uniform numbers.
    if (skipped % 2 != 0)
      uniform();
  }

  /// Uniform on the open interval (0,1), 52 random bits.
  GODIFF_MATH double uniform() {
    const std::uint64_t high = engine_();
    const std::uint64_t low = engine_();
    const std::uint64_t bits = ((high << 32) | low) >> 12;  // 52 bits: bits + 0.5 is exact
    return (static_cast<double>(bits) + 0.5) * 0x1p-52;
  }

  /// Standard normal by Box-Muller (two uniforms give two normals).
  GODIFF_MATH double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double radius = ::sqrt(-2.0 * ::log(uniform()));
    const double angle = 2.0 * M_PI * uniform();
    spare_ = radius * ::sin(angle);
    has_spare_ = true;
    return radius * ::cos(angle);
  }

private:
  // 2^16 blocks of four 32-bit words for one stream.
  static constexpr int COUNTER_BITS_PER_STEP = 16;

  at::Philox4_32 engine_;
  double spare_ = 0.0;
  bool has_spare_ = false;
};

}  // namespace godiff
