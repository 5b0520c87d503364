// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_layers.hpp"

#include <string>

#include <torch/csrc/autograd/autograd.h>

#include "core/mace/stopwatch.hpp"
#include "core/mace/torchscript_call.hpp"

namespace godiff {

namespace {

torch::jit::Method part(const torch::jit::Module &model, const char *name) {
  if (!model.hasattr(name) || !model.attr(name).isModule())
    throw Error(std::string("the model has no part '") + name + "'");
  return model.attr(name).toModule().get_method("forward");
}

std::vector<torch::jit::Method> list_of_parts(const torch::jit::Module &model, const char *name) {
  if (!model.hasattr(name) || !model.attr(name).isModule())
    throw Error(std::string("the model has no parts '") + name + "'");
  std::vector<torch::jit::Method> parts;
  for (const torch::jit::Module &child : model.attr(name).toModule().children())
    parts.push_back(child.get_method("forward"));
  return parts;
}

at::Tensor leaf(const at::Tensor &tensor, bool gradients) {
  return tensor.defined() ? tensor.detach().requires_grad_(gradients) : tensor;
}

void add(at::Tensor &sum, const at::Tensor &term) {
  if (term.defined())
    sum = sum.defined() ? sum + term : term;
}

// Outputs of a piece of the model with the derivatives of the energy by them.
class Adjoints {
public:
  void add(const at::Tensor &output, const at::Tensor &adjoint) {
    if (!output.defined() || !adjoint.defined() || !output.requires_grad())
      return;
    outputs_.push_back(output);
    adjoints_.push_back(adjoint);
  }
  /// Derivatives by inputs; undefined where the energy does not depend on one.
  std::vector<at::Tensor> by(const std::vector<at::Tensor> &inputs) const {
    if (outputs_.empty())
      return std::vector<at::Tensor>(inputs.size());
    return torch::autograd::grad(outputs_, inputs, adjoints_, c10::nullopt, false, true);
  }

private:
  std::vector<at::Tensor> outputs_, adjoints_;
};

// Lets the features or adjoints of nodes travel, by way of the host unless the exchange takes them where
// they are. Not counted as time of the model.
template <class Travel>
at::Tensor travelled(const at::Tensor &rows, bool on_device, double &seconds, Travel travel) {
  at::Tensor copy = rows.detach().to(on_device ? rows.device() : c10::Device(c10::kCPU));
  copy = copy.contiguous();
  if (copy.data_ptr() == rows.data_ptr())
    copy = copy.clone();
  const int width = static_cast<int>(copy.size(1));
  synchronize(copy.device());
  double elapsed = 0.0;
  {
    const Stopwatch watch(elapsed);
    if (copy.scalar_type() == c10::kFloat)
      travel(copy.data_ptr<float>(), width);
    else
      travel(copy.data_ptr<double>(), width);
  }
  seconds -= elapsed;
  return copy.to(rows.device());
}

at::Tensor first_rows(const at::Tensor &tensor, std::int64_t rows) {
  return tensor.size(0) == rows ? tensor : tensor.slice(0, 0, rows);
}

}  // namespace

// What layers share. The leaves are cut off from the geometry: each layer adds to their adjoints, and
// the way back from them to the vectors is gone once.
struct TorchScriptLayers::Edges {
  at::Tensor vectors;
  at::Tensor harmonics, radial, cutoff, repulsion;  // cutoff and repulsion: may be undefined
  std::vector<at::Tensor> leaves;                   // harmonics, radial, cutoff if defined
  std::vector<at::Tensor> adjoints;                 // of the leaves
};

struct TorchScriptLayers::Layer {
  at::Tensor input;   // leaf [n_nodes, width]
  at::Tensor output;  // [n_owned, width]
  at::Tensor energy;  // [n_owned]; undefined: this layer has no readout
};

TorchScriptLayers::TorchScriptLayers(const torch::jit::Module &model, const MaceInfo &info) :
    head_(info.head),
    dtype_(info.single_precision ? c10::kFloat : c10::kDouble),
    device_(info.device) {
  if (info.kind != "MACE" && info.kind != "ScaleShiftMACE")
    throw Error("the class " + info.kind + " is unknown");
  for (const char *unknown : {"joint_embedding", "embedding_readout"})
    if (model.hasattr(unknown))
      throw Error(std::string("its ") + unknown + " is unknown");
  interactions_ = list_of_parts(model, "interactions");
  products_ = list_of_parts(model, "products");
  readouts_ = list_of_parts(model, "readouts");
  const auto layers = static_cast<std::size_t>(info.layers);
  if (interactions_.size() != layers || products_.size() != layers ||
      (readouts_.size() != layers && readouts_.size() != 1))
    throw Error("it has " + std::to_string(interactions_.size()) + " interactions, " +
                std::to_string(products_.size()) + " products and " +
                std::to_string(readouts_.size()) + " readouts for " + std::to_string(layers) +
                " layers");
  embedding_.push_back(part(model, "node_embedding"));
  harmonics_.push_back(part(model, "spherical_harmonics"));
  radial_.push_back(part(model, "radial_embedding"));
  isolated_.push_back(part(model, "atomic_energies_fn"));
  if (info.pair_repulsion)
    repulsion_.push_back(part(model, "pair_repulsion_fn"));
  if (info.kind == "ScaleShiftMACE")
    scale_shift_.push_back(part(model, "scale_shift"));
  atomic_numbers_ =
      at::tensor(std::vector<std::int64_t>(info.atomic_numbers.begin(), info.atomic_numbers.end()),
                 c10::kLong)
          .to(device_);
}

void TorchScriptLayers::run_layer(std::size_t t, const GraphTensors &graph, const Edges &edges,
                                  std::int64_t n_owned, const at::Tensor &heads,
                                  Layer &layer) const {
  const std::string number = std::to_string(t);
  const c10::IValue both = call_by_name(
      interactions_[t], "interactions." + number,
      {{"node_attrs", graph.one_hot},
       {"node_feats", layer.input},
       {"edge_attrs", edges.leaves[0]},
       {"edge_feats", edges.leaves[1]},
       {"edge_index", graph.edge_index},
       {"cutoff", edges.cutoff.defined() ? c10::IValue(edges.leaves[2]) : c10::IValue()},
       {"first_layer", t == 0}});
  if (!both.isTuple() || both.toTupleRef().elements().size() != 2)
    throw Error("interactions." + number + " does not give two results");
  const c10::IValue &messages = both.toTupleRef().elements()[0];
  const c10::IValue &skip = both.toTupleRef().elements()[1];
  const at::Tensor attributes = first_rows(graph.one_hot, n_owned);
  layer.output =
      call_by_name(
          products_[t], "products." + number,
          {{"node_feats", first_rows(messages.toTensor(), n_owned)},
           {"sc", skip.isTensor() ? c10::IValue(first_rows(skip.toTensor(), n_owned)) : skip},
           {"node_attrs", attributes}})
          .toTensor();
  const bool last = t + 1 == interactions_.size();
  if (readouts_.size() != interactions_.size() && !last)
    return;
  const std::size_t r = readouts_.size() == interactions_.size() ? t : 0;
  const at::Tensor columns = call_by_name(readouts_[r], "readouts." + std::to_string(r),
                                          {{"x", layer.output}, {"heads", heads}})
                                 .toTensor();
  layer.energy = columns.view({n_owned, -1}).select(1, head_);
}

// Energies of the owned nodes, and in `weights` the derivative of their sum by what a layer adds.
TorchScriptLayers::Output TorchScriptLayers::energies(const GraphTensors &graph, const Edges &edges,
                                                      std::int64_t n_owned, const at::Tensor &heads,
                                                      const std::vector<Layer> &layers,
                                                      at::Tensor &weights) const {
  at::Tensor sum;
  if (edges.repulsion.defined())
    sum = edges.repulsion.detach();
  for (const Layer &layer : layers)
    if (layer.energy.defined())
      add(sum, layer.energy.detach());
  const bool gradients = edges.vectors.requires_grad();
  const at::Tensor inner = leaf(sum, gradients);
  at::Tensor scaled = inner;
  if (!scale_shift_.empty())
    scaled =
        call_by_name(scale_shift_[0], "scale_shift", {{"x", inner}, {"head", heads}}).toTensor();
  if (gradients)
    weights = scale_shift_.empty() ? at::ones_like(sum)
                                   : torch::autograd::grad({scaled.sum()}, {inner})[0];
  const at::Tensor isolated =
      call_by_name(isolated_[0], "atomic_energies_fn", {{"x", first_rows(graph.one_hot, n_owned)}})
          .toTensor()
          .view({n_owned, -1})
          .select(1, head_);
  Output output;
  output.node_energies = isolated.to(c10::kDouble) + scaled.detach().to(c10::kDouble);
  return output;
}

void TorchScriptLayers::backward_layer(std::size_t t, std::int64_t n_owned,
                                       const at::Tensor &weights, const at::Tensor &adjoint,
                                       Edges &edges, std::vector<Layer> &layers) const {
  Adjoints adjoints;
  adjoints.add(layers[t].energy, weights);
  if (adjoint.defined())
    adjoints.add(layers[t].output, first_rows(adjoint, n_owned));
  std::vector<at::Tensor> inputs = edges.leaves;
  if (t > 0)
    inputs.push_back(layers[t].input);
  const std::vector<at::Tensor> found = adjoints.by(inputs);
  for (std::size_t k = 0; k < edges.leaves.size(); ++k)
    add(edges.adjoints[k], found[k]);
  layers[t].output = layers[t].energy = at::Tensor();
  if (t > 0)
    layers[t].input = found.back().defined() ? found.back() : at::zeros_like(layers[t].input);
}

TorchScriptLayers::Output TorchScriptLayers::evaluate(const GraphTensors &graph,
                                                      std::int64_t n_nodes, std::int64_t n_owned,
                                                      const std::vector<int> &widths,
                                                      bool gradients, MaceExchange &exchange,
                                                      MaceTimes &times) const {
  const at::TensorOptions real = at::TensorOptions().dtype(dtype_).device(device_);
  const auto to_ghosts = [&](auto *rows, int width) { exchange.to_ghosts(rows, width); };
  const auto to_owners = [&](auto *rows, int width) { exchange.to_owners(rows, width); };
  const bool any = n_owned > 0;
  std::vector<Layer> layers(interactions_.size());
  Edges edges;
  Output output;
  at::Tensor heads, weights;
  {
    const Stopwatch watch(times.forward);
    if (any) {
      edges.vectors = leaf(graph.vectors, gradients);
      const at::Tensor lengths = at::linalg_vector_norm(edges.vectors, 2, {-1}, true);
      const NamedValues pairs = {{"x", lengths},
                                 {"edge_lengths", lengths},
                                 {"node_attrs", graph.one_hot},
                                 {"edge_index", graph.edge_index},
                                 {"atomic_numbers", atomic_numbers_}};
      edges.harmonics =
          call_by_name(harmonics_[0], "spherical_harmonics", {{"x", edges.vectors}}).toTensor();
      const c10::IValue radial = call_by_name(radial_[0], "radial_embedding", pairs);
      if (radial.isTuple() && radial.toTupleRef().elements().size() == 2) {
        edges.radial = radial.toTupleRef().elements()[0].toTensor();
        if (radial.toTupleRef().elements()[1].isTensor())
          edges.cutoff = radial.toTupleRef().elements()[1].toTensor();
      } else {
        edges.radial = radial.toTensor();
      }
      if (!repulsion_.empty())
        edges.repulsion = first_rows(
            call_by_name(repulsion_[0], "pair_repulsion_fn", pairs).toTensor().view(-1), n_owned);
      edges.leaves = {leaf(edges.harmonics, gradients), leaf(edges.radial, gradients)};
      if (edges.cutoff.defined())
        edges.leaves.push_back(leaf(edges.cutoff, gradients));
      edges.adjoints.resize(edges.leaves.size());
      heads = at::full({n_owned}, head_, at::TensorOptions().dtype(c10::kLong).device(device_));
      // The element of a ghost is known: its first features need not travel.
      layers[0].input =
          call_by_name(embedding_[0], "node_embedding", {{"node_attrs", graph.one_hot}})
              .toTensor()
              .detach();
    }
    for (std::size_t t = 0; t < layers.size(); ++t) {
      if (t > 0) {
        at::Tensor rows =
            at::zeros({n_nodes, any ? layers[t - 1].output.size(1) : widths[t - 1]}, real);
        if (any)
          rows.slice(0, 0, n_owned).copy_(layers[t - 1].output.detach());
        rows = travelled(rows, exchange.on_device(), times.forward, to_ghosts);
        layers[t].input = leaf(rows, gradients);
      }
      if (any)
        run_layer(t, graph, edges, n_owned, heads, layers[t]);
    }
    output.node_energies = at::zeros({0}, at::TensorOptions().dtype(c10::kDouble).device(device_));
    if (any)
      output = energies(graph, edges, n_owned, heads, layers, weights);
  }
  if (!gradients)
    return output;

  const Stopwatch watch(times.backward);
  at::Tensor adjoint;
  for (std::size_t t = layers.size(); t-- > 0;) {
    if (any)
      backward_layer(t, n_owned, weights, adjoint, edges, layers);
    if (t > 0)
      // backward_layer() has left the adjoint of the input in its place.
      adjoint = travelled(any ? layers[t].input : at::zeros_like(layers[t].input),
                          exchange.on_device(), times.backward, to_owners);
  }
  if (any) {
    Adjoints adjoints;
    adjoints.add(edges.harmonics, edges.adjoints[0]);
    adjoints.add(edges.radial, edges.adjoints[1]);
    if (edges.cutoff.defined())
      adjoints.add(edges.cutoff, edges.adjoints[2]);
    adjoints.add(edges.repulsion, weights);
    output.edge_gradients = adjoints.by({edges.vectors})[0];
  }
  return output;
}

}  // namespace godiff
