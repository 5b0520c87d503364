// SPDX-License-Identifier: GPL-2.0-only
// What fails on one rank ends all of them, with the message and within seconds.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

SmallSearch busy_search() {
  SmallSearch search;
  search.mobile = 6;
  search.stages = 2;
  search.samples = 24;
  search.settings =
      "confine above 1.0 4.0 buffer 48 train 12 16 network 4.0 16 2 8 sample em 8 0.01";
  search.commands = "run 20\nwrite_restart r.restart\nrun 28\n";
  return search;
}

struct Place {
  const char *phase;
  int rank;
};

// Rank 1 has a share of sampling and training, rank 3 evaluates only, rank 0 leads.
const Place PLACES[] = {{"setup", 0},    {"setup", 3},  {"sample", 0},   {"sample", 1},
                        {"train", 0},    {"train", 1},  {"validate", 0}, {"evaluate", 0},
                        {"evaluate", 3}, {"record", 0}, {"journal", 0},  {"checkpoint", 0},
                        {"meet", 0},     {"meet", 1},   {"meet", 3}};

void expect_end(const std::string &partition, const Place &place, const std::string &kind,
                const std::string &message) {
  SCOPED_TRACE(partition + " " + place.phase + " on rank " + std::to_string(place.rank) + " " +
               kind);
  RunOptions options;
  options.nprocs = 4;
  if (!partition.empty())
    options.args = {"-partition", partition};
  options.fault = std::string(place.phase) + ":" + std::to_string(place.rank) + ":" + kind;
  options.timeout = 60.0;  // a hang, not a slow machine
  const RunResult run = busy_search().run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_FALSE(run.timed_out) << run.output;
  // The launcher may drop what is printed just before MPI_Abort; without the fault the run is ok.
  if (!message.empty()) {
    EXPECT_TRUE(run.contains("FAULT " + kind)) << "the fault was not met\n" << run.output;
  }
  EXPECT_TRUE(run.contains(message)) << run.output;
}

}  // namespace

TEST(Failures, AThrowEndsAllRanksOfAWorld) {
  for (const Place &place : PLACES)
    expect_end("", place, "throw", std::string("ERROR: Fix godiff: fault at ") + place.phase);
  expect_end("", {"restart", 0}, "throw", "");  // LAMMPS ends with MPI_Abort
}

TEST(Failures, AThrowEndsAllWorlds) {
  for (const Place &place : PLACES)
    expect_end("2x2", place, "throw", std::string("ERROR: Fix godiff: fault at ") + place.phase);
}

TEST(Failures, AnAbortEndsTheJob) {
  for (const Place &place : {Place{"sample", 1}, Place{"train", 1}, Place{"evaluate", 3},
                             Place{"checkpoint", 0}, Place{"meet", 3}})
    for (const char *partition : {"", "2x2"})
      expect_end(partition, place, "abort", "");
}

TEST(Failures, AnEnergyThatIsNoNumberIsAFailedCandidate) {
  for (const char *partition : {"", "2x2"}) {
    RunOptions options;
    options.nprocs = 4;
    if (*partition)
      options.args = {"-partition", partition};
    options.fault = "evaluate:0:nan:2";
    const RunResult run = busy_search().run(options);
    ASSERT_TRUE(run.ok()) << run.output;
    const auto status = godiff::testing::parse_csv(run.file("godiff.s.csv")).text("status");
    EXPECT_EQ(std::count(status.begin(), status.end(), "failed"), 1);
  }
}
