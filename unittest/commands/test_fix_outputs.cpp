// SPDX-License-Identifier: GPL-2.0-only
// Scalar, vector and array of the fix; the plan, stage lines and summary; the end of a search.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

using godiff::testing::Csv;
using godiff::testing::lines_of;
using godiff::testing::parse_csv;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;
using godiff::testing::ThermoTable;

namespace {

int count_lines(const RunResult &run, const std::string &prefix) {
  const auto lines = lines_of(run.output);
  return static_cast<int>(std::count_if(lines.begin(), lines.end(), [&](const std::string &line) {
    return line.compare(0, prefix.size(), prefix) == 0;
  }));
}

Csv csv_of(const RunResult &run) {
  return parse_csv(run.file("godiff.s.csv"));
}

}  // namespace

TEST(Outputs, FollowEveryStep) {
  SmallSearch search;
  search.thermo = "step pe f_s f_s[*]";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.thermo().size(), 1u);
  const ThermoTable table = run.thermo()[0];
  ASSERT_EQ(table.rows.size(), 7u) << run.output;
  const Csv csv = csv_of(run);
  ASSERT_EQ(csv.rows.size(), 6u);
  const auto energies = csv.numbers("energy");

  // Before the first candidate.
  EXPECT_TRUE(std::isinf(table.column("f_s")[0]));
  EXPECT_EQ(table.column("f_s[1]")[0], 1.0);
  EXPECT_NEAR(table.column("f_s[2]")[0], 20000.0, 1e-6);
  EXPECT_EQ(table.column("f_s[3]")[0], 0.0);
  EXPECT_TRUE(std::isnan(table.column("f_s[9]")[0]));

  double best = std::numeric_limits<double>::infinity();
  for (std::size_t k = 1; k < table.rows.size(); ++k) {
    const double energy = energies[k - 1];
    best = std::min(best, energy);
    EXPECT_NEAR(table.column("PotEng")[k], energy, 1e-10);
    EXPECT_NEAR(table.column("f_s[9]")[k], energy, 1e-10);
    EXPECT_NEAR(table.column("f_s")[k], best, 1e-10);
    EXPECT_EQ(table.column("f_s[1]")[k], k <= 3 ? 1.0 : 2.0);
    EXPECT_NEAR(table.column("f_s[2]")[k], k <= 3 ? 20000.0 : 300.0, 1e-6);
    EXPECT_EQ(table.column("f_s[3]")[k], static_cast<double>(k));
    EXPECT_GE(table.column("f_s[4]")[k], k <= 3 ? 3.0 : 6.0);  // drawn
    EXPECT_EQ(table.column("f_s[8]")[k], 0.0);                 // failed
    // Lowest and mean of the stage so far.
    const std::size_t first = k <= 3 ? 0 : 3;
    double lowest = energies[first], sum = 0.0;
    for (std::size_t i = first; i < k; ++i) {
      lowest = std::min(lowest, energies[i]);
      sum += energies[i];
    }
    EXPECT_NEAR(table.column("f_s[10]")[k], lowest, 1e-10);
    EXPECT_NEAR(table.column("f_s[11]")[k], sum / static_cast<double>(k - first), 1e-8);
  }
  // Trained once at the end of the first stage: effective sample size and loss are known then.
  EXPECT_EQ(table.column("f_s[12]")[3], 0.0);
  EXPECT_TRUE(std::isnan(table.column("f_s[13]")[3]));
  EXPECT_GE(table.column("f_s[12]")[4], 1.0);
  EXPECT_GT(table.column("f_s[13]")[4], 0.0);
  EXPECT_GT(table.last("f_s[15]"), 0.0);
  EXPECT_GT(table.last("f_s[16]"), 0.0);
}

TEST(Outputs, ArrayHasARowPerStage) {
  SmallSearch search;
  search.commands = "run 6\n"
                    "variable k loop 2\nlabel again\n"
                    "print \"ROW $(f_s[v_k][1]) $(f_s[v_k][2]) $(f_s[v_k][3]) $(f_s[v_k][9]:%.12g) "
                    "$(f_s[v_k][11]:%.12g) $(f_s[v_k][12]) $(f_s[v_k][13]) $(f_s[v_k][14])\"\n"
                    "next k\njump SELF again\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto energies = csv_of(run).numbers("energy");
  const double lowest[2] = {*std::min_element(energies.begin(), energies.begin() + 3),
                            *std::min_element(energies.begin() + 3, energies.end())};
  int stage = 0;
  for (const auto &line : lines_of(run.output)) {
    double v[8];
    if (std::sscanf(line.c_str(), "ROW %lf %lf %lf %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3,
                    v + 4, v + 5, v + 6, v + 7) != 8)
      continue;
    EXPECT_EQ(v[0], stage + 1);
    EXPECT_NEAR(v[1], stage == 0 ? 20000.0 : 300.0, 1e-6);
    EXPECT_EQ(v[2], 3.0);
    EXPECT_NEAR(v[3], lowest[stage], 1e-9);
    EXPECT_NEAR(v[4], stage == 0 ? lowest[0] : std::min(lowest[0], lowest[1]), 1e-9);
    EXPECT_GE(v[5], 1.0);
    EXPECT_EQ(v[6], stage == 0 ? 3.0 : 4.0);  // buffer of 4
    EXPECT_GT(v[7], 0.0);
    ++stage;
  }
  EXPECT_EQ(stage, 2) << run.output;
}

TEST(Outputs, RowsOfEarlierStagesStay) {
  SmallSearch search;
  search.stages = 5;
  search.samples = 2;
  search.commands = "run 3\nrun 7\nvariable k loop 5\nlabel again\n"
                    "print \"ROW $(f_s[v_k][1]) $(f_s[v_k][3]) $(f_s[v_k][9]:%.12g) "
                    "$(f_s[v_k][13]) $(f_s[v_k][14])\"\nnext k\njump SELF again\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto energies = csv_of(run).numbers("energy");
  int stage = 0;
  for (const auto &line : lines_of(run.output)) {
    double v[5];
    if (std::sscanf(line.c_str(), "ROW %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4) != 5)
      continue;
    EXPECT_EQ(v[0], stage + 1);
    EXPECT_EQ(v[1], 2.0);
    EXPECT_NEAR(v[2], std::min(energies[2 * stage], energies[2 * stage + 1]), 1e-9);
    EXPECT_EQ(v[3], std::min(4.0, 2.0 * (stage + 1)));  // buffer of 4
    EXPECT_GT(v[4], 0.0);
    ++stage;
  }
  EXPECT_EQ(stage, 5) << run.output;
}

TEST(Outputs, AverageVariableAndHalt) {
  SmallSearch search;
  search.stages = 3;
  search.after += "fix mean all ave/time 1 1 1 f_s[9] file mean.dat\n"
                  "variable spent equal f_s[3]\nfix stop all halt 1 v_spent >= 4 error continue\n";
  search.commands = "run 9\nprint \"SPENT $(v_spent)\"\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("SPENT 4")) << run.output;
  const auto energies = csv_of(run).numbers("energy");
  ASSERT_EQ(energies.size(), 4u);
  int found = 0;
  for (const auto &line : lines_of(run.file("mean.dat"))) {
    double step, energy;
    if (line[0] == '#' || std::sscanf(line.c_str(), "%lf %lf", &step, &energy) != 2 || step < 1)
      continue;
    EXPECT_NEAR(energy, energies[static_cast<std::size_t>(step) - 1], 1e-3);
    ++found;
  }
  EXPECT_EQ(found, 4);
  // A search that was halted goes on with the next run.
  EXPECT_EQ(count_lines(run, "GODIFF search complete"), 0);
  EXPECT_TRUE(run.contains("GODIFF search: 4 of 9 candidates so far, best energy")) << run.output;
}

TEST(Outputs, PlanStagesAndSummary) {
  const RunResult run = SmallSearch().run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.warnings().empty()) << run.output;
  for (const char *text :
       {"GODIFF search, fix s", "2 mobile (2 Pt), 18 template (18 Pt)", "z 2.9 to 5.9, mindist 1",
        "2 stages x 3 candidates = 6 evaluations, seed 4711", "20000 to 300 K, geometric",
        "reverse diffusion, 5 steps", "2 steps a stage, batches of 2 from a buffer of 4",
        "cutoff 4, 16 features, 1 blocks", "on CPU, 1 thread, single precision",
        "godiff.s.csv godiff.s.xyz godiff.s.best godiff.s.ckpt",
        "GODIFF search complete: 6 candidates, 6 evaluations", "best energy", "time "})
    EXPECT_TRUE(run.contains(text)) << text << "\n" << run.output;
  EXPECT_EQ(count_lines(run, "Stage 1/2  T 20000  best"), 1) << run.output;
  EXPECT_EQ(count_lines(run, "Stage 2/2  T 300  best"), 1) << run.output;
  // Screen and log say the same.
  EXPECT_NE(run.log.find("Stage 2/2"), std::string::npos);
  // The evaluation that is named holds the best energy.
  const auto energies = csv_of(run).numbers("energy");
  const auto best = std::min_element(energies.begin(), energies.end()) - energies.begin() + 1;
  EXPECT_TRUE(run.contains(" at evaluation " + std::to_string(best) + " (candidate " +
                           std::to_string(best)))
      << run.output;
}

TEST(Outputs, LogNoLeavesOutTheStages) {
  SmallSearch search;
  search.words = "log no";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_EQ(count_lines(run, "Stage"), 0) << run.output;
  EXPECT_EQ(count_lines(run, "GODIFF search complete"), 1) << run.output;
}

TEST(Run, EndsByItselfWhenTheBudgetIsSpent) {
  SmallSearch search;
  search.commands = "run 1000\nrun 0\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("GODIFF search complete: 6 candidates, 6 evaluations")) << run.output;
  EXPECT_EQ(run.thermo()[0].rows.size(), 7u);
  EXPECT_EQ(run.thermo()[1].column("Step")[0], 6.0);
}

TEST(Run, ShortRunsEqualOneLong) {
  SmallSearch search;
  const RunResult once = search.run();
  for (const char *commands :
       {"run 2\nrun 1\nrun 3\n", "run 2\nrun 3 pre no post no\nrun 1 pre no\n",
        "run 6 every 2 \"print between\"\n", "run 3\nminimize 0 1e-6 10 100\nrun 3\n"}) {
    search.commands = commands;
    const RunResult parts = search.run();
    ASSERT_TRUE(once.ok() && parts.ok()) << once.output << parts.output;
    EXPECT_EQ(once.file("godiff.s.csv"), parts.file("godiff.s.csv")) << commands;
    EXPECT_EQ(once.file("godiff.s.xyz"), parts.file("godiff.s.xyz")) << commands;
    EXPECT_EQ(once.file("godiff.s.best"), parts.file("godiff.s.best")) << commands;
  }
}

TEST(Run, SameSeedSameSearchOtherSeedAnother) {
  SmallSearch search;
  const RunResult first = search.run(), second = search.run();
  search.seed = "4712";
  const RunResult third = search.run();
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_EQ(first.file("godiff.s.csv"), second.file("godiff.s.csv"));
  EXPECT_NE(first.file("godiff.s.csv"), third.file("godiff.s.csv"));
}

TEST(Run, LeavesTheBestOrTheLastStructure) {
  for (const bool best : {true, false}) {
    SmallSearch search;
    search.words = best ? "final best" : "final last";
    search.commands = "run 5\nunfix s\nrun 0\n";
    search.thermo = "step pe";
    const RunResult run = search.run();
    ASSERT_TRUE(run.ok()) << run.output;
    const auto energies = csv_of(run).numbers("energy");
    const double expected =
        best ? *std::min_element(energies.begin(), energies.end()) : energies.back();
    EXPECT_NEAR(run.thermo()[1].last("PotEng"), expected, 1e-8) << run.output;
  }
}

TEST(Run, MinimizeAndWriteDataFollow) {
  SmallSearch search;
  search.commands = "run 6\nwrite_data best.data\nminimize 0 1e-6 100 1000\nwrite_data min.data\n";
  search.thermo = "step pe f_s";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.thermo().size(), 2u);
  // The minimizer starts from the best candidate; the fix does not move atoms in it.
  EXPECT_NEAR(run.thermo()[1].column("PotEng")[0], run.thermo()[0].last("f_s"), 1e-8);
  EXPECT_LT(run.thermo()[1].last("PotEng"), run.thermo()[1].column("PotEng")[0]);
  EXPECT_FALSE(run.file("best.data").empty());
}

TEST(Run, MinimizedStructureSurvivesARunBeyondTheEnd) {
  SmallSearch search;
  search.commands = "run 6\nminimize 0 1e-6 100 1000\nrun 10\nrun 0\n";
  search.thermo = "step pe";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_NEAR(run.thermo()[3].last("PotEng"), run.thermo()[1].last("PotEng"), 1e-8);
}

TEST(Run, WallTimeLimitKeepsTheSearch) {
  // Long training is interrupted soon after the limit.
  SmallSearch search;
  search.settings = "confine above 1.0 4.0 buffer 4 train 100000000 2 network 4.0 16 1 8 "
                    "sample em 5 0.01";
  search.commands = "timer timeout 0:00:02 every 1\nrun 6\nwrite_restart r.restart\n";
  RunOptions options;
  options.timeout = 60.0;
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("wall time limit reached")) << run.output;
  EXPECT_EQ(csv_of(run).rows.size(), 3u);
  EXPECT_FALSE(run.file("r.restart").empty());
  EXPECT_FALSE(run.file("godiff.s.ckpt").empty());
}
