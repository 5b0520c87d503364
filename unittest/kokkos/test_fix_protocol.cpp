// SPDX-License-Identifier: GPL-2.0-only
// What LAMMPS' tester of fixes that integrate motion asks for, in the order in which fix godiff can answer:
// a run in parts, the run continued from its restart file, masses by atom, the group, scalar and vector, plain
// and with KOKKOS.
#include "testing/small_search.hpp"

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

using godiff::testing::kokkos_args;
using godiff::testing::lines_of;
using godiff::testing::parse_thermo;
using godiff::testing::run_lammps;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

constexpr int FIRST_MOBILE = 19;  // ID

// With what the tests of a suite are run.
struct Variant {
  const char *name;
  std::vector<std::string> args;
};

const Variant PLAIN = {"plain", {}};
const Variant KOKKOS = {"kokkos", kokkos_args(2)};

// Five candidates of one stage, then five from what was learned of them: step 8 is among these.
SmallSearch search() {
  SmallSearch search;
  search.samples = 5;
  search.before = "velocity all create 300 12345\n";
  search.thermo = "step pe f_s f_s[*]";
  search.commands = "run 0\nrun 4\nwrite_restart middle.restart\nrun 4\n";
  return search;
}

const char *const LAST = "write_dump all custom last.dump id type x y z vx vy vz modify sort id "
                         "format float %.17g\n";

// The atoms, and scalar and vector of the fix, after the last step.
struct State {
  std::vector<std::vector<double>> atoms;  // id type x y z vx vy vz
  double energy = 0.0, scalar = 0.0;
  std::vector<double> vector;
};

State state_of(const RunResult &run) {
  State state;
  if (!run.ok()) {
    ADD_FAILURE() << run.output;
    return state;
  }
  for (const auto &line : lines_of(run.file("last.dump"))) {
    std::istringstream in(line);
    std::vector<double> row;
    for (double number; in >> number;)
      row.push_back(number);
    if (row.size() == 8)
      state.atoms.push_back(row);
  }
  const auto table = run.thermo().back();
  EXPECT_EQ(table.last("Step"), 8);
  state.energy = table.last("PotEng");
  state.scalar = table.last("f_s");
  for (int k = 1; k <= 17; ++k)
    state.vector.push_back(table.last("f_s[" + std::to_string(k) + "]"));
  return state;
}

State run_search(const Variant &variant, SmallSearch wanted) {
  RunOptions options;
  options.args = variant.args;
  wanted.commands += LAST;
  return state_of(wanted.run(options));
}

// Goes on from the restart file of `run`, with files of its own: those of the run are further.
State continue_search(const Variant &variant, const RunResult &run,
                      const std::string &after_read = "") {
  RunOptions options;
  options.args = variant.args;
  SmallSearch same = search();
  same.words = "save continued";
  return state_of(run_lammps("read_restart '" + (run.folder / "middle.restart").string() + "'\n" +
                                 after_read + same.potential + same.fix() + same.after +
                                 "thermo 1\nthermo_style custom " + same.thermo +
                                 "\nthermo_modify format float %20.15g\nrun 4\n" + LAST,
                             options));
}

RunResult run_in_parts(const Variant &variant) {
  RunOptions options;
  options.args = variant.args;
  options.folder = godiff::testing::fresh_folder();
  SmallSearch parts = search();
  parts.commands += LAST;
  return parts.run(options);
}

void expect_equal(const State &found, const State &expected, double tolerance) {
  ASSERT_FALSE(found.atoms.empty());
  ASSERT_EQ(found.atoms.size(), expected.atoms.size());
  for (std::size_t i = 0; i < found.atoms.size(); ++i)
    for (std::size_t k = 0; k < found.atoms[i].size(); ++k)
      EXPECT_NEAR(found.atoms[i][k], expected.atoms[i][k], tolerance)
          << "atom " << i + 1 << ", " << k;
  EXPECT_NEAR(found.energy, expected.energy, tolerance);
  EXPECT_NEAR(found.scalar, expected.scalar, tolerance);
  constexpr std::size_t SECONDS = 14;  // from here on: times
  for (std::size_t k = 0; k < SECONDS; ++k) {
    if (std::isnan(found.vector[k]) && std::isnan(expected.vector[k]))
      continue;
    EXPECT_NEAR(found.vector[k], expected.vector[k], tolerance) << "vector[" << k + 1 << "]";
  }
}

class FixProtocol : public ::testing::TestWithParam<Variant> {};

}  // namespace

TEST_P(FixProtocol, ARunInPartsIsOneRun) {
  SmallSearch whole = search();
  whole.commands = "run 8\n";
  const State expected = run_search(GetParam(), whole);
  // The scalar is the lowest energy of the candidates, which there are.
  EXPECT_TRUE(std::isfinite(expected.scalar));
  EXPECT_EQ(expected.vector[0], 2);  // the second stage
  EXPECT_EQ(expected.vector[2], 8);  // evaluations
  expect_equal(run_search(GetParam(), search()), expected, 0.0);
}

TEST_P(FixProtocol, GoesOnFromARestartFile) {
  const RunResult parts = run_in_parts(GetParam());
  expect_equal(continue_search(GetParam(), parts), state_of(parts), 0.0);
}

TEST_P(FixProtocol, MassesByAtomChangeNothing) {
  const RunResult parts = run_in_parts(GetParam());
  expect_equal(
      continue_search(GetParam(), parts,
                      "fix rmass all property/atom rmass ghost yes\nset type 1 mass 100.0\n"),
      state_of(parts), 0.0);
}

TEST_P(FixProtocol, MovesTheAtomsOfItsGroupAlone) {
  SmallSearch still = search();
  still.commands = "write_dump all custom first.dump id type x y z vx vy vz modify sort id format "
                   "float %.17g\n";
  RunOptions options;
  options.args = GetParam().args;
  const RunResult before = still.run(options);
  ASSERT_TRUE(before.ok()) << before.output;
  const State after = run_search(GetParam(), search());
  std::vector<std::vector<double>> first;
  for (const auto &line : lines_of(before.file("first.dump"))) {
    std::istringstream in(line);
    std::vector<double> row;
    for (double number; in >> number;)
      row.push_back(number);
    if (row.size() == 8)
      first.push_back(row);
  }
  ASSERT_EQ(first.size(), after.atoms.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    double moved = 0.0;
    for (int k = 2; k < 5; ++k)
      moved += std::fabs(first[i][k] - after.atoms[i][k]);
    EXPECT_EQ(moved != 0.0, static_cast<int>(i) + 1 >= FIRST_MOBILE) << "atom " << i + 1;
  }
}

INSTANTIATE_TEST_SUITE_P(Kokkos, FixProtocol, ::testing::Values(PLAIN, KOKKOS),
                         [](const auto &info) { return std::string(info.param.name); });

// Energies and forces are summed up in another order, and what is learned of them decides the positions: a
// network of this size carries differences of 1e-13 on with some 1e-10.
TEST(FixProtocolKokkos, IsAsThePlainStyle) {
  expect_equal(run_search(KOKKOS, search()), run_search(PLAIN, search()), 1e-7);
}
