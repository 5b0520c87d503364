// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/painn.hpp"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "kernels/message.hpp"

namespace godiff {

namespace {

constexpr int MAX_ELEMENTS = 100;
constexpr double NORM_EPS = 1e-8;  // inside the square root of |V|

}  // namespace

at::Tensor mobile_rows(const at::Tensor &nodes, const BatchGraph &graph) {
  auto shape = nodes.sizes().vec();
  shape[0] = graph.n_atoms();
  shape.insert(shape.begin(), graph.n_structures);
  return nodes.view(shape).narrow(1, graph.n_template, graph.n_mobile).flatten(0, 1);
}

at::Tensor radial_basis(const at::Tensor &distance, int n_rbf, double cutoff) {
  const double width = cutoff / (n_rbf - 1);
  const at::Tensor centres = at::linspace(0.0, cutoff, n_rbf, distance.options());
  const at::Tensor x = distance.unsqueeze(-1) - centres;
  return (x * x * (-0.5 / (width * width))).exp_();
}

at::Tensor cosine_cutoff(const at::Tensor &distance, double cutoff) {
  const at::Tensor value = ((distance * (M_PI / cutoff)).cos_() + 1.0) * 0.5;
  return value * (distance < cutoff);
}

PaiNN::PaiNN(const NetworkSettings &settings, Parameters &parameters) : settings_(settings) {
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
}

void PaiNN::bind(const Parameters &parameters) {
  embedding_ = parameters["painn.embedding.weight"];
  filter_ = {parameters["painn.filter.weight"], parameters["painn.filter.bias"]};
  blocks_.resize(settings_.nblock);
  for (int l = 0; l < settings_.nblock; ++l) {
    Block &block = blocks_[l];
    const std::string message = "painn.message." + std::to_string(l);
    const std::string mixing = "painn.mixing." + std::to_string(l);
    for (int k = 0; k < 2; ++k) {
      const std::string layer = "." + std::to_string(k);
      block.message[k] = {parameters[message + layer + ".weight"],
                          parameters[message + layer + ".bias"]};
      block.mixing[k] = {parameters[mixing + layer + ".weight"],
                         parameters[mixing + layer + ".bias"]};
    }
    block.mix = parameters[mixing + ".mix.weight"];
  }
}

at::Tensor PaiNN::filters(const EdgeSet &edges) const {
  const at::Tensor &d = edges.pair_distance;
  const at::Tensor phi = radial_basis(d, settings_.nrbf, settings_.cutoff);
  return at::linear(phi, filter_.weight, filter_.bias) *
         cosine_cutoff(d, settings_.cutoff).unsqueeze(1);
}

Features PaiNN::forward(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                        bool mobile_only) const {
  const std::int64_t F = settings_.nfeat;
  const auto fixed_filters = filters(graph.fixed).chunk(settings_.nblock, 1);
  const auto mobile_filters = filters(graph.mobile).chunk(settings_.nblock, 1);

  at::Tensor q = embedding_.index_select(0, atomic_numbers).repeat({graph.n_structures, 1});
  at::Tensor mu;  // undefined: zero before the first block
  for (int l = 0; l < settings_.nblock; ++l) {
    const Block &block = blocks_[l];
    const at::Tensor x =
        at::linear(at::silu(at::linear(q, block.message[0].weight, block.message[0].bias)),
                   block.message[1].weight, block.message[1].bias);
    const auto [dq, dmu] = message(x, mu, fixed_filters[l], mobile_filters[l], graph);
    q = q + dq;
    mu = mu.defined() ? mu + dmu : dmu;
    if (mobile_only && l + 1 == settings_.nblock) {
      // Nobody receives messages from here on: what follows acts on each row by itself.
      q = mobile_rows(q, graph);
      mu = mobile_rows(mu, graph);
    }

    const auto vu = at::linear(mu, block.mix).split(F, 2);
    const at::Tensor &v = vu[0], &u = vu[1];
    const at::Tensor norm = ((v * v).sum(1) + NORM_EPS).sqrt();
    const auto prs = at::linear(at::silu(at::linear(at::cat({q, norm}, 1), block.mixing[0].weight,
                                                    block.mixing[0].bias)),
                                block.mixing[1].weight, block.mixing[1].bias)
                         .split(F, 1);
    q = q + prs[0] + prs[2] * (v * u).sum(1);
    mu = mu + prs[1].unsqueeze(1) * u;
  }
  return {q, mu};
}

}  // namespace godiff
