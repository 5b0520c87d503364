// SPDX-License-Identifier: GPL-2.0-only
// Forces, virials, energies and stresses of atoms, and the heat flux are derivatives and parts of the
// energy.
#include "testing/mace_run.hpp"

#include <array>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

using godiff::testing::dump_rows;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceStructure;
using godiff::testing::MaceValues;
using godiff::testing::RunResult;
using godiff::testing::values_of;
using godiff::testing::values_together;

// Central differences with steps of 1e-4 Angstrom: third derivatives of some 10 eV/Angstrom^3 make an
// error of some 1e-8.
TEST(MaceDerivatives, ForcesAreThoseOfTheEnergy) {
  const MaceGolden golden("pto_two_heads");
  constexpr double STEP = 1e-4;
  std::vector<MaceRun> runs(1, MaceRun(golden, "triclinic"));
  for (const int component : {0, 4, 11})
    for (const double sign : {1.0, -1.0}) {
      runs.push_back(runs[0]);
      runs.back().structure.positions[component] += sign * STEP;
    }
  for (MaceRun &run : runs)
    run.words = "precision double";
  const std::vector<MaceValues> values = values_together(runs);
  int k = 1;
  for (const int component : {0, 4, 11}) {
    const double slope = (values[k].energy - values[k + 1].energy) / (2.0 * STEP);
    EXPECT_NEAR(values[0].forces.at(component), -slope, 1e-6) << "component " << component;
    k += 2;
  }
}

TEST(MaceDerivatives, VirialIsThatOfTheStrain) {
  const MaceGolden golden("pto_two_heads");
  constexpr double STEP = 1e-5;
  constexpr std::array<std::array<int, 2>, 6> COMPONENTS = {
      {{0, 0}, {1, 1}, {2, 2}, {1, 0}, {2, 0}, {2, 1}}};
  std::vector<MaceRun> runs(1, MaceRun(golden, "triclinic"));
  for (const auto &[a, b] : COMPONENTS)
    for (const double sign : {1.0, -1.0}) {
      runs.push_back(runs[0]);
      std::array<std::array<double, 3>, 3> strain{};
      strain[a][b] = sign * STEP;
      runs.back().structure = runs[0].structure.strained(strain);
    }
  for (MaceRun &run : runs)
    run.words = "precision double mode ghost";
  const std::vector<MaceValues> values = values_together(runs);
  double size = 0.0;
  for (const double component : values[0].virial)
    size = std::max(size, std::abs(component));
  for (int k = 0; k < 6; ++k) {
    const double slope = (values[1 + 2 * k].energy - values[2 + 2 * k].energy) / (2.0 * STEP);
    EXPECT_NEAR(values[0].virial[k], -slope, 1e-6 * size) << "component " << k;
  }
}

// Sums of a few numbers; compute stress/atom has the sign of a stress.
TEST(MaceDerivatives, PartsOfAtomsAddUp) {
  constexpr double BAR = 1.6021765e6;  // per eV/Angstrom^3
  for (const int nprocs : {1, 2}) {
    MaceRun run(MaceGolden("pt_two_layers"), "slab");
    run.options.nprocs = nprocs;
    const RunResult result = run.run();
    const MaceValues values = values_of(result);
    double energy = 0.0;
    std::array<double, 6> stress{};
    std::array<double, 9> centroid{};
    for (const auto &row : dump_rows(result.file("atoms.dump"), 0)) {
      ASSERT_EQ(row.size(), 24u);
      energy += row[8];
      for (int k = 0; k < 6; ++k)
        stress[k] -= row[9 + k] / BAR;
      for (int k = 0; k < 9; ++k)
        centroid[k] -= row[15 + k] / BAR;
    }
    EXPECT_NEAR(energy, values.energy, 1e-10 * std::abs(values.energy));
    constexpr double ROUNDING = 1e-9;  // eV, ten digits of some eV
    for (int k = 0; k < 6; ++k) {
      EXPECT_NEAR(stress[k], values.virial[k], ROUNDING);
      EXPECT_NEAR(centroid[k], values.virial[k], ROUNDING);
    }
    for (int k = 3; k < 6; ++k)
      EXPECT_NEAR(centroid[k + 3], values.virial[k], ROUNDING);
  }
}

// The heat flux of an isolated cluster is the change of sum r (e + kinetic energy): exact for one layer.
TEST(MaceDerivatives, HeatFluxMovesTheEnergies) {
  MaceRun run(MaceGolden("pt_one_layer"), "cluster");
  run.before = "velocity all create 3000 4711\n"
               "fix move all nve\n"
               "timestep 0.0001\n"
               "compute k all ke/atom\n"
               "compute flux all heat/flux k eatom csatom\n"
               "variable mx atom x*(c_k+c_eatom)\n"
               "variable my atom y*(c_k+c_eatom)\n"
               "variable mz atom z*(c_k+c_eatom)\n"
               "compute m all reduce sum v_mx v_my v_mz\n"
               "thermo 1\n"
               "thermo_style custom step c_m[1] c_m[2] c_m[3] c_flux[1] c_flux[2] c_flux[3]\n"
               "thermo_modify format float %.17g\n";
  run.commands = "run 2";
  const RunResult result = run.run();
  ASSERT_TRUE(result.ok()) << result.output;
  const auto rows = result.thermo().at(0).rows;
  ASSERT_EQ(rows.size(), 3u);
  for (int k = 0; k < 3; ++k) {
    const double slope = (rows[2][1 + k] - rows[0][1 + k]) / 2e-4;
    // The third derivative of the moment times the square of the step.
    EXPECT_NEAR(rows[1][4 + k], slope, 1e-4 * (1.0 + std::abs(slope))) << "component " << k;
  }
}
