// SPDX-License-Identifier: GPL-2.0-only
// Systems for the tests of the engine, and the reference network that its results are compared with.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "kernels/implementation.hpp"
#include "reference/network.hpp"
#include "systems.hpp"

namespace godiff_test {

/// Structures of one system.
struct EngineCase {
  std::string name;
  godiff::System system;
  at::Tensor positions;  ///< [B, n_mobile, 3] float64
};

/// B structures of mobile atoms anywhere in the cell, z in the window if the axis is not periodic.
inline at::Tensor scattered(const godiff::System &s, std::int64_t batch, std::uint64_t seed) {
  godiff::RandomStream random(seed, godiff::Purpose::PRIOR);
  at::Tensor x = at::empty({batch, s.n_mobile, 3}, at::kDouble);
  double *p = x.data_ptr<double>();
  for (std::int64_t k = 0; k < batch * s.n_mobile; ++k) {
    const double a = random.uniform(), b = random.uniform(), c = random.uniform();
    const godiff::Vec3 r = s.cell.cartesian({a, b, s.cell.periodic(2) ? c : 0.0});
    for (int m = 0; m < 3; ++m)
      p[3 * k + m] = r[m];
    if (!s.cell.periodic(2))
      p[3 * k + 2] = s.z_lo + c * (s.z_hi - s.z_lo);
  }
  return x;
}

/// B copies of one structure, every coordinate moved by a normal number of this width.
inline at::Tensor noised(const std::vector<double> &x, std::int64_t batch, double width,
                         std::uint64_t seed) {
  godiff::RandomStream random(seed, godiff::Purpose::PRIOR);
  at::Tensor all = one_structure(x).repeat({batch, 1, 1});
  for (std::int64_t k = 0; k < all.numel(); ++k)
    all.data_ptr<double>()[k] += width * random.normal();
  return all;
}

/// Pt(111), n x n x layers, with n_mobile atoms of platinum in a window above it.
inline godiff::System fcc111(int n, int layers, int n_mobile) {
  const double d = LATTICE / std::sqrt(2.0), height = LATTICE / std::sqrt(3.0);
  std::vector<double> x;
  for (int layer = 0; layer < layers; ++layer)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < n; ++i) {
        x.push_back(i * d + j * d / 2);
        x.push_back(j * d * std::sqrt(3.0) / 2 + layer * d / std::sqrt(3.0));
        x.push_back(layer * height);
      }
  const double top = (layers - 1) * height;
  return make_system({{{n * d, 0, 0}, {n * d / 2, n * d * std::sqrt(3.0) / 2, 0}, {0, 0, 30}}},
                     {true, true, false}, x, std::vector<int>(n * n * layers, PLATINUM),
                     std::vector<int>(n_mobile, PLATINUM), top + 1.0, top + 6.0);
}

/// The same with every template atom moved at random: no two distances are equal.
inline godiff::System displaced(godiff::System s, double width) {
  godiff::RandomStream random(17, godiff::Purpose::PRIOR);
  for (double &x : s.template_positions)
    x += width * random.normal();
  return s;
}

/// Three elements, template and mobile, in a skewed cell that is smaller than the cutoff.
inline godiff::System small_alloy(const std::array<bool, 3> &periodic) {
  return make_system(
      {{{4.9, 0, 0}, {1.3, 5.2, 0}, {0.4, -0.7, 9.5}}}, periodic,
      {0, 0, 0, 2.4, 0.3, 0.2, 1.1, 2.6, 0.1, 3.4, 2.9, 2.0, 1.3, 1.2, 2.1, 0.2, 4.4, 1.8},
      {78, 29, 78, 78, 29, 8}, {78, 8, 29}, 2.0, 8.0);
}
/// A good place for its three mobile atoms.
inline std::vector<double> small_alloy_mobile() {
  return {1.0, 0.4, 3.6, 3.1, 1.9, 4.1, 2.2, 4.0, 3.9};
}

/// A compact island of seven atoms on S2, method section 23.
inline std::vector<double> heptamer() {
  std::vector<double> x{10.3944696834, 6.0012498698, 4.5264130552};
  for (int k = 0; k < 6; ++k) {
    x.push_back(x[0] + 2.7718586 * std::cos(k * M_PI / 3));
    x.push_back(x[1] + 2.7718586 * std::sin(k * M_PI / 3));
    x.push_back(x[2]);
  }
  return x;
}

/// A short network: 16 features, 3 blocks, cutoff 5 Angstrom, both heads.
inline godiff::NetworkSettings short_network() {
  godiff::NetworkSettings n;
  n.nfeat = 16;
  n.nblock = 3;
  n.nrbf = 12;
  n.cutoff = 5.0;
  n.force_head = true;
  return n;
}

/// The network of the paper with both heads.
inline godiff::NetworkSettings full_network() {
  godiff::NetworkSettings n;
  n.force_head = true;
  return n;
}

/// Every kind of system that the engine treats in its own way; the graphs of a few atoms each.
inline std::vector<EngineCase> engine_cases() {
  std::vector<EngineCase> cases;
  const auto add = [&](const std::string &name, const godiff::System &s, const at::Tensor &x) {
    cases.push_back({name, s, x});
  };
  const godiff::System s1 = stepped_pt(), s2 = heptamer_pt();
  add("S1", s1,
      at::tensor({2.68, 2.03, 6.42, 4., 1., 7., 1., 4., 9.}, at::kDouble).view({3, 1, 3}));
  add("S2 compact", s2, noised(heptamer(), 3, 0.1, 1));
  add("S2 spread", s2, scattered(s2, 3, 2));
  add("S2 relaxed", displaced(s2, 0.1), noised(heptamer(), 2, 0.1, 3));

  const godiff::System alloy = small_alloy({true, true, false});
  add("alloy", alloy, noised(small_alloy_mobile(), 3, 0.2, 4));
  const godiff::System bulk = small_alloy({true, true, true});
  add("alloy p p p", bulk, scattered(bulk, 3, 5));
  const godiff::System cluster = small_alloy({false, false, false});
  add("alloy f f f", cluster, noised(small_alloy_mobile(), 3, 0.2, 6));
  add("alloy p f f", small_alloy({true, false, false}), noised(small_alloy_mobile(), 3, 0.2, 7));
  add("alloy f p p", small_alloy({false, true, true}), noised(small_alloy_mobile(), 3, 0.2, 8));

  // Up to seven images along each axis.
  const godiff::System tiny =
      make_system({{{1.6, 0, 0}, {0.4, 2.1, 0}, {0, 0, 12}}}, {true, true, false}, {0.2, 0.1, 0.0},
                  {29}, {78, 8}, 1.0, 6.0);
  add("tiny cell", tiny, scattered(tiny, 3, 9));
  const godiff::System chain = make_system({{{2.5, 0, 0}, {0, 30, 0}, {0, 0, 30}}},
                                           {true, false, false}, {0, 15, 15}, {78}, {78}, 0, 30);
  add("chain", chain, at::tensor({1.1, 16.9, 15.3, 1.1, 26., 15.}, at::kDouble).view({2, 1, 3}));

  for (const int mobile : {2, 16, 60, 90}) {  // of more than 64 the pairs are found in another way
    const godiff::System s = fcc111(4, 2, mobile);
    add("4x4x2 with " + std::to_string(mobile), s, scattered(s, 2, 20 + mobile));
  }

  std::vector<int> seventy;
  for (int k = 0; k < 70; ++k)
    seventy.push_back(k % 3 == 0 ? 8 : 78);
  // Thinner than the cutoff: atoms see their own images.
  const godiff::System thin =
      make_system({{{27, 0, 0}, {1.5, 4.4, 0}, {-3, 0.7, 19}}}, {true, true, true},
                  {1, 1, 1, 5, 2, 9, 20, 3, 15}, {78, 29, 78}, seventy, 0, 19);
  add("thin p p p with 70", thin, scattered(thin, 2, 13));

  // Who sees whom changes from structure to structure: nobody, only each other, the template.
  godiff::System tall = fcc111(3, 2, 3);
  const double z = 2.2632131 + 2.0;
  add("out of reach", tall,
      at::tensor({1.4, 0.8, z,       4.0,  2.5, z + 0.2, 5.0, 5.0, z + 20,   // one alone
                  1.4, 0.8, z + 18., 3.,   2.5, z + 18., 5.0, 5.0, z,        // two see each other
                  1.4, 0.8, z + 10., 4.0,  2.5, z + 16., 5.0, 5.0, z + 22,   // nobody sees anybody
                  1.4, 0.8, z + 0.1, 3.0,  2.5, z + 3.0, 4.0, 5.0, z + 6.5,  // a tower
                  1.4, 0.8, z + 2.9, 11.0, 2.5, z + 2.4, 4.0, 9.0, z + 1.7},
                 at::kDouble)
          .view({5, 3, 3}));
  const godiff::System box = open_box(40, 4);
  add("lone template atom", box,
      at::tensor({20., 20., 20., 21.5, 21., 20.7, 30., 20., 20., 33., 21., 20.,
                  1.5, 1.,  2.,  3.,   3.,  3.,   30., 20., 20., 33., 30., 20.},
                 at::kDouble)
          .view({2, 4, 3}));
  add("no edges", open_box(40, 2),
      at::tensor({10., 10., 10., 20., 20., 20.}, at::kDouble).view({1, 2, 3}));

  at::Tensor outside = noised(small_alloy_mobile(), 3, 0.2, 10);
  const auto shift = [&](int structure, int atom, int a, int b) {
    for (int k = 0; k < 3; ++k)
      outside[structure][atom][k] += a * alloy.cell.rows()[0][k] + b * alloy.cell.rows()[1][k];
  };
  shift(0, 0, 1, 0);
  shift(0, 2, -3, 2);
  shift(1, 1, 0, -1);
  shift(2, 0, 40, -25);
  add("outside the cell", alloy, outside);

  // Atoms at one place have no direction (method section 7): mobile on mobile, mobile on template,
  // on an image of it, and almost there.
  at::Tensor coincident = noised(small_alloy_mobile(), 4, 0.2, 11);
  coincident[0][1].copy_(coincident[0][0]);
  coincident[1][2].copy_(at::tensor({3.4, 2.9, 2.0}, at::kDouble));
  coincident[2][2].copy_(at::tensor({3.4 + 1.3, 2.9 + 5.2, 2.0}, at::kDouble));
  coincident[3][1].copy_(coincident[3][0] + 1e-7);
  add("coincident", alloy, coincident);
  godiff::System doubled = alloy;
  for (int k = 0; k < 3; ++k)
    doubled.template_positions[k] = doubled.template_positions[9 + k];
  add("coincident template", doubled, noised(small_alloy_mobile(), 2, 0.2, 12));
  return cases;
}

/// A slab that a cutoff of 3.2 Angstrom, nearest neighbours only, crosses in more hops than any network
/// has blocks; mobile atoms close together, far apart, and one in the vacuum.
inline EngineCase many_hops() {
  const godiff::System s = displaced(fcc111(10, 4, 3), 0.03);
  const double top = s.z_lo - 1.0 + 2.2;
  return {"many hops", s,
          at::tensor({5.0, 3.0, top,       7.6, 3.2, top + 0.1, 6.2, 5.6, top - 0.1,  //
                      1.0, 1.0, top,       14., 8.0, top + 0.2, 27., 20., top,        //
                      3.0, 9.0, top - 0.2, 11., 11., top + 2.4, 22., 5.0, top + 8.0},
                     at::kDouble)
              .view({3, 3, 3})};
}

/// The product's network and engine beside the reference network with the same weights.
///
/// The reference is always there in float64; in float32 as well when the product runs in float32, to
/// see what rounding alone does.
struct Twins {
  godiff::System system;
  godiff::ScoreNetwork network;
  godiff::ScoreEngine engine;
  godiff::reference::ScoreNetwork exact, rounded;

  Twins(const godiff::System &s, const godiff::NetworkSettings &shape, at::ScalarType dtype,
        std::uint64_t seed = 5) :
      system(s),
      network(shape, dtype),
      engine(system, network),
      exact(shape, at::kDouble),
      rounded(shape, at::kFloat) {
    godiff::reference::randomise(exact.parameters(), seed);
    set_weights(exact.parameters().flat());
  }
  Twins(const Twins &) = delete;
  Twins &operator=(const Twins &) = delete;

  /// Gives all of them the same weights, as the product's type holds them.
  void set_weights(const at::Tensor &flat) {
    at::NoGradGuard no_grad;
    const at::Tensor weights = flat.to(network.dtype());
    network.parameters().copy_from(weights);
    exact.parameters().flat().copy_(weights);
    rounded.parameters().flat().copy_(weights);
  }

  godiff::reference::BatchGraph graph(const at::Tensor &positions, at::ScalarType dtype) const {
    return godiff::reference::GraphBuilder(system, network.settings().cutoff, dtype)
        .build(positions);
  }
};

/// Times of B structures, from 0.005 to 1.
inline at::Tensor spread_times(std::int64_t batch) {
  return batch == 1 ? at::tensor({0.3}, at::kDouble) : at::linspace(0.005, 1.0, batch, at::kDouble);
}

/// max|value - expected| / max|expected|; an absolute deviation where everything expected is 0.
inline double deviation(const at::Tensor &value, const at::Tensor &expected) {
  if (value.sizes() != expected.sizes())
    return INFINITY;
  const at::Tensor a = value.detach().to(at::kDouble), b = expected.detach().to(at::kDouble);
  if (!a.isfinite().all().item<bool>())
    return INFINITY;
  const double scale = b.abs().max().item<double>();
  const double difference = (a - b).abs().max().item<double>();
  return scale > 0.0 ? difference / scale : difference;
}

/// How far (see deviation) a result of the engine may be from the reference in float64.
///
/// float64: sums of a few thousand terms in another order, about 1e-14, which the layers amplify.
/// float32 has no fixed limit, as atoms that nearly meet amplify rounding: the engine may be off by no
/// more than a few times what the reference in float32 is off (`plain`), or a few dozen units of 2^-24
/// where that happens to be small.
inline double rounding_limit(at::ScalarType dtype, double plain) {
  return dtype == at::kDouble ? 1e-10 : 10.0 * plain + 4e-6;
}

/// Whether the row kernels run, with what they promise on the CPU; not so with GODIFF_KERNELS set.
inline bool by_rows() {
  return godiff::kernels::implementation(c10::kCPU) == godiff::kernels::Implementation::ROWS;
}

/// The name of a floating type in the names of tests.
inline std::string type_name(const testing::TestParamInfo<at::ScalarType> &info) {
  return info.param == at::kDouble ? "float64" : "float32";
}

}  // namespace godiff_test
