// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/relax.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/base/error.hpp"
#include "core/search/saved_numbers.hpp"

namespace godiff {

namespace {

// The paper's parameters with unit masses; time steps in sqrt(A^2/eV) as customary for surfaces.
constexpr double DT_START = 0.1, DT_MAX = 1.0;
constexpr double MIXING_START = 0.1, MIXING_DECREASE = 0.99;
constexpr double DT_INCREASE = 1.1, DT_DECREASE = 0.5;
constexpr int DOWNHILL_DELAY = 5;
constexpr double MAX_MOVE = 0.2;  // Angstrom per atom and step
constexpr std::size_t SCALARS = 4;
constexpr double FASTEST = 1e100;  // its square is finite
// eV/Angstrom. What is stronger counts as this: a move is cut to MAX_MOVE anyway, and the square of a
// velocity is finite after any number of steps.
constexpr double STRONGEST = 1e80;

}  // namespace

Relaxation::Relaxation(const System &system, int max_steps, double ftol) :
    system_(system),
    max_steps_(max_steps),
    ftol_(ftol) {}

void Relaxation::start(const Positions &positions) {
  x_ = positions;
  velocity_.assign(x_.size(), 0.0);
  dt_ = DT_START;
  mixing_ = MIXING_START;
  downhill_ = steps_ = 0;
}

bool Relaxation::advance(const double *forces) {
  std::vector<double> f(forces, forces + x_.size());
  for (double &component : f)
    component = std::clamp(component, -STRONGEST, STRONGEST);
  double largest = 0.0, power = 0.0, ff = 0.0, vv = 0.0;
  for (std::size_t i = 0; i < f.size(); i += 3) {
    // A force that presses an atom out of the window does no work.
    if ((x_[i + 2] <= system_.z_lo && f[i + 2] < 0.0) ||
        (x_[i + 2] >= system_.z_hi && f[i + 2] > 0.0)) {
      f[i + 2] = 0.0;
      velocity_[i + 2] = 0.0;
    }
    largest = std::max(largest, f[i] * f[i] + f[i + 1] * f[i + 1] + f[i + 2] * f[i + 2]);
  }
  if (std::sqrt(largest) < ftol_ || steps_ >= max_steps_)
    return true;
  for (std::size_t k = 0; k < f.size(); ++k) {
    power += f[k] * velocity_[k];
    ff += f[k] * f[k];
    vv += velocity_[k] * velocity_[k];
  }
  if (power > 0.0) {
    for (std::size_t k = 0; k < f.size(); ++k)
      velocity_[k] = (1.0 - mixing_) * velocity_[k] + mixing_ * f[k] * std::sqrt(vv / ff);
    if (++downhill_ > DOWNHILL_DELAY) {
      dt_ = std::min(dt_ * DT_INCREASE, DT_MAX);
      mixing_ *= MIXING_DECREASE;
    }
  } else if (steps_ > 0) {
    std::fill(velocity_.begin(), velocity_.end(), 0.0);
    mixing_ = MIXING_START;
    dt_ *= DT_DECREASE;
    downhill_ = 0;
  }
  for (std::size_t i = 0; i < f.size(); i += 3) {
    double move[3], length = 0.0;
    for (int k = 0; k < 3; ++k) {
      velocity_[i + k] += dt_ * f[i + k];
      move[k] = dt_ * velocity_[i + k];
      length += move[k] * move[k];
    }
    length = std::sqrt(length);
    const double shrink = length > MAX_MOVE ? MAX_MOVE / length : 1.0;
    Vec3 r{x_[i] + shrink * move[0], x_[i + 1] + shrink * move[1], x_[i + 2] + shrink * move[2]};
    r[2] = std::clamp(r[2], system_.z_lo, system_.z_hi);
    r = system_.cell.wrap(r);
    std::copy(r.begin(), r.end(), x_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  ++steps_;
  return false;
}

std::vector<double> Relaxation::state() const {
  std::vector<double> s{dt_, mixing_, static_cast<double>(downhill_), static_cast<double>(steps_)};
  s.insert(s.end(), x_.begin(), x_.end());
  s.insert(s.end(), velocity_.begin(), velocity_.end());
  return s;
}

void Relaxation::restore(const std::vector<double> &s) {
  const std::size_t n = 3 * static_cast<std::size_t>(system_.n_mobile);
  if (s.size() != SCALARS + 2 * n)
    throw Error("the saved relaxation has the wrong size");
  const auto x = s.begin() + SCALARS, v = x + static_cast<std::ptrdiff_t>(n);
  if (!(s[0] > 0.0 && s[0] <= DT_MAX && s[1] >= 0.0 && s[1] <= 1.0) ||
      std::any_of(v, s.end(), [](double each) { return !(std::abs(each) <= FASTEST); }))
    throw Error("the checkpoint is damaged: its relaxation has a time step, mixing or velocity out "
                "of range");
  check_places({x, v}, "a relaxation");
  const std::int64_t downhill = whole_number(s[2], "a step of a relaxation", max_steps_),
                     steps = whole_number(s[3], "a step of a relaxation", max_steps_);
  dt_ = s[0];
  mixing_ = s[1];
  downhill_ = static_cast<int>(downhill);
  steps_ = static_cast<int>(steps);
  x_.assign(x, v);
  velocity_.assign(v, s.end());
}

}  // namespace godiff
