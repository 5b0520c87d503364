// SPDX-License-Identifier: GPL-2.0-only
// Linked into the plugin variant for tests only: sets the fault hooks from the environment variable
// GODIFF_FAULT when the plugin is loaded, and has a fault point of its own, "load", at which an exception
// would end the process.
#include "testing/faults.hpp"

#include <mpi.h>

namespace {

int rank_of_the_job() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

struct AtLoad {
  AtLoad() {
    const char *text = std::getenv("GODIFF_FAULT");
    if (!text)
      return;
    try {
      godiff::testing::Fault::set(text, &rank_of_the_job);
    } catch (const std::invalid_argument &e) {
      // An exception cannot leave dlopen(), and a test must not pass because its fault was misspelt.
      std::fprintf(stderr, "GODIFF_FAULT: %s\n", e.what());
      std::_Exit(2);
    }
    godiff::fault_point("load");
  }
};

const AtLoad at_load;

}  // namespace
