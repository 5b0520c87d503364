// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_file.hpp"

#include <algorithm>
#include <sstream>

#include <caffe2/serialize/inline_container.h>

#include "core/base/elements.hpp"
#include "core/io/zip.hpp"
#include "core/mace/host_memory.hpp"
#include "core/mace/torchscript_call.hpp"
#include "core/network/device.hpp"

namespace godiff {

namespace {

const char *const HOW_TO_EXPORT =
    "export the model with mace_create_lammps_model MODEL, which writes MODEL-lammps.pt";

constexpr double LARGEST_CUTOFF = 100.0;  // Angstrom; no model of atoms has more

bool has(const std::string &bytes, const char *text) {
  return bytes.find(text) != std::string::npos;
}

bool ends_with(const std::string &text, const std::string &end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

[[noreturn]] void refuse(const std::string &what, const std::string &kind) {
  throw Error(what + kind + ": " + HOW_TO_EXPORT);
}

[[noreturn]] void refuse_damaged(const std::string &what, const std::string &detail) {
  throw Error(what + "is damaged or cut off (" + detail + "): copy the file again, or " +
              HOW_TO_EXPORT);
}

// Only TorchScript keeps constants beside its data.
void check_kind_of_file(const std::string &bytes, const std::vector<ZipPart> &parts,
                        const std::string &what) {
  bool data = false, constants = false;
  for (const ZipPart &part : parts) {
    data = data || ends_with(part.name, "/data.pkl");
    constants = constants || ends_with(part.name, "/constants.pkl");
  }
  if (data && !constants) {
    if (has(bytes, "LAMMPS_MLIAP_MACE"))
      refuse(what, "is a model for pair_style mliap, which needs Python");
    refuse(what, "is a pickled Python model, not TorchScript");
  }
  if (!data)
    refuse(what, "is a zip archive but not TorchScript");
}

// LibTorch reads over damage within numbers: it does not look at the checksums.
void check_content(const std::string &bytes, const std::vector<ZipPart> &parts,
                   const std::string &what) {
  std::istringstream stream(bytes);
  caffe2::serialize::PyTorchStreamReader reader(&stream);
  for (const ZipPart &part : parts) {
    const std::string record = part.name.substr(part.name.find('/') + 1);
    const auto [content, size] = reader.getRecord(record);
    if (crc32({static_cast<const char *>(content.get()), size}) != part.crc32)
      refuse_damaged(what, "part " + record + " has a wrong checksum");
  }
}

torch::jit::Module load(const std::string &bytes, const std::string &what) {
  if (bytes.empty())
    refuse(what, "is empty");
  if (bytes[0] == '\x80')
    refuse(what, "is a pickled Python model, not TorchScript");
  if (bytes.compare(0, 4, "PK\x03\x04") != 0)
    refuse(what, "is not a TorchScript file");
  try {
    const std::vector<ZipPart> parts = zip_parts(bytes);
    check_kind_of_file(bytes, parts, what);
    check_content(bytes, parts, what);
    std::istringstream stream(bytes);
    return torch::jit::load(stream, c10::kCPU);
  } catch (const Error &error) {
    if (std::string(error.what()).rfind(what, 0) == 0)
      throw;
    refuse_damaged(what, error.what());
  } catch (const std::exception &error) {
    const std::string text = error.what();
    if (text.find("cuequivariance") != std::string::npos ||
        text.find("openequivariance") != std::string::npos)
      throw Error(what +
                  "uses operators of cuEquivariance or OpenEquivariance that are not part of "
                  "LibTorch: convert the model with mace_cueq_to_e3nn, then " +
                  HOW_TO_EXPORT);
    refuse_damaged(what, torch_message(error));
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
// Names of what the model must be told beside the structure.
std::vector<std::string> inputs_of(const torch::jit::Module &model) {
  std::vector<std::string> inputs;
  if (!model.hasattr("joint_embedding") || !model.attr("joint_embedding").isModule())
    return inputs;
  const torch::jit::Module embedding = model.attr("joint_embedding").toModule();
  if (!embedding.hasattr("embedders") || !embedding.attr("embedders").isModule())
    return inputs;
  for (const auto &part : embedding.attr("embedders").toModule().named_children())
    inputs.push_back(part.name);
  return inputs;
}

void check_inputs(const std::vector<std::string> &inputs, const MaceOptions &options,
                  const std::string &what) {
  bool charge = false, spin = false;
  for (const std::string &input : inputs) {
    charge = charge || input == "total_charge";
    spin = spin || input == "total_spin";
    if (input != "total_charge" && input != "total_spin")
      throw Error(what + "needs the input '" + input + "', which is not supported");
  }
  const auto check = [&](const std::string &word, bool needed, bool given) {
    if (needed && !given)
      throw Error(what + "needs the total " + word + " of the structures: add the keyword '" +
                  word + "' with its value");
    if (given && !needed)
      throw Error(what + "knows no total " + word + ": leave out the keyword '" + word + "'");
  };
  check("charge", charge, options.charge.has_value());
  check("spin", spin, options.spin.has_value());
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
  if (!(info.r_max > 0.0 && info.r_max <= LARGEST_CUTOFF) || info.layers < 1 ||
      info.atomic_numbers.empty())
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
  file.inputs = inputs_of(file.model);
  check_inputs(file.inputs, options, what);

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
