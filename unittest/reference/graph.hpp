// SPDX-License-Identifier: GPL-2.0-only
// Part of the reference network, the plain twin that the fast one is tested against: the periodic
// graphs of method section 7, all edges of all structures written out.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "core/geometry/system.hpp"

namespace godiff {
namespace reference {

/// The graphs of B structures of N atoms (template first): node g*N + i is atom i of structure g.
///
/// Two atoms (or an atom and its own image) within the cutoff make one pair; every pair stands for
/// two directed edges. Filters depend on the distance alone and belong to the pair.
struct BatchGraph {
  std::int64_t n_structures = 0;
  std::int64_t n_template = 0;
  std::int64_t n_mobile = 0;
  at::Tensor distance;                ///< [pairs] Angstrom
  at::Tensor receiver;                ///< [edges] int64
  at::Tensor sender;                  ///< [edges] int64
  at::Tensor pair;                    ///< [edges] int64
  at::Tensor direction;               ///< [edges,3] from receiver to sender; 0 for coincident atoms
  std::int64_t coincident_pairs = 0;  ///< pairs closer than 1e-6 Angstrom

  std::int64_t n_atoms() const { return n_template + n_mobile; }
  std::int64_t n_nodes() const { return n_structures * n_atoms(); }
  std::int64_t n_pairs() const { return distance.size(0); }
  std::int64_t n_edges() const { return receiver.size(0); }
};

/// Builds graphs by looking at every pair of atoms of every structure.
class GraphBuilder {
public:
  /// cutoff in Angstrom; dtype is at::kFloat or at::kDouble and is that of directions and distances.
  GraphBuilder(const System &system, double cutoff, at::ScalarType dtype);

  /// All ordered pairs with |r_j + S*H - r_i| < cutoff for positions [B, n_mobile, 3] (CPU, any
  /// floating dtype; mobile atoms may lie outside the cell).
  BatchGraph build(const at::Tensor &mobile_positions) const;

private:
  System system_;
  double cutoff_;
  at::ScalarType dtype_;
};

/// Atomic numbers [N] int64 of a system, as the network takes them.
at::Tensor atomic_numbers(const System &system);

}  // namespace reference
}  // namespace godiff
