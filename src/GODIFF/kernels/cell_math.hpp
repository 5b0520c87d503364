// SPDX-License-Identifier: GPL-2.0-only
// The arithmetic of a periodic cell, for the CPU and for functors.
#pragma once

#include <cmath>

#include "kernels/on_devices.hpp"

namespace godiff {

/// Numbers of a cell, see core/geometry/cell.hpp. Vectors are double[3], Angstrom.
struct CellMath {
  double rows[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};     ///< a, b, c
  double inverse[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};  ///< of `rows`
  double width[3] = {1, 1, 1};                               ///< between the faces that cut an axis
  bool periodic[3] = {true, true, true};

  static GODIFF_MATH void times(const double *v, const double (&m)[3][3], double *r) {
    const double x = v[0], y = v[1], z = v[2];
    for (int k = 0; k < 3; ++k)
      r[k] = x * m[0][k] + y * m[1][k] + z * m[2][k];
  }

  /// Maps r into the cell along periodic axes, fractional coordinates in [0,1) (method section 2.3).
  GODIFF_MATH void wrap(double *r) const {
    double f[3], wrapped[3];
    times(r, inverse, f);
    bool outside = false;
    for (int k = 0; k < 3; ++k) {
      if (!periodic[k] || (f[k] >= 0.0 && f[k] < 1.0))
        continue;
      outside = true;
      f[k] -= ::floor(f[k]);
      if (f[k] >= 1.0)
        f[k] = 0.0;  // -1e-20 - floor(-1e-20) rounds to 1
    }
    if (!outside)
      return;
    times(f, rows, wrapped);
    // A component that no periodic vector has stays as it is, bit for bit: an atom on the face of the
    // confinement window must not leave it by rounding.
    for (int k = 0; k < 3; ++k) {
      bool moves = false;
      for (int m = 0; m < 3; ++m)
        moves = moves || (periodic[m] && rows[m][k] != 0.0);
      if (moves)
        r[k] = wrapped[k];
    }
  }

  /// Calls visit(r[3]) for every image of a difference vector with |r| < cutoff; for no image when the
  /// difference is not finite or 10^9 cells away.
  template <class Visit>
  GODIFF_MATH void for_images(const double *difference, double cutoff, Visit visit) const {
    // |r| < cutoff implies |f_k| < cutoff / width_k, which bounds the images per axis.
    double f[3];
    times(difference, inverse, f);
    // What is nowhere, or too far away to number its images, has none.
    constexpr double MOST_CELLS = 1e9;
    for (int k = 0; k < 3; ++k)
      if (!(::fabs(f[k]) < MOST_CELLS))
        return;
    int low[3], high[3];
    for (int k = 0; k < 3; ++k) {
      low[k] = high[k] = 0;
      if (periodic[k]) {
        const double reach = cutoff / width[k];
        low[k] = static_cast<int>(::ceil(-reach - f[k]));
        high[k] = static_cast<int>(::floor(reach - f[k]));
      }
    }
    for (int a = low[0]; a <= high[0]; ++a)
      for (int b = low[1]; b <= high[1]; ++b)
        for (int c = low[2]; c <= high[2]; ++c) {
          double r[3];
          for (int k = 0; k < 3; ++k)
            r[k] = difference[k] + a * rows[0][k] + b * rows[1][k] + c * rows[2][k];
          if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < cutoff * cutoff)
            visit(r);
        }
  }
};

}  // namespace godiff
