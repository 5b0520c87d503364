// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

#include "pointers.h"

namespace LAMMPS_NS {
namespace GODiff {

/// The device of this rank as LibTorch names it: "auto" is a CUDA device if there is one, else the CPU;
/// "cuda" deals the devices of a machine to its ranks, those of all partitions together. Throws
/// godiff::Error saying what is missing. Not collective.
std::string mace_device(LAMMPS *lmp, const std::string &word);

}  // namespace GODiff
}  // namespace LAMMPS_NS
