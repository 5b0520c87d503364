// SPDX-License-Identifier: GPL-2.0-only
#include "reference/graph.hpp"

#include <cmath>
#include <stdexcept>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/geometry/cell.hpp"

namespace godiff {
namespace reference {

namespace {

constexpr double COINCIDENT = 1e-6;  // Angstrom, method section 7

// Pairs of the whole batch; what belongs to pair p is at [p], of its direction at [3*p].
struct Pairs {
  std::vector<std::int64_t> i, j;
  std::vector<double> distance, direction;
};

// Of the two images r and -r of one atom, which are the two directions of one pair, keep one.
bool in_half_space(const Vec3 &r) {
  return r[2] > 0.0 || (r[2] == 0.0 && (r[1] > 0.0 || (r[1] == 0.0 && r[0] > 0.0)));
}

}  // namespace

GraphBuilder::GraphBuilder(const System &system, double cutoff, at::ScalarType dtype) :
    system_(system),
    cutoff_(cutoff),
    dtype_(dtype) {}

BatchGraph GraphBuilder::build(const at::Tensor &mobile_positions) const {
  const std::int64_t B = mobile_positions.size(0), N = system_.n_atoms();
  if (mobile_positions.dim() != 3 || mobile_positions.size(1) != system_.n_mobile ||
      mobile_positions.size(2) != 3)
    throw std::runtime_error("reference graph: positions must be [structures, mobile atoms, 3]");
  const at::Tensor fixed =
      at::tensor(system_.template_positions, at::kDouble).view({1, system_.n_template, 3});
  const at::Tensor all =
      at::cat({fixed.expand({B, -1, -1}), mobile_positions.to(at::kDouble)}, 1).contiguous();
  const double *x = all.const_data_ptr<double>();

  BatchGraph graph;
  graph.n_structures = B;
  graph.n_template = system_.n_template;
  graph.n_mobile = system_.n_mobile;
  Pairs pairs;
  for (std::int64_t g = 0; g < B; ++g)
    for (std::int64_t i = g * N; i < (g + 1) * N; ++i)
      for (std::int64_t j = g * N; j <= i; ++j) {
        const Vec3 difference{x[3 * j] - x[3 * i], x[3 * j + 1] - x[3 * i + 1],
                              x[3 * j + 2] - x[3 * i + 2]};
        system_.cell.for_images(difference, cutoff_, [&](const Vec3 &r) {
          if (i == j && !in_half_space(r))
            return;
          const double d = std::sqrt(dot(r, r));
          pairs.i.push_back(i);
          pairs.j.push_back(j);
          pairs.distance.push_back(d);
          for (double component : r)
            pairs.direction.push_back(d < COINCIDENT ? 0.0 : component / d);
          graph.coincident_pairs += d < COINCIDENT;
        });
      }

  const at::Tensor i = at::tensor(pairs.i, at::kLong), j = at::tensor(pairs.j, at::kLong);
  const at::Tensor number = at::arange(i.size(0), at::kLong);
  const at::Tensor u = at::tensor(pairs.direction, at::kDouble).view({-1, 3}).to(dtype_);
  graph.distance = at::tensor(pairs.distance, at::kDouble).to(dtype_);
  graph.receiver = at::cat({i, j});
  graph.sender = at::cat({j, i});
  graph.pair = at::cat({number, number});
  graph.direction = at::cat({u, -u});
  return graph;
}

at::Tensor atomic_numbers(const System &system) {
  return at::tensor(system.atomic_numbers, at::kLong);
}

}  // namespace reference
}  // namespace godiff
