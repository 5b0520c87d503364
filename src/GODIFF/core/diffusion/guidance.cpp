// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/guidance.hpp"

#include <algorithm>
#include <cmath>

namespace godiff {

namespace {

constexpr double MAX_STEP = 0.1;  // Angstrom per atom

}  // namespace

Guidance::Guidance(const System &system, const Settings &settings, std::int64_t count) :
    system_(system),
    settings_(settings) {
  states_.assign(count, LBFGS(settings_.ffg_raw_history ? nullptr : &system_.cell));
}

double Guidance::coefficient(double t, double dt) const {
  const double scale = settings_.guide * std::pow(1.0 - t, settings_.ffg_zeta);
  return settings_.ffg_dt ? scale * dt : scale;
}

void Guidance::push(at::Tensor &x, const at::Tensor &forces, double coefficient,
                    const std::vector<bool> &active) {
  const at::Tensor f = forces.to(at::kCPU, at::kDouble).contiguous();
  // With `ffg_atoms all` the template rows (which never move) come first and enter the history.
  const std::int64_t rows = f.size(1), n = x.size(1), skip = rows - n;
  double *position = x.data_ptr<double>();
  const double *force = f.const_data_ptr<double>();
  for (std::int64_t g = 0; g < x.size(0); ++g) {
    if (!active.empty() && !active[g])
      continue;
    double *xg = position + g * n * 3;
    std::vector<double> all(3 * skip, 0.0), fg(force + g * rows * 3, force + (g + 1) * rows * 3);
    all.insert(all.end(), xg, xg + 3 * n);
    const std::vector<double> p = states_[g].direction(all, fg);
    for (std::int64_t i = 0; i < n; ++i) {
      double step[3], length = 0.0;
      for (int k = 0; k < 3; ++k) {
        step[k] = coefficient * p[3 * (skip + i) + k];
        length += step[k] * step[k];
      }
      length = std::sqrt(length);
      const double shrink = length > MAX_STEP ? MAX_STEP / length : 1.0;
      for (int k = 0; k < 3; ++k)
        xg[3 * i + k] += shrink * step[k];
      xg[3 * i + 2] = std::clamp(xg[3 * i + 2], system_.z_lo, system_.z_hi);
    }
  }
}

}  // namespace godiff
