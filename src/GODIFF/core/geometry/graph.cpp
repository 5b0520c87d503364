// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/graph.hpp"

#include <cmath>
#include <cstring>

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr double COINCIDENT = 1e-6;  // Angstrom, method section 7

struct Pair {
  std::int32_t i, j;
  double direction[3];
  double distance;
};

// Adds the pairs of atoms i and j (all images within the cutoff); for i == j each image once.
void add_pairs(const Cell &cell, double cutoff, std::int32_t i, std::int32_t j, const double *ri,
               const double *rj, std::vector<Pair> &pairs) {
  const Vec3 difference{rj[0] - ri[0], rj[1] - ri[1], rj[2] - ri[2]};
  cell.for_images(difference, cutoff, [&](const Vec3 &r) {
    const double d = std::sqrt(dot(r, r));
    if (i == j) {
      // S and -S are the two directions of one pair: keep the half space, never S = 0.
      const bool keep = r[2] > 0.0 || (r[2] == 0.0 && (r[1] > 0.0 || (r[1] == 0.0 && r[0] > 0.0)));
      if (d < COINCIDENT || !keep)
        return;
    }
    Pair pair{i, j, {0, 0, 0}, d};
    if (d >= COINCIDENT)
      for (int k = 0; k < 3; ++k)
        pair.direction[k] = r[k] / d;
    pairs.push_back(pair);
  });
}

// Sorts the directed edges by receiver (counting sort, so the order is that of the pairs).
EdgeSet make_edges(const std::vector<Pair> &pairs, std::int64_t rows, at::ScalarType dtype) {
  const auto P = static_cast<std::int64_t>(pairs.size());
  if (2 * P >= INT32_MAX)
    throw Error("a batch has " + std::to_string(2 * P) +
                " edges: lower the network cutoff or the number of candidates per stage");
  const auto ints = at::TensorOptions().dtype(at::kInt);
  const auto reals = at::TensorOptions().dtype(dtype);
  EdgeSet edges;
  edges.pair_i = at::empty({P}, ints);
  edges.pair_j = at::empty({P}, ints);
  edges.pair_direction = at::empty({P, 3}, reals);
  edges.pair_distance = at::empty({P}, reals);
  edges.first = at::zeros({rows + 1}, ints);
  edges.sender = at::empty({2 * P}, ints);
  edges.pair = at::empty({2 * P}, ints);
  edges.direction = at::empty({2 * P, 3}, reals);

  auto *first = edges.first.data_ptr<std::int32_t>();
  for (const Pair &pair : pairs) {
    ++first[pair.i + 1];
    ++first[pair.j + 1];
  }
  for (std::int64_t r = 0; r < rows; ++r)
    first[r + 1] += first[r];
  std::vector<std::int32_t> next(first, first + rows);
  AT_DISPATCH_FLOATING_TYPES(dtype, "godiff::make_edges", [&] {
    auto *pair_i = edges.pair_i.data_ptr<std::int32_t>();
    auto *pair_j = edges.pair_j.data_ptr<std::int32_t>();
    auto *sender = edges.sender.data_ptr<std::int32_t>();
    auto *index = edges.pair.data_ptr<std::int32_t>();
    auto *distance = edges.pair_distance.data_ptr<scalar_t>();
    auto *pair_direction = edges.pair_direction.data_ptr<scalar_t>();
    auto *direction = edges.direction.data_ptr<scalar_t>();
    for (std::int64_t p = 0; p < P; ++p) {
      const Pair &pair = pairs[p];
      pair_i[p] = pair.i;
      pair_j[p] = pair.j;
      distance[p] = static_cast<scalar_t>(pair.distance);
      for (int end = 0; end < 2; ++end) {
        const std::int32_t e = next[end == 0 ? pair.i : pair.j]++;
        sender[e] = end == 0 ? pair.j : pair.i;
        index[e] = static_cast<std::int32_t>(p);
        for (int k = 0; k < 3; ++k) {
          const auto u = static_cast<scalar_t>(pair.direction[k]);
          if (end == 0)
            pair_direction[3 * p + k] = u;
          direction[3 * static_cast<std::int64_t>(e) + k] = end == 0 ? u : -u;
        }
      }
    }
  });
  return edges;
}

std::int64_t count_coincident(const std::vector<Pair> &pairs) {
  std::int64_t n = 0;
  for (const Pair &pair : pairs)
    n += pair.distance < COINCIDENT;
  return n;
}

}  // namespace

GraphBuilder::GraphBuilder(const System &system, double cutoff, at::ScalarType dtype) :
    system_(system),
    cutoff_(cutoff),
    dtype_(dtype) {
  validate(system_);
  std::vector<Pair> pairs;
  const double *x = system_.template_positions.data();
  for (std::int64_t i = 0; i < system_.n_template; ++i)
    for (std::int64_t j = 0; j <= i; ++j)
      add_pairs(system_.cell, cutoff_, static_cast<std::int32_t>(i), static_cast<std::int32_t>(j),
                x + 3 * i, x + 3 * j, pairs);
  template_edges_ = make_edges(pairs, system_.n_template, dtype_);
  coincident_template_pairs_ = count_coincident(pairs);
}

BatchGraph GraphBuilder::build(const at::Tensor &mobile_positions) const {
  const at::Tensor positions = mobile_positions.to(at::kCPU, at::kDouble).contiguous();
  if (positions.dim() != 3 || positions.size(1) != system_.n_mobile || positions.size(2) != 3)
    throw Error("graph: positions must have the shape [structures, mobile atoms, 3]");
  const std::int64_t B = positions.size(0), N = system_.n_atoms(), n = system_.n_mobile;
  const double *x = positions.const_data_ptr<double>();
  const double *fixed = system_.template_positions.data();

  std::vector<std::vector<Pair>> found(B);
  at::parallel_for(0, B, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t g = begin; g < end; ++g)
      for (std::int64_t m = 0; m < n; ++m) {
        const auto i = static_cast<std::int32_t>(g * N + system_.n_template + m);
        const double *ri = x + 3 * (g * n + m);
        for (std::int64_t j = 0; j < system_.n_template; ++j)
          add_pairs(system_.cell, cutoff_, i, static_cast<std::int32_t>(g * N + j), ri,
                    fixed + 3 * j, found[g]);
        for (std::int64_t j = 0; j <= m; ++j)
          add_pairs(system_.cell, cutoff_, i,
                    static_cast<std::int32_t>(g * N + system_.n_template + j), ri,
                    x + 3 * (g * n + j), found[g]);
      }
  });
  std::vector<Pair> pairs;
  std::size_t total = 0;
  for (const auto &part : found)
    total += part.size();
  pairs.reserve(total);
  for (const auto &part : found)
    pairs.insert(pairs.end(), part.begin(), part.end());

  BatchGraph graph;
  graph.n_structures = B;
  graph.n_template = system_.n_template;
  graph.n_mobile = n;
  graph.fixed = template_edges_;
  graph.mobile = make_edges(pairs, B * N, dtype_);
  graph.coincident_pairs = B * coincident_template_pairs_ + count_coincident(pairs);
  return graph;
}

}  // namespace godiff
