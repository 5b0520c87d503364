// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_model.hpp"

#include <numeric>
#include <utility>

#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "core/mace/stopwatch.hpp"
#include "core/mace/torchscript_call.hpp"
#include "core/network/device.hpp"

namespace godiff {

namespace {

// Runs a computation of a graph; what LibTorch throws becomes a complete message.
template <class Computation>
void translated(std::int64_t n_nodes, std::int64_t n_edges, Computation computation) {
  const auto sizes = [&] {
    return " (" + std::to_string(n_nodes) + " atoms, " + std::to_string(n_edges) +
           " edges in a call)";
  };
  try {
    computation();
  } catch (const Error &) {
    throw;
  } catch (const std::exception &error) {
    if (is_out_of_memory(error))
      throw MaceOutOfMemory("the MACE model ran out of memory" + sizes() + ": " +
                            torch_message(error));
    throw Error("the MACE model failed" + sizes() + ": " + torch_message(error));
  }
}

void sum_energies(const MaceGraph &graph, MaceResult &result) {
  result.energies.assign(graph.n_graphs(), 0.0);
  for (std::int64_t g = 0; g < graph.n_graphs(); ++g)
    for (std::int64_t n = graph.first_node[g]; n < graph.first_node[g + 1]; ++n)
      if (graph.counted.empty() || graph.counted[n])
        result.energies[g] += result.node_energies[n];
}

}  // namespace

TorchScriptModel::TorchScriptModel(TorchScriptFile file, const MaceOptions &options) :
    model_(file.model),
    forward_(model_.get_method("forward")),
    info_(std::move(file.info)),
    options_(options),
    inputs_(std::move(file.inputs)),
    dtype_(file.dtype),
    device_(file.device),
    upload_(static_cast<std::int64_t>(info_.atomic_numbers.size()), dtype_, device_) {}

// The positions are all 0 and the edge vectors enter as the shifts of periodic images: they alone carry
// the geometry, in full precision however large the box is, and one backward pass gives dE/dvector.
at::Tensor TorchScriptModel::node_energies(const GraphTensors &graph, const at::Tensor &vectors) {
  const std::int64_t n_nodes = graph.species.numel();
  const std::int64_t n_graphs = graph.ptr.numel() - 1;
  const at::TensorOptions real = at::TensorOptions().dtype(dtype_).device(device_);
  const at::TensorOptions integer = at::TensorOptions().dtype(c10::kLong).device(device_);
  c10::Dict<std::string, at::Tensor> data;
  data.insert("positions", at::zeros({n_nodes, 3}, real));
  data.insert("edge_index", graph.edge_index);
  data.insert("shifts", vectors);
  data.insert("unit_shifts", at::zeros({vectors.size(0), 3}, real));
  data.insert("cell", at::eye(3, real).repeat({n_graphs, 1}));
  data.insert("node_attrs", graph.one_hot);
  data.insert("batch", graph.batch);
  data.insert("ptr", graph.ptr);
  data.insert("head", at::full({n_graphs}, info_.head, integer));
  for (const std::string &input : inputs_)
    data.insert(input, at::full({n_graphs},
                                input == "total_charge" ? *options_.charge : *options_.spin, real));
  const c10::IValue output = call_by_name(forward_, "the model",
                                          {{"data", data},
                                           {"training", false},
                                           {"compute_force", false},
                                           {"compute_virials", false},
                                           {"compute_stress", false},
                                           {"compute_displacement", false},
                                           {"compute_hessian", false},
                                           {"compute_edge_forces", false},
                                           {"compute_atomic_stresses", false}});
  if (output.isGenericDict()) {
    const auto results = output.toGenericDict();
    const auto found = results.find("node_energy");
    if (found != results.end() && found->value().isTensor() &&
        found->value().toTensor().numel() == n_nodes)
      return found->value().toTensor().view(-1).to(c10::kDouble);
  }
  throw Error("a model of class " + info_.kind +
              " gives no energies of atoms, it is not supported");
}

// What the layers of a model give, of all nodes, on the device of the model.
TorchScriptLayers::Output TorchScriptModel::run(const GraphTensors &graph, bool gradients) {
  const torch::jit::GraphOptimizerEnabledGuard optimize(options_.jit);
  const c10::AutoGradMode mode(gradients);
  const DefaultPrecision precision(dtype_);
  const at::Tensor vectors = graph.vectors.detach().requires_grad_(gradients);
  TorchScriptLayers::Output output;
  at::Tensor energies;
  {
    const Stopwatch watch(times_.forward);
    energies = node_energies(graph, vectors);
    output.node_energies = energies.detach();
    synchronize(device_);
  }
  if (!gradients)
    return output;
  const Stopwatch watch(times_.backward);
  if (graph.counted.defined())
    energies = energies * graph.counted.to(c10::kDouble);
  // The energies of a model that does not look at the vectors have no gradients.
  if (energies.requires_grad())
    output.edge_gradients =
        torch::autograd::grad({energies.sum()}, {vectors}, {}, c10::nullopt, false, true)[0];
  if (!output.edge_gradients.defined())
    output.edge_gradients = at::zeros_like(vectors);
  synchronize(device_);
  return output;
}

void TorchScriptModel::evaluate(const MaceGraph &graph, bool gradients, MaceResult &result) {
  result.node_energies.clear();
  result.edge_gradients.clear();
  if (graph.n_nodes() == 0) {
    result.energies.assign(graph.n_graphs(), 0.0);
    return;
  }
  translated(graph.n_nodes(), graph.n_edges(), [&] {
    const TorchScriptLayers::Output output = run(upload_(graph), gradients);
    copy_to(output.node_energies, result.node_energies);
    if (gradients)
      copy_to(output.edge_gradients, result.edge_gradients);
  });
  sum_energies(graph, result);
}

// Results stay in the memory that LibTorch has put them in.
void TorchScriptModel::keep(TorchScriptLayers::Output output, std::int64_t n_edges,
                            MaceDeviceResult &result) {
  kept_ = std::move(output);
  kept_.node_energies = kept_.node_energies.detach().contiguous();
  result = MaceDeviceResult();
  result.node_energies = kept_.node_energies.data_ptr<double>();
  if (kept_.edge_gradients.defined() && n_edges > 0) {
    result.edge_gradients = kept_.edge_gradients.data_ptr();
    result.gradient_strides[0] = kept_.edge_gradients.stride(0);
    result.gradient_strides[1] = kept_.edge_gradients.stride(1);
  }
  synchronize(device_);
}

void TorchScriptModel::evaluate_on_device(const MaceDeviceGraph &graph, bool gradients,
                                          MaceDeviceResult &result) {
  result = MaceDeviceResult();
  kept_ = TorchScriptLayers::Output();
  if (graph.n_nodes == 0)
    return;
  translated(graph.n_nodes, graph.n_edges, [&] {
    const c10::DeviceGuard guard(device_);
    keep(run(upload_(graph), gradients), graph.n_edges, result);
  });
}

void TorchScriptModel::check_layers(std::int64_t n_graphs, std::int64_t n_nodes,
                                    std::int64_t n_owned) const {
  if (!layers_)
    throw Error("the MACE model cannot be evaluated by layers: " + info_.why_not_by_layers);
  if (n_graphs != 1 || n_owned < 0 || n_owned > n_nodes)
    throw Error("by layers one graph is evaluated, not " + std::to_string(n_graphs) + ", and " +
                std::to_string(n_owned) + " of its " + std::to_string(n_nodes) +
                " nodes are owned");
}

TorchScriptLayers::Output TorchScriptModel::run_layers(const GraphTensors &graph,
                                                       std::int64_t n_nodes, std::int64_t n_owned,
                                                       bool gradients, MaceExchange &exchange) {
  const torch::jit::GraphOptimizerEnabledGuard optimize(options_.jit);
  const c10::AutoGradMode mode(gradients);
  const DefaultPrecision precision(dtype_);
  TorchScriptLayers::Output output = layers_->evaluate(
      graph, n_nodes, n_owned, info_.exchange_widths, gradients, exchange, times_);
  if (gradients && !output.edge_gradients.defined() && graph.vectors.defined())
    output.edge_gradients = at::zeros_like(graph.vectors);
  return output;
}

void TorchScriptModel::evaluate_layers(const MaceGraph &graph, std::int64_t n_owned, bool gradients,
                                       MaceExchange &exchange, MaceResult &result) {
  check_layers(graph.n_graphs(), graph.n_nodes(), n_owned);
  for (const std::int64_t receiver : graph.receivers)
    if (receiver >= n_owned)
      throw Error("node " + std::to_string(receiver) + " receives, but only the first " +
                  std::to_string(n_owned) + " are owned");
  result = MaceResult();
  translated(graph.n_nodes(), graph.n_edges(), [&] {
    const TorchScriptLayers::Output output =
        run_layers(n_owned > 0 ? upload_(graph) : GraphTensors(), graph.n_nodes(), n_owned,
                   gradients, exchange);
    copy_to(output.node_energies, result.node_energies);
    if (output.edge_gradients.defined())
      copy_to(output.edge_gradients, result.edge_gradients);
    else if (gradients)
      result.edge_gradients.assign(graph.vectors.size(), 0.0);
  });
  result.energies.assign(
      1, std::accumulate(result.node_energies.begin(), result.node_energies.end(), 0.0));
}

void TorchScriptModel::evaluate_layers_on_device(const MaceDeviceGraph &graph, std::int64_t n_owned,
                                                 bool gradients, MaceExchange &exchange,
                                                 MaceDeviceResult &result) {
  check_layers(graph.n_graphs, graph.n_nodes, n_owned);
  kept_ = TorchScriptLayers::Output();
  translated(graph.n_nodes, graph.n_edges, [&] {
    const c10::DeviceGuard guard(device_);
    keep(run_layers(n_owned > 0 ? upload_(graph) : GraphTensors(), graph.n_nodes, n_owned,
                    gradients, exchange),
         graph.n_edges, result);
  });
}

std::unique_ptr<MaceModel> load_mace(const std::string &bytes, const std::string &name,
                                     const MaceOptions &options) {
  auto model = std::make_unique<TorchScriptModel>(read_torchscript(bytes, name, options), options);
  try {
    model->self_test();
  } catch (const MaceOutOfMemory &) {
    throw;
  } catch (const Error &error) {
    const std::string text = error.what();
    const std::string key = "KeyError: ";
    const std::size_t at = text.find(key);
    if (at != std::string::npos)
      throw Error("model file " + name + " needs the input '" + text.substr(at + key.size()) +
                  "', which is not supported");
    const bool script = text.rfind("the MACE model failed", 0) == 0;
    throw Error("model file " + name + " does not work: " + text +
                (script ? ": export the model again with mace_create_lammps_model" : ""));
  }
  return model;
}

int count_cuda_devices() {
  return cuda_devices().count;
}

}  // namespace godiff
