// SPDX-License-Identifier: GPL-2.0-only
// Whole stages at once (evaluate batch): the same search as step by step, in fewer steps.
#include "restart/same_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace fs = std::filesystem;

using godiff::testing::continuation;
using godiff::testing::Csv;
using godiff::testing::expect_equal;
using godiff::testing::fresh_folder;
using godiff::testing::lines_of;
using godiff::testing::parse_csv;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

const std::string EAM = "pair_style eam\npair_coeff 1 1 Pt_u3.eam\n";

std::string mace(const std::string &model) {
  return "pair_style mace\npair_coeff * * " GODIFF_SOURCE_DIR "/unittest/mace/" + model + " Pt\n";
}

// Relative; the atoms of a structure are summed in another order, and heights are up to 1e4 Angstrom.
constexpr double ROUNDING = 1e-10;

// What is drawn does not depend on energies, so that all stages can be compared to rounding.
SmallSearch drawn(const std::string &potential, const std::string &words = "") {
  SmallSearch search;
  search.potential = potential;
  search.mobile = 3;
  search.stages = 3;
  search.samples = 7;
  search.words = words + " sample prior mode sample";
  search.commands = "run 1000\n";
  return search;
}

SmallSearch with_words(SmallSearch search, const std::string &words) {
  search.words += " " + words;
  return search;
}

Csv csv(const RunResult &run) {
  return parse_csv(run.file("godiff.s.csv"));
}

int steps(const RunResult &run) {
  const std::size_t at = run.log.find(" procs for ");
  return at == std::string::npos ? -1 : std::stoi(run.log.substr(at + 11));
}

void expect_near(const std::vector<double> &a, const std::vector<double> &b, double relative) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t k = 0; k < a.size(); ++k) {
    EXPECT_EQ(std::isfinite(a[k]), std::isfinite(b[k])) << k;
    if (std::isfinite(a[k])) {
      EXPECT_NEAR(a[k], b[k], relative * std::abs(a[k])) << k;
    }
  }
}

// The same search with `evaluate step` and `evaluate batch stacked`, in one step a stage.
void expect_same(const SmallSearch &search, const RunOptions &options = {}) {
  const RunResult one = search.run(options);
  const RunResult all = with_words(search, "evaluate batch stacked").run(options);
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(all.ok()) << all.output;
  EXPECT_EQ(steps(all), search.stages);
  const Csv a = csv(one), b = csv(all);
  EXPECT_EQ(a.header, b.header);
  for (const char *column : {"stage", "status", "evaluation"})
    EXPECT_EQ(a.text(column), b.text(column)) << column;
  expect_near(a.numbers("energy"), b.numbers("energy"), ROUNDING);
}

std::string after(const RunResult &run, const std::string &mark) {
  const std::size_t at = run.log.rfind("\n" + mark);
  if (at == std::string::npos)
    return "no " + mark;
  return run.log.substr(at + 1, run.log.find('\n', at + 1) - at - 1);
}

}  // namespace

TEST(Batch, StackedIsTheSameSearch) {
  for (const std::string &potential : {EAM, SmallSearch().potential})
    expect_same(drawn(potential));
}

TEST(Batch, StackedTriclinic) {
  SmallSearch search = drawn(EAM);
  search.triclinic = true;
  expect_same(search);
}

TEST(Batch, StackedWithSeveralTypesAndUnitsReal) {
  SmallSearch search =
      drawn("pair_style lj/cut 5.0\npair_coeff 1 1 5.7 2.4\npair_coeff 1 2 4.0 2.2\n"
            "pair_coeff 2 2 3.0 2.0\n");
  search.types = 2;
  search.elements = "elements Pt Cu";
  search.units = "real";
  expect_same(search);
}

TEST(Batch, StackedWithChargesAndHybrid) {
  SmallSearch search =
      drawn("pair_style hybrid/overlay lj/cut 5.0 coul/cut 5.0\npair_coeff * * lj/cut "
            "0.25 2.4\npair_coeff * * coul/cut\n");
  search.before_read = "atom_style charge\n";
  std::string data = search.data(), lines;
  bool atoms = false;
  for (const std::string &line : lines_of(data)) {
    const bool row = atoms && !line.empty();
    const std::size_t at = line.find(" 1 ");
    lines += row ? line.substr(0, at + 2) + (at % 2 ? " 0.5" : " -0.25") + line.substr(at + 2)
             : line == "Atoms # atomic" ? "Atoms # charge"
                                        : line;
    lines += "\n";
    atoms = atoms || line == "Atoms # atomic";
  }
  const auto run = [&](const std::string &words) {
    RunOptions options;
    options.files["data.slab"] = lines;
    return godiff::testing::run_lammps(with_words(search, words).input(), options);
  };
  const RunResult one = run(""), all = run("evaluate batch");
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(all.ok()) << all.output;
  EXPECT_TRUE(all.contains("evaluation  stacked, a stage in a step: 3 steps")) << all.output;
  expect_near(csv(one).numbers("energy"), csv(all).numbers("energy"), ROUNDING);
}

TEST(Batch, StackedWithRelaxation) {
  expect_same(drawn(EAM, "relax 3 1e-6"));
  expect_same(drawn(SmallSearch().potential, "relax 40 0.3"));
}

TEST(Batch, StackedWithSetforceAndFailures) {
  // Fixes change forces after the pair style: guidance and relaxation see them before that in a batch.
  SmallSearch search = drawn(EAM, "energy -3.0 40.0 relax 2 1e-6");
  expect_same(search);
}

TEST(Batch, LearnsTheSame) {
  for (const char *words : {"", "guide 0.2 extra 3", "relax 4 1e-6"}) {
    SCOPED_TRACE(words);
    SmallSearch search;
    search.potential = EAM;
    search.words = words;
    search.commands = "run 1000\n";
    const RunResult one = search.run();
    const RunResult all = with_words(search, "evaluate batch").run();
    ASSERT_TRUE(one.ok()) << one.output;
    ASSERT_TRUE(all.ok()) << all.output;
    EXPECT_EQ(steps(all), 2);
    const Csv a = csv(one), b = csv(all);
    EXPECT_EQ(a.text("stage"), b.text("stage"));
    EXPECT_EQ(a.text("evaluation"), b.text("evaluation"));
    // Single precision of a network that has learned from energies with other last digits.
    expect_near(a.numbers("energy"), b.numbers("energy"), 1e-4);
  }
}

TEST(Batch, BoxAndAtomsAreAsBefore) {
  const std::string print =
      "print \"AFTER $(zlo:%.17g) $(zhi:%.17g) $(lx:%.17g) $(atoms) $(count(mobile))\"\n";
  SmallSearch search = drawn(EAM);
  search.commands = "run 2\n" + print + "run 100\nwrite_data end.data\nrun 0\n" + print;
  const RunResult one = search.run();
  SmallSearch batch = with_words(search, "evaluate batch");
  batch.after += "dump d all custom 1 steps.dump id x y z\ndump_modify d sort id\n";
  const RunResult all = batch.run();
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(all.ok()) << all.output;
  EXPECT_EQ(after(one, "AFTER"), after(all, "AFTER"));
  EXPECT_EQ(one.file("end.data").substr(one.file("end.data").find('\n')),
            all.file("end.data").substr(all.file("end.data").find('\n')));
  const std::string dump = all.file("steps.dump");
  EXPECT_NE(dump.find("ITEM: NUMBER OF ATOMS\n21\n"), std::string::npos);
  std::size_t frames = 0;
  for (std::size_t at = 0; (at = dump.find("ITEM: TIMESTEP", at)) != std::string::npos; ++at)
    ++frames;
  EXPECT_EQ(frames, 4U);  // the input structure and one for each stage
}

TEST(Batch, AStepShowsTheLowestStructureOfItsStage) {
  const RunResult run = with_words(drawn(EAM), "evaluate batch").run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto energies = csv(run).numbers("energy");
  const auto shown = run.thermo().at(0).column("PotEng");
  ASSERT_EQ(shown.size(), 4U);
  for (int stage = 0; stage < 3; ++stage) {
    const double lowest =
        *std::min_element(energies.begin() + 7 * stage, energies.begin() + 7 * stage + 7);
    EXPECT_NEAR(shown[stage + 1], lowest, ROUNDING * std::abs(lowest));
  }
}

TEST(Batch, RunsOfOneStageAndRunsWithoutSetup) {
  SmallSearch search = with_words(SmallSearch(), "evaluate batch");
  search.stages = 3;
  search.commands = "run 100\n";
  const RunResult whole = search.run();
  search.commands = "run 1\nrun 1 pre no\nminimize 0.0 0.0 1 1\nrun 7\n";
  const RunResult parts = search.run();
  ASSERT_TRUE(whole.ok()) << whole.output;
  ASSERT_TRUE(parts.ok()) << parts.output;
  expect_equal(whole, parts);
}

TEST(Batch, GoesOnAfterAKillWithinAStage) {
  for (const char *words : {"", "guide 0.2 extra 2", "relax 3 1e-6"}) {
    SmallSearch search;
    search.samples = 5;
    search.words = std::string(words) + " evaluate batch save godiff.s every 0 resume yes";
    search.commands = "run 100\n";
    const RunResult whole = search.run();
    ASSERT_TRUE(whole.ok()) << whole.output;
    for (const char *fault : {"journal:0:kill:3", "journal:0:kill:8", "batch:0:kill:2",
                              "evaluate:0:kill:1", "record:0:kill:4"}) {
      SCOPED_TRACE(std::string(words) + " " + fault);
      RunOptions options;
      options.folder = fresh_folder();
      options.fault = fault;
      EXPECT_TRUE(search.run(options).contains("FAULT kill"));
      options.fault = "";
      const RunResult resumed = search.run(options);
      ASSERT_TRUE(resumed.ok()) << resumed.output;
      expect_equal(whole, resumed);
      EXPECT_FALSE(fs::exists(options.folder / "godiff.s.journal"));
    }
  }
}

TEST(Batch, TakesOverWhatStepsHaveBegunAndTheOtherWayRound) {
  SmallSearch steps = drawn(EAM, "relax 3 1e-6 resume yes");
  const SmallSearch batch = with_words(steps, "evaluate batch");
  const RunResult whole = steps.run();
  for (const bool batch_first : {false, true}) {
    RunOptions options;
    options.folder = fresh_folder();
    options.fault = "journal:0:kill:11";
    EXPECT_TRUE((batch_first ? batch : steps).run(options).contains("FAULT kill"));
    options.fault = "";
    const RunResult resumed = (batch_first ? steps : batch).run(options);
    ASSERT_TRUE(resumed.ok()) << resumed.output;
    expect_near(csv(whole).numbers("energy"), csv(resumed).numbers("energy"), ROUNDING);
    EXPECT_EQ(csv(whole).text("evaluation"), csv(resumed).text("evaluation"));
  }
}

TEST(Batch, ASignalWithinAStageLosesNothing) {
  SmallSearch search = with_words(SmallSearch(), "relax 5 1e-6 evaluate batch resume yes");
  search.commands = "run 100\n";
  const RunResult whole = search.run();
  ASSERT_TRUE(whole.ok()) << whole.output;
  for (const char *fault : {"batch:0:term:2", "batch:0:term:8", "journal:0:term:9"}) {
    SCOPED_TRACE(fault);
    RunOptions options;
    options.folder = fresh_folder();
    options.fault = fault;
    const RunResult ended = search.run(options);
    EXPECT_FALSE(ended.ok());
    EXPECT_TRUE(ended.contains("ended by signal SIGTERM; everything is saved")) << ended.output;
    options.fault = "";
    const RunResult resumed = search.run(options);
    ASSERT_TRUE(resumed.ok()) << resumed.output;
    expect_equal(whole, resumed);
  }
}

TEST(Batch, TheWallTimeLimitWithinAStageLosesNothing) {
  SmallSearch search = with_words(SmallSearch(), "relax 5 1e-6 evaluate batch");
  search.commands = "run 100\n";
  const RunResult whole = search.run();
  RunOptions options;
  options.fault = "batch:0:sleep=1.5:3";
  search.commands = "timer timeout 0:00:01 every 1\nrun 100\ntimer timeout off\nrun 100\n";
  const RunResult parts = search.run(options);
  ASSERT_TRUE(parts.ok()) << parts.output;
  EXPECT_TRUE(parts.contains("wall time limit reached within a stage")) << parts.output;
  expect_equal(whole, parts);
}

TEST(Batch, GoesOnFromARestartFile) {
  SmallSearch search = with_words(SmallSearch(), "evaluate batch");
  search.stages = 3;
  search.commands = "run 100\n";
  const RunResult whole = search.run();
  RunOptions options;
  options.folder = fresh_folder();
  search.commands = "run 1\nwrite_restart one.restart\n";
  ASSERT_TRUE(search.run(options).ok());
  const RunResult rest =
      godiff::testing::run_lammps(continuation(search, "one.restart", "run 100\n"), options);
  ASSERT_TRUE(rest.ok()) << rest.output;
  expect_equal(whole, rest);
}

TEST(Batch, AFailedEnergyIsRecordedAndTheStageGoesOn) {
  SmallSearch search = with_words(drawn(EAM), "evaluate batch");
  RunOptions options;
  options.fault = "batch:0:nan:9";
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  const auto status = csv(run).text("status");
  EXPECT_EQ(std::count(status.begin(), status.end(), "failed"), 1);
  EXPECT_EQ(status.at(8), "failed");
}

TEST(Batch, WhatLammpsDoesNotConfirmIsNotKept) {
  // A fix that adds to the energy without saying so.
  SmallSearch search = with_words(SmallSearch(), "evaluate batch resume yes");
  RunOptions options;
  options.folder = fresh_folder();
  options.fault = "evaluate:0:nan:1";
  const RunResult run = search.run(options);
  EXPECT_FALSE(run.ok());
  EXPECT_NE(
      run.error().find("something beside the pair style contributes to it: use evaluate step"),
      std::string::npos)
      << run.output;
  EXPECT_EQ(csv(run).rows.size(), 0U);
  // The next run evaluates all of it again.
  options.fault = "journal:0:sleep=0:0";
  const RunResult again = search.run(options);
  ASSERT_TRUE(again.ok()) << again.output;
  std::size_t evaluated = 0;
  for (const std::string &line : lines_of(again.output))
    evaluated += line.find("FAULT sleep at journal") != std::string::npos;
  EXPECT_EQ(evaluated, 6U);
}

TEST(Batch, DirectIsTheSameSearch) {
  for (const char *words : {"", "relax 2 1e-6"}) {
    SCOPED_TRACE(words);
    SmallSearch search = drawn(mace("pt_two_layers.pt"), words);
    search.stages = 2;
    search.samples = 4;
    const RunResult one = search.run();
    ASSERT_TRUE(one.ok()) << one.output;
    const auto expected = csv(one).numbers("energy");
    for (const char *way : {"batch", "batch direct", "batch stacked"}) {
      SCOPED_TRACE(way);
      const RunResult all = with_words(search, std::string("evaluate ") + way).run();
      ASSERT_TRUE(all.ok()) << all.output;
      EXPECT_EQ(steps(all), 2);
      EXPECT_EQ(all.contains("by the batch service of pair_style mace, a stage in a step: 2 steps"),
                std::string(way) != "batch stacked");
      const auto energies = csv(all).numbers("energy");
      ASSERT_EQ(energies.size(), expected.size());
      for (std::size_t k = 0; k < energies.size(); ++k)
        EXPECT_NEAR(energies[k], expected[k], 1e-9) << k;  // eV, double precision
      EXPECT_EQ(csv(one).text("evaluation"), csv(all).text("evaluation"));
    }
  }
}

TEST(Batch, DirectLearnsTheForcesOfTheWholeStructure) {
  SmallSearch search;
  search.potential = mace("pt_two_layers.pt");
  search.triclinic = true;
  search.samples = 4;
  search.words = "guide 0.2 extra 3";
  search.commands = "run 1000\n";
  const RunResult one = search.run();
  const RunResult all = with_words(search, "evaluate batch direct").run();
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(all.ok()) << all.output;
  // Single precision of a network that has learned from forces with other last digits.
  expect_near(csv(one).numbers("energy"), csv(all).numbers("energy"), 1e-4);
  const auto a = godiff::testing::tensors(one.file("godiff.s.ckpt")).at("archive.forces"),
             b = godiff::testing::tensors(all.file("godiff.s.ckpt")).at("archive.forces");
  ASSERT_EQ(a.size(), b.size());
  // Of the first stage, which nothing has been learned before: 4 structures of 20 atoms.
  ASSERT_GE(a.size(), 4 * 60 * sizeof(float));
  for (std::size_t k = 0; k < static_cast<std::size_t>(4 * 60); ++k) {
    float x, y;
    std::memcpy(&x, a.data() + k * sizeof(float), sizeof(float));
    std::memcpy(&y, b.data() + k * sizeof(float), sizeof(float));
    EXPECT_NEAR(x, y, 1e-6 * std::abs(x) + 1e-6);
  }
}

TEST(Batch, DirectWithPeriodicZAndUnitsReal) {
  SmallSearch search = drawn(mace("pt_two_layers.pt"));
  search.boundary = "p p p";
  search.units = "real";
  search.stages = 1;
  const RunResult one = search.run();
  const RunResult all = with_words(search, "evaluate batch").run();
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(all.ok()) << all.output;
  expect_near(csv(one).numbers("energy"), csv(all).numbers("energy"), ROUNDING);
}

TEST(Batch, DirectGoesOnAfterAKill) {
  SmallSearch search = drawn(mace("pt_one_layer.pt"), "relax 2 1e-6 resume yes evaluate batch");
  search.stages = 2;
  const RunResult whole = search.run();
  ASSERT_TRUE(whole.ok()) << whole.output;
  RunOptions options;
  options.folder = fresh_folder();
  options.fault = "journal:0:kill:11";
  EXPECT_TRUE(search.run(options).contains("FAULT kill"));
  options.fault = "";
  const RunResult resumed = search.run(options);
  ASSERT_TRUE(resumed.ok()) << resumed.output;
  // Which structures share a call may change the last digits.
  expect_near(csv(whole).numbers("energy"), csv(resumed).numbers("energy"), ROUNDING);
  EXPECT_EQ(csv(whole).text("evaluation"), csv(resumed).text("evaluation"));
}

TEST(Batch, TheExampleOfAServiceIsTheSameSearch) {
  for (const bool triclinic : {false, true}) {
    SmallSearch search = drawn("plugin load " GODIFF_SOFT_BATCH_PLUGIN
                               "\npair_style soft/batch 2.0 3.1\npair_coeff * *\n",
                               "relax 3 1e-6");
    search.triclinic = triclinic;
    search.samples = 4;
    const RunResult one = search.run();
    ASSERT_TRUE(one.ok()) << one.output;
    for (const char *way : {"direct", "stacked"}) {
      const RunResult all = with_words(search, std::string("evaluate batch ") + way).run();
      ASSERT_TRUE(all.ok()) << all.output;
      expect_near(csv(one).numbers("energy"), csv(all).numbers("energy"), ROUNDING);
    }
  }
}

TEST(Batch, AServiceThatMisbehaves) {
  const auto run = [](const char *oddity) {
    SmallSearch search =
        drawn("plugin load " GODIFF_ODD_PLUGIN "\npair_style soft/batch 2.0 3.1\npair_coeff * *\n",
              "evaluate batch direct");
    search.samples = 4;
    RunOptions options;
    options.env["GODIFF_ODD_SERVICE"] = oddity;
    return search.run(options);
  };
  const auto expect = [&](const char *oddity, const std::string &message) {
    const RunResult ended = run(oddity);
    EXPECT_FALSE(ended.ok());
    EXPECT_NE(ended.error().find(message), std::string::npos) << ended.output;
  };
  expect("abi", "the batch service of pair_style soft/batch has version 2 and ");
  expect("size", "the batch service of pair_style soft/batch has version 1 and ");
  expect("fail", "pair_style soft/batch could not evaluate 4 structures: no mood");
  expect("other", "something beside the pair style contributes to it: use evaluate step");
  const RunResult old = run("old");
  EXPECT_TRUE(old.ok()) << old.output;
  const RunResult incomplete = run("nan");
  ASSERT_TRUE(incomplete.ok()) << incomplete.output;
  const auto status = csv(incomplete).text("status");
  EXPECT_EQ(std::count(status.begin(), status.end(), "failed"), 3);
}

TEST(Batch, RefusesWhatItCannotDo) {
  const auto expect = [](const SmallSearch &search, const std::string &words,
                         const std::string &message) {
    SCOPED_TRACE(message);
    const RunResult run = with_words(search, words).run();
    EXPECT_FALSE(run.ok());
    EXPECT_NE(run.error().find(message), std::string::npos) << run.output;
  };
  SmallSearch plain;
  expect(plain, "evaluate batch direct",
         "evaluate batch direct is not possible, pair_style lj/cut has no batch service: use "
         "evaluate batch stacked or evaluate step");
  SmallSearch hybrid;
  hybrid.potential = "pair_style hybrid lj/cut 5.0\npair_coeff * * lj/cut 0.25 2.4\n";
  expect(hybrid, "evaluate batch direct",
         "pair_style hybrid has several styles and a batch service is of one");
  SmallSearch periodic;
  periodic.boundary = "p p p";
  expect(periodic, "evaluate batch stacked",
         "evaluate batch stacked is not possible, z is periodic, with boundary p p f it would be: "
         "use evaluate step");
  expect(periodic, "evaluate batch",
         "evaluate batch is not possible, neither direct (pair_style lj/cut has no batch service) "
         "nor stacked (z is periodic, with boundary p p f it would be): use evaluate step");
  SmallSearch wall;
  wall.after += "fix w mobile wall/lj93 zhi 9.5 0.1 1.0 2.5\nfix_modify w energy yes\n";
  expect(wall, "evaluate batch stacked",
         "fix w (style wall/lj93) contributes to the energy as well as the pair style");
  SmallSearch tail;
  tail.potential += "pair_modify tail yes\n";
  expect(tail, "evaluate batch", "the tail correction of pair_modify contributes to the energy");
  SmallSearch silent;
  silent.potential = "pair_style lj/cut 5.0\npair_coeff * * 0.25 2.4\n";
  silent.after += "fix p mobile property/atom d_some\n";
  expect(silent, "evaluate batch stacked",
         "fix p (style property/atom) keeps properties that copies of atoms do not get");
}
