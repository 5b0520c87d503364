// SPDX-License-Identifier: GPL-2.0-only
// The files of a search in the process of the test, and of the same search in a process of its own.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "testing/small_search.hpp"

namespace godiff::testing {

/// The lines of a search up to and without its run commands.
inline std::string definition(SmallSearch search) {
  search.commands.clear();
  return search.input();
}

using Contents = std::vector<std::string>;

inline const Contents ENDINGS = {".csv", ".xyz", ".best", ".ckpt"};

/// Files of the search PREFIX in the working folder, in the order of ENDINGS.
inline Contents contents(const std::string &prefix = "godiff.s") {
  Contents all;
  for (const std::string &ending : ENDINGS)
    all.push_back(read_file(prefix + ending));
  return all;
}

/// Files of the search in a process of its own.
inline Contents contents_alone(const SmallSearch &search, const RunOptions &options = {}) {
  const auto run = search.run(options);
  EXPECT_TRUE(run.ok()) << run.output;
  Contents all;
  for (const std::string &ending : ENDINGS)
    all.push_back(run.file("godiff.s" + ending));
  return all;
}

/// Expects them to be the same, all but the checkpoint, which holds times as well.
inline void expect_same_files(const Contents &found, const Contents &expected) {
  for (std::size_t k = 0; k < ENDINGS.size(); ++k) {
    EXPECT_FALSE(found[k].empty()) << ENDINGS[k];
    EXPECT_TRUE(ENDINGS[k] == ".ckpt" || found[k] == expected[k]) << ENDINGS[k] << " differs";
  }
}

}  // namespace godiff::testing
