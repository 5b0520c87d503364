// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include "core/geometry/cell.hpp"

namespace godiff {

/// Finds all periodic images of a set of points near a place, by bins: linear in the number of points.
///
/// Holds every image within the cutoff of the cell, so a place needs only be wrapped into the cell.
class ImageGrid {
public:
  ImageGrid() = default;
  /// positions [3*n], Angstrom, anywhere.
  ImageGrid(const Cell &cell, const double *positions, std::int64_t n, double cutoff);

  /// Calls visit(i, r) for every image of point i at the difference r from `place`, |r| < cutoff; the
  /// order depends on the points only. `place` may lie anywhere.
  template <class Visit> void for_near(const Vec3 &place, Visit visit) const;

private:
  struct Image {
    double x, y, z;
    std::int32_t point;
  };
  int bin(double value, int axis) const;

  Cell cell_;
  double cutoff_ = 0.0, width_ = 1.0;
  Vec3 low_{{0, 0, 0}};
  int bins_[3] = {0, 0, 0};
  std::vector<std::int32_t> first_;  // of a bin, x fastest
  std::vector<Image> images_;        // by bin
};

template <class Visit> void ImageGrid::for_near(const Vec3 &place, Visit visit) const {
  if (images_.empty())
    return;
  const Vec3 r = cell_.wrap(place);
  int begin[3], end[3];
  for (int k = 0; k < 3; ++k) {
    begin[k] = bin(r[k] - cutoff_, k);
    end[k] = bin(r[k] + cutoff_, k);
  }
  const double cutoff_squared = cutoff_ * cutoff_;
  for (int c = begin[2]; c <= end[2]; ++c)
    for (int b = begin[1]; b <= end[1]; ++b) {
      const std::int64_t row = (static_cast<std::int64_t>(c) * bins_[1] + b) * bins_[0];
      for (std::int32_t i = first_[row + begin[0]]; i < first_[row + end[0] + 1]; ++i) {
        const Image &image = images_[i];
        const Vec3 d{image.x - r[0], image.y - r[1], image.z - r[2]};
        if (dot(d, d) < cutoff_squared)
          visit(image.point, d);
      }
    }
}

}  // namespace godiff
