// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "core/diffusion/lbfgs.hpp"
#include "core/geometry/system.hpp"

namespace godiff {

/// Force-field guidance of a batch (method section 13): one L-BFGS state per structure that lives
/// for the whole trajectory.
class Guidance {
public:
  Guidance(const System &system, const Settings &settings, std::int64_t count);
  // The L-BFGS states point to the cell of this object.
  Guidance(const Guidance &) = delete;
  Guidance &operator=(const Guidance &) = delete;

  /// x += cap(coefficient * p, 0.1 A) for positions x [B, n_mobile, 3] float64 and forces of the
  /// mobile atoms (all atoms with `ffg_atoms all`); z is clamped to the window. `active` [B] skips
  /// structures (empty = all).
  void push(at::Tensor &x, const at::Tensor &forces, double coefficient,
            const std::vector<bool> &active = {});

  /// G*dt*(1-t)^zeta, or without dt by `ffg_dt no`.
  double coefficient(double t, double dt) const;

private:
  System system_;
  Settings settings_;
  std::vector<LBFGS> states_;
};

}  // namespace godiff
