// SPDX-License-Identifier: GPL-2.0-only
// LAMMPS with the plugin inside of the test process, through the C interface of its library.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace godiff::testing {

/// One LAMMPS. All of them in a test share the process, its MPI and the working folder.
class Instance {
public:
  /// Starts it with its screen output and its log in NAME.screen and NAME.log, and with more words of
  /// the command line.
  explicit Instance(const std::string &name, const std::vector<std::string> &args = {});
  ~Instance();
  Instance(const Instance &) = delete;
  Instance &operator=(const Instance &) = delete;

  /// Runs commands, one a line; fails the test if LAMMPS reports an error.
  void run(const std::string &commands);
  /// Runs commands that end in an error and returns it; empty, and the test fails, if there is none.
  std::string error_of(const std::string &commands);
  /// Value of a fix: its scalar.
  double fix_scalar(const char *id) const;
  /// What the pair style offers under a name; null if it does not know it.
  void *of_pair(const char *name) const;
  /// What LAMMPS has printed so far.
  std::string screen() const;

private:
  std::string attempt(const std::string &commands);

  void *handle_ = nullptr;
  std::filesystem::path screen_;
};

/// Whether LAMMPS has the package KOKKOS and it computes on the host.
bool kokkos_on_the_host();

/// Skips a test of styles of KOKKOS where there are none, or where main memory is not that of its device.
#define SKIP_WITHOUT_KOKKOS_ON_THE_HOST()       \
  if (!::godiff::testing::kokkos_on_the_host()) \
  GTEST_SKIP() << "this LAMMPS has no package KOKKOS that computes on the host"

/// Makes a fresh folder the working folder until the end of its life, and puts `data` into data.slab.
class WorkingFolder {
public:
  explicit WorkingFolder(const std::string &data);
  ~WorkingFolder();
  WorkingFolder(const WorkingFolder &) = delete;
  WorkingFolder &operator=(const WorkingFolder &) = delete;

private:
  std::filesystem::path before_;
};

/// Resident memory of this process in kB.
long resident_memory();

}  // namespace godiff::testing
