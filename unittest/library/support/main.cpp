// SPDX-License-Identifier: GPL-2.0-only
// main() of the tests that have LAMMPS in their own process: MPI lasts as long as the process, and
// LAMMPS finds the plugin.
#include <cstdlib>

#include <gtest/gtest.h>

#include <mpi.h>

namespace {

// Not started to list the tests.
class Mpi : public ::testing::Environment {
public:
  void SetUp() override { MPI_Init(nullptr, nullptr); }
  void TearDown() override { MPI_Finalize(); }
};

}  // namespace

int main(int argc, char **argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::AddGlobalTestEnvironment(new Mpi);
  setenv("LAMMPS_PLUGIN_PATH", GODIFF_PLUGIN_FOLDER, 1);
  return RUN_ALL_TESTS();
}
