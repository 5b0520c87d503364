// SPDX-License-Identifier: GPL-2.0-only
// The address and leak sanitizers see what the plugin does inside of a LAMMPS that is not built with them:
// without that, the silence of the other tests would prove nothing.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

using godiff::testing::RunOptions;
using godiff::testing::SmallSearch;

TEST(AddressSanitizer, FindsAWriteBehindTheEnd) {
  RunOptions options;
  options.fault = "load:0:overflow";
  const auto run = SmallSearch().run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.contains("heap-buffer-overflow")) << run.output;
}

TEST(AddressSanitizer, FindsALeak) {
  RunOptions options;
  options.fault = "load:0:leak";
  const auto run = SmallSearch().run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.contains("LeakSanitizer: detected memory leaks")) << run.output;
  EXPECT_TRUE(run.contains("testing/faults.hpp")) << run.output;
}

TEST(AddressSanitizer, IsSilentWithoutAFault) {
  RunOptions options;
  options.fault = "load:1:leak";
  const auto run = SmallSearch().run(options);
  EXPECT_TRUE(run.ok()) << run.output;
  EXPECT_FALSE(run.contains("Sanitizer")) << run.output;
}
