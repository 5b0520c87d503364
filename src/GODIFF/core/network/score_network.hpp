// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "core/network/parameters.hpp"

namespace godiff {

/// Shape and weights of a network: PaiNN backbone, score head and, when guidance is on, force head
/// (method sections 8-10). ScoreEngine evaluates it.
class ScoreNetwork {
public:
  /// dtype is at::kFloat or at::kDouble; weights are zero until initialise() or load.
  ScoreNetwork(const NetworkSettings &settings, at::ScalarType dtype,
               at::Device device = at::Device(at::kCPU));

  /// Xavier-uniform dense weights, zero biases, N(0,1) embedding with row 0 = 0 (method section 10).
  void initialise(std::uint64_t seed);

  Parameters &parameters() { return parameters_; }
  const Parameters &parameters() const { return parameters_; }
  const NetworkSettings &settings() const { return settings_; }
  at::ScalarType dtype() const { return parameters_.flat().scalar_type(); }
  at::Device device() const { return parameters_.flat().device(); }

private:
  NetworkSettings settings_;
  Parameters parameters_;
};

}  // namespace godiff
