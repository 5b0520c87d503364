// SPDX-License-Identifier: GPL-2.0-only
// What must hold for the numbers of a saved search before anything is done with them: they come from a
// file that anybody may have written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/search/archive.hpp"

namespace godiff {

/// `value` as a whole number from 0 to `last` (at most 2^53, where float64 is exact).
/// Throws godiff::Error with the name `what` of the number otherwise.
std::int64_t whole_number(double value, const std::string &what, double last = 9007199254740992.0);

/// Throws godiff::Error unless kT (eV) is positive and finite.
void check_temperature(double kT);

/// Throws godiff::Error unless all coordinates (Angstrom) are finite and no further away than any cell
/// is wide; `what` names them.
void check_places(const std::vector<double> &coordinates, const std::string &what);

/// Throws godiff::Error unless all eigenvalues are finite and within what bonds of `n_mobile` atoms give.
void check_eigenvalues(const std::vector<double> &eigenvalues, std::int64_t n_mobile);

/// Throws godiff::Error unless the numbers of a record fit each other and a search of `classes`
/// structure classes that is at stage `stage` (from 0).
void check_record(const Record &record, int classes, int stage);

}  // namespace godiff
