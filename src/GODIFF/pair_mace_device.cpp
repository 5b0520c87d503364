// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_device.hpp"

#include <cstdlib>

#include "universe.h"

#include "core/network/device.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

// Asked of the launcher: a collective call would hang where another partition has no such style.
int rank_on_machine(LAMMPS *lmp) {
  for (const char *name : {"MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"})
    if (const char *text = std::getenv(name))
      return std::abs(std::atoi(text));
  return lmp->universe->me;
}

}  // namespace

std::string mace_device(LAMMPS *lmp, const std::string &word) {
  const godiff::CudaDevices cuda = godiff::cuda_devices();
  if (word == "auto" && cuda.count == 0)
    return "cpu";
  std::string which = word;
  if ((word == "auto" || word == "cuda") && cuda.count > 0)
    which = "cuda:" + std::to_string(rank_on_machine(lmp) % cuda.count);
  return godiff::choose_device(which, cuda).str();
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
