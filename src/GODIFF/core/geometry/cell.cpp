// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/cell.hpp"

#include <cmath>
#include <limits>

#include "core/base/error.hpp"

namespace godiff {

namespace {

Vec3 cross(const Vec3 &a, const Vec3 &b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

Vec3 times(const Vec3 &v, const double (&m)[3][3]) {
  Vec3 r;
  CellMath::times(v.data(), m, r.data());
  return r;
}

}  // namespace

Cell::Cell(const std::array<Vec3, 3> &rows, const std::array<bool, 3> &periodic) : rows_(rows) {
  const Vec3 normals[3] = {cross(rows[1], rows[2]), cross(rows[2], rows[0]),
                           cross(rows[0], rows[1])};
  const double volume = dot(rows[0], normals[0]);
  if (!(std::abs(volume) > 0.0))
    throw Error("the cell vectors span no volume");
  for (int k = 0; k < 3; ++k) {
    for (int m = 0; m < 3; ++m) {
      math_.rows[k][m] = rows[k][m];
      math_.inverse[m][k] = normals[k][m] / volume;
    }
    math_.width[k] = std::abs(volume) / std::sqrt(dot(normals[k], normals[k]));
    math_.periodic[k] = periodic[k];
  }
}

Vec3 Cell::fractional(const Vec3 &r) const {
  return times(r, math_.inverse);
}

Vec3 Cell::cartesian(const Vec3 &f) const {
  return times(f, math_.rows);
}

Vec3 Cell::wrap(const Vec3 &r) const {
  Vec3 wrapped = r;
  math_.wrap(wrapped.data());
  return wrapped;
}

Vec3 Cell::minimum_image(const Vec3 &difference) const {
  // Rounding the fractional part is not enough in skewed cells, but it bounds the search.
  Vec3 f = fractional(difference);
  for (int k = 0; k < 3; ++k)
    if (math_.periodic[k])
      f[k] -= std::round(f[k]);
  Vec3 best = cartesian(f);
  double shortest = dot(best, best);
  for_images(difference, std::sqrt(shortest), [&](const Vec3 &r) {
    if (dot(r, r) < shortest) {
      shortest = dot(r, r);
      best = r;
    }
  });
  return best;
}

}  // namespace godiff
