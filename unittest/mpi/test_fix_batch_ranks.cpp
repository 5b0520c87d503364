// SPDX-License-Identifier: GPL-2.0-only
// Whole stages at once (evaluate batch) on several ranks and in several worlds.
#include "restart/same_search.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

using godiff::testing::Csv;
using godiff::testing::expect_equal;
using godiff::testing::fresh_folder;
using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

constexpr double ROUNDING = 1e-10;  // relative; atoms are summed in another order

SmallSearch search_of(const std::string &words) {
  SmallSearch search;
  search.potential = "pair_style eam\npair_coeff 1 1 Pt_u3.eam\n";
  search.mobile = 4;
  search.samples = 11;
  search.words = words;
  search.commands = "run 1000\n";
  return search;
}

RunOptions ranks(int n, const std::string &partition = "") {
  RunOptions options;
  options.nprocs = n;
  if (!partition.empty())
    options.args = {"-partition", partition};
  return options;
}

void expect_near(const RunResult &a, const RunResult &b) {
  ASSERT_TRUE(a.ok()) << a.output;
  ASSERT_TRUE(b.ok()) << b.output;
  const Csv x = parse_csv(a.file("godiff.s.csv")), y = parse_csv(b.file("godiff.s.csv"));
  EXPECT_EQ(x.text("evaluation"), y.text("evaluation"));
  EXPECT_EQ(x.text("status"), y.text("status"));
  const auto e = x.numbers("energy"), f = y.numbers("energy");
  ASSERT_EQ(e.size(), f.size());
  for (std::size_t k = 0; k < e.size(); ++k)
    EXPECT_NEAR(e[k], f[k], ROUNDING * std::abs(e[k])) << k;
}

}  // namespace

TEST(BatchRanks, AnyNumberOfRanksGivesTheSameEnergies) {
  for (const bool triclinic : {false, true})
    for (const char *words :
         {"sample prior mode sample", "sample prior mode sample relax 3 1e-6"}) {
      SCOPED_TRACE(words);
      SmallSearch search = search_of(words);
      search.triclinic = triclinic;
      const RunResult step = search.run();
      search.words += " evaluate batch";
      for (const int n : {2, 4})
        expect_near(step, search.run(ranks(n)));
    }
}

TEST(BatchRanks, OtherDecompositions) {
  SmallSearch search = search_of("sample prior mode sample");
  const RunResult step = search.run();
  search.words += " evaluate batch";
  for (const char *commands :
       {"processors 1 1 4\n", "processors 2 2 1\n", "comm_style tiled\nprocessors * * 1\n"}) {
    SCOPED_TRACE(commands);
    search.before_read = commands;
    search.before = std::string(commands).find("tiled") == std::string::npos
                        ? "balance 1.0 shift xyz 10 1.05\n"
                        : "balance 1.0 rcb\n";
    expect_near(step, search.run(ranks(4)));
  }
}

TEST(BatchRanks, WorldsShareAStage) {
  for (const char *words : {"", "guide 0.2 extra 2", "relax 3 1e-6"}) {
    SCOPED_TRACE(words);
    SmallSearch search = search_of(std::string(words) + " evaluate batch");
    const RunResult alone = search.run();
    ASSERT_TRUE(alone.ok()) << alone.output;
    const RunResult two = search.run(ranks(2, "2x1"));
    ASSERT_TRUE(two.ok()) << two.output;
    EXPECT_EQ(alone.file("godiff.s.csv"), two.file("godiff.s.csv"));
    EXPECT_EQ(alone.file("godiff.s.xyz"), two.file("godiff.s.xyz"));
    EXPECT_EQ(alone.file("godiff.s.best"), two.file("godiff.s.best"));
  }
  SmallSearch search = search_of("sample prior mode sample");
  const RunResult step = search.run();
  search.words += " evaluate batch";
  expect_near(step, search.run(ranks(4, "2x2")));
  expect_near(step, search.run(ranks(3, "3x1")));
}

TEST(BatchRanks, IndependentWorlds) {
  SmallSearch search = search_of("sample prior mode sample replica independent");
  const RunResult step = search.run(ranks(2, "2x1"));
  search.words += " evaluate batch";
  const RunResult batch = search.run(ranks(2, "2x1"));
  ASSERT_TRUE(step.ok()) << step.output;
  ASSERT_TRUE(batch.ok()) << batch.output;
  for (const char *file : {"godiff.s.0.csv", "godiff.s.1.csv"}) {
    const auto e = parse_csv(step.file(file)).numbers("energy"),
               f = parse_csv(batch.file(file)).numbers("energy");
    ASSERT_EQ(e.size(), f.size());
    for (std::size_t k = 0; k < e.size(); ++k)
      EXPECT_NEAR(e[k], f[k], ROUNDING * std::abs(e[k]));
  }
}

TEST(BatchRanks, GoesOnAfterAKillWithinAStage) {
  SmallSearch search = search_of("relax 3 1e-6 evaluate batch resume yes");
  for (const auto &[n, partition] : {std::pair{2, ""}, std::pair{2, "2x1"}}) {
    const RunResult whole = search.run(ranks(n == 2 && *partition ? 1 : n));
    ASSERT_TRUE(whole.ok()) << whole.output;
    for (const char *fault :
         {"journal:0:kill:7", "journal:0:kill:30", "batch:1:kill:2", "record:0:kill:15"}) {
      SCOPED_TRACE(std::string(partition) + " " + fault);
      RunOptions options = ranks(n, partition);
      options.folder = fresh_folder();
      options.fault = fault;
      EXPECT_TRUE(search.run(options).contains("FAULT kill"));
      options.fault = "";
      const RunResult resumed = search.run(options);
      ASSERT_TRUE(resumed.ok()) << resumed.output;
      expect_equal(whole, resumed);
    }
  }
}

TEST(BatchRanks, FailuresOfAnyRankEndAllOfThem) {
  SmallSearch search = search_of("evaluate batch");
  for (const char *partition : {"", "2x1"})
    for (const char *fault : {"batch:0:throw:1", "batch:1:throw:1", "journal:0:throw:3"}) {
      SCOPED_TRACE(std::string(partition) + " " + fault);
      RunOptions options = ranks(2, partition);
      options.fault = fault;
      const RunResult run = search.run(options);
      EXPECT_FALSE(run.ok());
      EXPECT_FALSE(run.timed_out);
      EXPECT_TRUE(run.contains("Fix godiff: fault at ")) << run.output;
    }
}

TEST(BatchRanks, ASignalInEitherWorldLosesNothing) {
  SmallSearch search = search_of("relax 3 1e-6 evaluate batch resume yes");
  const RunResult whole = search.run();
  for (const char *fault : {"batch:0:term:2", "batch:1:term:2"}) {
    SCOPED_TRACE(fault);
    RunOptions options = ranks(2, "2x1");
    options.folder = fresh_folder();
    options.fault = fault;
    EXPECT_FALSE(search.run(options).ok());
    options.fault = "";
    const RunResult resumed = search.run(options);
    ASSERT_TRUE(resumed.ok()) << resumed.output;
    expect_equal(whole, resumed);
  }
}

TEST(BatchRanks, DirectSpreadsStructuresOverRanksAndWorlds) {
  SmallSearch search = search_of("sample prior mode sample relax 1 1e-6");
  search.potential =
      "pair_style mace\npair_coeff * * " GODIFF_SOURCE_DIR "/unittest/mace/pt_one_layer.pt Pt\n";
  search.samples = 5;
  const RunResult step = search.run();
  search.words += " evaluate batch direct";
  expect_near(step, search.run());
  expect_near(step, search.run(ranks(2)));
  expect_near(step, search.run(ranks(4)));
  expect_near(step, search.run(ranks(2, "2x1")));
  expect_near(step, search.run(ranks(4, "2x2")));
}
