// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/score_network.hpp"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"

namespace godiff {

namespace {

constexpr int TIME_FEATURES = 2;

}  // namespace

ScoreNetwork::ScoreNetwork(const NetworkSettings &settings, at::ScalarType dtype) :
    settings_(settings),
    dtype_(dtype),
    parameters_(dtype),
    backbone_(settings, parameters_),
    score_head_("score", settings.nfeat + TIME_FEATURES, settings.nfeat, parameters_) {
  if (settings.force_head)
    force_head_ =
        std::make_unique<VectorHead>("force", settings.nfeat, settings.nfeat, parameters_);
  parameters_.allocate();
  backbone_.bind(parameters_);
  score_head_.bind(parameters_);
  if (force_head_)
    force_head_->bind(parameters_);
}

void ScoreNetwork::initialise(std::uint64_t seed) {
  const at::Tensor flat = at::zeros({parameters_.size()}, at::kDouble);
  double *w = flat.data_ptr<double>();
  std::uint32_t item = 0;
  for (const std::string &name : parameters_.names()) {
    const auto &shape = parameters_.shape(name);
    double *p = w + parameters_.offset(name);
    const std::uint32_t tensor = item++;
    if (shape.size() < 2)
      continue;  // biases stay 0
    const bool embedding = name == "painn.embedding.weight";
    const double bound = std::sqrt(6.0 / static_cast<double>(shape[0] + shape[1]));
    for (std::int64_t row = embedding ? 1 : 0; row < shape[0]; ++row) {
      RandomStream random(seed, Purpose::INIT, 0, tensor, static_cast<std::uint32_t>(row));
      for (std::int64_t k = 0; k < shape[1]; ++k)
        p[row * shape[1] + k] =
            embedding ? random.normal() : bound * (2.0 * random.uniform() - 1.0);
    }
  }
  at::NoGradGuard no_grad;
  parameters_.flat().copy_(flat);
}

at::Tensor ScoreNetwork::score(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                               const at::Tensor &t) const {
  const Features features = backbone_.forward(graph, atomic_numbers, true);
  const at::Tensor angle = t.to(dtype_).repeat_interleave(graph.n_mobile).unsqueeze(1) * M_PI;
  const at::Tensor scalars = at::cat({features.q, angle.sin(), angle.cos()}, 1);
  return score_head_.forward(scalars, features.mu).view({graph.n_structures, graph.n_mobile, 3});
}

at::Tensor ScoreNetwork::forces(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                                bool mobile_only) const {
  if (!force_head_)
    throw Error("the network has no force head");
  const Features features = backbone_.forward(graph, atomic_numbers, mobile_only);
  return force_head_->forward(features.q, features.mu)
      .view({graph.n_structures, mobile_only ? graph.n_mobile : graph.n_atoms(), 3});
}

}  // namespace godiff
