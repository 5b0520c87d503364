// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/lbfgs.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace godiff {

namespace {

constexpr std::size_t MEMORY = 10;
constexpr double FIRST_STEP = 0.1;    // Angstrom
constexpr double SMALL_FORCE = 1e-6;  // eV/Angstrom
constexpr double CURVATURE = 1e-10;

double inner(const std::vector<double> &a, const std::vector<double> &b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

std::vector<double> LBFGS::direction(const std::vector<double> &x,
                                     const std::vector<double> &forces) {
  std::vector<double> p = forces;
  if (last_x_.empty()) {
    double mean = 0.0;
    for (std::size_t i = 0; i < forces.size(); i += 3)
      mean += std::sqrt(dot({forces[i], forces[i + 1], forces[i + 2]},
                            {forces[i], forces[i + 1], forces[i + 2]}));
    mean /= static_cast<double>(forces.size() / 3);
    const double scale = std::min(FIRST_STEP, FIRST_STEP / std::max(mean, SMALL_FORCE));
    for (double &value : p)
      value *= scale;
  } else {
    Pair pair{std::vector<double>(x.size()), std::vector<double>(x.size()), 0.0};
    for (std::size_t i = 0; i < x.size(); i += 3) {
      Vec3 s{x[i] - last_x_[i], x[i + 1] - last_x_[i + 1], x[i + 2] - last_x_[i + 2]};
      if (cell_)
        s = cell_->minimum_image(s);
      for (int k = 0; k < 3; ++k) {
        pair.s[i + k] = s[k];
        pair.y[i + k] = last_forces_[i + k] - forces[i + k];
      }
    }
    const double sy = inner(pair.s, pair.y);
    if (sy > CURVATURE) {
      h0_ = sy / inner(pair.y, pair.y);
      pair.rho = 1.0 / sy;
      history_.push_back(std::move(pair));
      if (history_.size() > MEMORY)
        history_.pop_front();
    }
    std::vector<double> alpha(history_.size());
    for (std::size_t m = history_.size(); m-- > 0;) {
      const Pair &h = history_[m];
      alpha[m] = h.rho * inner(h.s, p);
      for (std::size_t k = 0; k < p.size(); ++k)
        p[k] -= alpha[m] * h.y[k];
    }
    for (double &value : p)
      value *= h0_;
    for (std::size_t m = 0; m < history_.size(); ++m) {
      const Pair &h = history_[m];
      const double beta = h.rho * inner(h.y, p);
      for (std::size_t k = 0; k < p.size(); ++k)
        p[k] += (alpha[m] - beta) * h.s[k];
    }
  }
  last_x_ = x;
  last_forces_ = forces;
  return p;
}

}  // namespace godiff
