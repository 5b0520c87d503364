// SPDX-License-Identifier: GPL-2.0-only
#pragma once

namespace godiff {

/// Draw from N(mu, sigma^2) cut to [lo, hi] by inverse CDF for p in (0,1) (method section 4).
/// mu is first moved 1e-4 into the slab; sigma = 0 returns it. Arithmetic in float64.
double truncated_normal(double mu, double sigma, double lo, double hi, double p);

/// p ~ U(e, 1-e) with e = 2^-23 from a uniform number of (0,1) (method section 4).
double clip_probability(double uniform);

/// Inverse of the error function on (-1,1), relative accuracy 1e-15.
double erfinv(double x);

}  // namespace godiff
