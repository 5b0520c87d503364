// SPDX-License-Identifier: GPL-2.0-only
// Several ranks compute what one does, in every mode and decomposition, and where ranks have no atoms.
#include "testing/mace_run.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

using godiff::testing::expect_near;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceStructure;
using godiff::testing::MaceValues;
using godiff::testing::RunResult;
using godiff::testing::values_of;
using godiff::testing::values_together;

namespace {

// Sums in another order, of numbers of some 10 eV in double precision.
constexpr double ENERGY = 1e-10, FORCE = 1e-9, VIRIAL = 1e-8;
// The same in single precision.
constexpr double SINGLE_ENERGY = 2e-6, SINGLE_FORCE = 2e-5, SINGLE_VIRIAL = 1e-4;

struct Case {
  const char *structure;
  int repeats;  // along each axis: comm_style tiled needs a box longer than the cutoff
  const char *before_read;
  const char *before;
};

// Slabs with a vacuum cut along z leave ranks without atoms, cells are smaller than the cutoff.
const Case CASES[] = {{"slab", 1, "", ""},
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

// Along the periodic axes.
MaceStructure repeated(const MaceStructure &s, int n) {
  return s.repeated(s.periodic[0] ? n : 1, s.periodic[1] ? n : 1, s.periodic[2] ? n : 1);
}

MaceValues repeated(const MaceValues &one, int cells) {
  MaceValues all = one;
  all.energy *= cells;
  for (double &component : all.virial)
    component *= cells;
  for (int cell = 1; cell < cells; ++cell) {
    all.forces.insert(all.forces.end(), one.forces.begin(), one.forces.end());
    all.atom_energies.insert(all.atom_energies.end(), one.atom_energies.begin(),
                             one.atom_energies.end());
  }
  return all;
}

class Ranks : public ::testing::TestWithParam<int> {};

}  // namespace

TEST_P(Ranks, GiveTheValuesOfMaceTorch) {
  const MaceGolden golden("pt_two_layers");
  for (const char *mode : {"message", "ghost"}) {
    std::vector<MaceRun> runs;
    for (const Case &c : CASES) {
      runs.emplace_back(golden, c.structure);
      runs.back().words = std::string("check full mode ") + mode;
      runs.back().structure = repeated(runs.back().structure, c.repeats);
      runs.back().before_read = c.before_read;
      runs.back().before = c.before;
      runs.back().options.nprocs = GetParam();
    }
    const std::vector<MaceValues> found = values_together(runs);
    for (std::size_t k = 0; k < runs.size(); ++k) {
      SCOPED_TRACE(std::string(mode) + " " + CASES[k].structure + " " + CASES[k].before_read);
      const MaceRun one(golden, CASES[k].structure);
      const int cells = runs[k].structure.n_atoms() / one.structure.n_atoms();
      expect_near(found[k],
                  repeated(golden.values(CASES[k].structure, "Default", "float64"), cells), ENERGY,
                  FORCE, VIRIAL * cells);
    }
  }
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
    if (runs[k].words.find("single") != std::string::npos)
      expect_near(found[k], expected[k], SINGLE_ENERGY, SINGLE_FORCE, SINGLE_VIRIAL);
    else
      expect_near(found[k], expected[k], ENERGY, FORCE, VIRIAL);
  }
}
