// SPDX-License-Identifier: GPL-2.0-only
// Energies, forces, virials and energies of atoms of pair style mace are those of mace-torch, in every
// mode, for every structure; they are the derivatives of each other.
#include "testing/mace_run.hpp"

#include <cmath>

#include <gtest/gtest.h>

using godiff::testing::dump_rows;
using godiff::testing::expect_near;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceStructure;
using godiff::testing::MaceValues;
using godiff::testing::RunResult;
using godiff::testing::values_of;

namespace {

// Sums in another order, of numbers of some 10 eV in double precision.
constexpr double ENERGY = 1e-10, FORCE = 1e-9, VIRIAL = 1e-8;
// The same in single precision.
constexpr double SINGLE_ENERGY = 2e-6, SINGLE_FORCE = 2e-5, SINGLE_VIRIAL = 1e-4;

class Structures : public ::testing::TestWithParam<const char *> {};

}  // namespace

TEST_P(Structures, AreAsMaceTorchSays) {
  const MaceGolden golden("pt_two_layers");
  const std::string name = GetParam();
  for (const char *mode : {"image", "ghost"}) {
    SCOPED_TRACE(mode);
    MaceRun run(golden, name);
    run.words = std::string("mode ") + mode + " check full";
    expect_near(values_of(run.run()), golden.values(name, "Default", "float64"), ENERGY, FORCE,
                VIRIAL);
  }
}

INSTANTIATE_TEST_SUITE_P(PairMace, Structures,
                         ::testing::Values("slab", "triclinic", "one_atom_cell", "two_atom_cell",
                                           "wire_x", "wire_z", "cluster", "dimer", "close_dimer",
                                           "atom", "apart"),
                         [](const auto &info) { return std::string(info.param); });
