// SPDX-License-Identifier: GPL-2.0-only
// Pair style mace/kk: the values of mace-torch and of the plain style, in every mode, with every way that
// KOKKOS communicates and lists neighbors.
#include "testing/mace_run.hpp"

#include <algorithm>
#include <cmath>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/network/device.hpp"

using godiff::testing::dump_rows;
using godiff::testing::expect_golden;
using godiff::testing::expect_near;
using godiff::testing::kokkos_args;
using godiff::testing::lines_of;
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

// Puts a run onto KOKKOS.
void use_kokkos(MaceRun &run, int threads = 2, const std::vector<std::string> &package = {}) {
  run.options.args = kokkos_args(threads, package);
}

// Forces and all per-atom quantities of two runs.
void expect_same_atoms(const RunResult &one, const RunResult &other, long step, double tolerance) {
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(other.ok()) << other.output;
  const auto rows = dump_rows(one.file("atoms.dump"), step),
             others = dump_rows(other.file("atoms.dump"), step);
  ASSERT_EQ(rows.size(), others.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), others[i].size());
    for (std::size_t k = 0; k < rows[i].size(); ++k)
      EXPECT_NEAR(rows[i][k], others[i][k], tolerance * std::max(1.0, std::fabs(others[i][k])))
          << "atom " << i + 1 << ", column " << k;
  }
}

class KokkosModes : public ::testing::TestWithParam<const char *> {};

}  // namespace

TEST_P(KokkosModes, AllStructuresAreAsMaceTorchSays) {
  const MaceGolden golden("pt_two_layers");
  std::vector<MaceRun> runs;
  for (const std::string &name : golden.structures()) {
    runs.emplace_back(golden, name);
    runs.back().words = std::string("check full mode ") + GetParam();
    use_kokkos(runs.back());
  }
  const std::vector<MaceValues> found = values_together(runs);
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const std::string name = golden.structures()[k];
    SCOPED_TRACE(name);
    expect_near(found[k], golden.values(name, "Default", "float64"), MACE_DOUBLE);
  }
}

TEST_P(KokkosModes, IsThePlainStyle) {
  const MaceGolden golden("three_elements");
  for (const char *name : {"slab", "triclinic"}) {
    SCOPED_TRACE(name);
    MaceRun run(golden, name);
    run.words = std::string("mode ") + GetParam();
    run.before = "velocity all create 900 4711\nfix 1 all nve\n";
    run.commands = "run 5";
    MaceRun kokkos = run;
    use_kokkos(kokkos);
    const RunResult one = run.run(), other = kokkos.run();
    // The energy of a structure depends on sums in another order, forces after 5 steps little more.
    for (const long step : {0, 5})
      expect_same_atoms(other, one, step, 1e-9);
    EXPECT_TRUE(other.contains("pair mace/kk, perpetual")) << other.output;
    EXPECT_NEAR(values_of(other, 5).energy, values_of(one, 5).energy, 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(PairMaceKokkos, KokkosModes,
                         ::testing::Values("image", "message", "ghost"),
                         [](const auto &info) { return std::string(info.param); });

TEST(PairMaceKokkos, HeadsAndPrecisionsAreAsMaceTorchSays) {
  const MaceGolden golden("pto_two_heads");
  std::vector<MaceRun> runs;
  std::vector<MaceValues> expected;
  for (const std::string name : {"slab", "close_dimer"})
    for (const std::string precision : {"single", "double"})
      for (const char *mode : {"image", "message"}) {
        runs.emplace_back(golden, name);
        runs.back().words = "check full head surface precision " + precision + " mode " + mode;
        use_kokkos(runs.back());
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

// Slabs with a vacuum cut along z leave ranks without atoms, cells are smaller than the cutoff;
// comm_style tiled needs a box longer than it.
TEST(PairMaceKokkos, TwoRanksGiveTheValuesOfMaceTorch) {
  const std::vector<MaceDecomposition> cases{
      {"slab", 1, "", ""},
      {"slab", 1, "processors 1 1 *\n", ""},
      {"slab", 3, "comm_style tiled\n", "balance 1.0 rcb\n"},
      {"triclinic", 3, "comm_style tiled\n", "balance 1.0 rcb\n"},
      {"one_atom_cell", 1, "", ""},
      {"wire_x", 1, "processors * 1 1\n", ""},
      {"wire_z", 1, "processors * 1 1\n", ""},
      {"atom", 1, "", ""},
      {"apart", 1, "", ""}};
  RunOptions options;
  options.nprocs = 2;
  options.args = kokkos_args(1);
  for (const char *mode : {"message", "ghost"})
    expect_golden(MaceGolden("pt_two_layers"), cases, std::string("check full mode ") + mode,
                  options);
}

// One to three layers, with features of several widths, odd ones in single precision too.
TEST(PairMaceKokkos, OtherModelsOnTwoRanks) {
  for (const char *name :
       {"pt_one_layer", "pt_three_layers", "three_elements", "pto_plain", "pt_no_heads"}) {
    const MaceGolden golden(name);
    const std::string head = golden.data()["exported_head"], precision = golden.data()["dtype"];
    std::vector<MaceRun> runs;
    for (const char *mode : {"mode message", "mode ghost"}) {
      runs.emplace_back(golden, "slab");
      runs.back().words = mode;
      runs.back().options.nprocs = 2;
      use_kokkos(runs.back(), 1);
    }
    const std::vector<MaceValues> found = values_together(runs);
    for (std::size_t k = 0; k < runs.size(); ++k) {
      SCOPED_TRACE(std::string(name) + " " + runs[k].words);
      expect_near(found[k], golden.values("slab", head, precision),
                  golden.single_precision() ? MACE_SINGLE : MACE_DOUBLE);
    }
  }
}

// Whatever `package kokkos` says of communication and neighbor lists.
TEST(PairMaceKokkos, EveryPackageOptionGivesTheSame) {
  const MaceGolden golden("pt_two_layers");
  using Words = std::vector<std::string>;
  for (const Words &package : {Words{"comm", "no"}, Words{"comm", "host"}, Words{"comm", "device"},
                               Words{"neigh", "half", "newton", "on"},
                               Words{"neigh", "half", "newton", "on", "neigh/transpose", "on"}})
    for (const int nprocs : {1, 2}) {
      MaceRun run(golden, "slab");
      run.options.nprocs = nprocs;
      run.before = "fix 1 all nve\n";
      run.commands = "run 1";
      use_kokkos(run, 1, package);
      SCOPED_TRACE(package[0] + " " + package[1] + ", ranks " + std::to_string(nprocs));
      expect_near(values_of(run.run()), golden.values("slab", "Default", "float64"), MACE_DOUBLE);
    }
}

TEST(PairMaceKokkos, HybridWithTypesOfOtherStyles) {
  const MaceGolden golden("pto_two_heads");
  for (const int nprocs : {1, 2}) {
    MaceRun run(golden, "slab");
    run.options.nprocs = nprocs;
    run.pair = "pair_style hybrid/overlay mace precision double lj/cut 5.0\n"
               "pair_coeff * * mace " +
               golden.file() +
               " Pt NULL\npair_coeff 1 2 lj/cut 0.02 2.0\npair_coeff 2 2 lj/cut 0.01 2.2\n";
    // The centroid virial of lj/cut is not known to hybrid styles of KOKKOS: its columns are not looked at.
    run.before = "dump_modify d format none\nfix 1 all nve\n";
    run.commands = "run 3";
    MaceRun kokkos = run;
    use_kokkos(kokkos, 1);
    kokkos.options.nprocs = nprocs;
    SCOPED_TRACE(nprocs);
    const RunResult one = run.run(), other = kokkos.run();
    expect_near(values_of(other, 3), values_of(one, 3), {1e-9, 1e-8, 1e-7});
  }
}

// Nothing is summed in an order that depends on threads, but in LibTorch, which has one here.
TEST(PairMaceKokkos, ThreadsChangeNoBit) {
  const MaceGolden golden("pt_two_layers");
  for (const char *mode : {"image", "message", "ghost"}) {
    MaceRun run(golden, "triclinic");
    run.structure = run.structure.repeated(2, 1, 1);
    run.words = std::string("threads 1 mode ") + mode;
    // Not "velocity create": the temperature that it scales is summed by threads.
    run.before = "velocity all set 20 -10 15 units box\nfix 1 all nve\n"
                 "neigh_modify every 2 check no\n";
    run.commands = "run 6";
    std::string first;
    for (const int threads : {1, 2}) {
      use_kokkos(run, threads);
      const RunResult result = run.run();
      ASSERT_TRUE(result.ok()) << result.output;
      const std::string dump = result.file("atoms.dump");
      if (threads == 1)
        first = dump;
      else
        EXPECT_TRUE(first == dump) << mode;
    }
  }
}

// Arrays have slack: once they are large enough no memory is taken.
TEST(PairMaceKokkos, TakesNoMemoryInTheLongRun) {
  const MaceGolden golden("pt_two_layers");
  for (const char *mode : {"image", "message"}) {
    MaceRun run(golden, "slab");
    run.words = std::string("timing on mode ") + mode;
    run.before = "velocity all create 300 99\nfix 1 all nve\nneigh_modify every 2 check no\n";
    run.commands = "run 5\nrun 20";
    use_kokkos(run, 1);
    const RunResult result = run.run();
    ASSERT_TRUE(result.ok()) << result.output;
    const std::regex line("memory of the device was taken ([0-9]+) times, the last time in call "
                          "([0-9]+)");
    std::vector<std::smatch> found;
    for (auto at = std::sregex_iterator(result.output.begin(), result.output.end(), line);
         at != std::sregex_iterator(); ++at)
      found.push_back(*at);
    ASSERT_EQ(found.size(), 2u) << result.output;
    EXPECT_GT(std::stoi(found[0][1]), 0);
    EXPECT_EQ(found[1][1], found[0][1]);
    EXPECT_EQ(found[1][2], "0");
  }
}

// Numbers of atoms that change, empty ranks, minimisation, a box that changes: as the plain style.
TEST(PairMaceKokkos, ALifeAsThePlainStyle) {
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "slab");
  run.options.nprocs = 2;
  run.words = "mode message";
  run.before_read = "processors 1 1 *\n";
  run.before = "undump d\nfix 1 all nve\n";
  run.commands =
      "run 3\ncreate_atoms 1 single 1.0 1.0 9.5\nrun 3\ngroup one id 3\n"
      "delete_atoms group one compress no\nrun 2\nchange_box all x scale 1.01 remap\nrun 2\n"
      "unfix 1\nmin_style cg\nminimize 0 1e-3 5 20";
  MaceRun kokkos = run;
  use_kokkos(kokkos, 1);
  const RunResult one = run.run(), other = kokkos.run();
  ASSERT_TRUE(one.ok()) << one.output;
  ASSERT_TRUE(other.ok()) << other.output;
  const auto tables = one.thermo(), others = other.thermo();
  ASSERT_EQ(tables.size(), 5u);
  ASSERT_EQ(others.size(), tables.size());
  for (std::size_t k = 0; k < tables.size(); ++k)
    for (const char *column : {"Atoms", "PotEng", "c_press[1]", "c_press[6]"})
      EXPECT_NEAR(others[k].last(column), tables[k].last(column),
                  1e-6 * std::max(1.0, std::fabs(tables[k].last(column))))
          << column << " of run " << k + 1;
}

TEST(PairMaceKokkos, AtomsOnEachOtherAreNamed) {
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "slab");
  for (int k = 0; k < 3; ++k)
    run.structure.positions[12 + k] = run.structure.positions[k] + (k == 0 ? 5e-4 : 0.0);
  use_kokkos(run);
  const std::string error = run.run().error();
  EXPECT_TRUE(std::regex_search(
      error, std::regex("step 0, rank 0: atoms (1 and 5|5 and 1) are only 0.0005 Angstrom apart")))
      << error;
}

// A velocity that is not a number, and no rebuild of neighbor lists that would see the position.
TEST(PairMaceKokkos, NumbersThatAreNone) {
  MaceRun run(MaceGolden("pt_two_layers"), "cluster");
  run.before = "variable none atom exp(1000)-exp(1000)\nset atom 3 vx v_none\n"
               "neigh_modify every 100 delay 100 check no\nfix move all nve\n";
  run.commands = "run 3";
  use_kokkos(run);
  const RunResult result = run.run();
  EXPECT_TRUE(result.contains("Pair style mace: step 1, rank 0: the energy of atom "))
      << result.output;
  EXPECT_TRUE(result.contains(" is not a finite number")) << result.output;
  run.words = "check off";
  EXPECT_FALSE(run.run().contains("is not a finite number"));
}

TEST(PairMaceKokkos, WhatCannotBeIsSaidInALine) {
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "slab");
  run.pair = "pair_style mace/kk\n";
  EXPECT_NE(
      run.run().error().find("Pair style mace/kk: KOKKOS is not running: start LAMMPS with -k on "
                             "-sf kk, or use pair_style mace"),
      std::string::npos)
      << run.run().error();

  MaceRun newton(golden, "slab");
  use_kokkos(newton, 1, {"neigh", "full", "newton", "off"});
  EXPECT_NE(newton.run().error().find("start LAMMPS with -pk kokkos newton on neigh half"),
            std::string::npos);

  MaceRun nsq(golden, "slab");
  use_kokkos(nsq);
  nsq.words = "mode ghost";
  nsq.before = "neighbor 1.0 nsq\n";
  EXPECT_NE(nsq.run().error().find("mode ghost needs the command: neighbor 1 bin"),
            std::string::npos);
}

// The model has to be where KOKKOS computes, which is the CPU here.
TEST(PairMaceKokkos, OtherDevicesThanThatOfKokkosAreRefused) {
  const MaceGolden golden("pt_two_layers");
  const godiff::CudaDevices cuda = godiff::cuda_devices();
  for (const char *word : {"cuda", "cuda:0"})
    for (const int nprocs : {1, 2}) {
      SCOPED_TRACE(std::string(word) + ", ranks " + std::to_string(nprocs));
      MaceRun run(golden, "slab");
      use_kokkos(run, 1);
      run.options.nprocs = nprocs;
      run.words = std::string("device ") + word;
      const RunResult result = run.run();
      EXPECT_FALSE(result.ok());
      EXPECT_FALSE(result.timed_out);
      const std::string expected =
          cuda.count > 0
              ? "but KOKKOS computes on cpu: leave the word device out, or use pair_style "
                "mace without the suffix kk"
          : cuda.linked ? "LibTorch finds no CUDA device"
                        : "GODIFF was built without CUDA: use device cpu";
      EXPECT_NE(result.error().find(expected), std::string::npos) << result.output;
      int errors = 0;
      for (const std::string &line : lines_of(result.output))
        errors += line.rfind("ERROR", 0) == 0;
      EXPECT_EQ(errors, 1) << result.output;
    }
  for (const char *word : {"auto", "cpu"}) {
    MaceRun run(golden, "slab");
    use_kokkos(run);
    run.words = std::string("device ") + word;
    const RunResult result = run.run();
    expect_near(values_of(result), golden.values("slab", "Default", "float64"), MACE_DOUBLE);
    EXPECT_TRUE(result.contains("double precision on cpu")) << result.output;
  }
}

// LibTorch has the threads of KOKKOS unless somebody says another number.
TEST(PairMaceKokkos, Threads) {
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "atom");
  use_kokkos(run, 2);
  EXPECT_TRUE(run.run().contains("double precision on cpu, 2 threads a rank"));
  run.words = "threads 1";
  EXPECT_TRUE(run.run().contains("double precision on cpu, 1 thread a rank"));
}
