// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_graph.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/error.hpp"

namespace godiff {

namespace {

// Numbers of a graph as a tensor without a copy; nothing writes to it.
template <class Number>
at::Tensor view(const std::vector<Number> &numbers, c10::IntArrayRef shape, c10::ScalarType dtype) {
  return torch::from_blob(const_cast<Number *>(numbers.data()), shape, dtype);
}

void check(const MaceGraph &graph, std::int64_t n_species) {
  const std::size_t nodes = graph.species.size();
  const std::size_t edges = graph.senders.size();
  if (graph.first_node.empty() || graph.first_node.front() != 0 ||
      graph.first_node.back() != graph.n_nodes() ||
      !std::is_sorted(graph.first_node.begin(), graph.first_node.end()))
    throw Error("the graphs do not have the " + std::to_string(nodes) + " nodes between them");
  if (graph.receivers.size() != edges || graph.vectors.size() != 3 * edges)
    throw Error("a graph has " + std::to_string(edges) + " senders, " +
                std::to_string(graph.receivers.size()) + " receivers and " +
                std::to_string(graph.vectors.size()) + " vector components");
  if (!graph.counted.empty() && graph.counted.size() != nodes)
    throw Error("a graph counts " + std::to_string(graph.counted.size()) + " of " +
                std::to_string(nodes) + " nodes");
  for (const std::int64_t species : graph.species)
    if (species < 0 || species >= n_species)
      throw Error("a node has species " + std::to_string(species) + " of " +
                  std::to_string(n_species));
  for (const auto *ends : {&graph.senders, &graph.receivers})
    for (const std::int64_t node : *ends)
      if (node < 0 || node >= graph.n_nodes())
        throw Error("an edge ends at node " + std::to_string(node) + " of " +
                    std::to_string(nodes));
}

}  // namespace

const GraphTensors &GraphUpload::operator()(const MaceGraph &graph) {
  check(graph, n_species_);
  const std::int64_t n_nodes = graph.n_nodes();
  const std::int64_t n_edges = graph.n_edges();
  torch::NoGradGuard no_gradients;
  if (!tensors_.one_hot.defined() || graph.species != species_) {
    tensors_.species = view(graph.species, {n_nodes}, c10::kLong).clone().to(device_);
    tensors_.one_hot =
        at::zeros({n_nodes, n_species_}, at::TensorOptions().dtype(dtype_).device(device_));
    tensors_.one_hot.scatter_(1, tensors_.species.unsqueeze(1), 1.0);
    species_ = graph.species;
  }
  if (!tensors_.ptr.defined() || graph.first_node != first_node_) {
    tensors_.ptr = view(graph.first_node, {graph.n_graphs() + 1}, c10::kLong).clone();
    const at::Tensor sizes = tensors_.ptr.slice(0, 1) - tensors_.ptr.slice(0, 0, -1);
    tensors_.batch = at::repeat_interleave(sizes).to(device_);
    tensors_.ptr = tensors_.ptr.to(device_);
    first_node_ = graph.first_node;
  }
  at::Tensor edge_index = at::empty({2, n_edges}, c10::kLong);
  std::int64_t *ends = edge_index.data_ptr<std::int64_t>();
  std::copy(graph.senders.begin(), graph.senders.end(), ends);
  std::copy(graph.receivers.begin(), graph.receivers.end(), ends + n_edges);
  tensors_.edge_index = edge_index.to(device_);
  tensors_.vectors = view(graph.vectors, {n_edges, 3}, c10::kDouble).to(device_, dtype_);
  return tensors_;
}

void copy_to(const at::Tensor &tensor, std::vector<double> &numbers) {
  const at::Tensor host = tensor.detach().to(c10::kCPU, c10::kDouble).contiguous();
  const double *first = host.data_ptr<double>();
  numbers.assign(first, first + host.numel());
}

}  // namespace godiff
