// SPDX-License-Identifier: GPL-2.0-only
// libFuzzer target: everything that reads a checkpoint or the state in a restart file.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "damage.hpp"
#include "saved_searches.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t *data, std::size_t size, std::size_t max_size);

namespace {

using godiff_test::Reader;

std::vector<std::unique_ptr<Reader>> &readers() {
  static std::vector<std::unique_ptr<Reader>> all = [] {
    std::vector<std::unique_ptr<Reader>> made;
    for (auto &saved : godiff_test::saved_searches())
      made.push_back(std::make_unique<Reader>(std::move(saved)));
    return made;
  }();
  return all;
}

}  // namespace

// Half of the mutations know the format, half are libFuzzer's own.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  godiff_test::Dice dice(seed);
  if (dice.one_in(2))
    return LLVMFuzzerMutate(data, size, max_size);
  const std::string bytes(reinterpret_cast<const char *>(data), size);
  const std::string damaged = godiff_test::damage_checkpoint(bytes, dice);
  if (damaged.size() > max_size)
    return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, damaged.data(), damaged.size());
  return damaged.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char *>(data), size);
  try {
    for (const auto &reader : readers())
      reader->restore(bytes);
    readers()[size % readers().size()]->load(bytes);
  } catch (const godiff_test::RuleBroken &broken) {
    std::fprintf(stderr, "%s\n", broken.what());
    std::abort();
  }
  return 0;
}
