// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/truncated_normal.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/native/Math.h>

namespace godiff {

namespace {

constexpr double TINY = 0x1p-23;
constexpr double LOCATION_MARGIN = 1e-4;  // Angstrom

double normal_cdf(double x) {
  return 0.5 * (1.0 + std::erf(x * M_SQRT1_2));
}

}  // namespace

double erfinv(double x) {
  return calc_erfinv(x);  // LibTorch's rational approximation with two Newton steps
}

double clip_probability(double uniform) {
  return TINY + (1.0 - 2.0 * TINY) * uniform;
}

double truncated_normal(double mu, double sigma, double lo, double hi, double p) {
  // A window narrower than two margins has its centre as only location.
  const double margin = std::min(LOCATION_MARGIN, 0.5 * (hi - lo));
  const double location = std::clamp(mu, lo + margin, hi - margin);
  if (sigma == 0.0)
    return location;
  const double a = normal_cdf((lo - location) / sigma);
  const double b = normal_cdf((hi - location) / sigma);
  const double z = std::max(b - a, TINY);
  const double x = location + sigma * M_SQRT2 * erfinv(2.0 * (a + p * z) - 1.0);
  return std::clamp(x, lo, hi);  // also maps the infinities of erfinv(+-1) to the faces
}

}  // namespace godiff
