// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_model.hpp"

#include <numeric>
#include <utility>

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "core/mace/stopwatch.hpp"
#include "core/mace/torchscript_call.hpp"
#include "core/network/device.hpp"

namespace godiff {

namespace {

// Runs a computation of a graph; what LibTorch throws becomes a complete message.
template <class Computation> void translated(const MaceGraph &graph, Computation computation) {
  const auto sizes = [&] {
    return " (" + std::to_string(graph.n_nodes()) + " atoms, " + std::to_string(graph.n_edges()) +
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

void TorchScriptModel::evaluate(const MaceGraph &graph, bool gradients, MaceResult &result) {
  result.node_energies.clear();
  result.edge_gradients.clear();
  if (graph.n_nodes() == 0) {
    result.energies.assign(graph.n_graphs(), 0.0);
    return;
  }
  translated(graph, [&] {
    const torch::jit::GraphOptimizerEnabledGuard optimize(options_.jit);
    const c10::AutoGradMode mode(gradients);
    const DefaultPrecision precision(dtype_);
    const GraphTensors &tensors = upload_(graph);
    const at::Tensor vectors = tensors.vectors.detach().requires_grad_(gradients);
    at::Tensor energies;
    {
      const Stopwatch watch(times_.forward);
      energies = node_energies(tensors, vectors);
      copy_to(energies, result.node_energies);
    }
    if (!gradients)
      return;
    const Stopwatch watch(times_.backward);
    if (!graph.counted.empty()) {
      const at::Tensor counted = torch::from_blob(const_cast<unsigned char *>(graph.counted.data()),
                                                  {graph.n_nodes()}, c10::kByte);
      energies = energies * counted.to(device_, c10::kDouble);
    }
    // The energies of a model that does not look at the vectors have no gradients.
    at::Tensor gradient;
    if (energies.requires_grad())
      gradient =
          torch::autograd::grad({energies.sum()}, {vectors}, {}, c10::nullopt, false, true)[0];
    if (gradient.defined())
      copy_to(gradient, result.edge_gradients);
    else
      result.edge_gradients.assign(graph.vectors.size(), 0.0);
  });
  sum_energies(graph, result);
}

void TorchScriptModel::evaluate_layers(const MaceGraph &graph, std::int64_t n_owned, bool gradients,
                                       MaceExchange &exchange, MaceResult &result) {
  if (!layers_)
    throw Error("the MACE model cannot be evaluated by layers: " + info_.why_not_by_layers);
  if (graph.n_graphs() != 1 || n_owned < 0 || n_owned > graph.n_nodes())
    throw Error("by layers one graph is evaluated, not " + std::to_string(graph.n_graphs()) +
                ", and " + std::to_string(n_owned) + " of its " + std::to_string(graph.n_nodes()) +
                " nodes are owned");
  for (const std::int64_t receiver : graph.receivers)
    if (receiver >= n_owned)
      throw Error("node " + std::to_string(receiver) + " receives, but only the first " +
                  std::to_string(n_owned) + " are owned");
  result = MaceResult();
  translated(graph, [&] {
    const torch::jit::GraphOptimizerEnabledGuard optimize(options_.jit);
    const c10::AutoGradMode mode(gradients);
    const DefaultPrecision precision(dtype_);
    const TorchScriptLayers::Output output =
        layers_->evaluate(n_owned > 0 ? upload_(graph) : GraphTensors(), graph.n_nodes(), n_owned,
                          info_.exchange_widths, gradients, exchange, times_);
    copy_to(output.node_energies, result.node_energies);
    if (output.edge_gradients.defined())
      copy_to(output.edge_gradients, result.edge_gradients);
    else if (gradients)
      result.edge_gradients.assign(graph.vectors.size(), 0.0);
  });
  result.energies.assign(
      1, std::accumulate(result.node_energies.begin(), result.node_energies.end(), 0.0));
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
