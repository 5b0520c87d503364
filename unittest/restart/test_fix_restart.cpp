// SPDX-License-Identifier: GPL-2.0-only
// A search that was cut anywhere and continued from a LAMMPS restart file equals the uninterrupted
// one bit for bit: every energy, every position, every weight of the network.
#include "restart/same_search.hpp"

#include <gtest/gtest.h>

#include <filesystem>

using godiff::testing::continuation;
using godiff::testing::expect_equal;
using godiff::testing::fresh_folder;
using godiff::testing::parse_csv;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;
using godiff::testing::tensors;

namespace {

// Runs `total` steps at once, and cut after each of the given steps; compares the files.
void expect_restartable(SmallSearch search, int total, const std::vector<int> &cuts,
                        RunOptions options = {}) {
  search.commands = "run " + std::to_string(total) + "\n";
  const RunResult whole = search.run(options);
  ASSERT_TRUE(whole.ok()) << whole.output;
  for (const int cut : cuts) {
    SCOPED_TRACE("cut after step " + std::to_string(cut));
    options.folder = fresh_folder();
    search.commands = "run " + std::to_string(cut) + "\nwrite_restart cut.restart\n";
    const RunResult first = search.run(options);
    ASSERT_TRUE(first.ok()) << first.output;
    const RunResult second = godiff::testing::run_lammps(
        continuation(search, "cut.restart", "run " + std::to_string(total - cut) + "\n"), options);
    ASSERT_TRUE(second.ok()) << second.output;
    expect_equal(whole, second);
  }
}

}  // namespace

TEST(Restart, AnyStep) {
  // In a stage, at its end (nothing learned yet), just after, and when the search is complete.
  SmallSearch search;
  search.stages = 3;
  expect_restartable(search, 9, {0, 1, 3, 4, 6, 9});
}

TEST(Restart, InTheMiddleOfARelaxation) {
  SmallSearch search;
  search.words = "sample prior relax 4 1e-6";
  expect_restartable(search, 30, {2, 7, 15, 18});
}

TEST(Restart, WithGuidanceAndOneOptimiserForAllStages) {
  SmallSearch search;
  search.words = "guide 0.2 extra 2 switch optim_reset no anneal adaptive 2";
  search.stages = 3;
  expect_restartable(search, 9, {4, 6});
}

TEST(Restart, TriclinicAndPeriodic) {
  SmallSearch search;
  search.triclinic = true;
  search.boundary = "p p p";
  search.types = 2;
  search.elements = "elements Pt Cu";
  expect_restartable(search, 6, {2, 3});
}

TEST(Restart, TwoRanks) {
  SmallSearch search;
  search.mobile = 3;
  RunOptions options;
  options.nprocs = 2;
  expect_restartable(search, 6, {2, 3}, options);
}

TEST(Restart, WithSpatialSorting) {
  // LAMMPS sorts its atoms by place when a run begins and every 7 steps. The order of the sums of
  // energies, and with it their last bits, must not depend on that.
  SmallSearch search;
  search.before_read = "atom_modify sort 7 1.0\n";
  search.mobile = 8;
  search.samples = 6;
  search.words = "sample prior mindist 0.8";
  expect_restartable(search, 12, {5, 8});
}

TEST(Restart, FilesWrittenDuringTheRun) {
  SmallSearch search;
  search.stages = 3;
  search.commands = "run 9\n";
  const RunResult whole = search.run();
  RunOptions options;
  options.folder = fresh_folder();
  search.commands = "restart 2 a.restart b.restart\nrun 9\n";
  const RunResult other = search.run(options);
  ASSERT_TRUE(whole.ok() && other.ok()) << whole.output << other.output;
  EXPECT_EQ(whole.file("godiff.s.csv"), other.file("godiff.s.csv"));
  // The run is complete, and its files hold more than the restart file knows: they are cut.
  for (const char *file : {"a.restart", "b.restart"}) {
    const RunResult again =
        godiff::testing::run_lammps(continuation(search, file, "run 9\n"), options);
    ASSERT_TRUE(again.ok()) << again.output;
    EXPECT_TRUE(again.contains("continues after")) << again.output;
    expect_equal(whole, again);
  }
}

TEST(Restart, InterruptedTrainingIsKept) {
  // One run stops by itself before the training, the other is stopped in it by the wall time limit.
  SmallSearch search;
  search.settings = "confine above 1.0 4.0 buffer 4 train 100000000 2 network 4.0 16 1 8 "
                    "sample em 5 0.01";
  search.commands = "run 3\n";
  const RunResult before = search.run();
  search.commands = "timer timeout 0:00:02 every 1\nrun 6\n";
  const RunResult stopped = search.run();
  ASSERT_TRUE(before.ok() && stopped.ok()) << before.output << stopped.output;
  EXPECT_FALSE(before.contains("wall time limit reached")) << before.output;
  EXPECT_TRUE(stopped.contains("wall time limit reached")) << stopped.output;
  for (const char *file : {"godiff.s.csv", "godiff.s.xyz", "godiff.s.best"})
    EXPECT_EQ(before.file(file), stopped.file(file)) << file;
  // What can go on is all there; of the rest only the weights are others.
  const auto x = tensors(before.file("godiff.s.ckpt")), y = tensors(stopped.file("godiff.s.ckpt"));
  EXPECT_EQ(x.count("search.training"), 0u);
  EXPECT_EQ(y.count("search.training"), 1u);
  EXPECT_EQ(y.count("optimiser.score.first_moment"), 1u);
  for (const auto &[name, data] : x) {
    const bool weights = name.rfind("painn.", 0) == 0 || name.rfind("score.", 0) == 0;
    if (!weights) {
      EXPECT_TRUE(y.count(name) && y.at(name) == data) << name;
    }
  }
}

TEST(Restart, AfterAKill) {
  SmallSearch search;
  search.stages = 20;
  search.samples = 4;
  search.commands = "run 80\n";
  const RunResult whole = search.run();
  ASSERT_TRUE(whole.ok()) << whole.output;
  RunOptions options;
  options.folder = fresh_folder();
  options.kill_when = [](const std::filesystem::path &folder) {
    const auto file = folder / "godiff.s.csv";
    return std::filesystem::exists(file) && std::filesystem::file_size(file) > 1500;
  };
  search.commands = "restart 3 a.restart b.restart\nrun 80\n";
  const RunResult killed = search.run(options);
  ASSERT_TRUE(killed.killed) << killed.output;
  options.kill_when = nullptr;
  // The newer of the two files may have been hit while it was written: then the other one serves.
  const auto a = options.folder / "a.restart", b = options.folder / "b.restart";
  const bool newer_a = std::filesystem::last_write_time(a) > std::filesystem::last_write_time(b);
  RunResult again;
  for (const bool use_a : {newer_a, !newer_a}) {
    again = godiff::testing::run_lammps(
        continuation(search, use_a ? "a.restart" : "b.restart", "run 80\n"), options);
    if (again.ok())
      break;
  }
  ASSERT_TRUE(again.ok()) << again.output;
  expect_equal(whole, again);
}

TEST(Restart, AnotherPrefixBeginsNewFiles) {
  SmallSearch search;
  search.commands = "run 4\nwrite_restart cut.restart\n";
  RunOptions options;
  options.folder = fresh_folder();
  ASSERT_TRUE(search.run(options).ok());
  search.words = "save other";
  const RunResult run =
      godiff::testing::run_lammps(continuation(search, "cut.restart", "run 2\n"), options);
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_EQ(parse_csv(run.file("godiff.s.csv")).rows.size(), 4u);
  const auto csv = parse_csv(run.file("other.csv"));
  ASSERT_EQ(csv.rows.size(), 2u);
  EXPECT_EQ(csv.text("candidate")[0], "5");
}

TEST(Restart, RefusesWhatDoesNotFit) {
  SmallSearch search;
  search.commands = "run 4\nwrite_restart cut.restart\n";
  RunOptions options;
  options.folder = fresh_folder();
  ASSERT_TRUE(search.run(options).ok());

  const auto refused = [&](const SmallSearch &other, const std::string &commands,
                           const std::string &message) {
    const RunResult run =
        godiff::testing::run_lammps(continuation(other, "cut.restart", commands), options);
    EXPECT_FALSE(run.ok());
    EXPECT_NE(run.error().find(message), std::string::npos) << "expected: " << message << "\n"
                                                            << run.output;
  };
  SmallSearch other = search;
  other.samples = 5;
  refused(other, "run 1\n", "the saved search has samples 3, this one has 5");
  other = search;
  other.words = "mindist 0.5";
  refused(other, "run 1\n", "the saved search has mindist 1, this one has 0.5");
  other = search;
  other.words = "network 4.0 32 1 8";
  refused(other, "run 1\n", "the network of the checkpoint has nfeat 16, this search has 32");
  other = search;
  other.elements = "elements Au";
  refused(other, "run 1\n", "the saved search has elements");
  refused(search, "displace_atoms template move 0.1 0 0\nrun 1\n",
          "is not where the search in the restart file had it");
  refused(search, "group template id 20\ngroup mobile clear\ngroup mobile id 19\nrun 1\n",
          "the restart file was written by a search with 18 template atoms, here are 19");

  std::filesystem::resize_file(options.folder / "godiff.s.csv", 100);
  refused(search, "run 1\n", "cannot continue godiff.s.csv");
  std::filesystem::remove(options.folder / "godiff.s.csv");
  refused(search, "run 1\n", "cannot continue godiff.s.csv: No such file or directory");
}

// A stage in which the potential had failed everywhere is evaluated again, with the repaired one.
TEST(Restart, GoesOnAfterAStageThatFailed) {
  SmallSearch search;
  const RunResult whole = search.run();
  ASSERT_TRUE(whole.ok()) << whole.output;
  RunOptions options;
  options.folder = fresh_folder();
  SmallSearch broken = search;
  broken.words = "resume yes";
  broken.before = "variable zero equal 0.0\nvariable bad atom exp(1000*(step>3))-1.0\n"
                  "fix other mobile addforce v_zero 0.0 0.0 energy v_bad\n"
                  "fix_modify other energy yes\n";
  const std::string refusal = "energy of all 3 candidates of stage 2 is not finite: check the pair "
                              "style, mindist and confine";
  const RunResult first = broken.run(options);
  EXPECT_NE(first.error().find(refusal), std::string::npos) << first.output;
  // The second run counts its steps from 0.
  broken.before.replace(broken.before.find("step>3"), 6, "step>0");
  const RunResult second = broken.run(options);
  EXPECT_NE(second.error().find(refusal), std::string::npos) << second.output;
  search.words = "resume yes";
  const RunResult repaired = search.run(options);
  ASSERT_TRUE(repaired.ok()) << repaired.output;
  expect_equal(whole, repaired);
}

TEST(Resume, OfACompleteSearchLeavesItsBestStructure) {
  SmallSearch search;
  search.words = "resume yes";
  RunOptions options;
  options.folder = fresh_folder();
  const RunResult first = search.run(options);
  ASSERT_TRUE(first.ok()) << first.output;
  // Nothing is evaluated any more, but what follows in the script expects the result.
  search.commands = "run 6\nrun 0\nprint \"LEFT $(pe:%.10g) BEST $(f_s:%.10g)\"\n";
  const RunResult again = search.run(options);
  ASSERT_TRUE(again.ok()) << again.output;
  EXPECT_EQ(again.file("godiff.s.csv"), first.file("godiff.s.csv"));
  const std::size_t at = again.output.find("\nLEFT ");
  ASSERT_NE(at, std::string::npos) << again.output;
  const std::string line = again.output.substr(at + 6, again.output.find('\n', at + 1) - at - 6);
  const std::size_t best = line.find(" BEST ");
  EXPECT_EQ(line.substr(0, best), line.substr(best + 6));
  EXPECT_TRUE(again.contains("continues after 6 evaluations in stage 2")) << again.output;
}
