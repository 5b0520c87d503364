// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include <torch/script.h>

#include "core/mace/graph.hpp"
#include "core/mace/model.hpp"

namespace godiff {

/// A graph as tensors on the device of a model.
struct GraphTensors {
  at::Tensor species;     ///< int64 [n_nodes]
  at::Tensor one_hot;     ///< [n_nodes, n_species]
  at::Tensor batch;       ///< int64 [n_nodes] graph of each node
  at::Tensor ptr;         ///< int64 [n_graphs + 1]
  at::Tensor edge_index;  ///< int64 [2, n_edges] senders, receivers
  at::Tensor vectors;     ///< [n_edges, 3]; may share the memory of the graph
  at::Tensor counted;     ///< [n_nodes] 0 or 1; undefined: all count
};

/// Makes tensors of graphs; what has not changed since the last graph is kept.
class GraphUpload {
public:
  GraphUpload(std::int64_t n_species, c10::ScalarType dtype, c10::Device device) :
      n_species_(n_species),
      dtype_(dtype),
      device_(device) {}

  /// The graph must live as long as the tensors are used. Throws godiff::Error for numbers of nodes
  /// and edges that do not fit together.
  const GraphTensors &operator()(const MaceGraph &graph);

  /// The same of a graph that is on the device: nothing of the size of the edges is copied.
  GraphTensors operator()(const MaceDeviceGraph &graph);

private:
  void set_graphs(GraphTensors &tensors, const std::int64_t *first_node, std::int64_t n_graphs);
  at::Tensor one_hot(const at::Tensor &species) const;

  std::int64_t n_species_;
  c10::ScalarType dtype_;
  c10::Device device_;
  GraphTensors tensors_;
  std::vector<std::int64_t> species_;     // of tensors_
  std::vector<std::int64_t> first_node_;  // of tensors_.batch and ptr
};

/// Numbers of a tensor as float64 on the host, one after the other.
void copy_to(const at::Tensor &tensor, std::vector<double> &numbers);

}  // namespace godiff
