// SPDX-License-Identifier: GPL-2.0-only
// Systems, other commands and files that a search cannot work with: one clear message each.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>

using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

void expect_error(const RunResult &run, const std::string &message) {
  EXPECT_FALSE(run.ok());
  EXPECT_FALSE(run.timed_out);
  EXPECT_NE(run.error().find(message), std::string::npos) << "expected: " << message << "\n"
                                                          << run.output;
}

bool has_warning(const RunResult &run, const std::string &text) {
  const auto warnings = run.warnings();
  return std::any_of(warnings.begin(), warnings.end(), [&](const std::string &warning) {
    return warning.find(text) != std::string::npos;
  });
}

}  // namespace

TEST(Refused, Units) {
  SmallSearch search;
  search.units = "lj";
  expect_error(search.run(), "Fix godiff needs units metal or real, not lj");
}

TEST(Refused, NonperiodicX) {
  SmallSearch search;
  search.boundary = "f p f";
  expect_error(search.run(), "Fix godiff needs periodic x and y: use boundary p p f or p p p");
}

TEST(Refused, ShrinkWrappedZ) {
  SmallSearch search;
  search.boundary = "p p s";
  expect_error(search.run(), "Fix godiff needs z periodic or fixed");
}

TEST(Refused, TwoDimensions) {
  const RunResult run = godiff::testing::run_lammps(
      "dimension 2\nunits metal\nregion b block 0 4 0 4 -0.5 0.5\ncreate_box 1 b\n"
      "create_atoms 1 single 1 1 0\ncreate_atoms 1 single 3 3 0\ngroup mobile id 1\n"
      "fix s mobile godiff 2 3 4711 20000 300\n");
  expect_error(run, "Fix godiff needs dimension 3");
}

TEST(Refused, NoAtomIds) {
  const RunResult run = godiff::testing::run_lammps(
      "units metal\natom_style atomic\natom_modify id no\nregion b block 0 4 0 4 0 4\n"
      "create_box 1 b\ncreate_atoms 1 single 1 1 1\ncreate_atoms 1 single 3 3 3\n"
      "region half block INF INF INF INF 2 INF\ngroup mobile region half\n"
      "fix s mobile godiff 2 3 4711 20000 300\n");
  expect_error(run, "Fix godiff needs atom IDs: use atom_modify id yes");
}

TEST(Refused, EmptyGroup) {
  SmallSearch search;
  search.before = "group nobody id 999\nfix s nobody godiff 2 3 4711 20000 300\n";
  expect_error(search.run(), "Fix godiff: there is no atom in group nobody");
}

TEST(Refused, GroupAll) {
  SmallSearch search;
  search.before = "fix s all godiff 2 3 4711 20000 300\n";
  expect_error(search.run(), "Fix godiff: group all contains all atoms: leave the template out");
}

TEST(Refused, NoElementForAType) {
  SmallSearch search;
  search.elements = "";
  expect_error(search.run(), "the element of atom type 1 is not known: use keyword elements");
}

TEST(Refused, LabelMapWithoutTheElement) {
  SmallSearch search;
  search.elements = "";
  search.before = "labelmap atom 1 surface\n";
  expect_error(search.run(), "the element of atom type 1 is not known");
}

TEST(Refused, NullForATypeWithAtoms) {
  SmallSearch search;
  search.types = 2;
  search.elements = "elements Pt NULL";
  expect_error(search.run(), "the element of atom type 2 is not known");
}

TEST(Refused, WindowAboveTheBox) {
  SmallSearch search;
  search.words = "confine above 1.0 9.0";
  expect_error(search.run(),
               "the confinement window z 2.9 to 10.9 is not inside the box, z -2 to 10");
}

TEST(Refused, WindowBelowTheBox) {
  SmallSearch search;
  search.words = "confine zone -3.0 5.0";
  expect_error(search.run(), "the confinement window z -3 to 5 is not inside the box");
}

TEST(Refused, WindowWithoutRoom) {
  SmallSearch search;
  search.words = "confine zone 0.0 1.9 mindist 2.5";
  expect_error(search.run(), "no place in the confinement window z 0 to 1.9 is 2.5 away from all "
                             "template atoms: widen confine or lower mindist");
}

TEST(Refused, TooManyMobileAtomsForMindist) {
  SmallSearch search;
  search.mobile = 9;
  search.words = "confine above 2.5 3.0 mindist 2.6 sample prior";
  expect_error(search.run(), "candidates of stage 1 pass mindist 2.6");
}

TEST(Refused, SecondIntegrator) {
  SmallSearch search;
  search.after = "fix move template nve\n";
  expect_error(search.run(), "fix move (style nve) moves atoms as well");
}

TEST(Refused, SecondSearch) {
  SmallSearch search;
  search.after = "fix s2 mobile godiff 2 3 4711 20000 300 elements Pt\n";
  expect_error(search.run(), "is a second search: unfix it first");
}

TEST(Refused, RigidMobileAtoms) {
  SmallSearch search;
  search.after = "fix stiff mobile rigid single\n";
  expect_error(search.run(), "cannot move atoms that fix stiff (style rigid) holds together");
}

TEST(Refused, ChangingBox) {
  SmallSearch search;
  search.after = "fix pull all deform 1 x erate 0.1\n";
  expect_error(search.run(), "fix pull (style deform) changes the box");
}

TEST(Refused, Respa) {
  SmallSearch search;
  search.commands = "run_style respa 2 2 pair 1\nrun 6\n";
  expect_error(search.run(), "Fix godiff needs run_style verlet, not respa");
}

TEST(Refused, NeighborListsBuiltOnce) {
  SmallSearch search;
  search.commands = "neigh_modify once yes\nrun 6\n";
  expect_error(search.run(), "cannot work with neigh_modify once yes");
}

TEST(Refused, AtomsAddedBetweenRuns) {
  SmallSearch search;
  search.commands = "run 2\ncreate_atoms 1 single 3 3 7\nrun 2\n";
  expect_error(search.run(), "there are 21 atoms, 20 when the search began");
}

TEST(Refused, BoxChangedBetweenRuns) {
  SmallSearch search;
  search.commands = "run 2\nchange_box all z delta 0 1 units box\nrun 2\n";
  expect_error(search.run(), "the box has changed since the search began");
}

TEST(Refused, GroupChangedBetweenRuns) {
  SmallSearch search;
  search.commands = "run 2\ngroup mobile id 18\nrun 2\n";
  expect_error(search.run(), "atom IDs, types or the group have changed since the search began");
}

TEST(Refused, AtomsAddedDuringTheRun) {
  SmallSearch search;
  search.after = "region top block 1 7 1 7 8 9\n"
                 "fix rain template deposit 1 1 2 777 region top near 1.0\n";
  expect_error(search.run(), "was not there when the search began");
}

TEST(Refused, UnwritableFolder) {
  SmallSearch search;
  search.words = "save nowhere/run";
  const RunResult run = search.run();
  expect_error(run, "nowhere/run");
  expect_error(run, "No such file or directory");
}

TEST(Refused, CheckpointMissing) {
  SmallSearch search;
  search.words = "load none.ckpt";
  expect_error(search.run(), "none.ckpt: No such file or directory");
}

TEST(Refused, CheckpointForeign) {
  SmallSearch search;
  search.words = "load data.slab";
  expect_error(search.run(), "data.slab is not a checkpoint");
}

TEST(Refused, CheckpointTruncated) {
  SmallSearch first;
  first.words = "save first";
  const RunResult run = first.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const std::string whole = run.file("first.ckpt");
  for (const std::size_t size : {std::size_t{5}, whole.size() / 2, whole.size() - 1}) {
    SmallSearch search;
    search.words = "load cut.ckpt";
    RunOptions options;
    options.files["cut.ckpt"] = whole.substr(0, size);
    expect_error(search.run(options), "cut.ckpt is not a checkpoint");
  }
}

TEST(Refused, CheckpointOfAnotherNetwork) {
  SmallSearch first;
  first.words = "save first";
  const RunResult run = first.run();
  ASSERT_TRUE(run.ok()) << run.output;
  RunOptions options;
  options.files["first.ckpt"] = run.file("first.ckpt");
  SmallSearch search;
  search.words = "load first.ckpt network 4.0 32 1 8";
  expect_error(search.run(options),
               "the network of the checkpoint has nfeat 16, this search has 32");
}

TEST(Refused, GraphTooLargeForTheNetwork) {
  SmallSearch search;
  search.words = "network 3000.0 16 1 8";
  expect_error(search.run(), "20 atoms with a network cutoff of 3000 have about 1.7e+08 edges, too "
                             "many for a batch");
}

TEST(Refused, EveryEnergyOfAStageIsNotFinite) {
  SmallSearch search;
  search.after = "variable zero equal 0.0\nvariable bad atom exp(1000*(step>0))-1.0\n"
                 "fix bad mobile addforce v_zero 0.0 0.0 energy v_bad\nfix_modify bad energy yes\n";
  const RunResult run = search.run();
  expect_error(run, "the energy of all 3 candidates of stage 1 is not finite");
  const auto csv = godiff::testing::parse_csv(run.file("godiff.s.csv"));
  ASSERT_EQ(csv.rows.size(), 3u);
  for (const auto &status : csv.text("status"))
    EXPECT_EQ(status, "failed");
}

TEST(Refused, InputStructureWithoutEnergy) {
  SmallSearch search;
  search.after = "variable zero equal 0.0\nvariable bad atom exp(1000*(step==0))-1.0\n"
                 "fix bad mobile addforce v_zero 0.0 0.0 energy v_bad\nfix_modify bad energy yes\n";
  expect_error(search.run(), "the energy of the input structure is not finite");
}

TEST(Warned, MobileAtomsOutsideTheWindow) {
  SmallSearch search;
  search.mobile_z = 7.5;
  const RunResult run = search.run();
  EXPECT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(has_warning(run, "2 of 2 mobile atoms of the input structure are outside the "
                               "confinement window z 2.9 to 5.9"))
      << run.output;
}

TEST(Warned, WindowWithLittleRoom) {
  SmallSearch search;
  search.mobile = 1;
  search.words = "confine zone 0.0 2.0 mindist 1.62 sample prior";
  const RunResult run = search.run();
  EXPECT_TRUE(has_warning(run, "% of the confinement window z 0 to 2 is 1.62 away")) << run.output;
}

TEST(Warned, TrainingThatNobodySamplesFrom) {
  SmallSearch search;
  const std::string warning = "with sample prior no candidate comes from the network, which mode "
                              "search trains all the same: add mode sample, or use sample em";
  search.words = "sample prior";
  const RunResult trained = search.run();
  EXPECT_TRUE(trained.ok()) << trained.output;
  EXPECT_TRUE(has_warning(trained, warning)) << trained.output;
  for (const char *words : {"sample prior mode sample", "mode sample", ""}) {
    search.words = words;
    EXPECT_FALSE(has_warning(search.run(), warning)) << words;
  }
}

TEST(Warned, ForcesChangedBeforeTheyAreLearned) {
  SmallSearch search;
  search.before = "fix freeze template setforce 0.0 0.0 0.0\n";
  search.after = "";
  search.words = "guide 0.2";
  const RunResult run = search.run();
  EXPECT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(has_warning(run, "learns forces after fix freeze (style setforce) has changed them"))
      << run.output;
}

TEST(Warned, TemplateMovedBetweenRuns) {
  SmallSearch search;
  search.commands = "run 2\ndisplace_atoms template move 0.1 0 0\nrun 2\n";
  const RunResult run = search.run();
  EXPECT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(has_warning(run, "18 template atoms have been moved since the search began"))
      << run.output;
}

TEST(Warned, RunBeyondTheEnd) {
  SmallSearch search;
  search.commands = "run 6\nrun 5\nrun 5\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  int count = 0;
  for (const auto &warning : run.warnings())
    if (warning.find("the search is complete, nothing is evaluated any more") != std::string::npos)
      ++count;
  EXPECT_EQ(count, 1) << run.output;
  // No further step; the best structure is still there.
  ASSERT_EQ(run.thermo().size(), 3u);
  for (int k : {1, 2}) {
    EXPECT_EQ(run.thermo()[k].rows.size(), 1u);
    EXPECT_NEAR(run.thermo()[k].last("PotEng"), run.thermo()[0].last("f_s"), 1e-9);
  }
}
