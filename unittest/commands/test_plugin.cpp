// SPDX-License-Identifier: GPL-2.0-only
// The plugin is found and loaded by the launchers, serial and parallel.
#include "testing/lammps_runner.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

using godiff::testing::run_lammps;
using godiff::testing::RunOptions;

namespace {

const char *const INPUT = "units metal\n"
                          "plugin list\n";

}  // namespace

TEST(Plugin, RegistersFixGodiff) {
  const auto run = run_lammps(INPUT);
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("fix style plugin godiff")) << run.output;
  EXPECT_TRUE(run.warnings().empty()) << run.output;
}

TEST(Plugin, LoadsOnTwoRanks) {
  RunOptions options;
  options.nprocs = 2;
  const auto run = run_lammps(INPUT, options);
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("fix style plugin godiff")) << run.output;
}

TEST(Plugin, RefusesAnotherLammps) {
  const auto run = run_lammps("plugin load '" GODIFF_FOREIGN_PLUGIN "'\nplugin list\n");
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.warnings().size(), 1u) << run.output;
  EXPECT_NE(
      run.warnings()[0].find("built for LAMMPS 29 Aug 2024 and is not loaded into 22 Jul 2025"),
      std::string::npos)
      << run.output;
  // Only the right one, from the launcher, is there.
  EXPECT_TRUE(run.contains("Currently loaded plugins: 2")) << run.output;
}

TEST(Plugin, RefusesAnotherSizeOfAtomIds) {
  const auto run = run_lammps("plugin load '" GODIFF_FOREIGN_IDS_PLUGIN "'\nplugin list\n");
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.warnings().size(), 1u) << run.output;
  EXPECT_NE(
      run.warnings()[0].find("with atom IDs of 8 bytes (LAMMPS_BIGBIG) and is not loaded into "
                             "one with atom IDs of 4 bytes (LAMMPS_SMALLBIG)"),
      std::string::npos)
      << run.output;
  EXPECT_TRUE(run.contains("Currently loaded plugins: 2")) << run.output;
}

TEST(Plugin, FindsPotentialsOfTheWheel) {
  const auto run = run_lammps("units metal\n"
                              "lattice fcc 3.92\n"
                              "region box block 0 2 0 2 0 2\n"
                              "create_box 1 box\n"
                              "create_atoms 1 box\n"
                              "pair_style eam\n"
                              "pair_coeff * * Pt_u3.eam\n"
                              "thermo_style custom step pe\n"
                              "run 0\n");
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.thermo().size(), 1u);
  // Cohesive energy of the universal-3 Pt potential: -5.77 eV an atom.
  EXPECT_NEAR(run.thermo()[0].last("PotEng") / 32, -5.77, 0.005);
}

// LAMMPS has a plain dgemm of its own, which is found first unless LibTorch is loaded before it. The linker
// says in its protocol where it has found one.
TEST(Plugin, LibTorchUsesItsOwnBlas) {
  if (!godiff::testing::preloads_libtorch())
    GTEST_SKIP() << "build/lmp does not load LibTorch first: a sanitizer takes that place";
  RunOptions options;
  options.env = {{"LD_DEBUG", "bindings"}, {"LD_DEBUG_OUTPUT", "bindings"}};
  const auto run = run_lammps("units metal\nregion box block 0 4 0 4 0 4\ncreate_box 1 box\n"
                              "create_atoms 1 single 1 1 1\nmass 1 195\npair_style mace\n"
                              "pair_coeff * * Pt_u3-lammps.pt Pt\nrun 0\n",
                              options);
  ASSERT_TRUE(run.ok()) << run.output;
  int own = 0, others = 0;
  for (const auto &file : std::filesystem::directory_iterator(run.folder)) {
    if (file.path().filename().string().rfind("bindings.", 0) != 0)
      continue;
    std::ifstream lines(file.path());
    for (std::string line; std::getline(lines, line);) {
      const auto from = line.find("libtorch_cpu.so");
      const auto to = line.find(" to ");
      if (from == std::string::npos || to < from || line.find("`dgemm_'") == std::string::npos)
        continue;
      ++(line.find("libtorch_cpu.so", to) != std::string::npos ? own : others);
    }
  }
  EXPECT_GT(own, 0);
  EXPECT_EQ(others, 0);
}
