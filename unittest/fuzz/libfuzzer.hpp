// SPDX-License-Identifier: GPL-2.0-only
// What the libFuzzer targets share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "damage.hpp"
#include "saved_searches.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t *data, std::size_t size, std::size_t max_size);

namespace godiff_test {

/// A mutation for LLVMFuzzerCustomMutator: half of them are `damage(bytes, dice)`, which knows the
/// format, half are libFuzzer's own.
template <class Damage>
std::size_t mutate(std::uint8_t *data, std::size_t size, std::size_t max_size, unsigned int seed,
                   Damage damage) {
  Dice dice(seed);
  if (dice.one_in(2))
    return LLVMFuzzerMutate(data, size, max_size);
  const std::string damaged = damage(std::string(reinterpret_cast<const char *>(data), size), dice);
  if (damaged.size() > max_size)
    return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, damaged.data(), damaged.size());
  return damaged.size();
}

/// Runs `call` for LLVMFuzzerTestOneInput: a broken rule is a finding.
template <class Call> int stop_if_broken(Call call) {
  try {
    call();
  } catch (const RuleBroken &broken) {
    std::fprintf(stderr, "%s\n", broken.what());
    std::abort();
  }
  return 0;
}

}  // namespace godiff_test
