// SPDX-License-Identifier: GPL-2.0-only
// A search that takes a fraction of a second: two layers of a square lattice, two mobile atoms,
// Lennard-Jones, a small network. Tests change what they are about.
#pragma once

#include <string>
#include <vector>

#include "testing/lammps_runner.hpp"

namespace godiff::testing {

struct SmallSearch {
  // The slab. Template atoms have the IDs 1 to 18, mobile atoms those that follow.
  int mobile = 2;
  int types = 1;  ///< with 2, every second mobile atom is of type 2
  bool triclinic = false;
  double height = 12.0;  ///< of the box, whose lower face is at z = -2
  double mobile_z = 4.5;

  std::string units = "metal";
  std::string boundary = "p p f";
  std::string potential = "pair_style lj/cut 5.0\npair_coeff * * 0.25 2.4\n";
  std::string elements = "elements Pt";
  int stages = 2;
  int samples = 3;
  std::string seed = "4711";
  std::string temperatures = "20000 300";
  std::string settings =
      "confine above 1.0 4.0 buffer 4 train 2 2 network 4.0 16 1 8 sample em 5 0.01";
  std::string words;        ///< more words for the fix command
  std::string before_read;  ///< commands before read_data
  std::string before;       ///< commands before the fix
  std::string after = "fix freeze template setforce 0.0 0.0 0.0\n";
  std::string thermo = "step pe f_s f_s[1] f_s[2] f_s[3] f_s[4] f_s[9]";
  std::string commands = "run 6\n";

  /// The fix command.
  std::string fix() const;
  /// The input script; it reads data.slab.
  std::string input() const;
  std::string data() const;

  /// Runs it; the file data.slab is added to options.files.
  RunResult run(RunOptions options = {}) const;
};

/// A .csv file of a search.
struct Csv {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;

  /// Values of a column as text or numbers; throws std::out_of_range if there is no such column.
  std::vector<std::string> text(const std::string &column) const;
  std::vector<double> numbers(const std::string &column) const;
};

Csv parse_csv(const std::string &text);

}  // namespace godiff::testing
