// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace godiff {

/// Edges of one kind, stored twice: as undirected pairs and as directed edges sorted by receiver.
///
/// Every pair (i, j, image S) stands for the two directed edges j -> i and i -> j; filters depend on
/// the distance only and belong to the pair. The edge into `receiver` r is read as
/// (sender[e], pair[e], direction[e]) for e in [first[r], first[r+1]); its direction points from the
/// receiver to the sender, so the same entry read backwards is the opposite edge with -direction.
struct EdgeSet {
  // undirected pairs
  at::Tensor pair_i;          ///< [P] int32
  at::Tensor pair_j;          ///< [P] int32
  at::Tensor pair_direction;  ///< [P,3] (r_j + S*H - r_i)/d; 0 for coincident atoms
  at::Tensor pair_distance;   ///< [P] Angstrom
  // directed edges
  at::Tensor first;      ///< [rows+1] int32
  at::Tensor sender;     ///< [E = 2P] int32
  at::Tensor pair;       ///< [E] int32
  at::Tensor direction;  ///< [E,3]

  std::int64_t n_pairs() const { return pair_distance.size(0); }
};

/// The graphs of a batch of B structures of N atoms (template first): node g*N + i is atom i of g.
///
/// `fixed` holds the template-template edges of one structure (rows and senders 0..n_template-1),
/// shared by all; `mobile` holds every other edge of the batch with node numbers g*N + i.
struct BatchGraph {
  std::int64_t n_structures = 0;
  std::int64_t n_template = 0;
  std::int64_t n_mobile = 0;
  EdgeSet fixed;
  EdgeSet mobile;
  std::int64_t coincident_pairs = 0;  ///< pairs closer than 1e-6 Angstrom

  std::int64_t n_atoms() const { return n_template + n_mobile; }
  std::int64_t n_nodes() const { return n_structures * n_atoms(); }
};

}  // namespace godiff
