// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/geometry/cell.hpp"

namespace godiff {

/// What stays the same in every structure of a search: cell, elements, template atoms, confinement.
///
/// Atoms are ordered template first, then mobile; every per-atom array of the core uses that order.
/// Lengths are Angstrom, relative to the corner of the cell (`origin` is kept for the files only).
struct System {
  Cell cell;
  Vec3 origin{{0, 0, 0}};
  std::int64_t n_template = 0;
  std::int64_t n_mobile = 0;
  std::vector<int> atomic_numbers;         ///< [n_template + n_mobile], 1..99
  std::vector<std::int64_t> ids;           ///< [n_template + n_mobile], LAMMPS atom IDs
  std::vector<int> types;                  ///< [n_template + n_mobile], LAMMPS atom types
  std::vector<double> template_positions;  ///< [3*n_template]
  double z_lo = 0.0;                       ///< confinement window of the mobile atoms
  double z_hi = 0.0;

  std::int64_t n_atoms() const { return n_template + n_mobile; }
  int mobile_number(std::int64_t i) const { return atomic_numbers[n_template + i]; }
};

/// No coordinate is further away (Angstrom): images of what is cannot be numbered.
constexpr double FARTHEST = 1e6;

/// Positions of the mobile atoms of one structure, [3*n_mobile], Angstrom.
using Positions = std::vector<double>;

/// Throws godiff::Error unless array sizes, elements, template and window of the system fit together.
void validate(const System &system);

/// True when two atoms, at least one of them mobile, are closer than `distance` (Angstrom).
/// minimum_image = false uses plain Cartesian differences (authors' code, method section 22).
bool too_close(const System &system, const Positions &mobile, double distance,
               bool minimum_image = true);

/// The largest |z - window| of any mobile atom, 0 inside (Angstrom).
double outside_window(const System &system, const Positions &mobile);

}  // namespace godiff
