// SPDX-License-Identifier: GPL-2.0-only
// The plugin variant that fails on demand: apart from that it is the plugin, and the plugin itself
// knows nothing of it.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

using godiff::testing::read_file;
using godiff::testing::RunOptions;
using godiff::testing::SmallSearch;

TEST(FaultyPlugin, SearchesAsThePluginDoes) {
  const auto genuine = SmallSearch().run();
  RunOptions options;
  options.fault = "sample:1:throw";  // there is no rank 1
  const auto faulty = SmallSearch().run(options);
  ASSERT_TRUE(genuine.ok()) << genuine.output;
  ASSERT_TRUE(faulty.ok()) << faulty.output;
  EXPECT_EQ(faulty.file("godiff.s.csv"), genuine.file("godiff.s.csv"));
}

TEST(FaultyPlugin, RefusesAMisspeltFault) {
  RunOptions options;
  options.fault = "sample:0:explode";
  const auto run = SmallSearch().run(options);
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_TRUE(run.contains("sleep=SECONDS or nan, not 'explode'")) << run.output;
}

TEST(FaultyPlugin, ThePluginDoesNotReadTheEnvironment) {
  EXPECT_EQ(read_file(GODIFF_PLUGIN).find("GODIFF_FAULT"), std::string::npos);
  EXPECT_NE(read_file(GODIFF_FAULTY_PLUGIN).find("GODIFF_FAULT"), std::string::npos);
}
