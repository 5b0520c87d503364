// SPDX-License-Identifier: GPL-2.0-only
// Runs LAMMPS with the plugin as a subprocess, for tests of commands, files and messages.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace godiff::testing {

/// How to run; the defaults suit a short serial input.
struct RunOptions {
  int nprocs = 1;                            ///< ranks; above 1 (or with `mpirun`) through mpirun
  bool mpirun = false;                       ///< use mpirun for a single rank too
  int threads = 1;                           ///< OMP_NUM_THREADS
  std::vector<std::string> args;             ///< more words for lmp, e.g. {"-partition", "2x1"}
  std::map<std::string, std::string> files;  ///< further files to write: name -> contents
  std::filesystem::path folder;              ///< working folder; empty = a fresh one for this run
  double timeout = 120.0;  ///< seconds until the run is killed; with sanitizers five times as many
  std::map<std::string, std::string> env;  ///< further environment variables
  /// PHASE:RANK:KIND[:N], see testing/faults.hpp: runs the plugin variant that fails there.
  std::string fault;
  /// Asked about every 10 ms; the run is killed (SIGKILL) as soon as it returns true.
  std::function<bool(const std::filesystem::path &folder)> kill_when;
};

/// Output of `thermo`: the column names and one row of numbers per printed step.
struct ThermoTable {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;

  /// All values of one column; throws std::out_of_range if there is no such column.
  std::vector<double> column(const std::string &name) const;
  /// Value in the last row; throws std::out_of_range if there is none.
  double last(const std::string &name) const;
};

/// What came of a run.
struct RunResult {
  int exit_code = -1;      ///< exit status, or 128 + signal number
  bool timed_out = false;  ///< killed after RunOptions::timeout
  bool killed = false;     ///< killed because RunOptions::kill_when asked for it
  std::string output;      ///< standard output and error, together
  std::string log;         ///< log.lammps, empty if there is none
  std::filesystem::path folder;

  bool ok() const { return exit_code == 0; }
  bool contains(const std::string &text) const { return output.find(text) != std::string::npos; }
  /// First line of the output that begins with ERROR; empty if there is none.
  std::string error() const;
  /// All lines of the output that begin with WARNING.
  std::vector<std::string> warnings() const;
  /// Thermo tables of the log, one per run or minimize (`thermo_style one`, `multi` is not read).
  std::vector<ThermoTable> thermo() const;
  /// Contents of a file in the working folder; fails the test if it cannot be read.
  std::string file(const std::string &name) const;
};

/// The launchers build/lmp and build/mpirun.
std::string lmp_path();
/// Whether build/lmp loads LibTorch before LAMMPS.
bool preloads_libtorch();
std::string mpirun_path();

/// Runs an input text with build/lmp and waits for it. The input is kept as in.test in the folder.
RunResult run_lammps(const std::string &input, const RunOptions &options = {});

/// Words for lmp that switch KOKKOS on and choose its styles, with more words for `package kokkos` if any.
std::vector<std::string> kokkos_args(int threads = 2, const std::vector<std::string> &package = {});

/// A new empty folder below the build tree, named after the running test; it stays after the test
/// and is emptied when the same test runs again.
std::filesystem::path fresh_folder();

/// Contents of a file; fails the test and returns "" if it cannot be read.
std::string read_file(const std::filesystem::path &path);

/// Thermo tables of a LAMMPS log.
std::vector<ThermoTable> parse_thermo(const std::string &log);

/// The lines of a text, without their line ends.
std::vector<std::string> lines_of(const std::string &text);

}  // namespace godiff::testing
