// SPDX-License-Identifier: GPL-2.0-only
// Writes the files that the fuzzers start from into FOLDER/checkpoint, FOLDER/training and
// FOLDER/journal: make_seeds FOLDER
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "journals.hpp"
#include "saved_searches.hpp"

namespace {

void write(const std::filesystem::path &path, const std::string &bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  if (!file.flush())
    throw std::runtime_error("cannot write " + path.string());
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) {
    std::cerr << "Usage: make_seeds FOLDER\n";
    return 1;
  }
  try {
    const std::filesystem::path folder = argv[1], checkpoints = folder / "checkpoint",
                                trainings = folder / "training", journals = folder / "journal";
    for (const auto &path : {checkpoints, trainings, journals})
      std::filesystem::create_directories(path);
    int k = 0;
    for (const auto &saved : godiff_test::saved_searches()) {
      write(checkpoints / ("search-" + std::to_string(k++)), saved.bytes);
      std::cout << saved.name << ": " << saved.bytes.size() << " bytes\n";
    }
    for (const auto &saved : godiff_test::saved_in_training()) {
      godiff::Search search(godiff_test::toy_system(), saved.settings);
      search.restore(godiff::SafeTensors::from_bytes(saved.bytes, saved.name));
      write(trainings / std::to_string(k++), search.save_training().to_bytes());
    }
    for (const auto &search : godiff_test::journaled_searches())
      write(journals / std::to_string(k++), search.journal);
    // Small ones, where changes of single bytes reach the header.
    godiff::SafeTensors small;
    write(checkpoints / "empty", small.to_bytes());
    small.put_metadata("format", "godiff-checkpoint");
    small.put_metadata("format_version", "1");
    small.put("search.position", at::zeros({5}, at::kDouble));
    small.put("archive.integers", at::zeros({0, 5}, at::kLong));
    write(checkpoints / "small", small.to_bytes());
    write(journals / "empty", godiff_test::sealed_journal({}));
  } catch (const std::exception &error) {
    std::cerr << "make_seeds: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
