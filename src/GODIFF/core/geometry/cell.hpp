// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <array>

#include "kernels/cell_math.hpp"

namespace godiff {

using Vec3 = std::array<double, 3>;

/// A periodic cell: rows are the vectors a, b, c (Angstrom); coordinates start at its corner.
class Cell {
public:
  Cell() = default;
  /// Throws godiff::Error when the three vectors span no volume.
  Cell(const std::array<Vec3, 3> &rows, const std::array<bool, 3> &periodic);

  const std::array<Vec3, 3> &rows() const { return rows_; }
  bool periodic(int axis) const { return math_.periodic[axis]; }
  /// Distance between the two faces that cut axis k (Angstrom).
  double width(int axis) const { return math_.width[axis]; }
  /// What functors compute with.
  const CellMath &math() const { return math_; }

  /// Fractional coordinates f = r * inverse(H).
  Vec3 fractional(const Vec3 &r) const;
  /// Cartesian coordinates r = f * H.
  Vec3 cartesian(const Vec3 &f) const;
  /// r mapped into the cell along periodic axes, fractional coordinates in [0,1) (method section 2.3).
  Vec3 wrap(const Vec3 &r) const;
  /// The shortest image of the difference vector along periodic axes.
  Vec3 minimum_image(const Vec3 &difference) const;
  /// Calls visit(difference + S*H) for every image S with |difference + S*H| < cutoff; for no image
  /// when the difference is not finite or 10^9 cells away.
  template <class Visit> void for_images(const Vec3 &difference, double cutoff, Visit visit) const;

private:
  std::array<Vec3, 3> rows_{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  CellMath math_;  // the same numbers and what follows from them
};

inline double dot(const Vec3 &a, const Vec3 &b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

}  // namespace godiff

#include "core/geometry/cell_images.hpp"
