// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include "core/geometry/system.hpp"

namespace godiff {

/// Local relaxation of the mobile atoms by FIRE (Bitzek et al., PRL 97, 170201 (2006)), one energy
/// evaluation per step. Atoms pressed against the confinement window stay on it.
class Relaxation {
public:
  /// At most max_steps moves until the largest force on a mobile atom is below ftol (eV/Angstrom).
  Relaxation(const System &system, int max_steps, double ftol);

  /// Starts with a structure, whose energy has to be evaluated next.
  void start(const Positions &positions);
  const Positions &positions() const { return x_; }
  /// Moves so far.
  int steps() const { return steps_; }

  /// Takes the forces [3*n_mobile] at positions(); returns true when the relaxation is over, false
  /// when positions() has moved and must be evaluated.
  bool advance(const double *forces);

  /// State of a relaxation under way as numbers, and back (checkpoints).
  std::vector<double> state() const;
  void restore(const std::vector<double> &state);

private:
  const System &system_;
  int max_steps_;
  double ftol_;
  Positions x_;
  std::vector<double> velocity_;
  double dt_ = 0.0, mixing_ = 0.0;
  int downhill_ = 0, steps_ = 0;
};

}  // namespace godiff
