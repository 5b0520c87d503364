// SPDX-License-Identifier: GPL-2.0-only
// What the plugin and the LAMMPS that loads it must have in common.
#pragma once

#include <string>

namespace godiff {

/// A version of LAMMPS, YYYYMMDD, as LAMMPS writes it: "22 Jul 2025".
std::string version_text(int version);

/// One line on why the styles cannot be used in this LAMMPS and what to type instead; empty if they can.
/// Calls nothing but C functions of LAMMPS, whose interface is the same in all that differ.
std::string host_disagreement(void *lmp);

}  // namespace godiff
