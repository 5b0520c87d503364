// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/schedule.hpp"

namespace godiff {

std::vector<double> reverse_times(int steps, double eps) {
  std::vector<double> t(steps);
  for (int i = 0; i < steps; ++i)
    t[i] = 1.0 + (eps - 1.0) * i / (steps - 1);
  return t;
}

}  // namespace godiff
