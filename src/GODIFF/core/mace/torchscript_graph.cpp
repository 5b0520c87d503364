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

void check(const MaceDeviceGraph &graph) {
  const auto fail = [](const std::string &text) { throw Error("a graph on a device " + text); };
  if (graph.n_graphs < 0 || graph.n_nodes < 0 || graph.n_edges < 0)
    fail("has a negative number of graphs, nodes or edges");
  if (!graph.first_node && graph.n_graphs != 1)
    fail("does not say where its " + std::to_string(graph.n_graphs) + " graphs begin");
  if (graph.first_node &&
      (graph.first_node[0] != 0 || graph.first_node[graph.n_graphs] != graph.n_nodes ||
       !std::is_sorted(graph.first_node, graph.first_node + graph.n_graphs + 1)))
    fail("does not have its " + std::to_string(graph.n_nodes) + " nodes between its graphs");
  if ((graph.n_nodes > 0 && !graph.species) ||
      (graph.n_edges > 0 && (!graph.ends || !graph.vectors)))
    fail("has no numbers");
  if (graph.ends_stride < graph.n_edges)
    fail("has " + std::to_string(graph.n_edges) + " edges in rows of " +
         std::to_string(graph.ends_stride));
}

// Memory of a device as a tensor without a copy; nothing writes to it.
at::Tensor device_view(const void *numbers, c10::IntArrayRef shape, c10::IntArrayRef strides,
                       c10::ScalarType dtype, c10::Device device) {
  const at::TensorOptions options = at::TensorOptions().dtype(dtype).device(device);
  for (const std::int64_t size : shape)
    if (size == 0)
      return at::empty(shape, options);
  return at::for_blob(const_cast<void *>(numbers), shape)
      .strides(strides)
      .target_device(device)
      .options(options)
      .make_tensor();
}

}  // namespace

void GraphUpload::set_graphs(GraphTensors &tensors, const std::int64_t *first_node,
                             std::int64_t n_graphs) {
  if (!tensors_.ptr.defined() || static_cast<std::int64_t>(first_node_.size()) != n_graphs + 1 ||
      !std::equal(first_node_.begin(), first_node_.end(), first_node)) {
    first_node_.assign(first_node, first_node + n_graphs + 1);
    tensors_.ptr = view(first_node_, {n_graphs + 1}, c10::kLong).clone();
    const at::Tensor sizes = tensors_.ptr.slice(0, 1) - tensors_.ptr.slice(0, 0, -1);
    tensors_.batch = at::repeat_interleave(sizes).to(device_);
    tensors_.ptr = tensors_.ptr.to(device_);
  }
  tensors.ptr = tensors_.ptr;
  tensors.batch = tensors_.batch;
}

at::Tensor GraphUpload::one_hot(const at::Tensor &species) const {
  const at::Tensor columns =
      at::zeros({species.size(0), n_species_}, at::TensorOptions().dtype(dtype_).device(device_));
  return columns.scatter_(1, species.unsqueeze(1), 1.0);
}

const GraphTensors &GraphUpload::operator()(const MaceGraph &graph) {
  check(graph, n_species_);
  const std::int64_t n_nodes = graph.n_nodes();
  const std::int64_t n_edges = graph.n_edges();
  torch::NoGradGuard no_gradients;
  if (!tensors_.one_hot.defined() || graph.species != species_) {
    tensors_.species = view(graph.species, {n_nodes}, c10::kLong).clone().to(device_);
    tensors_.one_hot = one_hot(tensors_.species);
    species_ = graph.species;
  }
  set_graphs(tensors_, graph.first_node.data(), graph.n_graphs());
  at::Tensor edge_index = at::empty({2, n_edges}, c10::kLong);
  std::int64_t *ends = edge_index.data_ptr<std::int64_t>();
  std::copy(graph.senders.begin(), graph.senders.end(), ends);
  std::copy(graph.receivers.begin(), graph.receivers.end(), ends + n_edges);
  tensors_.edge_index = edge_index.to(device_);
  tensors_.vectors = view(graph.vectors, {n_edges, 3}, c10::kDouble).to(device_, dtype_);
  tensors_.counted =
      graph.counted.empty() ? at::Tensor() : view(graph.counted, {n_nodes}, c10::kByte).to(device_);
  return tensors_;
}

GraphTensors GraphUpload::operator()(const MaceDeviceGraph &graph) {
  check(graph);
  torch::NoGradGuard no_gradients;
  const std::int64_t only[2] = {0, graph.n_nodes};
  GraphTensors tensors;
  tensors.species = device_view(graph.species, {graph.n_nodes}, {1}, c10::kLong, device_);
  tensors.one_hot = one_hot(tensors.species);
  set_graphs(tensors, graph.first_node ? graph.first_node : only, graph.n_graphs);
  tensors.edge_index =
      device_view(graph.ends, {2, graph.n_edges}, {graph.ends_stride, 1}, c10::kLong, device_);
  tensors.vectors =
      device_view(graph.vectors, {graph.n_edges, 3},
                  {graph.vector_strides[0], graph.vector_strides[1]}, dtype_, device_);
  if (graph.counted)
    tensors.counted = device_view(graph.counted, {graph.n_nodes}, {1}, c10::kByte, device_);
  return tensors;
}

void copy_to(const at::Tensor &tensor, std::vector<double> &numbers) {
  const at::Tensor host = tensor.detach().to(c10::kCPU, c10::kDouble).contiguous();
  const double *first = host.data_ptr<double>();
  numbers.assign(first, first + host.numel());
}

}  // namespace godiff
