// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

namespace godiff {

constexpr int MAX_ATOMIC_NUMBER = 99;

/// Atomic number of an element symbol as in the periodic table ("H" is 1, "Es" is 99).
/// Throws godiff::Error naming the symbol when it is none.
int atomic_number(const std::string &symbol);

/// Symbol of the element with atomic number z; throws godiff::Error outside 1 to 99.
const char *symbol(int z);

/// Covalent radius (Angstrom) of the element with atomic number z, method section 19.
/// Cordero et al., Dalton Trans. 2008, 2832 (carbon sp3; Mn, Fe, Co low spin), which ends at Cm;
/// Bk, Cf and Es are the single-bond radii of Pyykkoe and Atsumi, Chem. Eur. J. 15 (2009) 186.
/// Throws godiff::Error outside 1 to 99.
double covalent_radius(int z);

}  // namespace godiff
