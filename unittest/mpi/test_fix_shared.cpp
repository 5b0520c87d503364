// SPDX-License-Identifier: GPL-2.0-only
// One search on several worlds: the same search, evaluated by whoever has time.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

using godiff::testing::Csv;
using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

constexpr double ROUNDING = 1e-10;  // relative; forces of many atoms are summed in another order

// Enough structures in a batch that several ranks get a share of the training.
SmallSearch shared_search() {
  SmallSearch search;
  search.mobile = 6;
  search.stages = 3;
  search.samples = 24;
  search.settings =
      "confine above 1.0 4.0 buffer 32 train 12 16 network 4.0 16 2 8 sample em 8 0.01";
  search.commands = "run 72\n";
  return search;
}

RunOptions worlds(int ranks, const std::string &partition) {
  RunOptions options;
  options.nprocs = ranks;
  options.args = {"-partition"};
  for (std::size_t begin = 0; begin < partition.size();) {
    const std::size_t end = std::min(partition.find(' ', begin), partition.size());
    options.args.push_back(partition.substr(begin, end - begin));
    begin = end + 1;
  }
  return options;
}

Csv csv(const RunResult &run) {
  return parse_csv(run.file("godiff.s.csv"));
}

// Steps that each world has run.
std::vector<int> steps(const RunResult &run, int n) {
  std::vector<int> counts;
  for (int k = 0; k < n; ++k) {
    const std::string text = run.file("log.lammps." + std::to_string(k));
    const std::size_t at = text.find(" procs for ");
    counts.push_back(at == std::string::npos ? -1 : std::stoi(text.substr(at + 11)));
  }
  return counts;
}

}  // namespace

TEST(Shared, AnyNumberOfWorldsGivesTheSameFiles) {
  for (const char *words : {"", "guide 0.2 extra 3", "relax 4 1e-6"}) {
    SmallSearch search = shared_search();
    search.words = words;
    search.commands = "run 1000\n";
    const RunResult alone = search.run();
    ASSERT_TRUE(alone.ok()) << alone.output;
    for (const auto &[ranks, partition] :
         {std::pair{2, "2x1"}, std::pair{3, "3x1"}, std::pair{5, "5x1"}}) {
      SCOPED_TRACE(std::string(words) + " " + partition);
      const RunResult run = search.run(worlds(ranks, partition));
      ASSERT_TRUE(run.ok()) << run.output;
      EXPECT_EQ(run.file("godiff.s.csv"), alone.file("godiff.s.csv"));
      EXPECT_EQ(run.file("godiff.s.xyz"), alone.file("godiff.s.xyz"));
      EXPECT_EQ(run.file("godiff.s.best"), alone.file("godiff.s.best"));
    }
  }
}

TEST(Shared, WorldsOfSeveralRanksAgreeToRounding) {
  // The first stage: later ones have learned from energies that differ in their last bits.
  SmallSearch search = shared_search();
  search.commands = "run 24\n";
  search.stages = 1;
  const RunResult alone = search.run();
  ASSERT_TRUE(alone.ok()) << alone.output;
  const auto a = csv(alone).numbers("energy");
  for (const auto &[ranks, partition] :
       {std::pair{4, "2x2"}, std::pair{3, "1 2"}, std::pair{4, "3 1"}}) {
    SCOPED_TRACE(partition);
    const RunResult run = search.run(worlds(ranks, partition));
    ASSERT_TRUE(run.ok()) << run.output;
    const auto b = csv(run).numbers("energy");
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t k = 0; k < a.size(); ++k)
      EXPECT_NEAR(a[k], b[k], ROUNDING * std::abs(a[k]));
  }
}

TEST(Shared, MoreWorldsThanCandidates) {
  SmallSearch search;  // three candidates a stage
  const RunResult alone = search.run();
  const RunResult run = search.run(worlds(6, "6x1"));
  ASSERT_TRUE(alone.ok() && run.ok()) << alone.output << run.output;
  EXPECT_EQ(run.file("godiff.s.csv"), alone.file("godiff.s.csv"));
}

TEST(Shared, OneWorldIsAPlainSearch) {
  SmallSearch search;
  const RunResult alone = search.run();
  const RunResult run = search.run(worlds(1, "1x1"));
  ASSERT_TRUE(alone.ok() && run.ok()) << alone.output << run.output;
  EXPECT_EQ(run.file("godiff.s.csv"), alone.file("godiff.s.csv"));
}

TEST(Shared, ASlowWorldGetsFewerCandidates) {
  for (const int slow : {0, 1}) {
    SmallSearch search = shared_search();
    const RunResult alone = search.run();
    RunOptions options = worlds(2, "2x1");
    options.fault = "evaluate:" + std::to_string(slow) + ":sleep=0.2:0";
    const RunResult run = search.run(options);
    ASSERT_TRUE(run.ok()) << run.output;
    EXPECT_EQ(run.file("godiff.s.csv"), alone.file("godiff.s.csv"));
    const std::vector<int> counts = steps(run, 2);
    // Each world's last step places nothing. The slow world has one to three candidates a stage
    // while the other one evaluates all the rest.
    EXPECT_GE(std::accumulate(counts.begin(), counts.end(), 0), 72);
    EXPECT_LT(counts[slow], 24) << run.output;
    EXPECT_GT(counts[1 - slow], 48) << run.output;
  }
}

TEST(Shared, AWorldWithoutEnergyGoesOn) {
  SmallSearch search = shared_search();
  RunOptions options = worlds(2, "2x1");
  options.fault = "evaluate:0:nan:3";
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  const auto status = csv(run).text("status");
  EXPECT_EQ(status.size(), 72u);
  EXPECT_EQ(std::count(status.begin(), status.end(), "failed"), 1);
}

TEST(Shared, AWorldThatHasLostAtomsLeavesTheRestToTheOthers) {
  SmallSearch search = shared_search();
  // Only the second world removes an atom, at its fourth step.
  search.after += "variable w world 0 1\nregion all block INF INF INF INF INF INF\n"
                  "if \"$w == 1\" then \"fix away mobile evaporate 4 1 all 4711\"\n";
  RunOptions options = worlds(2, "2x1");
  options.fault = "evaluate:0:sleep=0.02:0";  // the second world gets that far
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  const auto status = csv(run).text("status");
  EXPECT_EQ(status.size(), 72u);
  EXPECT_EQ(std::count(status.begin(), status.end(), "failed"), 1);
  EXPECT_TRUE(run.contains("1 of 2 worlds have lost atoms")) << run.output;
}

TEST(Shared, WhenAllWorldsHaveLostAtomsTheSearchEnds) {
  SmallSearch search = shared_search();
  search.after += "region all block INF INF INF INF INF INF\n"
                  "fix away mobile evaporate 4 1 all 4711\n";
  RunOptions options = worlds(2, "2x1");
  options.timeout = 60.0;
  const RunResult run = search.run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_FALSE(run.timed_out);
  EXPECT_TRUE(run.contains("all worlds have lost atoms")) << run.output;
  const RunResult alone = search.run();
  EXPECT_NE(alone.error().find("atoms have been lost"), std::string::npos) << alone.output;
}

TEST(Shared, WorldsMustHaveTheSameStructureAndSettings) {
  SmallSearch search = shared_search();
  search.words = "mindist ${d}";
  search.before = "variable d world 1.0 1.1\n";
  RunOptions options = worlds(2, "2x1");
  options.timeout = 60.0;
  RunResult run = search.run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.contains("world 2 has another structure or other settings")) << run.output;
  search.words = "";
  search.before = "variable d world 0.0 0.3\nset atom 1 x ${d}\n";
  run = search.run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_TRUE(run.contains("world 2 has another structure or other settings")) << run.output;
}

TEST(Shared, SeveralRunsAndWhatFollowsInAllWorlds) {
  // Runs that end within a stage, in all worlds as soon as one has done its steps.
  SmallSearch search = shared_search();
  const RunResult alone = search.run();
  search.commands = "run 7\nrun 1\nrun 0\nminimize 0 1e-6 5 10\nrun 60\nrun 60\n"
                    "run 0\nvariable e equal pe\nprint \"LEFT $(pe:%.10g) BEST $(f_s:%.10g)\"\n";
  const RunResult run = search.run(worlds(2, "2x1"));
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_EQ(run.file("godiff.s.csv"), alone.file("godiff.s.csv"));
  for (const char *log : {"log.lammps.0", "log.lammps.1"}) {
    const std::string text = run.file(log);
    const std::size_t at = text.find("\nLEFT ");
    ASSERT_NE(at, std::string::npos) << text;
    const std::string line = text.substr(at + 1, text.find('\n', at + 1) - at - 1);
    const std::size_t best = line.find(" BEST ");
    EXPECT_EQ(line.substr(5, best - 5), line.substr(best + 6)) << log;
  }
}

TEST(Shared, RestartFilesOfTheFirstWorldGoOnAnywhere) {
  SmallSearch search = shared_search();
  const RunResult alone = search.run();
  search.commands = "run 10\nvariable w world 1 2\nwrite_restart $w.restart\n";
  const RunResult begun = search.run(worlds(2, "2x1"));
  ASSERT_TRUE(begun.ok()) << begun.output;
  const std::string go_on = "units metal\nvariable w world 1 2\nread_restart $w.restart\n" +
                            search.potential + search.fix() + "\n" + search.after + "run 72\n";
  RunOptions options = worlds(2, "2x1");
  options.folder = begun.folder;
  const RunResult together = godiff::testing::run_lammps(go_on, options);
  ASSERT_TRUE(together.ok()) << together.output;
  EXPECT_EQ(together.file("godiff.s.csv"), alone.file("godiff.s.csv"));
}
