// SPDX-License-Identifier: GPL-2.0-only
// The reference network: PaiNN, its two heads and their losses in plain LibTorch operations,
// differentiated by autograd, over graphs with every edge written out. Tests compare it with
// SchNetPack and the fast network of the product with it; it shares no code with the latter.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "reference/graph.hpp"
#include "reference/parameters.hpp"

namespace godiff {
namespace reference {

/// Scalar and vector features of all nodes of a batch: q [nodes, F], mu [nodes, 3, F].
struct Features {
  at::Tensor q, mu;
};

/// Gaussian radial basis phi_k(d), [n, n_rbf], centres 0..cutoff, width = spacing (method section 8).
at::Tensor radial_basis(const at::Tensor &distance, int n_rbf, double cutoff);

/// Cosine cutoff (cos(pi d / r_c) + 1)/2 below r_c, else 0.
at::Tensor cosine_cutoff(const at::Tensor &distance, double cutoff);

/// The three gated equivariant blocks of the head `name`, "score" or "force" (method section 9):
/// scalars [rows, n], vectors [rows, 3, F] -> [rows, 3].
at::Tensor vector_head(const Parameters &parameters, const std::string &name,
                       const at::Tensor &scalars, const at::Tensor &vectors);

/// PaiNN with the score head and, if the settings ask for it, the force head.
class ScoreNetwork {
public:
  /// dtype is at::kFloat or at::kDouble; the weights are zero.
  ScoreNetwork(const NetworkSettings &settings, at::ScalarType dtype);

  /// What the backbone makes of all atoms; atomic_numbers [N] int64 (template first).
  Features features(const BatchGraph &graph, const at::Tensor &atomic_numbers) const;

  /// Scores of all atoms, template included, [B, N, 3]; t [B] diffusion times.
  at::Tensor score_of_all(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                          const at::Tensor &t) const;

  /// Scores of the mobile atoms, [B, n_mobile, 3].
  at::Tensor score(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                   const at::Tensor &t) const;

  /// Forces of all atoms, [B, N, 3], or of the mobile ones, [B, n_mobile, 3], eV/Angstrom.
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
};

/// sum_g weight_g sum_i |offset_gi + factor_g * output_gi|^2, 0-dim: both losses have this form.
/// output, offset [B, rows, 3]; factor, weight [B]; computed in the dtype of `output`.
at::Tensor least_squares(const at::Tensor &output, const at::Tensor &offset,
                         const at::Tensor &factor, const at::Tensor &weight);

/// Fills every tensor with random numbers of the size of a fresh network, biases too: biases of zero,
/// as a fresh network has them, hide mistakes.
void randomise(Parameters &parameters, std::uint64_t seed);

}  // namespace reference
}  // namespace godiff
