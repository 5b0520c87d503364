// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/comm.hpp"
#include "core/base/settings.hpp"
#include "core/diffusion/schedule.hpp"
#include "core/geometry/system.hpp"
#include "kernels/diffusion.hpp"

namespace godiff {

/// s_theta(x, t) for positions x [B, n_mobile, 3] float64 at one time: [B, n_mobile, 3].
using ScoreFunction = std::function<at::Tensor(const at::Tensor &x, double t)>;
/// F_theta(x) of the mobile atoms, [B, n_mobile, 3] eV/Angstrom.
using ForceFunction = std::function<at::Tensor(const at::Tensor &x)>;

struct SampleRequest {
  int stage = 0;
  std::int64_t first = 0;  ///< number of the first candidate (its random streams)
  std::int64_t count = 0;
  double guide = 0.0;  ///< force-field guidance scale G; 0 = none
};

/// Draws structures by the reverse SDE (Euler-Maruyama, method section 12) with optional force-field
/// guidance (section 13), or uniformly from the prior. The result of a candidate depends only on its
/// number, never on the batch it is drawn in.
class Sampler {
public:
  Sampler(const System &system, const Settings &settings);

  /// Uniform in the confinement box: [count, n_mobile, 3] float64 (method section 4).
  at::Tensor prior(const SampleRequest &request) const;

  /// The reverse chain from the prior. `forces` is used only with guide > 0. tick(done, total) is
  /// called after every step; returning false ends the chain and gives an undefined tensor. Each rank
  /// of `comm` has a request of its own; all of them end with the same step, and what fails on one is
  /// thrown as godiff::Error on all.
  at::Tensor reverse(const SampleRequest &request, const ScoreFunction &score,
                     const ForceFunction &forces,
                     const std::function<bool(std::int64_t, std::int64_t)> &tick = {},
                     Comm &comm = serial_comm());

  /// s_theta(x, t) for positions x [B, n_mobile, 3] and times t [B], float64 on the device that it computes on.
  using DeviceScore = std::function<at::Tensor(const at::Tensor &x, const at::Tensor &t)>;
  /// reverse() without guidance, on that device from the first step to the last: the steps are recorded where
  /// they can be (recorded_step.hpp). The result lies on the CPU.
  at::Tensor reverse_on_device(const SampleRequest &request, c10::Device device,
                               const DeviceScore &score,
                               const std::function<bool(std::int64_t, std::int64_t)> &tick = {});

  /// One step of the chain from x at t_i (i = steps-1 is the last: no noise), without wrapping.
  /// `score` float64, in the scale of the network; section 5's factor is applied here.
  at::Tensor step(const SampleRequest &request, const at::Tensor &x, const at::Tensor &score,
                  int i) const;

  std::int64_t non_finite_scores() const { return non_finite_; }
  std::int64_t network_calls() const { return calls_; }

private:
  ReverseChain chain(const SampleRequest &request, c10::Device device) const;
  at::Tensor finite(const at::Tensor &score);

  System system_;
  Settings settings_;
  Schedule schedule_;
  std::vector<double> times_;
  at::Tensor drift_, sigma_;  // of the steps, see ReverseChain; on the CPU
  std::int64_t non_finite_ = 0;
  std::int64_t calls_ = 0;
};

/// Schedule with the choices of the settings (g2 exact or legacy).
Schedule make_schedule(const Settings &settings);

}  // namespace godiff
