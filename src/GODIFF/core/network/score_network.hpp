// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "core/network/heads.hpp"
#include "core/network/painn.hpp"
#include "core/network/parameters.hpp"
#include "kernels/graph_edges.hpp"

namespace godiff {

/// PaiNN backbone with the score head and, when guidance is on, the force head (method sections 8-10).
class ScoreNetwork {
public:
  /// dtype is at::kFloat or at::kDouble; weights are zero until initialise() or load.
  ScoreNetwork(const NetworkSettings &settings, at::ScalarType dtype);

  /// Xavier-uniform dense weights, zero biases, N(0,1) embedding with row 0 = 0 (method section 10).
  void initialise(std::uint64_t seed);

  /// s_theta of the mobile atoms, [B, n_mobile, 3]; atomic_numbers [N] int64 (template first),
  /// t [B] diffusion times.
  at::Tensor score(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                   const at::Tensor &t) const;

  /// F_theta of all atoms, [B, N, 3], eV/Angstrom, or of the mobile ones only, [B, n_mobile, 3].
  /// Throws godiff::Error without a force head.
  at::Tensor forces(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                    bool mobile_only) const;

  Parameters &parameters() { return parameters_; }
  const Parameters &parameters() const { return parameters_; }
  const NetworkSettings &settings() const { return settings_; }
  at::ScalarType dtype() const { return dtype_; }

private:
  NetworkSettings settings_;
  at::ScalarType dtype_;
  Parameters parameters_;
  PaiNN backbone_;
  VectorHead score_head_;
  std::unique_ptr<VectorHead> force_head_;
};

}  // namespace godiff
