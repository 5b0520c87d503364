// SPDX-License-Identifier: GPL-2.0-only
// No "using namespace LAMMPS_NS" here: LAMMPS and LibTorch both have a Device and an Error.
#include "godiff_glue.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <torch/version.h>

#include <sched.h>

#include "comm.h"
#include "error.h"
#include "exceptions.h"
#include "force.h"
#include "library.h"
#include "universe.h"
#include "update.h"

#include "core/base/comm.hpp"

namespace LAMMPS_NS {
namespace GODiff {

Units find_units(LAMMPS *lmp) {
  Units units;
  const std::string style = lmp->update->unit_style;
  if (style == "real")
    units.energy = utils::get_conversion_factor(utils::ENERGY, utils::REAL2METAL);
  else if (style != "metal")
    lmp->error->all(FLERR, "Fix godiff needs units metal or real, not {}", style);
  units.temperature = lmp->force->boltz * units.energy;
  return units;
}

std::string caught_message() {
  try {
    throw;
  } catch (const LAMMPSException &) {
    throw;
  } catch (...) {
    return godiff::failure_text();
  }
}

namespace {

std::string text_of(LAMMPS *lmp, const std::string &text, int root) {
  int length = static_cast<int>(text.size());
  MPI_Bcast(&length, 1, MPI_INT, root, lmp->world);
  std::string all = text;
  all.resize(static_cast<std::size_t>(length));
  if (length > 0)
    MPI_Bcast(&all[0], length, MPI_CHAR, root, lmp->world);
  return all;
}

}  // namespace

std::string shared_text(LAMMPS *lmp, const std::string &text) {
  return text_of(lmp, text, 0);
}

std::string first_problem(LAMMPS *lmp, const std::string &problem) {
  const int nprocs = lmp->comm->nprocs;
  const int mine = problem.empty() ? nprocs : lmp->comm->me;
  int first = nprocs;
  MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, lmp->world);
  return first == nprocs ? "" : text_of(lmp, problem, first);
}

void sum_on_root(LAMMPS *lmp, double *numbers, std::size_t size) {
  const void *from = lmp->comm->me == 0 ? MPI_IN_PLACE : numbers;
  MPI_Reduce(from, numbers, static_cast<int>(size), MPI_DOUBLE, MPI_SUM, 0, lmp->world);
}

bool begins_with(const std::string &text, std::initializer_list<const char *> beginnings) {
  for (const char *beginning : beginnings)
    if (text.compare(0, std::strlen(beginning), beginning) == 0)
      return true;
  return false;
}

namespace {

// Ranks of the whole job on this node as the launcher tells them, 0 if it does not.
int ranks_on_node() {
  for (const char *name : {"MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"})
    if (const char *text = std::getenv(name))
      return std::max(0, std::atoi(text));
  return 0;
}

}  // namespace

int count_threads(MPI_Comm comm) {
  if (const char *text = std::getenv("OMP_NUM_THREADS"))
    return std::max(1, std::atoi(text));
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;

  MPI_Comm node;
  MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int size = 1;
  MPI_Comm_size(node, &size);
  std::vector<cpu_set_t> sets(static_cast<std::size_t>(size));
  MPI_Allgather(&set, sizeof(set), MPI_BYTE, sets.data(), sizeof(set), MPI_BYTE, node);
  MPI_Comm_free(&node);
  if (!known)
    return 1;
  int sharing = 0;
  for (const cpu_set_t &other : sets)
    sharing += CPU_EQUAL(&other, &set) ? 1 : 0;
  // Ranks of other searches are not asked, which would hang if one of them has no such fix. When no
  // rank is bound to cores of its own, they use the same ones.
  if (sharing == size)
    sharing = std::max(sharing, ranks_on_node());
  return std::max(1, CPU_COUNT(&set) / sharing);
}

int kokkos_threads(LAMMPS *lmp) {
  const int gpus = lammps_extract_setting(lmp, "kokkos_ngpus");
  return gpus > 0 ? 0 : std::max(0, lammps_extract_setting(lmp, "kokkos_nthreads"));
}

std::string libtorch_version() {
  return TORCH_VERSION;
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
