// SPDX-License-Identifier: GPL-2.0-only
// What pair style mace offers to other code in the process, and that it leaves nothing behind.
#include "library/instance.hpp"

#include <numeric>

#include <gtest/gtest.h>

#include "../src/GODIFF/godiff_batch.h"
#include "testing/mace_run.hpp"

using godiff::testing::Instance;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceStructure;
using godiff::testing::MaceValues;
using godiff::testing::resident_memory;
using godiff::testing::WorkingFolder;

namespace {

// The input up to its run; the data are in data.slab.
std::string definition(const MaceRun &run) {
  return "units metal\nboundary p p f\nread_data data.slab\n" + run.pair_commands();
}

constexpr int TIMES = 5;  // graph, forward, backward, scatter, communication

}  // namespace

TEST(PairMaceLibrary, TimesOfTheRun) {
  const MaceRun run(MaceGolden("pt_two_layers"), "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("times");
  lammps.run(definition(run));
  const auto *times = static_cast<const double *>(lammps.of_pair("mace_timing"));
  ASSERT_NE(times, nullptr);
  EXPECT_EQ(std::accumulate(times, times + TIMES, 0.0), 0.0);
  lammps.run("run 3\n");
  times = static_cast<const double *>(lammps.of_pair("mace_timing"));
  for (int k = 0; k < TIMES; ++k)
    EXPECT_TRUE(k == TIMES - 1 ? times[k] == 0.0 : times[k] > 0.0) << k;
  EXPECT_EQ(lammps.of_pair("something_else"), nullptr);
}

TEST(PairMaceLibrary, BatchService) {
  const MaceGolden golden("pt_two_layers");
  const MaceRun run(golden, "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("batch");
  lammps.run(definition(run));
  EXPECT_EQ(lammps.of_pair("godiff_batch"), nullptr) << "units are not known before a run";
  lammps.run("run 0\n");
  auto *service = static_cast<godiff_batch_v1 *>(lammps.of_pair("godiff_batch"));
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->abi, 1u);
  const MaceStructure triclinic = golden.structure("triclinic");
  const std::int64_t ptr[2] = {0, triclinic.n_atoms()};
  const std::uint8_t pbc[3] = {1, 1, 1};
  double energy = 0.0;
  std::vector<double> forces(triclinic.positions.size());
  ASSERT_EQ(service->compute(service->self, 1, ptr, triclinic.types.data(),
                             triclinic.positions.data(), triclinic.cell.data(), pbc,
                             GODIFF_BATCH_FORCES, &energy, forces.data(), nullptr, nullptr),
            GODIFF_BATCH_OK)
      << service->last_error(service->self);
  const MaceValues expected = golden.values("triclinic", "Default", "float64");
  EXPECT_NEAR(energy, expected.energy, 1e-9);
  for (std::size_t k = 0; k < forces.size(); ++k)
    EXPECT_NEAR(forces[k], expected.forces[k], 1e-9);
}

// A pair_coeff that fails changes nothing: the one before is still in use.
TEST(PairMaceLibrary, AFailedCoeffLeavesTheModelInUse) {
  const MaceRun run(MaceGolden("pt_two_layers"), "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("failed");
  lammps.run(definition(run));
  std::string wrong = run.pair_commands();
  wrong = wrong.substr(wrong.find("pair_coeff"));
  wrong = wrong.substr(0, wrong.find_last_of(' ')) + " Xx\n";
  EXPECT_NE(lammps.error_of(wrong).find("element Xx of atom type 1 is not in the model"),
            std::string::npos);
  lammps.run("run 0\n");
  EXPECT_NE(lammps.of_pair("godiff_batch"), nullptr);
}

// Models are freed with the pair style: each would keep some MB.
TEST(PairMaceLibrary, NothingIsLeftBehind) {
  const MaceRun run(MaceGolden("pt_two_layers"), "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("again");
  const std::string cycle = definition(run) + "run 2\nclear\n";
  for (int k = 0; k < 3; ++k)
    lammps.run(cycle);
  const long before = resident_memory();
  for (int k = 0; k < 6; ++k)
    lammps.run(cycle);
  EXPECT_LT(resident_memory() - before, 6 * 1024) << "kB for 6 models";
}
