// SPDX-License-Identifier: GPL-2.0-only
// The address sanitizer sees what the plugin does inside of a LAMMPS that is not built with them:
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

TEST(AddressSanitizer, IsSilentWithoutAFault) {
  RunOptions options;
  options.fault = "load:1:overflow";
  const auto run = SmallSearch().run(options);
  EXPECT_TRUE(run.ok()) << run.output;
  EXPECT_FALSE(run.contains("Sanitizer")) << run.output;
}
