// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/image_grid.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace godiff {

namespace {

// Half the cutoff: 5^3 bins hold fewer useless images than 3^3 of the whole cutoff.
constexpr double BINS_PER_CUTOFF = 2.0;
constexpr std::int64_t MAX_BINS = 1 << 22;
constexpr double ROUNDING = 1e-9;  // of fractional coordinates, far above that of double

}  // namespace

ImageGrid::ImageGrid(const Cell &cell, const double *positions, std::int64_t n, double cutoff) :
    cell_(cell),
    cutoff_(cutoff),
    width_(cutoff / BINS_PER_CUTOFF) {
  std::vector<Image> images;
  for (std::int64_t i = 0; i < n; ++i) {
    const Vec3 r = cell.wrap({positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]});
    const Vec3 f = cell.fractional(r);
    // A place in the cell has fractional coordinates in [0,1]; what is further than cutoff/width from
    // that range along an axis is further than the cutoff in space.
    int low[3] = {0, 0, 0}, high[3] = {0, 0, 0};
    for (int k = 0; k < 3; ++k) {
      if (!cell.periodic(k))
        continue;
      const double reach = cutoff / cell.width(k);
      low[k] = static_cast<int>(std::ceil(-reach - f[k] - ROUNDING));
      high[k] = static_cast<int>(std::floor(1.0 + reach - f[k] + ROUNDING));
    }
    for (int a = low[0]; a <= high[0]; ++a)
      for (int b = low[1]; b <= high[1]; ++b)
        for (int c = low[2]; c <= high[2]; ++c) {
          Image image{r[0], r[1], r[2], static_cast<std::int32_t>(i)};
          const auto &h = cell.rows();
          image.x += a * h[0][0] + b * h[1][0] + c * h[2][0];
          image.y += a * h[0][1] + b * h[1][1] + c * h[2][1];
          image.z += a * h[0][2] + b * h[1][2] + c * h[2][2];
          images.push_back(image);
        }
  }
  if (images.empty())
    return;

  Vec3 high;
  low_.fill(std::numeric_limits<double>::infinity());
  high.fill(-std::numeric_limits<double>::infinity());
  for (const Image &image : images) {
    const Vec3 r{image.x, image.y, image.z};
    for (int k = 0; k < 3; ++k) {
      low_[k] = std::min(low_[k], r[k]);
      high[k] = std::max(high[k], r[k]);
    }
  }
  // Far scattered points (no periodicity, a huge vacuum) get wider bins instead of too many.
  std::int64_t total = MAX_BINS + 1;
  for (; total > MAX_BINS; width_ *= 2.0) {
    total = 1;
    for (int k = 0; k < 3 && total <= MAX_BINS; ++k) {
      const double bins = std::floor((high[k] - low_[k]) / width_) + 1.0;
      bins_[k] = static_cast<int>(std::min(bins, static_cast<double>(MAX_BINS) + 1.0));
      total *= bins_[k];
    }
    if (total <= MAX_BINS)
      break;
  }

  const auto bin_of = [&](const Image &image) {
    return (static_cast<std::int64_t>(bin(image.z, 2)) * bins_[1] + bin(image.y, 1)) * bins_[0] +
           bin(image.x, 0);
  };
  first_.assign(total + 1, 0);
  for (const Image &image : images)
    ++first_[bin_of(image) + 1];
  for (std::int64_t b = 0; b < total; ++b)
    first_[b + 1] += first_[b];
  std::vector<std::int32_t> next(first_.begin(), first_.end() - 1);
  images_.resize(images.size());
  for (const Image &image : images)
    images_[next[bin_of(image)]++] = image;
}

int ImageGrid::bin(double value, int axis) const {
  const double b = std::floor((value - low_[axis]) / width_);
  return static_cast<int>(std::clamp(b, 0.0, static_cast<double>(bins_[axis] - 1)));
}

}  // namespace godiff
