// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <ATen/core/Tensor.h>

#include "core/geometry/system.hpp"
#include "kernels/graph_edges.hpp"

namespace godiff {

/// Builds the periodic graphs of method section 7 for batches of structures of one system.
///
/// Template-template edges are found once; only pairs with a mobile atom are searched per batch.
class GraphBuilder {
public:
  /// cutoff in Angstrom; dtype is at::kFloat or at::kDouble and is that of directions and distances.
  GraphBuilder(const System &system, double cutoff, at::ScalarType dtype);

  /// All ordered pairs with |r_j + S*H - r_i| < cutoff for positions [B, n_mobile, 3] (CPU, any
  /// floating dtype; mobile atoms may lie outside the cell).
  BatchGraph build(const at::Tensor &mobile_positions) const;

  const System &system() const { return system_; }
  /// Number of undirected template-template pairs (images included).
  std::int64_t template_pairs() const { return template_edges_.n_pairs(); }
  at::ScalarType dtype() const { return dtype_; }

private:
  System system_;
  double cutoff_;
  at::ScalarType dtype_;
  EdgeSet template_edges_;
  std::int64_t coincident_template_pairs_ = 0;
};

}  // namespace godiff
