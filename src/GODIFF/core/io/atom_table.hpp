// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include "core/geometry/system.hpp"

namespace godiff {

/// Indices of all atoms in the order of their IDs [n_atoms].
std::vector<std::int64_t> order_by_id(const System &system);

/// Position of atom `i` as LAMMPS knows it: the corner of the box is added back (Angstrom).
/// mobile [3*n_mobile].
Vec3 absolute_position(const System &system, const Positions &mobile, std::int64_t i);

/// Throws godiff::Error unless `mobile` has three numbers per mobile atom.
void check_size(const System &system, const Positions &mobile);

}  // namespace godiff
