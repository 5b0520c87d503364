// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/mace/model.hpp"
#include "core/mace/torchscript_file.hpp"
#include "core/mace/torchscript_graph.hpp"
#include "core/mace/torchscript_layers.hpp"

namespace godiff {

/// A MACE model run by TorchScript.
class TorchScriptModel : public MaceModel {
public:
  TorchScriptModel(TorchScriptFile file, const MaceOptions &options);

  const MaceInfo &info() const override { return info_; }
  const MaceTimes &times() const override { return times_; }
  void evaluate(const MaceGraph &graph, bool gradients, MaceResult &result) override;
  void evaluate_layers(const MaceGraph &graph, std::int64_t n_owned, bool gradients,
                       MaceExchange &exchange, MaceResult &result) override;
  void evaluate_on_device(const MaceDeviceGraph &graph, bool gradients,
                          MaceDeviceResult &result) override;
  void evaluate_layers_on_device(const MaceDeviceGraph &graph, std::int64_t n_owned, bool gradients,
                                 MaceExchange &exchange, MaceDeviceResult &result) override;

  /// Evaluates small graphs together and one by one; throws godiff::Error when the results are not
  /// those of a potential. Finds out whether evaluate_layers() can be used.
  void self_test();

private:
  void try_layers();
  at::Tensor node_energies(const GraphTensors &graph, const at::Tensor &vectors);
  TorchScriptLayers::Output run(const GraphTensors &graph, bool gradients);
  TorchScriptLayers::Output run_layers(const GraphTensors &graph, std::int64_t n_nodes,
                                       std::int64_t n_owned, bool gradients,
                                       MaceExchange &exchange);
  void check_layers(std::int64_t n_graphs, std::int64_t n_nodes, std::int64_t n_owned) const;
  void keep(TorchScriptLayers::Output output, std::int64_t n_edges, MaceDeviceResult &result);

  torch::jit::Module model_;
  torch::jit::Method forward_;
  MaceInfo info_;
  MaceOptions options_;
  std::vector<std::string> inputs_;
  c10::ScalarType dtype_;
  c10::Device device_;
  GraphUpload upload_;
  std::unique_ptr<TorchScriptLayers> layers_;  // null: why not is in info_
  TorchScriptLayers::Output kept_;             // what the last result on the device points at
  MaceTimes times_;
};

}  // namespace godiff
