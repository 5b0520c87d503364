// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "core/network/parameters.hpp"
#include "kernels/graph_edges.hpp"

namespace godiff {

/// Scalar and vector features of the rows asked for: q [rows, F], mu [rows, 3, F].
struct Features {
  at::Tensor q, mu;
};

/// The PaiNN backbone (method section 8). It never sees the diffusion time.
class PaiNN {
public:
  /// Declares its tensors `painn.*` in `parameters`.
  PaiNN(const NetworkSettings &settings, Parameters &parameters);

  /// Fetches the views once the parameters are allocated.
  void bind(const Parameters &parameters);

  /// Features of all nodes of the batch, or of the B*n_mobile rows of mobile atoms only (the same
  /// numbers, less work); atomic_numbers [N] int64 of one structure.
  Features forward(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                   bool mobile_only) const;

private:
  struct Dense {
    at::Tensor weight, bias;
  };
  struct Block {
    Dense message[2];
    at::Tensor mix;
    Dense mixing[2];
  };
  /// Filters of all blocks, [pairs, nblock*3F]: (A*phi(d) + c) * f_c(d).
  at::Tensor filters(const EdgeSet &edges) const;

  NetworkSettings settings_;
  at::Tensor embedding_;
  Dense filter_;
  std::vector<Block> blocks_;
};

/// Rows of the mobile atoms of all structures: [B*n_mobile, ...] from [B*N, ...].
at::Tensor mobile_rows(const at::Tensor &nodes, const BatchGraph &graph);

/// Gaussian radial basis phi_k(d), [n, n_rbf], centres 0..cutoff, width = spacing (method section 8).
at::Tensor radial_basis(const at::Tensor &distance, int n_rbf, double cutoff);

/// Cosine cutoff (cos(pi d / r_c) + 1)/2 below r_c, else 0.
at::Tensor cosine_cutoff(const at::Tensor &distance, double cutoff);

}  // namespace godiff
