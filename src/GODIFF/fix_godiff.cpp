// SPDX-License-Identifier: GPL-2.0-only
#include "fix_godiff.h"

#include "error.h"

using namespace LAMMPS_NS;

FixGODiff::FixGODiff(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg) {
  error->all(FLERR, "Fix godiff is not built yet");
}

int FixGODiff::setmask() { return 0; }
