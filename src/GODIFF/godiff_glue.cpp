// SPDX-License-Identifier: GPL-2.0-only
// No "using namespace LAMMPS_NS" here: LAMMPS and LibTorch both have a Device and an Error.
#include "godiff_glue.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <sched.h>

#include "comm.h"
#include "error.h"
#include "exceptions.h"
#include "force.h"
#include "universe.h"
#include "update.h"

#include "core/base/error.hpp"

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
  } catch (const c10::Error &e) {
    return std::string("LibTorch: ") + e.what_without_backtrace();
  } catch (const std::bad_alloc &) {
    return "not enough memory: use a smaller network, fewer atoms or a smaller training batch";
  } catch (const std::exception &e) {
    return e.what();
  } catch (...) {
    return "unknown failure";
  }
}

void patient_bcast(void *data, int count, MPI_Datatype type, MPI_Comm comm) {
  constexpr double EAGER = 2e-4;  // seconds of polling, enough for the work of a normal step
  // Naps (microseconds) in proportion to the time waited: none is the cause of a long delay.
  constexpr double NAP_MIN = 20.0, NAP_MAX = 1000.0, SHARE = 0.1;
  MPI_Request request;
  MPI_Ibcast(data, count, type, 0, comm, &request);
  const double start = MPI_Wtime();
  int done = 0;
  while (true) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done)
      return;
    const double waited = MPI_Wtime() - start;
    if (waited > EAGER)
      platform::usleep(static_cast<int>(std::clamp(SHARE * 1e6 * waited, NAP_MIN, NAP_MAX)));
  }
}

std::string shared_text(LAMMPS *lmp, const std::string &text) {
  int length = static_cast<int>(text.size());
  patient_bcast(&length, 1, MPI_INT, lmp->world);
  std::string all = text;
  all.resize(static_cast<std::size_t>(length));
  if (length > 0)
    MPI_Bcast(&all[0], length, MPI_CHAR, 0, lmp->world);
  return all;
}

void agree(LAMMPS *lmp, const std::string &failure) {
  const std::string message = shared_text(lmp, failure);
  if (!message.empty())
    lmp->error->all(FLERR, "Fix godiff: {}", message);
}

namespace {

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0)
    return 1;
  return std::max(1, CPU_COUNT(&set));
}

// Ranks of the whole job on this node as the launcher tells them, 0 if it does not.
int ranks_on_node() {
  for (const char *name : {"MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"})
    if (const char *text = std::getenv(name))
      return std::max(0, std::atoi(text));
  return 0;
}

}  // namespace

int count_threads(LAMMPS *lmp) {
  MPI_Comm node;
  MPI_Comm_split_type(lmp->world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int mine = 1;  // ranks of this world on this node
  MPI_Comm_size(node, &mine);
  MPI_Comm_free(&node);

  // Worlds are not asked: a collective over the universe would hang if one of them has no such fix.
  int worlds = lmp->universe->nworlds;
  if (const int all = ranks_on_node())
    worlds = std::clamp(all / mine, 1, worlds);
  if (const char *text = std::getenv("OMP_NUM_THREADS"))
    return std::max(1, std::atoi(text));
  return std::max(1, usable_cores() / worlds);
}

ThreadScope::ThreadScope(int threads) : before_(at::get_num_threads()) {
  at::set_num_threads(threads);
}

ThreadScope::~ThreadScope() {
  at::set_num_threads(before_);
}

std::string libtorch_version() {
  return TORCH_VERSION;
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
