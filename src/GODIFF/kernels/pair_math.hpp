// SPDX-License-Identifier: GPL-2.0-only
// Which differences of atoms are pairs of the graph (method section 7), for the CPU and for functors.
#pragma once

#include <cmath>

#include "kernels/on_devices.hpp"

namespace godiff {

constexpr double COINCIDENT = 1e-6;  ///< Angstrom, method section 7

/// |r| and u = r/|r|, or u = 0 for coincident atoms.
GODIFF_MATH double unit_vector(const double *r, double *u) {
  const double d = ::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
  for (int k = 0; k < 3; ++k)
    u[k] = d < COINCIDENT ? 0.0 : r[k] / d;
  return d;
}

/// S and -S are the two directions of one pair of an atom with its own images: the half of them to keep, never
/// S = 0.
GODIFF_MATH bool own_image_counts(const double *r) {
  if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < COINCIDENT * COINCIDENT)
    return false;
  return r[2] > 0.0 || (r[2] == 0.0 && (r[1] > 0.0 || (r[1] == 0.0 && r[0] > 0.0)));
}

}  // namespace godiff
