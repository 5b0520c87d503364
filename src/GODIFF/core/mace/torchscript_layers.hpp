// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <torch/script.h>

#include "core/mace/model.hpp"
#include "core/mace/torchscript_graph.hpp"

namespace godiff {

/// The parts of a MACE model, run one after the other: between layers the features of nodes go to other
/// ranks, on the way back their adjoints.
class TorchScriptLayers {
public:
  /// Takes the parts of an inner model. Throws godiff::Error saying which part is not known.
  TorchScriptLayers(const torch::jit::Module &model, const MaceInfo &info);

  /// What evaluate() gives, on the device of the model.
  struct Output {
    at::Tensor node_energies;   ///< float64 [n_owned]
    at::Tensor edge_gradients;  ///< [n_edges, 3]; undefined: not wanted, or no owned nodes
  };
  /// Evaluates the first `n_owned` nodes of a graph, see MaceModel::evaluate_layers(). `graph` may be
  /// empty where no node is owned. `widths` are those of the features that travel, `n_nodes` is the
  /// number of nodes with ghosts.
  Output evaluate(const GraphTensors &graph, std::int64_t n_nodes, std::int64_t n_owned,
                  const std::vector<int> &widths, bool gradients, MaceExchange &exchange,
                  MaceTimes &times) const;

private:
  struct Edges;
  struct Layer;

  void run_layer(std::size_t t, const GraphTensors &graph, const Edges &edges, std::int64_t n_owned,
                 const at::Tensor &heads, Layer &layer) const;
  Output energies(const GraphTensors &graph, const Edges &edges, std::int64_t n_owned,
                  const at::Tensor &heads, const std::vector<Layer> &layers,
                  at::Tensor &weights) const;
  void backward_layer(std::size_t t, std::int64_t n_owned, const at::Tensor &weights,
                      const at::Tensor &adjoint, Edges &edges, std::vector<Layer> &layers) const;

  std::int64_t head_;
  c10::ScalarType dtype_;
  c10::Device device_;
  at::Tensor atomic_numbers_;
  std::vector<torch::jit::Method> interactions_, products_, readouts_;
  std::vector<torch::jit::Method> embedding_, harmonics_, radial_, isolated_;  // one each
  std::vector<torch::jit::Method> repulsion_, scale_shift_;                    // none or one
};

}  // namespace godiff
