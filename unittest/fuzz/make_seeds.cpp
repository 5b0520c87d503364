// SPDX-License-Identifier: GPL-2.0-only
// Writes the files that a fuzzer starts from: make_seeds FOLDER
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

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
    const std::filesystem::path folder = argv[1];
    std::filesystem::create_directories(folder);
    int k = 0;
    for (const auto &saved : godiff_test::saved_searches()) {
      write(folder / ("search-" + std::to_string(k++)), saved.bytes);
      std::cout << saved.name << ": " << saved.bytes.size() << " bytes\n";
    }
    // Small ones, where changes of single bytes reach the header.
    godiff::SafeTensors small;
    write(folder / "empty", small.to_bytes());
    small.put_metadata("format", "godiff-checkpoint");
    small.put_metadata("format_version", "1");
    small.put("search.position", at::zeros({5}, at::kDouble));
    small.put("archive.integers", at::zeros({0, 5}, at::kLong));
    write(folder / "small", small.to_bytes());
  } catch (const std::exception &error) {
    std::cerr << "make_seeds: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
