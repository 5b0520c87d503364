// SPDX-License-Identifier: GPL-2.0-only
#include "reference/network.hpp"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "core/base/random.hpp"

namespace godiff {
namespace reference {

namespace {

constexpr double NORM_EPS = 1e-8;  // inside the square root of |V|

at::Tensor linear(const Parameters &parameters, const std::string &name, const at::Tensor &x) {
  return at::linear(x, parameters[name + ".weight"], parameters[name + ".bias"]);
}

// Two layers with SiLU between them: NAME.0 and NAME.1.
at::Tensor two_layers(const Parameters &parameters, const std::string &name, const at::Tensor &x) {
  return linear(parameters, name + ".1", at::silu(linear(parameters, name + ".0", x)));
}

// What the messages of one block add to every node, from the context x [nodes, 3F] of the senders,
// their vectors mu [nodes, 3, F] and the filters [pairs, 3F]:
//   (a, b, c) = filter * x_j,  dq_i = sum_j a,  dmu_i = sum_j direction (x) b + c * mu_j.
Features message(const BatchGraph &graph, const at::Tensor &x, const at::Tensor &mu,
                 const at::Tensor &filter) {
  const auto abc =
      (filter.index_select(0, graph.pair) * x.index_select(0, graph.sender)).chunk(3, 1);
  const at::Tensor vector = graph.direction.unsqueeze(2) * abc[1].unsqueeze(1) +
                            abc[2].unsqueeze(1) * mu.index_select(0, graph.sender);
  const at::Tensor dq = at::zeros({x.size(0), x.size(1) / 3}, x.options());
  return {dq.index_add(0, graph.receiver, abc[0]),
          at::zeros_like(mu).index_add(0, graph.receiver, vector)};
}

}  // namespace

at::Tensor radial_basis(const at::Tensor &distance, int n_rbf, double cutoff) {
  const double width = cutoff / (n_rbf - 1);
  const at::Tensor centres = at::linspace(0.0, cutoff, n_rbf, distance.options());
  const at::Tensor x = (distance.unsqueeze(1) - centres) / width;
  return (-0.5 * x * x).exp();
}

at::Tensor cosine_cutoff(const at::Tensor &distance, double cutoff) {
  return 0.5 * ((distance * (M_PI / cutoff)).cos() + 1.0) * (distance < cutoff);
}

at::Tensor vector_head(const Parameters &parameters, const std::string &name,
                       const at::Tensor &scalars, const at::Tensor &vectors) {
  at::Tensor s = scalars, v = vectors;
  for (int b = 0; b < 3; ++b) {
    const std::string block = name + "." + std::to_string(b);
    const auto vw = at::linear(v, parameters[block + ".mix.weight"]).chunk(2, 2);
    // The 2-norm has gradient 0 where the vector is 0 (LibTorch's convention).
    const at::Tensor norm = at::linalg_vector_norm(vw[0], 2, {1});
    const at::Tensor x = two_layers(parameters, block, at::cat({s, norm}, 1));
    const std::int64_t vector_out = norm.size(1), scalar_out = x.size(1) - vector_out;
    const at::Tensor gate = x.narrow(1, scalar_out, vector_out);
    s = x.narrow(1, 0, scalar_out);
    if (b < 2)
      s = at::silu(s);
    v = gate.unsqueeze(1) * vw[1];
  }
  return v.squeeze(2);
}

ScoreNetwork::ScoreNetwork(const NetworkSettings &settings, at::ScalarType dtype) :
    settings_(settings),
    dtype_(dtype),
    parameters_(settings, dtype) {}

Features ScoreNetwork::features(const BatchGraph &graph, const at::Tensor &atomic_numbers) const {
  const Parameters &p = parameters_;
  const at::Tensor phi = radial_basis(graph.distance, settings_.nrbf, settings_.cutoff);
  const at::Tensor f_c = cosine_cutoff(graph.distance, settings_.cutoff);
  const auto filters =
      (linear(p, "painn.filter", phi) * f_c.unsqueeze(1)).chunk(settings_.nblock, 1);

  at::Tensor q =
      p["painn.embedding.weight"].index_select(0, atomic_numbers.repeat({graph.n_structures}));
  at::Tensor mu = at::zeros({q.size(0), 3, q.size(1)}, q.options());
  for (int l = 0; l < settings_.nblock; ++l) {
    const at::Tensor x = two_layers(p, "painn.message." + std::to_string(l), q);
    const Features sums = message(graph, x, mu, filters[l]);
    q = q + sums.q;
    mu = mu + sums.mu;

    const std::string mixing = "painn.mixing." + std::to_string(l);
    const auto vu = at::linear(mu, p[mixing + ".mix.weight"]).chunk(2, 2);
    const at::Tensor &v = vu[0], &u = vu[1];
    const at::Tensor norm = ((v * v).sum(1) + NORM_EPS).sqrt();
    const auto prs = two_layers(p, mixing, at::cat({q, norm}, 1)).chunk(3, 1);
    q = q + prs[0] + prs[2] * (v * u).sum(1);
    mu = mu + prs[1].unsqueeze(1) * u;
  }
  return {q, mu};
}

at::Tensor ScoreNetwork::score_of_all(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                                      const at::Tensor &t) const {
  const Features f = features(graph, atomic_numbers);
  const at::Tensor angle = (M_PI * t.to(dtype_)).repeat_interleave(graph.n_atoms()).unsqueeze(1);
  const at::Tensor scalars = at::cat({f.q, angle.sin(), angle.cos()}, 1);
  return vector_head(parameters_, "score", scalars, f.mu)
      .view({graph.n_structures, graph.n_atoms(), 3});
}

at::Tensor ScoreNetwork::score(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                               const at::Tensor &t) const {
  return score_of_all(graph, atomic_numbers, t).narrow(1, graph.n_template, graph.n_mobile);
}

at::Tensor ScoreNetwork::forces(const BatchGraph &graph, const at::Tensor &atomic_numbers,
                                bool mobile_only) const {
  const Features f = features(graph, atomic_numbers);
  const at::Tensor force =
      vector_head(parameters_, "force", f.q, f.mu).view({graph.n_structures, graph.n_atoms(), 3});
  return mobile_only ? force.narrow(1, graph.n_template, graph.n_mobile) : force;
}

at::Tensor least_squares(const at::Tensor &output, const at::Tensor &offset,
                         const at::Tensor &factor, const at::Tensor &weight) {
  const auto per_structure = [&](const at::Tensor &values) {
    return values.to(output.scalar_type()).view({-1, 1, 1});
  };
  const at::Tensor residual = offset.to(output.scalar_type()) + per_structure(factor) * output;
  return (per_structure(weight) * residual.square()).sum();
}

void randomise(Parameters &parameters, std::uint64_t seed) {
  const at::Tensor flat = at::empty({parameters.size()}, at::kDouble);
  double *w = flat.data_ptr<double>();
  std::uint32_t item = 0;
  for (const std::string &name : parameters.names()) {
    const std::vector<std::int64_t> &shape = parameters.shape(name);
    // The Glorot variance of method section 10; larger weights make the features overflow.
    const double size = shape.size() == 1                  ? 0.2
                        : name == "painn.embedding.weight" ? 1.0
                                                           : std::sqrt(2.0 / (shape[0] + shape[1]));
    const std::uint32_t tensor = item++;
    for (std::int64_t row = 0; row < shape[0]; ++row) {
      RandomStream random(seed, Purpose::INIT, 1, tensor, static_cast<std::uint32_t>(row));
      for (std::int64_t k = 0; k < (shape.size() == 1 ? 1 : shape[1]); ++k)
        *w++ = size * random.normal();
    }
  }
  at::NoGradGuard no_grad;
  parameters.flat().copy_(flat);
}

}  // namespace reference
}  // namespace godiff
