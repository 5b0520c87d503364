// SPDX-License-Identifier: GPL-2.0-only
// Makes the styles of KOKKOS, for files that do not know it: with CUDA, only nvcc can read its headers.
#pragma once

#ifndef GODIFF_KOKKOS
#error "this build has no styles of KOKKOS, whatever LAMMPS has"
#endif

namespace LAMMPS_NS {
namespace GODiff {

/// A fix godiff/kk, which works on the device of KOKKOS, or godiff/kk/host, for a LAMMPS * and the words of
/// the command.
void *create_fix_godiff_kk(void *lmp, int narg, char **arg);
void *create_fix_godiff_kk_host(void *lmp, int narg, char **arg);

/// A pair style mace/kk, which computes on the device of KOKKOS, or mace/kk/host, for a LAMMPS *.
void *create_pair_mace_kk(void *lmp);
void *create_pair_mace_kk_host(void *lmp);

}  // namespace GODiff
}  // namespace LAMMPS_NS
