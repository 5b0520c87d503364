// SPDX-License-Identifier: GPL-2.0-only
// What two runs of the same search have in common, however often they were interrupted.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "testing/small_search.hpp"

namespace godiff::testing {

/// Data of all tensors of a checkpoint that are not wall times, by name.
inline std::map<std::string, std::string> tensors(const std::string &bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  std::map<std::string, std::string> found;
  for (const auto &[name, info] : header.items()) {
    // These hold seconds among their numbers.
    if (name == "__metadata__" || name == "search.totals" || name == "search.stages" ||
        name == "search.current")
      continue;
    const std::size_t begin = info["data_offsets"][0], end = info["data_offsets"][1];
    found[name] = bytes.substr(8 + length + begin, end - begin);
  }
  return found;
}

/// Fails the test unless both runs have left the same files, but for wall times.
inline void expect_equal(const RunResult &a, const RunResult &b,
                         const std::string &prefix = "godiff.s") {
  EXPECT_EQ(a.file(prefix + ".csv"), b.file(prefix + ".csv"));
  EXPECT_EQ(a.file(prefix + ".xyz"), b.file(prefix + ".xyz"));
  EXPECT_EQ(a.file(prefix + ".best"), b.file(prefix + ".best"));
  const auto x = tensors(a.file(prefix + ".ckpt")), y = tensors(b.file(prefix + ".ckpt"));
  EXPECT_GT(x.size(), 10u);
  ASSERT_EQ(x.size(), y.size());
  for (const auto &[name, data] : x)
    EXPECT_TRUE(y.count(name) && y.at(name) == data) << name;
}

/// The script that continues `search` from a restart file.
inline std::string continuation(const SmallSearch &search, const std::string &file,
                                const std::string &commands) {
  return "read_restart " + file + "\n" + search.potential + search.fix() + search.after +
         "thermo 1\nthermo_style custom step pe f_s\n" + commands;
}

}  // namespace godiff::testing
