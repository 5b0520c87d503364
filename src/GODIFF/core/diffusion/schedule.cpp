// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/schedule.hpp"

#include <cmath>

namespace godiff {

double Schedule::variance(double t) const {
  // sigma_bar^2 - s_min^2 in a form without cancellation at small t.
  const double growth = (sigma_max - sigma_min) * t;
  return growth * (2.0 * sigma_min + growth);
}

double Schedule::std(double t) const {
  return std::sqrt(variance(t));
}

double Schedule::g2(double t) const {
  return 2.0 * sigma_bar(t) * (g2_legacy ? t : sigma_max - sigma_min);
}

std::vector<double> reverse_times(int steps, double eps) {
  std::vector<double> t(steps);
  for (int i = 0; i < steps; ++i)
    t[i] = 1.0 + (eps - 1.0) * i / (steps - 1);
  return t;
}

}  // namespace godiff
