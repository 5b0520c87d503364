// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

namespace godiff {

/// Atoms (nodes) and directed edges of one or more structures that do not touch each other: what a
/// MACE model is evaluated on.
struct MaceGraph {
  std::vector<std::int64_t> first_node{0};  ///< [n_graphs + 1] where the nodes of each graph begin
  std::vector<std::int64_t> species;        ///< [n_nodes] index into MaceInfo::atomic_numbers
  std::vector<unsigned char> counted;   ///< [n_nodes] whether its energy counts; empty: all count
  std::vector<std::int64_t> senders;    ///< [n_edges] node
  std::vector<std::int64_t> receivers;  ///< [n_edges] node, where the messages are summed
  std::vector<double> vectors;  ///< [3*n_edges] position of the receiver minus that of the sender,
                                ///< Angstrom; shorter than r_max

  std::int64_t n_graphs() const { return static_cast<std::int64_t>(first_node.size()) - 1; }
  std::int64_t n_nodes() const { return static_cast<std::int64_t>(species.size()); }
  std::int64_t n_edges() const { return static_cast<std::int64_t>(senders.size()); }
  /// Forgets all graphs, keeps the memory.
  void clear();
};

}  // namespace godiff
