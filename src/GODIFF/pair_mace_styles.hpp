// SPDX-License-Identifier: GPL-2.0-only
// Makes the pair styles of KOKKOS, for files that do not know it.
#pragma once

namespace LAMMPS_NS {
namespace GODiff {

/// A pair style mace/kk, which computes on the device of KOKKOS, or mace/kk/host, for a LAMMPS *.
void *create_pair_mace_kk(void *lmp);
void *create_pair_mace_kk_host(void *lmp);

}  // namespace GODiff
}  // namespace LAMMPS_NS
