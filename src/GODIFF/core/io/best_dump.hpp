// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <vector>

#include "core/geometry/system.hpp"

namespace godiff {

/// The structures as a LAMMPS text dump whose "timestep" is the rank 1, 2, ...: the .best file.
///
/// `read_dump FILE rank x y z` and `rerun` read it. All atoms, sorted by ID, with absolute unwrapped
/// positions (Angstrom, 12 decimals). structures: [3*n_mobile] each, best first. `triclinic` says
/// that the LAMMPS box is of the triclinic kind; without it that is taken from the cell, which is
/// not enough for a triclinic box whose tilts are all zero.
/// Throws godiff::Error when the cell is not in LAMMPS' orientation (a along x, b in the xy plane).
std::string best_dump_text(const System &system, const std::vector<Positions> &structures,
                           bool triclinic = false);

/// Writes that text to `path` as write_atomically() does.
void write_best_dump(const std::string &path, const System &system,
                     const std::vector<Positions> &structures, bool triclinic = false);

}  // namespace godiff
