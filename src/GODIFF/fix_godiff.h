// SPDX-License-Identifier: GPL-2.0-only
#ifdef FIX_CLASS
// clang-format off
FixStyle(godiff,FixGODiff);
// clang-format on
#else

#ifndef LMP_FIX_GODIFF_H
#define LMP_FIX_GODIFF_H

#include "fix.h"

namespace LAMMPS_NS {

class FixGODiff : public Fix {
 public:
  FixGODiff(class LAMMPS *, int, char **);
  int setmask() override;
};

}  // namespace LAMMPS_NS

#endif
#endif
