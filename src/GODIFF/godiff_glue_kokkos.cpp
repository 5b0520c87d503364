// SPDX-License-Identifier: GPL-2.0-only
#include "godiff_glue.hpp"

#include "atom_kokkos.h"
#include "force.h"
#include "pair.h"

namespace LAMMPS_NS {
namespace GODiff {

void compute_pair_kokkos(LAMMPS *lmp, int eflag, int vflag) {
  auto *atomKK = static_cast<AtomKokkos *>(lmp->atom);
  Pair *pair = lmp->force->pair;
  atomKK->sync(pair->execution_space, pair->datamask_read);
  pair->compute(eflag, vflag);
  atomKK->modified(pair->execution_space, pair->datamask_modify);
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
