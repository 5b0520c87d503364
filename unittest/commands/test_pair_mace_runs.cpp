// SPDX-License-Identifier: GPL-2.0-only
// Pair style mace in the ways that LAMMPS is used: dynamics, minimizers, barostats, rerun, hybrid
// styles, restarts, atoms that come and go. What a run ends with is what a new one begins with.
#include "testing/mace_run.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <gtest/gtest.h>

using godiff::testing::dump_rows;
using godiff::testing::expect_near;
using godiff::testing::lines_of;
using godiff::testing::MACE_DOUBLE;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceValues;
using godiff::testing::RunResult;
using godiff::testing::values_of;
using godiff::testing::values_together;

namespace {

long last_step(const RunResult &run) {
  return static_cast<long>(run.thermo().back().rows.back()[0]);
}

// What the last step of a run has is what its restart file gives without anything kept; the number of
// atoms.
int expect_restarted(MaceRun run) {
  run.commands += "\nwrite_restart end.restart\nclear\nread_restart end.restart\n" +
                  run.pair_commands() +
                  "thermo_style custom step atoms pe\nthermo_modify format float %.17g\n"
                  "dump d all custom 1 again.dump id type x y z fx fy fz\n"
                  "dump_modify d sort id format float %.17g first yes\nrun 0\n";
  const RunResult result = run.run();
  EXPECT_TRUE(result.ok()) << result.output;
  const auto tables = result.thermo();
  if (!result.ok() || tables.size() < 2)
    return 0;
  const auto &before = tables[tables.size() - 2], &after = tables.back();
  EXPECT_NEAR(after.last("PotEng"), before.last("PotEng"), MACE_DOUBLE.energy * 14);
  const long step = static_cast<long>(before.last("Step"));
  const auto first = dump_rows(result.file("atoms.dump"), step);
  const auto again = dump_rows(result.file("again.dump"), step);
  EXPECT_EQ(again.size(), first.size());
  EXPECT_EQ(static_cast<double>(first.size()), before.last("Atoms"));
  for (std::size_t i = 0; i < std::min(first.size(), again.size()); ++i)
    for (int k = 5; k < 8; ++k)
      EXPECT_NEAR(again[i][k], first[i][k], MACE_DOUBLE.force) << "atom " << first[i][0];
  return static_cast<int>(again.size());
}

}  // namespace

TEST(MaceRuns, DynamicsGoOnAfterARestart) {
  MaceRun run(MaceGolden("pt_two_layers"), "slab");
  run.before = "velocity all create 1500 4711\nfix move all nve\nthermo 20\n";
  run.commands = "run 20";
  expect_restarted(run);
}

TEST(MaceRuns, AtomsThatAreInsertedAndDeleted) {
  MaceRun run(MaceGolden("pt_two_layers"), "slab");
  run.before = "region gas block 0 5 0 4 7 11\nvelocity all create 1500 4711\n"
               "group mobile type 1\nfix move mobile nve\n"
               "fix in all deposit 3 1 4 4711 region gas near 1.5 attempt 50\nthermo 20\n";
  run.commands = "run 10\ngroup gone id 2 5\ndelete_atoms group gone\nrun 10";
  expect_restarted(run);
}

TEST(MaceRuns, LostAtoms) {
  MaceRun run(MaceGolden("pt_two_layers"), "cluster");
  run.before = "velocity all create 500 4711\nset atom 1 vz 900.0\nfix move all nve\n"
               "thermo_modify lost ignore\n";
  run.commands = "run 20";
  EXPECT_EQ(expect_restarted(run), 6);
}

TEST(MaceRuns, Barostat) {
  MaceRun run(MaceGolden("pt_two_layers"), "triclinic");
  run.before = "velocity all create 300 4711\n"
               "fix move all npt temp 300 300 0.1 tri 0 0 1.0\n"
               "thermo_modify flush yes\n";
  run.commands = "run 10";
  expect_restarted(run);
}

// Double precision is enough for forces far below those of any criterion.
TEST(MaceRuns, MinimizersReachTheirTolerance) {
  MaceRun run(MaceGolden("pt_two_layers"), "slab");
  run.before = "thermo 1000\n";
  run.commands = "min_style cg\nmin_modify line quadratic\nminimize 0.0 1e-8 2000 20000";
  const RunResult result = run.run();
  const MaceValues values = values_of(result, last_step(result));
  EXPECT_TRUE(result.contains("Stopping criterion = force tolerance")) << result.output;
  for (const double force : values.forces)
    EXPECT_LT(std::abs(force), 1e-8);
  EXPECT_LT(values.energy, result.thermo().back().rows.front()[2]);
}

TEST(MaceRuns, BoxesRelax) {
  MaceRun run(MaceGolden("pt_two_layers"), "one_atom_cell");
  run.before = "fix box all box/relax iso 0.0 vmax 0.001\nthermo 1000\n";
  run.commands = "minimize 0.0 1e-8 500 5000";
  const RunResult result = run.run();
  const MaceValues values = values_of(result, last_step(result));
  const double first = result.thermo().back().rows.front()[2];
  EXPECT_LT(values.energy, first);
  // bar; the cell begins with some 1e5.
  const auto row = result.thermo().back().rows.back();
  EXPECT_NEAR((row[3] + row[4] + row[5]) / 3.0, 0.0, 100.0) << result.output;
}

TEST(MaceRuns, RerunGivesTheEnergiesOfTheRun) {
  MaceRun run(MaceGolden("pt_two_layers"), "slab");
  run.before = "velocity all create 3000 4711\nfix move all nve\nthermo 2\n";
  run.commands = "run 6\nundump d\nunfix move\nrerun atoms.dump dump x y z";
  const RunResult result = run.run();
  ASSERT_TRUE(result.ok()) << result.output;
  ASSERT_EQ(result.thermo().size(), 2u);
  const auto first = result.thermo()[0].column("PotEng"),
             again = result.thermo()[1].column("PotEng");
  ASSERT_EQ(first.size(), 4u);
  EXPECT_NE(first[0], first[3]);
  // rerun reads each step that was dumped, thermo prints every second.
  ASSERT_GE(again.size(), 4u);
  const std::size_t stride = (again.size() - 1) / 3;
  for (std::size_t k = 0; k < first.size(); ++k)
    EXPECT_NEAR(again[k * stride], first[k], MACE_DOUBLE.energy * 14);
}

TEST(MaceRuns, FixAveAtomOfTheStress) {
  MaceRun run(MaceGolden("pt_two_layers"), "slab");
  run.before = "velocity all create 3000 4711\nfix move all nve\n"
               "fix mean all ave/atom 1 3 3 c_satom[1] c_eatom\n"
               "dump m all custom 3 mean.dump id f_mean[1] f_mean[2]\n"
               "dump_modify m sort id format float %.17g\n";
  run.commands = "run 3";
  const RunResult result = run.run();
  ASSERT_TRUE(result.ok()) << result.output;
  const auto mean = dump_rows(result.file("mean.dump"), 3);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    double stress = 0.0, energy = 0.0;
    for (const long step : {1, 2, 3}) {
      const auto row = dump_rows(result.file("atoms.dump"), step).at(i);
      energy += row[8] / 3.0;
      stress += row[9] / 3.0;
    }
    EXPECT_NEAR(mean[i][1], stress, 1e-9 * std::abs(stress));
    EXPECT_NEAR(mean[i][2], energy, 1e-12 * std::abs(energy));
  }
}

TEST(MaceRuns, UnitsReal) {
  constexpr double KCAL = 23.060549;  // per eV, as LAMMPS has it
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "triclinic");
  run.units = "real";
  MaceValues expected = golden.values("triclinic", "Default", "float64");
  MaceValues found = values_of(run.run());
  EXPECT_NEAR(found.energy / KCAL, expected.energy, 1e-6);
  for (std::size_t k = 0; k < expected.forces.size(); ++k)
    EXPECT_NEAR(found.forces[k] / KCAL, expected.forces[k], 1e-6);
  for (std::size_t i = 0; i < expected.atom_energies.size(); ++i)
    EXPECT_NEAR(found.atom_energies[i] / KCAL, expected.atom_energies[i], 1e-6);
  // Pressures of units real are in atmospheres.
  constexpr double BAR = 1.6021765e6, ATMOSPHERES = 68568.415;
  for (int k = 0; k < 6; ++k)
    EXPECT_NEAR(found.virial[k] * BAR / ATMOSPHERES / KCAL, expected.virial[k], 1e-5);
}

namespace {

std::string hybrid(const std::string &styles, const std::string &coeffs) {
  return "pair_style hybrid/overlay " + styles + "\n" + coeffs;
}

std::string lines_of_lj() {
  return "pair_coeff 1 2 lj/cut 0.05 2.0\npair_coeff 2 2 lj/cut 0.04 2.1\n";
}

}  // namespace

// A type without an element is no node; other styles take care of it. More ranks pass such atoms on.
TEST(MaceRuns, HybridStylesAndTypesWithoutElement) {
  const MaceGolden golden("pto_two_heads");
  const std::string file = golden.file();
  for (const auto &[nprocs, mode] :
       {std::pair(1, "image"), std::pair(4, "message"), std::pair(2, "ghost")}) {
    SCOPED_TRACE(mode);
    std::vector<MaceRun> runs;
    for (int k = 0; k < 3; ++k) {
      runs.emplace_back(golden, "slab");
      runs.back().words = "precision double";
      runs.back().options.nprocs = nprocs;
    }
    runs[0].pair = hybrid(std::string("mace precision double mode ") + mode + " lj/cut 6.0",
                          "pair_coeff * * mace " + file + " Pt NULL\n" + lines_of_lj());
    runs[1].pair = hybrid("lj/cut 6.0", "pair_coeff 1 1 none\n" + lines_of_lj());
    runs[2].before = "group oxygen type 2\ndelete_atoms group oxygen compress no\n";
    const std::vector<MaceValues> values = values_together(runs);
    EXPECT_NEAR(values[0].energy, values[1].energy + values[2].energy, MACE_DOUBLE.energy * 14);
    for (int k = 0; k < 6; ++k)
      EXPECT_NEAR(values[0].virial[k], values[1].virial[k] + values[2].virial[k],
                  MACE_DOUBLE.virial);
    std::size_t platinum = 0;
    for (int i = 0; i < runs[0].structure.n_atoms(); ++i) {
      const bool node = runs[0].structure.types[i] == 1;
      for (int k = 0; k < 3; ++k)
        EXPECT_NEAR(values[0].forces[3 * i + k],
                    values[1].forces[3 * i + k] + (node ? values[2].forces[3 * platinum + k] : 0.0),
                    MACE_DOUBLE.force)
            << "atom " << i + 1;
      platinum += node ? 1 : 0;
    }
  }
}

// Two models with other cutoffs and modes do not know of each other.
TEST(MaceRuns, TwoModelsAtOnce) {
  const MaceGolden one("pt_one_layer"), two("pt_two_layers");
  for (const int nprocs : {1, 2}) {
    MaceRun run(two, "slab");
    run.options.nprocs = nprocs;
    run.pair =
        hybrid("mace mace mode ghost", "pair_coeff * * mace 1 " + one.file() +
                                           " Pt\npair_coeff * * mace 2 " + two.file() + " Pt\n");
    std::vector<MaceRun> runs(3, run);
    runs[1] = runs[2] = MaceRun(two, "slab");
    runs[1].model = one.file();
    const std::vector<MaceValues> values = values_together(runs);
    EXPECT_NEAR(values[0].energy, values[1].energy + values[2].energy, MACE_DOUBLE.energy * 14);
    for (std::size_t k = 0; k < values[0].forces.size(); ++k)
      EXPECT_NEAR(values[0].forces[k], values[1].forces[k] + values[2].forces[k],
                  MACE_DOUBLE.force);
    for (int k = 0; k < 6; ++k)
      EXPECT_NEAR(values[0].virial[k], values[1].virial[k] + values[2].virial[k],
                  MACE_DOUBLE.virial);
  }
}

TEST(MaceRuns, NoAtomsAtAll) {
  for (const int nprocs : {1, 2}) {
    MaceRun run(MaceGolden("pt_two_layers"), "slab");
    run.words = "check full";
    run.options.nprocs = nprocs;
    run.before = "delete_atoms group all\n";
    const MaceValues values = values_of(run.run());
    EXPECT_EQ(values.energy, 0.0);
  }
}

TEST(MaceRuns, AtomsOnEachOther) {
  MaceRun run(MaceGolden("pt_two_layers"), "dimer");
  for (int k = 0; k < 3; ++k)
    run.structure.positions[3 + k] = run.structure.positions[k] + (k == 0 ? 5e-4 : 0.0);
  const RunResult result = run.run();
  EXPECT_FALSE(result.ok());
  EXPECT_TRUE(result.contains("Pair style mace: step 0, rank 0: atoms 1 and 2 are only 0.0005 "
                              "Angstrom apart"))
      << result.output;
}

// A velocity that is not a number, and no rebuild of neighbor lists that would see the position.
TEST(MaceRuns, NumbersThatAreNone) {
  MaceRun run(MaceGolden("pt_two_layers"), "cluster");
  run.before = "variable none atom exp(1000)-exp(1000)\nset atom 3 vx v_none\n"
               "neigh_modify every 100 delay 100 check no\nfix move all nve\n";
  run.commands = "run 3";
  RunResult result = run.run();
  EXPECT_FALSE(result.ok());
  EXPECT_TRUE(result.contains("Pair style mace: step 1, rank 0: the energy of atom "))
      << result.output;
  EXPECT_TRUE(result.contains(" is not a finite number")) << result.output;
  run.words = "check off";
  result = run.run();
  EXPECT_FALSE(result.contains("is not a finite number")) << result.output;
}

// What a total charge does is known in closed form for this file.
TEST(MaceRuns, ChargeAndSpinReachTheModel) {
  MaceRun run(MaceGolden("pt_two_layers"), "atom");
  run.model = std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/refused/needs_charge.pt";
  run.words = "charge 2 spin 3";
  EXPECT_NEAR(values_of(run.run()).energy, -1.0 + 0.5 * 4.0 + 0.25 * 3.0, 1e-12);
}

TEST(MaceRuns, ThreadsJitAndTimes) {
  const MaceGolden golden("pt_two_layers");
  MaceRun run(golden, "slab");
  run.words = "threads 2 jit on timing on maxedges 500 device cpu";
  run.commands = "run 2";
  const RunResult result = run.run();
  expect_near(values_of(result), golden.values("slab", "Default", "float64"), MACE_DOUBLE);
  EXPECT_TRUE(result.contains("double precision on cpu, 2 threads a rank")) << result.output;
  EXPECT_TRUE(result.contains("MACE timing of 3 calls")) << result.output;
  for (const char *part : {"  graph ", "  forward ", "  backward ", "  scatter ",
                           "  communication ", " us per atom and call"})
    EXPECT_TRUE(result.contains(part)) << part;
}
