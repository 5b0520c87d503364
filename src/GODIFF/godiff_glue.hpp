// SPDX-License-Identifier: GPL-2.0-only
// What stands between LAMMPS and the core: units, failures, threads.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>

#include "pointers.h"

#include "core/base/threads.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// Factors between the active LAMMPS units and those of the core (eV, Angstrom, kT in eV).
struct Units {
  double energy = 1.0;       ///< eV per energy unit; also eV/Angstrom per force unit
  double temperature = 1.0;  ///< kT in eV per temperature unit
};

/// The factors for `units metal` and `units real`; error->all for any other.
Units find_units(LAMMPS *lmp);

/// The message of the exception that is being handled (godiff::Error, c10::Error, std::exception).
/// Exceptions of LAMMPS itself are thrown on.
std::string caught_message();

/// The text that rank 0 has; what the other ranks pass is ignored. Collective.
std::string shared_text(LAMMPS *lmp, const std::string &text);

/// The text of the first rank that has one, empty if none has. Collective.
std::string first_problem(LAMMPS *lmp, const std::string &problem);

/// Adds up the numbers of all ranks on rank 0 of the world, in place. Collective.
void sum_on_root(LAMMPS *lmp, double *numbers, std::size_t size);

/// True when the text begins with one of these.
bool begins_with(const std::string &text, std::initializer_list<const char *> beginnings);

/// Threads for LibTorch on this rank: OMP_NUM_THREADS if that is set, else the cores this rank may use,
/// shared with the ranks of `comm` (and, as far as the launcher tells, of the job) that may use the same
/// ones. Collective over `comm`.
int count_threads(MPI_Comm comm);

/// Threads of each rank with the KOKKOS package on the host (-k on t N), 0 without it or on a GPU.
int kokkos_threads(LAMMPS *lmp);

#ifdef GODIFF_KOKKOS
/// Calls the pair style as the run loop does, with the data it needs brought to where it computes.
void compute_pair_kokkos(LAMMPS *lmp, int eflag, int vflag);
#endif

using godiff::ThreadScope;

/// Version of the LibTorch in use, as "2.11.0".
std::string libtorch_version();

}  // namespace GODiff
}  // namespace LAMMPS_NS
