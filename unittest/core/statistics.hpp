// SPDX-License-Identifier: GPL-2.0-only
// Small statistics for tests on random numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace godiff_test {

/// sqrt(n) * D of the Kolmogorov-Smirnov test of `sample` against the distribution function `cdf`.
template <class Cdf> double kolmogorov_smirnov(std::vector<double> sample, Cdf cdf) {
  std::sort(sample.begin(), sample.end());
  const double n = static_cast<double>(sample.size());
  double distance = 0.0;
  for (std::size_t k = 0; k < sample.size(); ++k) {
    const double p = cdf(sample[k]);
    distance = std::max({distance, std::abs((static_cast<double>(k) + 1.0) / n - p),
                         std::abs(p - static_cast<double>(k) / n)});
  }
  return std::sqrt(n) * distance;
}

/// A true hypothesis exceeds this value of sqrt(n) * D with probability 2 exp(-2*2^2) = 7e-4. The
/// seeds of the tests are fixed, so a test that passes once passes always.
constexpr double KS_LIMIT = 2.0;

inline double mean(const std::vector<double> &x) {
  double sum = 0.0;
  for (double value : x)
    sum += value;
  return sum / static_cast<double>(x.size());
}

/// Mean square deviation from the mean (divided by n).
inline double variance(const std::vector<double> &x) {
  const double centre = mean(x);
  double sum = 0.0;
  for (double value : x)
    sum += (value - centre) * (value - centre);
  return sum / static_cast<double>(x.size());
}

inline double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  const std::size_t half = x.size() / 2;
  return x.size() % 2 == 1 ? x[half] : 0.5 * (x[half - 1] + x[half]);
}

inline double normal_cdf(double x) {
  return 0.5 * std::erfc(-x * M_SQRT1_2);
}

}  // namespace godiff_test
