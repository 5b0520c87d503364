// SPDX-License-Identifier: GPL-2.0-only
// The plugin of a build with styles of KOKKOS: two files, of which the first looks at LAMMPS before it opens
// the second.
#include "testing/lammps_runner.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

using godiff::testing::fresh_folder;
using godiff::testing::kokkos_args;
using godiff::testing::run_lammps;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;

namespace {

const char *const INPUT = "units metal\n"
                          "plugin list\n";

void expect_loaded(const RunResult &run) {
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("fix style plugin godiff\n")) << run.output;
  EXPECT_TRUE(run.contains("pair style plugin mace\n")) << run.output;
  // KOKKOS has warnings of its own, on threads.
  for (const auto &warning : run.warnings())
    EXPECT_EQ(warning.find("GODIFF"), std::string::npos) << run.output;
}

// The rest of the line "Currently loaded plugins: " of plugin list.
std::string number_of_styles() {
  const std::string label = "Currently loaded plugins: ";
  const auto output = run_lammps(INPUT).output;
  const auto at = output.find(label);
  return at == std::string::npos ? "?" : output.substr(at, output.find('\n', at) - at);
}

void expect_refused(const std::string &plugin, const std::string &part,
                    const RunOptions &options = {}) {
  const auto run = run_lammps("plugin load '" + plugin + "'\nplugin list\n", options);
  ASSERT_TRUE(run.ok()) << run.output;
  ASSERT_EQ(run.warnings().size(), 1u) << run.output;
  EXPECT_NE(run.warnings()[0].find(part), std::string::npos) << run.output;
  // Only the right one, from the launcher, is there.
  EXPECT_TRUE(run.contains(number_of_styles())) << run.output;
}

}  // namespace

TEST(PluginKokkos, LoadsWhereKokkosIsSwitchedOff) {
  expect_loaded(run_lammps(INPUT));
}

TEST(PluginKokkos, LoadsWhereKokkosIsSwitchedOn) {
  RunOptions options;
  options.args = kokkos_args(2);
  expect_loaded(run_lammps(INPUT, options));
}

TEST(PluginKokkos, LoadsOnTwoRanks) {
  RunOptions options;
  options.nprocs = 2;
  options.args = kokkos_args(1);
  expect_loaded(run_lammps(INPUT, options));
}

TEST(PluginKokkos, RefusesAnotherLammps) {
  expect_refused(GODIFF_FOREIGN_PLUGIN, "built for LAMMPS 29 Aug 2024 and is not loaded into");
}

TEST(PluginKokkos, RefusesAnotherSizeOfAtomIds) {
  expect_refused(GODIFF_FOREIGN_IDS_PLUGIN, "built for a LAMMPS with atom IDs of");
}

TEST(PluginKokkos, RefusesAnotherPrecision) {
  expect_refused(GODIFF_FOREIGN_PRECISION_PLUGIN,
                 "built for KOKKOS with precision other and is not loaded");
}

TEST(PluginKokkos, RefusesAnotherViewLayout) {
  expect_refused(GODIFF_FOREIGN_LAYOUT_PLUGIN,
                 "built for KOKKOS with view layout other and is not loaded");
}

TEST(PluginKokkos, SaysThatTheFileOfTheStylesIsMissing) {
  RunOptions options;
  options.folder = fresh_folder();
  std::filesystem::copy(GODIFF_PLUGIN, options.folder);
  expect_refused("./godiffplugin.so", "godiff_styles.so: cannot open", options);
}

TEST(PluginKokkos, SaysThatTheFileOfTheStylesIsDamaged) {
  RunOptions options;
  options.folder = fresh_folder();
  std::filesystem::copy(GODIFF_PLUGIN, options.folder);
  std::ofstream(options.folder / "godiff_styles.so") << "no library";
  expect_refused("./godiffplugin.so", "cannot load its styles: ", options);
}

// Rank 0, which has the styles, must not wait for the other for ever.
TEST(PluginKokkos, EndsWhereOnlyOneRankHasTheStyles) {
  const auto folder = fresh_folder();
  for (const char *rank : {"rank0", "rank1"}) {
    std::filesystem::create_directories(folder / rank);
    std::filesystem::copy(GODIFF_PLUGIN, folder / rank);
  }
  std::filesystem::copy(std::filesystem::path(GODIFF_PLUGIN).parent_path() / "godiff_styles.so",
                        folder / "rank0");
  std::ofstream(folder / "in.test") << "plugin load ./godiffplugin.so\nplugin list\n";
  std::ofstream(folder / "run.sh")
      << "cd '" << folder.string() << "'/rank${OMPI_COMM_WORLD_RANK:-$PMI_RANK} && exec '"
      << godiff::testing::lmp_path() << "' -in ../in.test\n";
  const std::string command = "cd '" + folder.string() + "' && timeout 100 '" +
                              godiff::testing::mpirun_path() + "' -np 2 sh ./run.sh >output 2>&1";
  const int status = std::system(command.c_str());
  const auto output = godiff::testing::read_file(folder / "output");
  constexpr int OF_TIMEOUT = 124;
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_NE(WEXITSTATUS(status), OF_TIMEOUT) << output;
  EXPECT_NE(WEXITSTATUS(status), 0) << output;
  EXPECT_NE(output.find("ERROR on proc 1: GODIFF plugin cannot load its styles: "),
            std::string::npos)
      << output;
}
