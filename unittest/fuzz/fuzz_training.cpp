// SPDX-License-Identifier: GPL-2.0-only
// libFuzzer target: the state of a training that was interrupted, PREFIX.training.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "damage.hpp"
#include "libfuzzer.hpp"
#include "saved_searches.hpp"

namespace {

using godiff_test::Reader;

std::vector<std::unique_ptr<Reader>> &readers() {
  static std::vector<std::unique_ptr<Reader>> all = [] {
    std::vector<std::unique_ptr<Reader>> made;
    for (auto &saved : godiff_test::saved_in_training())
      made.push_back(std::make_unique<Reader>(std::move(saved)));
    return made;
  }();
  return all;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  return godiff_test::mutate(data, size, max_size, seed, godiff_test::damage_checkpoint);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char *>(data), size);
  return godiff_test::stop_if_broken([&] {
    for (const auto &reader : readers())
      reader->train(bytes);
  });
}
