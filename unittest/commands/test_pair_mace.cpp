// SPDX-License-Identifier: GPL-2.0-only
// Energies, forces, virials and energies of atoms of pair style mace are those of mace-torch, in every
// mode, for every structure; they are the derivatives of each other.
#include "testing/mace_run.hpp"

#include <cmath>

#include <gtest/gtest.h>

using godiff::testing::dump_rows;
using godiff::testing::expect_near;
using godiff::testing::MACE_DOUBLE;
using godiff::testing::MACE_SINGLE;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceStructure;
using godiff::testing::MaceValues;
using godiff::testing::RunResult;
using godiff::testing::values_of;
using godiff::testing::values_together;

namespace {

class Modes : public ::testing::TestWithParam<const char *> {};

}  // namespace

TEST_P(Modes, AllStructuresAreAsMaceTorchSays) {
  const MaceGolden golden("pt_two_layers");
  std::vector<MaceRun> runs;
  for (const std::string &name : golden.structures()) {
    runs.emplace_back(golden, name);
    runs.back().words = std::string("check full mode ") + GetParam();
  }
  const std::vector<MaceValues> found = values_together(runs);
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const std::string name = golden.structures()[k];
    SCOPED_TRACE(name);
    expect_near(found[k], golden.values(name, "Default", "float64"), MACE_DOUBLE);
  }
}

INSTANTIATE_TEST_SUITE_P(PairMace, Modes, ::testing::Values("image", "message", "ghost"),
                         [](const auto &info) { return std::string(info.param); });

TEST(PairMace, HeadsAndPrecisionsAreAsMaceTorchSays) {
  const MaceGolden golden("pto_two_heads");
  std::vector<MaceRun> runs;
  std::vector<MaceValues> expected;
  for (const std::string name : {"slab", "triclinic", "close_dimer"})
    for (const std::string head : {"surface", "oxide"})
      for (const std::string precision : {"single", "double"}) {
        runs.emplace_back(golden, name);
        runs.back().words = "check full head " + head + " precision " + precision;
        runs.back().words += head == "oxide" ? " mode message" : " mode image";
        expected.push_back(
            golden.values(name, head, precision == "single" ? "float32" : "float64"));
      }
  const std::vector<MaceValues> found = values_together(runs);
  for (std::size_t k = 0; k < runs.size(); ++k) {
    SCOPED_TRACE(runs[k].words);
    const bool single = runs[k].words.find("single") != std::string::npos;
    expect_near(found[k], expected[k], single ? MACE_SINGLE : MACE_DOUBLE);
  }
}

// The head that was chosen when the file was made.
TEST(PairMace, WithoutWordsItIsTheModelOfTheFile) {
  const MaceGolden golden("pto_two_heads");
  const MaceRun run(golden, "slab");
  const RunResult result = run.run();
  expect_near(values_of(result), golden.values("slab", "oxide", "float32"), MACE_SINGLE);
  for (const char *text :
       {"2 layers, cutoff 4 Angstrom, ZBL repulsion included, single precision on",
        "atom types: 1=Pt 2=O; heads: surface oxide (used)",
        "MACE mode image (one rank): ghost atoms to 5 Angstrom, neighbors to 5",
        "MACE graph: 14 nodes, 160 edges"})
    EXPECT_TRUE(result.contains(text)) << text << "\n" << result.output;
}

// Vectors are made in double precision: at 10,000 Angstrom a float has a spacing of 0.001 Angstrom, which
// would be worth some meV here.
TEST(PairMace, NothingIsLostFarFromTheOrigin) {
  const std::string model = std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/pt_two_layers.pt";
  const auto run = godiff::testing::run_lammps(
      "units metal\natom_modify sort 0 0\nboundary f f f\nregion box block -5 10005 -5 10005 -5 "
      "10005\n"
      "create_box 1 box\nmass 1 195\n"
      "create_atoms 1 single 0 0 0\ncreate_atoms 1 single 2.6 0.1 0.2\n"
      "create_atoms 1 single 1.2 2.4 -0.1\ncreate_atoms 1 single 1.3 0.9 2.2\n"
      "neighbor 1.0 nsq\n"  // bins of this box would be too many
      "pair_style mace precision single\npair_coeff * * " +
      model +
      " Pt\nthermo_style custom step pe fnorm\nthermo_modify format float %.15g\nrun 0\n"
      "displace_atoms all move 9990.123 9981.77 9970.31\nrun 0\n");
  ASSERT_TRUE(run.ok()) << run.output;
  const auto tables = run.thermo();
  ASSERT_EQ(tables.size(), 2u);
  // Rounding of some hundred operations in single precision, of energies and forces of some eV.
  EXPECT_NEAR(tables[1].last("PotEng"), tables[0].last("PotEng"), 4e-6);
  EXPECT_NEAR(tables[1].last("Fnorm"), tables[0].last("Fnorm"), 1e-5);
  EXPECT_GT(tables[0].last("Fnorm"), 0.01);
}
