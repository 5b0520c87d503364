// SPDX-License-Identifier: GPL-2.0-only
// In a build with the address sanitizer it sees what the plugin does while KOKKOS is switched on: without that,
// the silence of the other tests would prove nothing.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

using godiff::testing::kokkos_args;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool SANITIZED = true;
#else
constexpr bool SANITIZED = false;
#endif

RunResult run_with(const std::string &fault) {
  RunOptions options;
  options.args = kokkos_args(2);
  options.fault = fault;
  return SmallSearch().run(options);
}

}  // namespace

TEST(SanitizerKokkos, FindsAWriteBehindTheEnd) {
  if (!SANITIZED)
    GTEST_SKIP() << "not built with the address sanitizer: preset kokkos-asan";
  const auto run = run_with("load:0:overflow");
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.contains("heap-buffer-overflow")) << run.output;
}

TEST(SanitizerKokkos, IsSilentWithoutAFault) {
  if (!SANITIZED)
    GTEST_SKIP() << "not built with the address sanitizer: preset kokkos-asan";
  const auto run = run_with("load:1:overflow");
  EXPECT_TRUE(run.ok()) << run.output;
  EXPECT_FALSE(run.contains("Sanitizer")) << run.output;
}
