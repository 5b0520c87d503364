// SPDX-License-Identifier: GPL-2.0-only
// The graphs that the kernels walk over, in host memory; device_graph.hpp has the copies for a device.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace godiff {

struct TemplateOnDevice;
struct ChunkOnDevice;

/// Unit vectors of edges, [E,3], in both precisions: the kernels read them as they are.
struct Directions {
  std::vector<double> in_double;
  std::vector<float> in_single;

  void resize(std::size_t n) {
    in_double.resize(n);
    in_single.resize(n);
  }
  void set(std::size_t i, double value) {
    in_double[i] = value;
    in_single[i] = static_cast<float>(value);
  }
  const double *data(double) const { return in_double.data(); }
  const float *data(float) const { return in_single.data(); }
};

/// What all structures of a search have in common: the elements, and the directed edges between template
/// atoms.
///
/// Sorted by receiver and then by filter row, so that edges of one length form runs. The entries of
/// atom r are e in [first[r], first[r+1]); `direction` points from r to its neighbour. Every edge is
/// there twice, once from each end, so an entry read backwards is the opposite edge.
struct TemplateEdges {
  std::int64_t n_atoms = 0;
  std::vector<std::int32_t> first;     ///< [n_atoms+1]
  std::vector<std::int32_t> receiver;  ///< [E], spelled out for the plain twins
  std::vector<std::int32_t> sender;    ///< [E]
  std::vector<std::int32_t> filter;    ///< [E] row of `distance`
  Directions direction;                ///< [E,3]
  std::vector<double> distance;        ///< [D] distinct lengths, Angstrom
  /// [N] of all atoms, template first: row of the atom's element in tables with a row per element.
  std::vector<std::int32_t> element;

  /// See on_device(); to be reset by whoever changes anything.
  mutable std::shared_ptr<const TemplateOnDevice> device_copy;

  std::int64_t n_edges() const { return static_cast<std::int64_t>(sender.size()); }
};

/// The graphs of B structures: which atoms differ from the template alone, and the mobile edges.
///
/// Every structure orders its atoms by the number of hops to a mobile atom: its slots are the mobile
/// atoms, then the template atoms with a mobile neighbour (1 hop), then those next to them, and so on.
/// The first count(d, g) slots of structure g are the atoms within d hops, so that what a block of the
/// network needs is a prefix (performance: exact receptive fields). Depth `all()` has every atom.
/// A table "of depth d" has the rows offset(d, g) + slot, slot < count(d, g), structure by structure.
struct ChunkGraph {
  std::int64_t n_structures = 0;
  std::int64_t n_template = 0;
  std::int64_t n_mobile = 0;
  int max_hops = 0;

  std::vector<std::int32_t> atom;  ///< [B,N] atom of a slot, template atoms first in its numbering
  std::vector<std::int32_t> slot;  ///< [B,n_template] slot of a template atom
  std::vector<std::int32_t> counts;   ///< [max_hops+2, B]
  std::vector<std::int32_t> offsets;  ///< [max_hops+2, B+1]

  // Edges with at least one mobile end, by receiver; rows are those of depth 1.
  std::vector<std::int32_t> first;     ///< [rows(1)+1]
  std::vector<std::int32_t> receiver;  ///< [E] slot
  std::vector<std::int32_t> sender;    ///< [E] atom of the same structure
  std::vector<std::int32_t> pair;      ///< [E] both directions of a pair have the same filter
  Directions direction;                ///< [E,3] from the receiver to the sender; 0 if coincident
  /// [pairs] Angstrom. Pairs to spare, behind those that there are, have no edge (graph_builder.hpp).
  std::vector<double> distance;

  /// See on_device(); to be reset by whoever changes anything.
  mutable std::shared_ptr<const ChunkOnDevice> device_copy;

  std::int64_t n_atoms() const { return n_template + n_mobile; }
  std::int64_t n_pairs() const { return static_cast<std::int64_t>(distance.size()); }
  int all() const { return max_hops + 1; }
  std::int32_t count(int depth, std::int64_t g) const { return counts[depth * n_structures + g]; }
  std::int32_t offset(int depth, std::int64_t g) const {
    return offsets[depth * (n_structures + 1) + g];
  }
  std::int64_t rows(int depth) const { return offset(depth, n_structures); }
};

}  // namespace godiff
