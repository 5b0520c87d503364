// SPDX-License-Identifier: GPL-2.0-only
// libFuzzer target: the journal of evaluated energies, and a search that goes on from it.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <stdlib.h>

#include "damage.hpp"
#include "journals.hpp"
#include "libfuzzer.hpp"

namespace {

using godiff_test::JournalReader;

std::vector<std::unique_ptr<JournalReader>> &readers() {
  static std::vector<std::unique_ptr<JournalReader>> all = [] {
    std::vector<std::unique_ptr<JournalReader>> made;
    for (const auto &search : godiff_test::journaled_searches())
      made.push_back(std::make_unique<JournalReader>(search));
    return made;
  }();
  return all;
}

// A folder that ends with the process.
const std::string &folder() {
  static const struct Folder {
    std::string path = (std::filesystem::temp_directory_path() / "fuzz-journal-XXXXXX").string();
    Folder() {
      if (!mkdtemp(&path[0]))
        throw std::runtime_error("cannot make a folder like " + path);
    }
    ~Folder() { std::filesystem::remove_all(path); }
  } made;
  return made.path;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  return godiff_test::mutate(data, size, max_size, seed, godiff_test::damage_journal);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char *>(data), size);
  const std::string path = folder() + "/run.journal";
  return godiff_test::stop_if_broken([&] {
    for (const auto &reader : readers()) {
      std::ofstream(path, std::ios::binary) << bytes;
      reader->read(path, bytes);
    }
  });
}
