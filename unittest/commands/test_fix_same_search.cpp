// SPDX-License-Identifier: GPL-2.0-only
// The same seed gives the same search as the program did that evaluated the network plainly, every
// atom in every block and with autograd: golden/search.json of unittest/parity, whose README.md says how
// it was made and how the tolerances were found.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "testing/lammps_runner.hpp"

using godiff::testing::read_file;
using godiff::testing::run_lammps;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::ThermoTable;

namespace {

const std::string PARITY = std::string(GODIFF_SOURCE_DIR) + "/unittest/parity/";
constexpr int STAGES = 3, SAMPLES = 8;

/// Largest deviations allowed in a stage.
struct Tolerance {
  double position;  ///< Angstrom
  double energy;    ///< eV
};

void expect_same(const std::string &precision, const std::vector<Tolerance> &tolerances) {
  RunOptions options;
  options.args = {
      "-var", "precision", precision,
      "-var", "data",      std::string(GODIFF_SOURCE_DIR) + "/examples/godiff/adatom/data.adatom"};
  const RunResult run = run_lammps(read_file(PARITY + "in.search"), options);
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.thermo().size(), 1u);
  const ThermoTable table = run.thermo()[0];
  ASSERT_EQ(table.rows.size(), 1u + STAGES * SAMPLES);
  const std::vector<double> energies = table.column("PotEng");
  const std::vector<double> positions[3] = {table.column("v_x"), table.column("v_y"),
                                            table.column("v_z")};

  std::ifstream file(PARITY + "golden/search.json");
  const nlohmann::json golden = nlohmann::json::parse(file).at(precision);
  ASSERT_EQ(golden.at("energy").size(), static_cast<std::size_t>(STAGES * SAMPLES));
  for (std::size_t stage = 0; stage < tolerances.size(); ++stage) {
    double moved = 0.0, raised = 0.0;
    for (std::size_t c = stage * SAMPLES; c < (stage + 1) * SAMPLES; ++c) {
      raised = std::max(raised, std::abs(energies[c + 1] - golden["energy"][c].get<double>()));
      for (std::size_t k = 0; k < 3; ++k)
        moved =
            std::max(moved, std::abs(positions[k][c + 1] - golden["position"][c][k].get<double>()));
    }
    EXPECT_LE(moved, tolerances[stage].position) << precision << ", stage " << stage + 1;
    EXPECT_LE(raised, tolerances[stage].energy) << precision << ", stage " << stage + 1;
  }
}

}  // namespace

TEST(SameSearch, Double) {
  expect_same("double", {{1e-12, 1e-10}, {1e-12, 1e-10}, {1e-8, 1e-6}});
}

// Training multiplies the rounding by so much that the last stage says nothing.
TEST(SameSearch, Single) {
  expect_same("single", {{1e-8, 1e-6}, {1e-5, 1e-3}});
}
