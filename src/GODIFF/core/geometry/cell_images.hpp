// SPDX-License-Identifier: GPL-2.0-only
// Template part of cell.hpp: the loop over periodic images.
#pragma once

#include <cmath>

#include "core/geometry/cell.hpp"

namespace godiff {

template <class Visit>
void Cell::for_images(const Vec3 &difference, double cutoff, Visit visit) const {
  // |r| < cutoff implies |f_k| < cutoff / width_k, which bounds the images per axis.
  const Vec3 f = fractional(difference);
  // What is nowhere, or too far away to number its images, has none.
  constexpr double MOST_CELLS = 1e9;
  for (int k = 0; k < 3; ++k)
    if (!(std::abs(f[k]) < MOST_CELLS))
      return;
  int low[3], high[3];
  for (int k = 0; k < 3; ++k) {
    if (periodic_[k]) {
      const double reach = cutoff / width_[k];
      low[k] = static_cast<int>(std::ceil(-reach - f[k]));
      high[k] = static_cast<int>(std::floor(reach - f[k]));
    } else {
      low[k] = high[k] = 0;
    }
  }
  const double cutoff_squared = cutoff * cutoff;
  for (int a = low[0]; a <= high[0]; ++a)
    for (int b = low[1]; b <= high[1]; ++b)
      for (int c = low[2]; c <= high[2]; ++c) {
        Vec3 r;
        for (int k = 0; k < 3; ++k)
          r[k] = difference[k] + a * rows_[0][k] + b * rows_[1][k] + c * rows_[2][k];
        if (dot(r, r) < cutoff_squared)
          visit(r);
      }
}

}  // namespace godiff
