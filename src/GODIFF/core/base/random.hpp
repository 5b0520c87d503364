// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

#include "kernels/random_numbers.hpp"

namespace godiff {

/// What a random number is for; part of the key, so that streams of different purpose never meet.
/// The numeric values are part of the restart contract: append, never renumber.
enum class Purpose : std::uint32_t {
  INIT = 1,
  PRIOR = 2,
  REVERSE_NOISE = 3,
  TRAINING_TIME = 4,
  TRAINING_NOISE = 5,
  SPLIT = 6,
  SHUFFLE = 7,
  KEYS = 8,
  VALIDATION_TIME = 9,
  VALIDATION_NOISE = 10,
  FORCE_SPLIT = 11,
  FORCE_SHUFFLE = 12,
};

/// The key of a purpose in a search with this seed, for a stage counted from 0.
StreamKey stream_key(std::uint64_t seed, Purpose purpose, int stage = 0);

/// Counter-based random numbers (Philox4x32-10, method section 14): the sequence depends only on
/// (seed, purpose, stage, item, step), never on call order, batch split, threads or ranks.
/// All draws are made in float64 and cast by the caller.
class RandomStream : public RandomNumbers {
public:
  /// stage, item (candidate, optimiser step, ...) and step (diffusion step, structure in the batch)
  /// count from 0; one stream yields at most 2^17
  /// numbers.
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t stage = 0, std::uint32_t item = 0,
               std::uint32_t step = 0);

  /// Uniform integer in [0, bound), bound > 0.
  std::uint32_t below(std::uint32_t bound);
};

}  // namespace godiff
