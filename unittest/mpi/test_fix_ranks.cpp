// SPDX-License-Identifier: GPL-2.0-only
// Several ranks: candidates jump to their owners wherever these are, nothing is lost, energies stay
// the same; failures end all ranks; worlds of a partition search independently.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

// Sums over atoms are made in another order.
constexpr double ROUNDING = 1e-12;

// Uniform draws all over the box: every step throws all mobile atoms anywhere.
SmallSearch jumps() {
  SmallSearch search;
  search.mobile = 6;
  search.samples = 10;
  search.words = "sample prior mode sample mindist 0.5 confine above 0.5 7.5";
  search.thermo = "step atoms pe f_s";
  search.commands = "run 20\n";
  return search;
}

std::vector<double> energies(const RunResult &run) {
  return parse_csv(run.file("godiff.s.csv")).numbers("energy");
}

void expect_same_energies(const RunResult &a, const RunResult &b) {
  ASSERT_TRUE(a.ok()) << a.output;
  ASSERT_TRUE(b.ok()) << b.output;
  const auto x = energies(a), y = energies(b);
  ASSERT_EQ(x.size(), y.size());
  for (std::size_t k = 0; k < x.size(); ++k)
    EXPECT_NEAR(x[k], y[k], ROUNDING * std::abs(x[k]));
  EXPECT_EQ(b.thermo()[0].last("Atoms"), a.thermo()[0].last("Atoms"));
}

RunOptions ranks(int n) {
  RunOptions options;
  options.nprocs = n;
  return options;
}

}  // namespace

TEST(Ranks, EveryGridGivesTheSameEnergies) {
  for (const bool triclinic : {false, true}) {
    SmallSearch search = jumps();
    search.triclinic = triclinic;
    const RunResult serial = search.run();
    EXPECT_EQ(energies(serial).size(), 20u);
    const std::vector<const char *> grids =
        triclinic ? std::vector<const char *>{"1 2 1", "1 4 1", "2 2 1"}
                  : std::vector<const char *>{"2 1 1", "4 1 1", "1 1 4"};
    for (const char *grid : grids) {
      SCOPED_TRACE(std::string(triclinic ? "triclinic " : "orthogonal ") + grid);
      search.before_read = std::string("processors ") + grid + "\n";
      const int n = (grid[0] - '0') * (grid[2] - '0') * (grid[4] - '0');
      expect_same_energies(serial, search.run(ranks(n)));
    }
  }
}

TEST(Ranks, EightInARow) {
  SmallSearch search = jumps();
  search.samples = 5;
  search.commands = "run 10\n";
  const RunResult serial = search.run();
  search.before_read = "processors 8 1 1\n";
  expect_same_energies(serial, search.run(ranks(8)));
}

TEST(Ranks, TiledDecompositions) {
  for (const bool triclinic : {false, true}) {
    SmallSearch search = jumps();
    search.triclinic = triclinic;
    const RunResult serial = search.run();
    search.before_read = "comm_style tiled\n";
    search.before = "balance 1.0 rcb\n";
    for (const int n : triclinic ? std::vector<int>{1, 3} : std::vector<int>{2, 4}) {
      SCOPED_TRACE(std::to_string(n) + (triclinic ? " ranks, triclinic" : " ranks"));
      expect_same_energies(serial, search.run(ranks(n)));
    }
  }
}

TEST(Ranks, PeriodicInAllDirections) {
  SmallSearch search = jumps();
  search.boundary = "p p p";
  const RunResult serial = search.run();
  search.before_read = "processors 1 1 4\n";
  expect_same_energies(serial, search.run(ranks(4)));
}

TEST(Ranks, UnevenSubdomains) {
  SmallSearch search = jumps();
  const RunResult serial = search.run();
  search.before_read = "processors 4 1 1\n";
  search.before = "balance 1.0 x 0.1 0.2 0.9\n";
  expect_same_energies(serial, search.run(ranks(4)));
}

TEST(Ranks, WithoutSpatialSorting) {
  SmallSearch search = jumps();
  const RunResult serial = search.run();
  search.before = "atom_modify sort 0 0.0\n";
  expect_same_energies(serial, search.run(ranks(2)));
}

TEST(Ranks, TrainingTogetherGivesTheSameSearch) {
  // The network sees energies that agree to rounding: so do the candidates it draws, at first.
  SmallSearch search;
  search.thermo = "step atoms pe f_s f_s[13]";
  const RunResult serial = search.run();
  ASSERT_TRUE(serial.ok()) << serial.output;
  for (const int n : {2, 4}) {
    const RunResult run = search.run(ranks(n));
    ASSERT_TRUE(run.ok()) << run.output;
    const auto a = energies(serial), b = energies(run);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t k = 0; k < a.size(); ++k)
      EXPECT_NEAR(a[k], b[k], 1e-4 * std::abs(a[k])) << k;
    EXPECT_EQ(run.thermo()[0].last("f_s"), run.thermo()[0].column("f_s").back());
  }
}

TEST(Ranks, RelaxationAndGuidanceUseForcesOfAllRanks) {
  SmallSearch search = jumps();
  search.words += " relax 5 1e-6";
  search.commands = "run 1000\n";
  search.samples = 4;
  const RunResult serial = search.run();
  search.before_read = "processors 4 1 1\n";
  const RunResult run = search.run(ranks(4));
  ASSERT_TRUE(serial.ok() && run.ok()) << serial.output << run.output;
  const auto a = energies(serial), b = energies(run);
  ASSERT_EQ(a.size(), 8u);
  ASSERT_EQ(b.size(), 8u);
  for (std::size_t k = 0; k < a.size(); ++k)
    EXPECT_NEAR(a[k], b[k], 1e-8 * std::abs(a[k]));
}

TEST(Ranks, BestStructureIsWhereItBelongsAfterTheRun) {
  SmallSearch search = jumps();
  search.before_read = "processors 4 1 1\n";
  search.commands = "run 20\nwrite_data best.data\nrun 0\nminimize 0 1e-6 20 100\n"
                    "write_restart r.restart\nset group mobile vx 0.0\nrun 5\n";
  const RunResult run = search.run(ranks(4));
  ASSERT_TRUE(run.ok()) << run.output;
  const auto e = energies(run);
  EXPECT_NEAR(run.thermo()[1].last("PotEng"), *std::min_element(e.begin(), e.end()), 1e-8);
  EXPECT_EQ(run.thermo()[2].last("Atoms"), 24.0);
}

TEST(Ranks, EqualStyleVariablesAndHaltAgreeOnAllRanks) {
  // fix halt decides on every rank by itself: the outputs must be the same everywhere.
  SmallSearch search = jumps();
  search.after += "variable spent equal f_s[3]\nfix stop all halt 1 v_spent >= 7 error continue\n";
  const RunResult run = search.run(ranks(4));
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_EQ(energies(run).size(), 7u);
}

TEST(Ranks, FailuresEndAllRanks) {
  const auto expect_error = [](const SmallSearch &search, const std::string &message) {
    RunOptions options = ranks(2);
    options.timeout = 60.0;
    const RunResult run = search.run(options);
    EXPECT_FALSE(run.ok());
    EXPECT_FALSE(run.timed_out);
    EXPECT_NE(run.error().find(message), std::string::npos) << run.output;
  };
  SmallSearch search;
  search.words = "load none.ckpt";
  expect_error(search, "none.ckpt: No such file or directory");
  search.words = "save nowhere/x";
  expect_error(search, "nowhere/x");
  search.words = "network 4.0 17 1 8";
  expect_error(search, "network nfeat is 17");
  search.words = "device cuda:99";  // the first rank alone looks for the device
  expect_error(search, "device cuda:99: ");
  search.words = "";
  search.after = "variable zero equal 0.0\nvariable bad atom exp(1000*(step>0))-1.0\n"
                 "fix bad mobile addforce v_zero 0.0 0.0 energy v_bad\nfix_modify bad energy yes\n";
  expect_error(search, "is not finite: check the pair style");
}

TEST(Ranks, WallTimeLimitEndsAllRanks) {
  SmallSearch search;
  search.settings = "confine above 1.0 4.0 buffer 4 train 100000000 2 network 4.0 16 1 8 "
                    "sample em 5 0.01";
  search.commands = "timer timeout 0:00:03 every 1\nrun 6\nwrite_restart r.restart\n";
  const RunResult run = search.run(ranks(2));
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("wall time limit reached")) << run.output;
}

TEST(Worlds, SearchIndependentlyWithFilesOfTheirOwn) {
  SmallSearch search;
  search.words = "replica independent";
  RunOptions options = ranks(2);
  options.args = {"-partition", "2x1"};
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  const std::string first = read_file(run.folder / "godiff.s.0.csv");
  const std::string second = read_file(run.folder / "godiff.s.1.csv");
  EXPECT_EQ(parse_csv(first).rows.size(), 6u);
  EXPECT_NE(first, second);
  for (const char *name : {"godiff.s.0.xyz", "godiff.s.1.best", "godiff.s.1.ckpt"})
    EXPECT_TRUE(std::filesystem::exists(run.folder / name)) << name;
  // World k is the plain search with seed + k.
  search.words = "";
  search.seed = "4712";
  const RunResult plain = search.run();
  EXPECT_EQ(plain.file("godiff.s.csv"), second);
}

TEST(Worlds, OfTwoRanksEach) {
  SmallSearch search = jumps();
  search.words += " replica independent";
  RunOptions options = ranks(4);
  options.args = {"-partition", "2x2"};
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  const RunResult serial = jumps().run();
  const auto a = parse_csv(read_file(run.folder / "godiff.s.0.csv")).numbers("energy");
  const auto b = energies(serial);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t k = 0; k < a.size(); ++k)
    EXPECT_NEAR(a[k], b[k], ROUNDING * std::abs(b[k]));
}
