// SPDX-License-Identifier: GPL-2.0-only
// Several ranks compute what one does, in every mode and decomposition, and where ranks have no atoms.
#include "testing/mace_run.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

using godiff::testing::expect_golden;
using godiff::testing::expect_near;
using godiff::testing::MACE_DOUBLE;
using godiff::testing::MACE_SINGLE;
using godiff::testing::MaceDecomposition;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceValues;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::values_of;
using godiff::testing::values_together;

namespace {

// Slabs with a vacuum cut along z leave ranks without atoms, cells are smaller than the cutoff;
// comm_style tiled needs a box longer than it.
const std::vector<MaceDecomposition> CASES{
    {"slab", 1, "", ""},
    {"slab", 1, "processors 1 1 *\n", ""},
    {"slab", 3, "comm_style tiled\n", "balance 1.0 rcb\n"},
    {"triclinic", 1, "", ""},
    {"triclinic", 3, "comm_style tiled\n", "balance 1.0 rcb\n"},
    {"one_atom_cell", 1, "", ""},
    {"two_atom_cell", 1, "processors 1 1 *\n", ""},
    {"wire_x", 1, "processors * 1 1\n", ""},
    {"wire_z", 1, "processors * 1 1\n", ""},
    {"cluster", 1, "", ""},
    {"atom", 1, "", ""},
    {"apart", 1, "", ""}};

class Ranks : public ::testing::TestWithParam<int> {};

}  // namespace

TEST_P(Ranks, GiveTheValuesOfMaceTorch) {
  RunOptions options;
  options.nprocs = GetParam();
  for (const char *mode : {"message", "ghost"})
    expect_golden(MaceGolden("pt_two_layers"), CASES, std::string("check full mode ") + mode,
                  options);
}

INSTANTIATE_TEST_SUITE_P(PairMace, Ranks, ::testing::Values(2, 3, 4));

// Rows of odd width in single precision; two elements; a head that the file was not made with.
TEST(PairMaceRanks, SinglePrecisionAndHeads) {
  const MaceGolden golden("pto_two_heads");
  std::vector<MaceRun> runs;
  std::vector<MaceValues> expected;
  for (const std::string name : {"slab", "triclinic"})
    for (const std::string precision : {"single", "double"}) {
      runs.emplace_back(golden, name);
      runs.back().words = "head surface precision " + precision;
      runs.back().options.nprocs = 4;
      expected.push_back(
          golden.values(name, "surface", precision == "single" ? "float32" : "float64"));
    }
  const std::vector<MaceValues> found = values_together(runs);
  for (std::size_t k = 0; k < runs.size(); ++k) {
    SCOPED_TRACE(runs[k].words);
    const bool single = runs[k].words.find("single") != std::string::npos;
    expect_near(found[k], expected[k], single ? MACE_SINGLE : MACE_DOUBLE);
  }
}

// One to three layers, with features of several widths; one to three elements; without a scale.
TEST(PairMaceRanks, OtherModels) {
  for (const char *name :
       {"pt_one_layer", "pt_three_layers", "three_elements", "pto_plain", "pt_no_heads"}) {
    const MaceGolden golden(name);
    const std::string head = golden.data()["exported_head"], precision = golden.data()["dtype"];
    std::vector<MaceRun> runs;
    std::vector<MaceValues> expected;
    for (const std::string structure : {"slab", "triclinic"})
      for (const char *mode : {"mode message", "mode ghost"}) {
        runs.emplace_back(golden, structure);
        runs.back().words = mode;
        runs.back().options.nprocs = 2;
        expected.push_back(golden.values(structure, head, precision));
      }
    const std::vector<MaceValues> found = values_together(runs);
    for (std::size_t k = 0; k < runs.size(); ++k) {
      SCOPED_TRACE(std::string(name) + " " + runs[k].words);
      expect_near(found[k], expected[k], golden.single_precision() ? MACE_SINGLE : MACE_DOUBLE);
    }
  }
}

// A model whose parts are not those of MACE cannot be driven layer by layer.
TEST(PairMaceRanks, ModelsOfUnknownParts) {
  MaceRun run(MaceGolden("pt_two_layers"), "slab");
  run.model = std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/refused/needs_charge.pt";
  run.words = "charge 1 spin 2";
  const MaceValues one = values_of(run.run());
  run.options.nprocs = 2;
  RunResult result = run.run();
  expect_near(values_of(result), one, MACE_DOUBLE);
  EXPECT_TRUE(result.contains("MACE mode ghost (mode message is not possible: ")) << result.output;
  run.words += " mode message";
  result = run.run();
  EXPECT_FALSE(result.ok());
  EXPECT_TRUE(result.contains("Pair style mace: mode message is not possible with this model ("))
      << result.output;
  EXPECT_TRUE(result.contains("): use pair_style mace mode ghost")) << result.output;
}

namespace {

// Energies of all steps, and the values of the last one.
struct Trajectory {
  std::vector<double> potential, total;
  MaceValues last;
  RunResult run;
};

// A hot solid that drifts: every atom changes ranks and crosses the periodic boundaries.
Trajectory hot_run(int nprocs, const std::string &mode, const std::string &before_read = "",
                   const std::string &before = "") {
  MaceRun run(MaceGolden("pt_two_layers"), "triclinic");
  run.structure = run.structure.repeated(2, 2, 2);
  run.words = "check full " + mode;
  run.before_read = before_read;
  run.before = before + "velocity all create 20000 4711\nvelocity all set 130 110 90 sum yes\n"
                        "fix move all nve\ntimestep 0.001\nthermo 6\n"
                        "neigh_modify every 1 delay 0 check yes\n";
  run.commands = "run 24";
  run.options.nprocs = nprocs;
  Trajectory trajectory;
  trajectory.run = run.run();
  trajectory.last = values_of(trajectory.run, 24);
  if (trajectory.run.ok()) {
    trajectory.potential = trajectory.run.thermo()[0].column("PotEng");
    trajectory.total = trajectory.run.thermo()[0].column("TotEng");
  }
  return trajectory;
}

}  // namespace

// Rounding errors grow in a hot solid: the last step is as near as 24 steps leave it.
TEST(PairMaceRanks, AtomsThatCrossRanks) {
  const Trajectory one = hot_run(1, "mode image");
  ASSERT_TRUE(one.run.ok());
  ASSERT_EQ(one.potential.size(), 5u);
  // eV: the error of the integrator, against what goes to and fro.
  const double exchanged = std::abs(one.potential.back() - one.potential.front());
  EXPECT_GT(exchanged, 1.0);
  EXPECT_NEAR(one.total.back(), one.total.front(), 0.01 * exchanged);
  for (const auto &[nprocs, mode, grid] :
       {std::tuple(2, "mode message", "processors 2 1 1\n"), std::tuple(4, "mode auto", ""),
        std::tuple(2, "mode ghost", ""), std::tuple(3, "mode message", "comm_style tiled\n")}) {
    SCOPED_TRACE(std::to_string(nprocs) + " " + mode + " " + grid);
    const bool tiled = std::string(grid).find("tiled") != std::string::npos;
    const Trajectory many = hot_run(nprocs, mode, grid, tiled ? "balance 1.0 rcb\n" : "");
    ASSERT_EQ(many.potential.size(), one.potential.size());
    EXPECT_NEAR(many.potential[0], one.potential[0], MACE_DOUBLE.energy * 64);
    for (std::size_t k = 1; k < one.potential.size(); ++k)
      EXPECT_NEAR(many.potential[k], one.potential[k], 1e-7);
    for (std::size_t k = 0; k < one.last.forces.size(); ++k)
      EXPECT_NEAR(many.last.forces[k], one.last.forces[k], 1e-7);
  }
}

// Worlds with other structures, on one and on two ranks each, do not disturb each other.
TEST(PairMaceRanks, Partitions) {
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "slab");
  const std::vector<std::string> names = {"slab", "triclinic"};
  for (const char *layout : {"2x1", "2x2"}) {
    SCOPED_TRACE(layout);
    std::string input = "variable name world slab triclinic\n"
                        "variable periodic world \"p p f\" \"p p p\"\n"
                        "units metal\nboundary ${periodic}\nread_data ${name}.data\n" +
                        run.pair_commands() +
                        "thermo_style custom step pe\nthermo_modify format float %.17g\n"
                        "dump d all custom 1 ${name}.dump id type x y z fx fy fz\n"
                        "dump_modify d sort id format float %.17g\nrun 0\n";
    RunOptions options;
    options.nprocs = std::string(layout) == "2x1" ? 2 : 4;
    options.args = {"-partition", layout};
    for (const std::string &name : names)
      options.files[name + ".data"] = MaceRun(golden, name).data();
    const RunResult result = godiff::testing::run_lammps(input, options);
    ASSERT_TRUE(result.ok()) << result.output;
    for (std::size_t world = 0; world < names.size(); ++world) {
      const MaceValues expected = golden.values(names[world], "Default", "float64");
      const auto tables =
          godiff::testing::parse_thermo(result.file("log.lammps." + std::to_string(world)));
      EXPECT_NEAR(tables.at(0).last("PotEng"), expected.energy, 14 * MACE_DOUBLE.energy);
      const auto rows = godiff::testing::dump_rows(result.file(names[world] + ".dump"), 0);
      ASSERT_EQ(3 * rows.size(), expected.forces.size());
      for (std::size_t i = 0; i < rows.size(); ++i)
        for (int k = 0; k < 3; ++k)
          EXPECT_NEAR(rows[i][5 + k], expected.forces[3 * i + k], MACE_DOUBLE.force);
    }
  }
}

// One rank cannot open what another one has read: all end with one message.
TEST(PairMaceRanks, AllRanksEndTogether) {
  MaceRun run(MaceGolden("pt_two_layers"));
  run.model = "nowhere.pt";
  run.options.nprocs = 4;
  const RunResult result = run.run();
  EXPECT_FALSE(result.ok());
  EXPECT_FALSE(result.timed_out);
  EXPECT_NE(result.error().find("Pair style mace: cannot open nowhere.pt"), std::string::npos)
      << result.output;
}
