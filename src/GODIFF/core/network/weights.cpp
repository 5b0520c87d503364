// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/weights.hpp"

#include <string>

namespace godiff {

namespace {

constexpr int MAX_ELEMENTS = 100;
constexpr int TIME_FEATURES = 2;

// Three blocks turn scalars and vectors into one vector; for 64 features and the score head
// 66,64 -> 33,32 -> 16,16 -> 1,1 with hidden widths 66, 33, 16.
void declare_head(const std::string &name, int n_scalar, int n_vector, Parameters &parameters) {
  for (int b = 0; b < 3; ++b) {
    const int scalar_in = n_scalar >> b, vector_in = n_vector >> b;
    const int scalar_out = b < 2 ? n_scalar >> (b + 1) : 1,
              vector_out = b < 2 ? n_vector >> (b + 1) : 1;
    const std::string block = name + "." + std::to_string(b);
    parameters.declare(block + ".mix.weight", {2 * vector_out, vector_in});
    parameters.declare(block + ".0.weight", {scalar_in, scalar_in + vector_out});
    parameters.declare(block + ".0.bias", {scalar_in});
    parameters.declare(block + ".1.weight", {scalar_out + vector_out, scalar_in});
    parameters.declare(block + ".1.bias", {scalar_out + vector_out});
  }
}

}  // namespace

void declare_network(const NetworkSettings &settings, Parameters &parameters) {
  const std::int64_t F = settings.nfeat;
  parameters.declare("painn.embedding.weight", {MAX_ELEMENTS, F});
  parameters.declare("painn.filter.weight", {settings.nblock * 3 * F, settings.nrbf});
  parameters.declare("painn.filter.bias", {settings.nblock * 3 * F});
  for (int l = 0; l < settings.nblock; ++l) {
    const std::string message = "painn.message." + std::to_string(l);
    parameters.declare(message + ".0.weight", {F, F});
    parameters.declare(message + ".0.bias", {F});
    parameters.declare(message + ".1.weight", {3 * F, F});
    parameters.declare(message + ".1.bias", {3 * F});
    const std::string mixing = "painn.mixing." + std::to_string(l);
    parameters.declare(mixing + ".mix.weight", {2 * F, F});
    parameters.declare(mixing + ".0.weight", {F, 2 * F});
    parameters.declare(mixing + ".0.bias", {F});
    parameters.declare(mixing + ".1.weight", {3 * F, F});
    parameters.declare(mixing + ".1.bias", {3 * F});
  }
  declare_head("score", settings.nfeat + TIME_FEATURES, settings.nfeat, parameters);
  if (settings.force_head)
    declare_head("force", settings.nfeat, settings.nfeat, parameters);
}

NetworkWeights view_weights(const NetworkSettings &settings, const Parameters &parameters,
                            const at::Tensor &flat) {
  const auto view = [&](const std::string &name) { return parameters.view(flat, name); };
  const auto dense = [&](const std::string &name) {
    return Dense{view(name + ".weight"), view(name + ".bias")};
  };
  const auto head = [&](const std::string &name) {
    HeadWeights weights;
    for (int b = 0; b < 3; ++b) {
      const std::string block = name + "." + std::to_string(b);
      weights[b] = {view(block + ".mix.weight"), {dense(block + ".0"), dense(block + ".1")}};
    }
    return weights;
  };
  NetworkWeights weights;
  weights.embedding = view("painn.embedding.weight");
  weights.filter = dense("painn.filter");
  for (int l = 0; l < settings.nblock; ++l) {
    const std::string message = "painn.message." + std::to_string(l);
    const std::string mixing = "painn.mixing." + std::to_string(l);
    weights.blocks.push_back({{dense(message + ".0"), dense(message + ".1")},
                              view(mixing + ".mix.weight"),
                              {dense(mixing + ".0"), dense(mixing + ".1")}});
  }
  weights.score = head("score");
  if (settings.force_head)
    weights.force = head("force");
  return weights;
}

}  // namespace godiff
