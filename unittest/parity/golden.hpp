// SPDX-License-Identifier: GPL-2.0-only
// Reading the golden data (README.md of this folder): files, systems, weights, deviations.
#pragma once

#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "core/geometry/system.hpp"
#include "core/io/safetensors.hpp"
#include "core/network/parameters.hpp"
#include "reference/parameters.hpp"

namespace golden {

inline std::string path(const std::string &file) {
  return std::string(GODIFF_SOURCE_DIR) + "/unittest/parity/golden/" + file;
}

inline nlohmann::json read_json(const std::string &file) {
  std::ifstream stream(path(file));
  return nlohmann::json::parse(stream);
}

/// painn.safetensors, read once.
inline const godiff::SafeTensors &painn() {
  static const godiff::SafeTensors file = godiff::SafeTensors::read(path("painn.safetensors"));
  return file;
}

inline void collect(const nlohmann::json &list, std::vector<double> &values) {
  if (!list.is_array())
    values.push_back(list.get<double>());
  else
    for (const auto &part : list)
      collect(part, values);
}

/// Nested lists of numbers as a float64 tensor.
inline at::Tensor tensor(const nlohmann::json &list) {
  std::vector<std::int64_t> shape;
  for (const nlohmann::json *level = &list; level->is_array() && !level->empty();
       level = &level->at(0))
    shape.push_back(static_cast<std::int64_t>(level->size()));
  std::vector<double> values;
  collect(list, values);
  return at::tensor(values, at::kDouble).view(shape);
}

/// max|value - expected| / max|expected|; an absolute deviation where everything expected is 0.
inline double deviation(const at::Tensor &value, const at::Tensor &expected) {
  if (value.sizes() != expected.sizes())
    throw std::runtime_error("deviation: shapes differ");
  if (value.numel() == 0)
    return 0.0;
  const at::Tensor a = value.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  const double scale = b.abs().max().item<double>();
  const double difference = (a - b).abs().max().item<double>();
  return scale > 0.0 ? difference / scale : difference;
}

/// A periodic structure; the first atoms become the template.
struct Structure {
  at::Tensor cell, positions;  ///< (3,3), (N,3), float64
  std::vector<bool> pbc;
  std::vector<int> numbers;
  std::int64_t mobile = 0;  ///< as stored; any split may be asked for

  std::int64_t n_atoms() const { return static_cast<std::int64_t>(numbers.size()); }

  /// The system with the first n_template atoms fixed and a window far from every atom.
  godiff::System system(std::int64_t n_template) const {
    std::array<godiff::Vec3, 3> rows;
    std::array<bool, 3> periodic;
    for (int i = 0; i < 3; ++i) {
      periodic[i] = pbc[i];
      for (int k = 0; k < 3; ++k)
        rows[i][k] = cell[i][k].item<double>();
    }
    godiff::System system;
    system.cell = godiff::Cell(rows, periodic);
    system.n_template = n_template;
    system.n_mobile = n_atoms() - n_template;
    system.atomic_numbers = numbers;
    system.ids.resize(n_atoms());
    system.types.resize(n_atoms());
    const at::Tensor fixed = positions.narrow(0, 0, n_template).contiguous();
    system.template_positions.assign(fixed.const_data_ptr<double>(),
                                     fixed.const_data_ptr<double>() + fixed.numel());
    system.z_lo = -1000.0;
    system.z_hi = 1000.0;
    return system;
  }

  /// Positions of the atoms behind the template, repeated for a batch: [batch, n_mobile, 3].
  at::Tensor mobile_positions(std::int64_t n_template, std::int64_t batch = 1) const {
    return positions.narrow(0, n_template, n_atoms() - n_template)
        .unsqueeze(0)
        .repeat({batch, 1, 1});
  }
};

/// A system of painn.safetensors.
inline Structure structure(const std::string &name) {
  Structure s;
  s.cell = painn().get(name + ".cell");
  s.positions = painn().get(name + ".positions");
  s.mobile = painn().get(name + ".mobile").item<std::int64_t>();
  const at::Tensor pbc = painn().get(name + ".pbc"), numbers = painn().get(name + ".numbers");
  for (int k = 0; k < 3; ++k)
    s.pbc.push_back(pbc[k].item<std::int64_t>() != 0);
  for (std::int64_t i = 0; i < numbers.size(0); ++i)
    s.numbers.push_back(numbers[i].item<int>());
  return s;
}

inline const std::vector<std::string> SYSTEMS{"adatom", "heptamer", "alloy", "mixed", "cluster"};

/// Atomic numbers [N] int64.
inline at::Tensor species(const Structure &s) {
  return at::tensor(s.numbers, at::kLong);
}

/// Names of all tensors in the order that numbers them.
inline std::vector<std::string> tensor_names(int nblock) {
  const std::vector<std::string> dense{"0.weight", "0.bias", "1.weight", "1.bias"};
  std::vector<std::string> names{"painn.embedding.weight", "painn.filter.weight",
                                 "painn.filter.bias"};
  const auto add_gated = [&](const std::string &prefix) {
    names.push_back(prefix + "mix.weight");
    for (const std::string &part : dense)
      names.push_back(prefix + part);
  };
  for (int l = 0; l < nblock; ++l) {
    for (const std::string &part : dense)
      names.push_back("painn.message." + std::to_string(l) + "." + part);
    add_gated("painn.mixing." + std::to_string(l) + ".");
  }
  for (const char *head : {"score.", "force."})
    for (int b = 0; b < 3; ++b)
      add_gated(head + std::to_string(b) + ".");
  return names;
}

inline void load_weights(godiff::Parameters &parameters, const at::Tensor &flat) {
  parameters.copy_from(flat);
}

inline void load_weights(godiff::reference::Parameters &parameters, const at::Tensor &flat) {
  parameters.flat().copy_(flat);
}

/// Fills a network with the weights of README.md, made from integer hashes.
template <class Parameters> void set_weights(Parameters &parameters, int nblock = 4) {
  const at::Tensor flat = at::zeros({parameters.size()}, at::kDouble);
  const std::vector<std::string> names = tensor_names(nblock);
  for (std::uint32_t k = 0; k < names.size(); ++k) {
    const std::string &name = names[k];
    if (!parameters.has(name))
      continue;  // a network without the force head
    const std::vector<std::int64_t> &shape = parameters.shape(name);
    const double gain = name[0] == 'p' ? 2.5 : name[0] == 's' ? 5.0 : 4.0;
    const bool bias = name.size() > 5 && name.compare(name.size() - 5, 5, ".bias") == 0;
    const double amplitude = name == "painn.embedding.weight" ? 1.0
                             : bias                           ? 0.2
                                    : std::sqrt(gain / static_cast<double>(shape.back()));
    std::int64_t size = 1;
    for (std::int64_t n : shape)
      size *= n;
    double *w = flat.data_ptr<double>() + parameters.offset(name);
    for (std::int64_t e = 0; e < size; ++e) {
      std::uint32_t h = 747796405u * static_cast<std::uint32_t>(e) + 2891336453u * (k + 1);
      h ^= h >> 16;
      h *= 2246822519u;
      h ^= h >> 13;
      h *= 3266489917u;
      h ^= h >> 16;
      w[e] = amplitude * (h / 2147483648.0 - 1.0);
    }
  }
  load_weights(parameters, flat);
}

/// The name of a floating type in messages.
inline const char *type_name(at::ScalarType dtype) {
  return dtype == at::kDouble ? "float64" : "float32";
}

}  // namespace golden
