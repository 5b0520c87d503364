// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <vector>

namespace godiff {

/// Variance-exploding forward SDE with linear sigma_bar(t) (method section 3). Lengths in Angstrom.
struct Schedule {
  double sigma_min = 0.01;
  double sigma_max = 1.0;
  bool g2_legacy = false;

  /// s_min + (s_max - s_min)*t.
  double sigma_bar(double t) const { return sigma_min + (sigma_max - sigma_min) * t; }
  /// Kernel variance sigma_bar^2 - s_min^2 (Angstrom^2).
  double variance(double t) const;
  /// Kernel standard deviation (Angstrom).
  double std(double t) const;
  /// Squared diffusion coefficient (Angstrom^2 per unit time), exact or legacy.
  double g2(double t) const;
};

/// Times of the reverse sampler: linspace(1, eps, steps), both ends included (method section 12).
std::vector<double> reverse_times(int steps, double eps);

}  // namespace godiff
