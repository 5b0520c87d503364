// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_file.hpp"

#include <algorithm>
#include <sstream>

#include "core/base/elements.hpp"
#include "core/mace/host_memory.hpp"
#include "core/mace/torchscript_call.hpp"
#include "core/network/device.hpp"

namespace godiff {

namespace {

const char *const HOW_TO_EXPORT =
    "export the model with mace_create_lammps_model MODEL, which writes MODEL-lammps.pt";

bool has(const std::string &bytes, const char *text) {
  return bytes.find(text) != std::string::npos;
}

// What a file is that TorchScript cannot read; its parts are not compressed.
std::string kind_of_foreign_file(const std::string &bytes) {
  if (bytes.empty())
    return "is empty";
  const bool zip = bytes.compare(0, 4, "PK\x03\x04") == 0;
  const bool pickle =
      bytes[0] == '\x80' || (zip && has(bytes, "/data.pkl") && !has(bytes, "/code/"));
  if (pickle && has(bytes, "LAMMPS_MLIAP_MACE"))
    return "is a model for pair_style mliap, which needs Python";
  if (pickle)
    return "is a pickled Python model, not TorchScript";
  return zip ? "is damaged or cut off" : "is not a TorchScript file";
}

torch::jit::Module load(const std::string &bytes, const std::string &what) {
  const bool foreign = bytes.compare(0, 4, "PK\x03\x04") != 0 || !has(bytes, "/code/");
  if (foreign)
    throw Error(what + kind_of_foreign_file(bytes) + ": " + HOW_TO_EXPORT);
  try {
    std::istringstream stream(bytes);
    return torch::jit::load(stream, c10::kCPU);
  } catch (const std::exception &error) {
    const std::string text = error.what();
    if (text.find("cuequivariance") != std::string::npos ||
        text.find("openequivariance") != std::string::npos)
      throw Error(what +
                  "uses operators of cuEquivariance or OpenEquivariance that are not part of "
                  "LibTorch: convert the model with mace_cueq_to_e3nn, then " +
                  HOW_TO_EXPORT);
    throw Error(what + kind_of_foreign_file(bytes) + " (" + torch_message(error) +
                "): copy the file again, or " + HOW_TO_EXPORT);
  }
}

at::Tensor buffer(const torch::jit::Module &module, const char *name) {
  const c10::IValue value = module.attr(name);
  return value.isTensor() ? value.toTensor() : at::Tensor();
}

void check_layout(const torch::jit::Module &module, const std::string &what) {
  std::string missing;
  for (const char *name : {"model", "atomic_numbers", "r_max", "num_interactions", "head"}) {
    const bool known = module.hasattr(name);
    const bool right = known && (std::string(name) == "model" ? module.attr(name).isModule()
                                                              : module.attr(name).isTensor());
    if (!right)
      missing += std::string(missing.empty() ? "" : ", ") + name;
  }
  if (missing.empty())
    return;
  const auto type = module.type()->name();
  throw Error(what + "is TorchScript of class " + (type ? type->name() : "unknown") +
              " but no MACE model for LAMMPS, it lacks " + missing + ": " + HOW_TO_EXPORT);
}

std::vector<std::string> read_heads(const torch::jit::Module &model) {
  std::vector<std::string> heads;
  if (model.hasattr("heads") && model.attr("heads").isList())
    for (const c10::IValue &head : model.attr("heads").toListRef())
      heads.push_back(head.isString() ? head.toStringRef() : "Default");
  if (heads.empty())
    heads.push_back("Default");
  return heads;
}

int choose_head(const std::vector<std::string> &heads, const std::string &wanted,
                std::int64_t exported, const std::string &what) {
  if (wanted.empty()) {
    if (exported < 0 || exported >= static_cast<std::int64_t>(heads.size()))
      throw Error(what + "was exported with head " + std::to_string(exported) + " of " +
                  std::to_string(heads.size()) + ": " + HOW_TO_EXPORT);
    return static_cast<int>(exported);
  }
  const auto found = std::find(heads.begin(), heads.end(), wanted);
  if (found == heads.end()) {
    std::string list;
    for (const std::string &head : heads)
      list += " " + head;
    throw Error(what + "has no head '" + wanted + "', use one of:" + list);
  }
  return static_cast<int>(found - heads.begin());
}

// Numbers of the model in another precision, on another device; indices stay integers.
void convert(torch::jit::Module &model, c10::ScalarType dtype, c10::Device device,
             const std::string &what) {
  try {
    torch::NoGradGuard no_gradients;
    const auto move = [&](at::Tensor tensor) {
      const c10::ScalarType to = tensor.is_floating_point() ? dtype : tensor.scalar_type();
      tensor.set_data(tensor.detach().to(device, to));
      // The backward pass shall compute nothing for the weights.
      tensor.set_requires_grad(false);
    };
    for (const at::Tensor &tensor : model.parameters())
      move(tensor);
    for (const at::Tensor &tensor : model.buffers())
      move(tensor);
  } catch (const std::exception &error) {
    throw Error(what + "cannot be brought onto device " + device.str() + ": " +
                torch_message(error));
  }
}

// Charges that act on each other over any distance: no cutoff holds for these models.
void check_kind(const std::string &kind, const std::string &what) {
  for (const char *part : {"Polar", "LES"})
    if (kind.find(part) != std::string::npos)
      throw Error(what + "is a model of class " + kind +
                  ", which is not supported: use one of class MACE or ScaleShiftMACE");
}

// The inputs beside the atoms that the model embeds.
std::vector<std::string> needed_inputs(const torch::jit::Module &model, const MaceOptions &options,
                                       const std::string &what) {
  std::vector<std::string> inputs;
  if (!model.hasattr("joint_embedding") || !model.attr("joint_embedding").isModule())
    return inputs;
  const torch::jit::Module embedding = model.attr("joint_embedding").toModule();
  if (!embedding.hasattr("embedders") || !embedding.attr("embedders").isModule())
    return inputs;
  for (const auto &part : embedding.attr("embedders").toModule().named_children()) {
    const bool charge = part.name == "total_charge";
    if (!charge && part.name != "total_spin")
      throw Error(what + "needs the input '" + part.name + "', which is not supported");
    const std::string word = charge ? "charge" : "spin";
    if (charge ? !options.charge : !options.spin)
      throw Error(what + "needs the total " + word + " of the structures: add the keyword '" +
                  word + "' with its value");
    inputs.push_back(part.name);
  }
  return inputs;
}

}  // namespace

TorchScriptFile read_torchscript(const std::string &bytes, const std::string &name,
                                 const MaceOptions &options) {
  const std::string what = "model file " + name + " ";
  TorchScriptFile file;
  file.device = choose_device(options.device, cuda_devices());
  torch::jit::Module outer = load(bytes, what);
  check_layout(outer, what);
  file.model = outer.attr("model").toModule();
  file.model.eval();

  MaceInfo &info = file.info;
  const auto type = file.model.type()->name();
  info.kind = type ? type->name() : "unknown";
  check_kind(info.kind, what);
  const at::Tensor r_max = buffer(outer, "r_max");
  info.r_max = r_max.item<double>();
  info.layers = static_cast<int>(buffer(outer, "num_interactions").item<std::int64_t>());
  const at::Tensor numbers = buffer(outer, "atomic_numbers").to(c10::kLong).contiguous();
  for (std::int64_t s = 0; s < numbers.numel(); ++s)
    info.atomic_numbers.push_back(static_cast<int>(numbers.data_ptr<std::int64_t>()[s]));
  if (!(info.r_max > 0.0) || info.layers < 1 || info.atomic_numbers.empty())
    throw Error(what + "has cutoff " + std::to_string(info.r_max) + ", " +
                std::to_string(info.layers) + " layers and " +
                std::to_string(info.atomic_numbers.size()) + " elements: " + HOW_TO_EXPORT);
  info.heads = read_heads(file.model);
  const at::Tensor head = buffer(outer, "head");
  info.head = choose_head(info.heads, options.head,
                          head.numel() ? head.view(-1)[0].item<std::int64_t>() : -1, what);
  info.pair_repulsion = file.model.hasattr("pair_repulsion");
  for (const at::Tensor &tensor : file.model.parameters())
    info.parameters += tensor.numel();
  file.inputs = needed_inputs(file.model, options, what);

  file.dtype = options.precision == MacePrecision::MODEL    ? r_max.scalar_type()
               : options.precision == MacePrecision::SINGLE ? c10::kFloat
                                                            : c10::kDouble;
  if (file.dtype != c10::kFloat && file.dtype != c10::kDouble)
    throw Error(what + "has numbers of type " + c10::toString(file.dtype) +
                ": add the keyword 'precision' with single or double");
  if (file.device.is_cpu())
    keep_freed_memory();
  convert(file.model, file.dtype, file.device, what);
  info.single_precision = file.dtype == c10::kFloat;
  info.device = file.device.str();
  return file;
}

}  // namespace godiff
