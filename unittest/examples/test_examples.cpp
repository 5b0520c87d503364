// SPDX-License-Identifier: GPL-2.0-only
// Every example runs, small, and leaves what its README promises.
#include <cmath>

#include <gtest/gtest.h>

#include "testing/example.hpp"

using namespace godiff::testing;

namespace {

std::size_t data_rows(const std::string &csv) {
  return lines_of(csv).size() - 1;
}

// Runs a small version and checks what all examples have in common.
ExampleResult check(const std::filesystem::path &examples, const std::string &name, int stages,
                    int samples) {
  const RunResult run =
      run_example(examples, name,
                  {"stages", std::to_string(stages), "samples", std::to_string(samples), "steps",
                   "4", "seed", "7", "prefix", "short"});
  EXPECT_TRUE(run.ok()) << run.output;
  const ExampleResult result = read_result(run);
  const auto folder = examples / name;
  EXPECT_EQ(data_rows(read_file(folder / "short.csv")), static_cast<std::size_t>(stages * samples));
  for (const char *file : {"short.xyz", "short.best", "short.ckpt"})
    EXPECT_GT(std::filesystem::file_size(folder / file), 0u) << file;
  EXPECT_TRUE(std::isfinite(result.number.at("found")));
  // Minimization only lowers the energy; 1e-6 is the printed precision.
  EXPECT_LE(result.number.at("minimized"), result.number.at("found") + 1e-6);
  return result;
}

}  // namespace

TEST(Example, Adatom) {
  const ExampleResult result = check(copy_examples(), "adatom", 2, 4);
  EXPECT_EQ(result.number.at("evaluations"), 8);
  ASSERT_EQ(result.at.size(), 3u);
  EXPECT_GE(result.at[2], 5.88);  // above the highest template atom
}

TEST(Example, HeptamerAndTransferFromTheAdatom) {
  const auto examples = copy_examples();
  check(examples, "heptamer", 2, 3);
  // The adatom run leaves the network that the transfer example loads.
  const RunResult adatom = run_example(
      examples, "adatom", {"stages", "1", "samples", "4", "steps", "4", "prefix", "adatom"});
  ASSERT_TRUE(adatom.ok()) << adatom.output;
  const ExampleResult transfer = check(examples, "heptamer_transfer", 1, 3);
  EXPECT_EQ(transfer.number.at("evaluations"), 3);
}

TEST(Example, HeptamerGuided) {
  const ExampleResult result = check(copy_examples(), "heptamer_guided", 2, 3);
  EXPECT_EQ(result.number.at("evaluations"), 6);
}

TEST(Example, RandomStructureSearch) {
  const auto examples = copy_examples();
  const ExampleResult result = check(examples, "rss", 1, 3);
  // Every relaxation step counts: at most 101 energies per candidate, and more than one.
  EXPECT_GT(result.number.at("evaluations"), 3);
  EXPECT_LE(result.number.at("evaluations"), 303);
  EXPECT_EQ(result.outcome, result.number.at("minimized") <= -407.05 ? "success" : "failure");
  // An unreachable aim is a failure, one that every structure meets stops at the first candidate.
  const RunResult easy =
      run_example(examples, "rss", {"samples", "3", "success", "-1", "prefix", "easy"});
  ASSERT_TRUE(easy.ok()) << easy.output;
  EXPECT_EQ(read_result(easy).outcome, "success");
  EXPECT_EQ(data_rows(read_file(examples / "rss" / "easy.csv")), 1u);
}

TEST(Example, Alloy) {
  check(copy_examples(), "alloy", 2, 3);
}

TEST(Example, OwnSlab) {
  check(copy_examples(), "own_slab", 2, 3);
}
