// SPDX-License-Identifier: GPL-2.0-only
// main() of the tests that have LAMMPS in their own process: MPI lasts as long as the process, and
// LAMMPS finds the plugin and the files of potentials, as with the launcher.
#include <cstdlib>

#include <gtest/gtest.h>

#include <mpi.h>

#ifdef __SANITIZE_ADDRESS__
// LAMMPS itself loses the command in which an error was thrown, and no suppression could tell its leaks
// from those of a plugin that it calls. So leaks are only reported, and the test property
// FAIL_REGULAR_EXPRESSION looks for ours.
extern "C" __attribute__((visibility("default"))) const char *__lsan_default_options() {
  return "exitcode=0";
}
#endif

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
  setenv("LAMMPS_POTENTIALS", GODIFF_POTENTIALS, 1);
  return RUN_ALL_TESTS();
}
