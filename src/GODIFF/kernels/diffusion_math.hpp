// SPDX-License-Identifier: GPL-2.0-only
// One atom of the forward noise and of the reverse chain: what the loops of the CPU and the functors of Kokkos
// both call.
#pragma once

#include <cmath>

#include <ATen/native/Math.h>

#include "kernels/on_devices.hpp"
#include "kernels/random_numbers.hpp"

namespace godiff {

/// Variance-exploding forward SDE with linear sigma_bar(t) (method section 3). Lengths in Angstrom.
struct Schedule {
  double sigma_min = 0.01;
  double sigma_max = 1.0;
  bool g2_legacy = false;

  /// s_min + (s_max - s_min)*t.
  GODIFF_MATH double sigma_bar(double t) const { return sigma_min + (sigma_max - sigma_min) * t; }
  /// Kernel variance sigma_bar^2 - s_min^2 (Angstrom^2), in a form without cancellation at small t.
  GODIFF_MATH double variance(double t) const {
    const double growth = (sigma_max - sigma_min) * t;
    return growth * (2.0 * sigma_min + growth);
  }
  /// Kernel standard deviation (Angstrom).
  GODIFF_MATH double std(double t) const { return ::sqrt(variance(t)); }
  /// Squared diffusion coefficient (Angstrom^2 per unit time), exact or legacy.
  GODIFF_MATH double g2(double t) const {
    return 2.0 * sigma_bar(t) * (g2_legacy ? t : sigma_max - sigma_min);
  }
};

/// Inverse of the error function on (-1,1), relative accuracy 1e-15.
GODIFF_MATH double erfinv(double x) {
#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
  return ::erfinv(x);
#else
  return calc_erfinv(x);  // LibTorch's rational approximation with two Newton steps
#endif
}

/// 2^-23, the distance of probabilities from 0 and 1.
constexpr double TINY_PROBABILITY = 0x1p-23;

/// p ~ U(e, 1-e) with e = 2^-23 from a uniform number of (0,1) (method section 4).
GODIFF_MATH double clip_probability(double uniform) {
  return TINY_PROBABILITY + (1.0 - 2.0 * TINY_PROBABILITY) * uniform;
}

GODIFF_MATH double normal_cdf(double x) {
  return 0.5 * (1.0 + ::erf(x * M_SQRT1_2));
}

GODIFF_MATH double limited(double x, double lo, double hi) {
  return x < lo ? lo : hi < x ? hi : x;
}

/// Draw from N(mu, sigma^2) cut to [lo, hi] by inverse CDF for p in (0,1) (method section 4).
/// mu is first moved 1e-4 into the slab; sigma = 0 returns it. Arithmetic in float64.
GODIFF_MATH double truncated_normal(double mu, double sigma, double lo, double hi, double p) {
  constexpr double LOCATION_MARGIN = 1e-4;  // Angstrom
  // A window narrower than two margins has its centre as only location.
  const double half = 0.5 * (hi - lo);
  const double margin = half < LOCATION_MARGIN ? half : LOCATION_MARGIN;
  const double location = limited(mu, lo + margin, hi - margin);
  if (sigma == 0.0)
    return location;
  const double a = normal_cdf((lo - location) / sigma);
  const double b = normal_cdf((hi - location) / sigma);
  const double z = b - a < TINY_PROBABILITY ? TINY_PROBABILITY : b - a;
  const double x = location + sigma * M_SQRT2 * erfinv(2.0 * (a + p * z) - 1.0);
  return limited(x, lo, hi);  // also maps the infinities of erfinv(+-1) to the faces
}

/// Uniform numbers that the noise of one atom takes from its stream.
constexpr int UNIFORMS_OF_AN_ATOM = 3;

/// Earliest time of a training batch: t ~ U(1e-5, 1).
constexpr double FIRST_TIME = 1e-5;
GODIFF_MATH double training_time(double uniform) {
  return FIRST_TIME + (1.0 - FIRST_TIME) * uniform;
}

/// The confinement window of the mobile atoms, Angstrom.
struct Window {
  double lo = 0.0, hi = 0.0;
};

/// Noises one atom at x [3] with the standard deviation s: x_t [3] and w = (x_t - x)/s [3] (method section 3).
GODIFF_MATH void noise_atom(const double *x, double s, const Window &window, RandomNumbers &random,
                            double *xt, double *w) {
  for (int k = 0; k < 2; ++k) {
    w[k] = random.normal();
    xt[k] = x[k] + s * w[k];
  }
  xt[2] = truncated_normal(x[2], s, window.lo, window.hi, clip_probability(random.uniform()));
  w[2] = (xt[2] - x[2]) / s;
}

/// The numbers of one reverse step: x moves by drift * score and noise of width sigma.
struct ReverseStep {
  double drift = 0.0, sigma = 0.0;
  bool last = false;  ///< no noise
};

/// Moves one atom from x [3] with the score s [3] to `to` [3], which may be x (method section 12).
GODIFF_MATH void reverse_atom(const ReverseStep &step, const double *x, const double *s,
                              const Window &window, RandomNumbers &random, double *to) {
  for (int k = 0; k < 2; ++k) {
    const double mean = x[k] + step.drift * s[k];
    to[k] = step.last ? mean : mean + step.sigma * random.normal();
  }
  const double mean = x[2] + step.drift * s[2];
  to[2] = step.last ? limited(mean, window.lo, window.hi)
                    : truncated_normal(mean, step.sigma, window.lo, window.hi,
                                       clip_probability(random.uniform()));
}

}  // namespace godiff
