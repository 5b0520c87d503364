// SPDX-License-Identifier: GPL-2.0-only
// Template part of cell.hpp: the loop over periodic images.
#pragma once

#include "core/geometry/cell.hpp"

namespace godiff {

template <class Visit>
void Cell::for_images(const Vec3 &difference, double cutoff, Visit visit) const {
  math_.for_images(difference.data(), cutoff, [&](const double *r) {
    visit(Vec3{r[0], r[1], r[2]});
  });
}

}  // namespace godiff
