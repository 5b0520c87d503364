// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/geometry/system.hpp"

namespace godiff {

/// A structure as text with one line for each atom, in the order of the IDs.
///
/// Template atoms never move, so the text of their lines is made only once.
class AtomTable {
public:
  /// What stands in the lines: appends that of atom `i`, with its end of line, to `text`.
  /// `r` is its position as LAMMPS knows it: the corner of the box is added back (Angstrom).
  using Line = std::function<void(std::string &text, std::int64_t i, const Vec3 &r)>;

  /// Keeps what it needs of the system, which must be valid.
  AtomTable(const System &system, Line line);

  /// Appends all lines; mobile [3*n_mobile] Angstrom. Throws godiff::Error for another size.
  void append(std::string &text, const Positions &mobile) const;

private:
  struct Part {
    std::string before;  // lines of the template atoms in front of it
    std::int64_t mobile;
  };

  Line line_;
  Vec3 origin_;
  std::int64_t n_template_, n_mobile_;
  std::vector<Part> parts_;  // one for each mobile atom, by ID
  std::string after_;        // lines of the template atoms behind all mobile ones
};

}  // namespace godiff
