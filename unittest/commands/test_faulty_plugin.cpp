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
  EXPECT_TRUE(run.contains("not 'explode' in 'sample:0:explode'")) << run.output;
}

TEST(FaultyPlugin, ThePluginDoesNotReadTheEnvironment) {
  EXPECT_EQ(read_file(GODIFF_PLUGIN).find("GODIFF_FAULT"), std::string::npos);
  EXPECT_NE(read_file(GODIFF_FAULTY_PLUGIN).find("GODIFF_FAULT"), std::string::npos);
}

TEST(FaultyPlugin, FailsOnOneOfTwoRanks) {
  RunOptions options;
  options.nprocs = 2;
  options.fault = "load:1:exit";
  const auto run = SmallSearch().run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.contains("FAULT exit at load on rank 1, passage 1")) << run.output;
}
