// SPDX-License-Identifier: GPL-2.0-only
// Symmetries of the network (method section 24.5), and its weights. Values and gradients are compared
// with the reference network elsewhere.
#include "core/network/score_network.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/network/score_engine.hpp"
#include "reference/network.hpp"
#include "systems.hpp"

namespace {

using godiff::Cell;
using godiff::Error;
using godiff::NetworkSettings;
using godiff::ScoreNetwork;
using godiff::System;
using godiff::Vec3;
using godiff_test::one_structure;
using godiff_test::stepped_pt;
using godiff_test::to_vector;

NetworkSettings small_shape() {
  NetworkSettings n;
  n.nfeat = 16;
  n.nblock = 3;
  n.nrbf = 12;
  n.cutoff = 5.0;
  n.force_head = true;
  return n;
}

ScoreNetwork random_network(const NetworkSettings &shape, at::ScalarType dtype) {
  godiff::reference::Parameters weights(shape, dtype);
  godiff::reference::randomise(weights, 5);
  ScoreNetwork network(shape, dtype);
  network.parameters().copy_from(weights.flat());
  return network;
}

// Scores of the mobile atoms and forces of all atoms, [B, n, 3] and [B, N, 3] float64.
struct Output {
  at::Tensor score, forces;
};

Output evaluate(ScoreNetwork &network, const System &system, const at::Tensor &x, double t = 0.3) {
  godiff::ScoreEngine engine(system, network);
  return {engine.score(x, at::full({x.size(0)}, t, at::kDouble)).to(at::kDouble),
          network.settings().force_head ? engine.forces(x, false).to(at::kDouble) : at::Tensor()};
}

double largest(const at::Tensor &t) {
  return t.abs().max().item<double>();
}

// Equal within `tolerance` of the largest component, which must not be zero.
void expect_equal(const at::Tensor &a, const at::Tensor &b, double tolerance) {
  ASSERT_EQ(a.sizes(), b.sizes());
  ASSERT_GT(largest(a), 1e-4) << "nothing to compare";
  EXPECT_LT(largest(a - b), tolerance * largest(a));
}

// float64 sums of a few hundred terms in another order: 1e-13; the layers amplify that somewhat.
constexpr double ROUNDING = 1e-10;

// Three elements above three layers in a skewed cell; an atom sees its own images.
System alloy() {
  System s = stepped_pt();
  s.cell = Cell({{{4.9, 0, 0}, {1.3, 5.2, 0}, {0.4, -0.7, 14}}}, {true, true, false});
  s.n_template = 6;
  s.n_mobile = 3;
  s.template_positions = {0,   0,   0,   2.4, 0.3, 0.2, 1.1, 2.6, 0.1,
                          3.4, 2.9, 2.0, 1.3, 1.2, 2.1, 0.2, 4.4, 1.8};
  s.atomic_numbers = {78, 29, 78, 78, 29, 8, 78, 8, 29};
  s.ids.resize(9);
  s.types.resize(9);
  s.z_lo = 2.0;
  s.z_hi = 8.0;
  return s;
}
const std::vector<double> ALLOY_MOBILE{1.0, 0.4, 3.6, 3.1, 1.9, 4.1, 2.2, 4.0, 3.9};

// Rows of a matrix that acts on row vectors: r' = r * m.
using Matrix = std::array<Vec3, 3>;

Vec3 turn(const double *r, const Matrix &m) {
  Vec3 out{{0, 0, 0}};
  for (int i = 0; i < 3; ++i)
    for (int k = 0; k < 3; ++k)
      out[k] += r[i] * m[i][k];
  return out;
}

std::vector<double> turn(const std::vector<double> &x, const Matrix &m) {
  std::vector<double> out;
  for (std::size_t i = 0; i < x.size(); i += 3) {
    const Vec3 r = turn(&x[i], m);
    out.insert(out.end(), r.begin(), r.end());
  }
  return out;
}

at::Tensor turn(const at::Tensor &x, const Matrix &m) {
  return at::tensor(turn(to_vector(x), m), at::kDouble).view(x.sizes());
}

System turn(const System &s, const Matrix &m) {
  System out = s;
  std::array<Vec3, 3> rows;
  for (int k = 0; k < 3; ++k)
    rows[k] = turn(s.cell.rows()[k].data(), m);
  out.cell = Cell(rows, {s.cell.periodic(0), s.cell.periodic(1), s.cell.periodic(2)});
  out.template_positions = turn(s.template_positions, m);
  return out;
}

Matrix rotation(Vec3 axis, double angle) {
  const double length = std::sqrt(godiff::dot(axis, axis));
  for (double &a : axis)
    a /= length;
  const double c = std::cos(angle), s = std::sin(angle);
  const Vec3 cross[3] = {
      {{0, axis[2], -axis[1]}}, {{-axis[2], 0, axis[0]}}, {{axis[1], -axis[0], 0}}};
  Matrix m;
  for (int i = 0; i < 3; ++i)
    for (int k = 0; k < 3; ++k)
      m[i][k] = (i == k ? c : 0.0) + (1 - c) * axis[i] * axis[k] + s * cross[i][k];
  return m;
}

TEST(NetworkSymmetry, RotationsAndMirrorsOfCellAndAtoms) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = alloy();
  const at::Tensor x = one_structure(ALLOY_MOBILE);
  const Output before = evaluate(network, s, x);
  const Matrix mirror_x{{{-1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  const Matrix inversion{{{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}}};
  for (const Matrix &m :
       {rotation({0, 0, 1}, 0.7), rotation({1, -2, 0.4}, 2.1), mirror_x, inversion}) {
    const Output after = evaluate(network, turn(s, m), turn(x, m));
    expect_equal(turn(before.score, m), after.score, ROUNDING);
    expect_equal(turn(before.forces, m), after.forces, ROUNDING);
  }
}

TEST(NetworkSymmetry, QuarterTurnInASquareCell) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  // The template maps onto itself, the cell stays as it is: only the mobile atoms turn.
  System s = godiff_test::make_system({{{5.6, 0, 0}, {0, 5.6, 0}, {0, 0, 15}}}, {true, true, false},
                                      {0, 0, 0, 2.8, 2.8, 1.5}, {78, 29}, {8, 78}, 1, 9);
  const Matrix quarter{{{0, 1, 0}, {-1, 0, 0}, {0, 0, 1}}};
  std::vector<double> x{0.9, 0.2, 3.1, 3.5, 1.6, 3.9}, turned = turn(x, quarter);
  for (std::size_t i = 0; i < turned.size(); i += 3) {
    const Vec3 w = s.cell.wrap({turned[i], turned[i + 1], turned[i + 2]});
    std::copy(w.begin(), w.end(), turned.begin() + static_cast<std::ptrdiff_t>(i));
  }
  const Output a = evaluate(network, s, one_structure(x)),
               b = evaluate(network, s, one_structure(turned));
  expect_equal(turn(a.score, quarter), b.score, ROUNDING);
}

TEST(NetworkSymmetry, TranslationWithWrap) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = alloy();
  const Output before = evaluate(network, s, one_structure(ALLOY_MOBILE));
  for (const Vec3 &shift : {Vec3{1.7, -0.9, 0.0}, Vec3{-11.0, 7.3, 2.5}}) {
    const auto moved = [&](std::vector<double> x) {
      for (std::size_t i = 0; i < x.size(); i += 3) {
        const Vec3 w = s.cell.wrap({x[i] + shift[0], x[i + 1] + shift[1], x[i + 2] + shift[2]});
        std::copy(w.begin(), w.end(), x.begin() + static_cast<std::ptrdiff_t>(i));
      }
      return x;
    };
    System other = s;
    other.template_positions = moved(s.template_positions);
    const Output after = evaluate(network, other, one_structure(moved(ALLOY_MOBILE)));
    expect_equal(before.score, after.score, ROUNDING);
    expect_equal(before.forces, after.forces, ROUNDING);
  }
}

// The template of S1 maps onto itself under b/2.
TEST(NetworkSymmetry, HalfCellTranslationOfTheAdatom) {
  ScoreNetwork network = random_network(NetworkSettings(), at::kDouble);
  const System s = stepped_pt();
  for (const Vec3 &r : {Vec3{2.68, 2.03, 6.42}, Vec3{4, 1, 7}, Vec3{1, 4, 9}}) {
    const Vec3 &b = s.cell.rows()[1];
    const Vec3 w = s.cell.wrap({r[0] + b[0] / 2, r[1] + b[1] / 2, r[2]});
    const at::Tensor here = evaluate(network, s, one_structure({r[0], r[1], r[2]})).score;
    const at::Tensor there = evaluate(network, s, one_structure({w[0], w[1], w[2]})).score;
    // The template is given to 7 decimals: 5e-8 Angstrom, relative to lengths of the scores' order.
    expect_equal(here, there, 1e-6);
  }
}

TEST(NetworkSymmetry, PermutationOfAtoms) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = alloy();
  const Output before = evaluate(network, s, one_structure(ALLOY_MOBILE));
  const std::vector<std::int64_t> order{3, 5, 1, 0, 4, 2, 8, 6, 7};  // template, then mobile
  System other = s;
  std::vector<double> mobile(9);
  for (int i = 0; i < 9; ++i) {
    other.atomic_numbers[i] = s.atomic_numbers[order[i]];
    const double *from =
        i < 6 ? &s.template_positions[3 * order[i]] : &ALLOY_MOBILE[3 * (order[i] - 6)];
    std::copy_n(from, 3, i < 6 ? &other.template_positions[3 * i] : &mobile[3 * (i - 6)]);
  }
  const Output after = evaluate(network, other, one_structure(mobile));
  const at::Tensor rows = at::tensor(order, at::kLong);
  expect_equal(before.forces.index_select(1, rows), after.forces, ROUNDING);
  expect_equal(before.score.index_select(1, rows.narrow(0, 6, 3) - 6), after.score, ROUNDING);
}

TEST(NetworkSymmetry, SupercellRepeatsTheScores) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = alloy();
  const Output before = evaluate(network, s, one_structure(ALLOY_MOBILE));
  System big = s;
  const auto &h = s.cell.rows();
  std::array<Vec3, 3> rows = h;
  for (int k = 0; k < 3; ++k) {
    rows[0][k] *= 3;
    rows[1][k] *= 2;
  }
  big.cell = Cell(rows, {true, true, false});
  big.template_positions.clear();
  big.atomic_numbers.clear();
  std::vector<double> mobile;
  const auto repeat = [&](const std::vector<double> &x, int first, std::vector<double> &into) {
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 2; ++b)
        for (std::size_t i = 0; i < x.size(); i += 3) {
          for (int k = 0; k < 3; ++k)
            into.push_back(x[i + k] + a * h[0][k] + b * h[1][k]);
          big.atomic_numbers.push_back(s.atomic_numbers[first + i / 3]);
        }
  };
  repeat(s.template_positions, 0, big.template_positions);
  repeat(ALLOY_MOBILE, 6, mobile);
  big.n_template = 36;
  big.n_mobile = 18;
  big.ids.assign(54, 1);
  big.types.assign(54, 1);
  const Output after = evaluate(network, big, one_structure(mobile));
  expect_equal(before.score.repeat({1, 6, 1}), after.score, ROUNDING);
  expect_equal(before.forces.narrow(1, 0, 6).repeat({1, 6, 1}), after.forces.narrow(1, 0, 36),
               ROUNDING);
}

// f_c and its slope vanish at the cutoff, so an atom that enters changes the score by O(delta^2).
TEST(NetworkSymmetry, ScoreIsContinuousAtTheCutoff) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = godiff_test::open_box(40, 3);
  const auto score = [&](double distance) {
    // Two atoms that see each other and a third that leaves the first.
    return evaluate(network, s, one_structure({20, 20, 20, 21.5, 21, 20.7, 20 - distance, 20, 20}))
        .score;
  };
  const at::Tensor outside = score(5.0 + 1e-9);
  expect_equal(outside, score(5.7), 1e-12);  // first two: out of reach is out of reach
  double last = 0.0;
  for (double delta : {1e-2, 1e-3, 1e-4}) {
    const double jump = largest(score(5.0 - delta) - outside) / largest(outside);
    EXPECT_GT(jump, 0.0);
    EXPECT_LT(jump, 10.0 * delta * delta);
    if (last > 0.0) {
      EXPECT_NEAR(last / jump, 100.0, 10.0) << "not quadratic";
    }
    last = jump;
  }
}

TEST(NetworkSymmetry, IsolatedAtomScoresZero) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = godiff_test::open_box(40, 3);
  const Output out = evaluate(network, s, one_structure({20, 20, 20, 21.5, 21, 20.7, 30, 20, 20}));
  EXPECT_EQ(largest(out.score[0][2]), 0.0);
  EXPECT_EQ(largest(out.forces[0][0]), 0.0) << "the template atom in the corner is alone too";
  EXPECT_GT(largest(out.score[0][0]), 1e-4);
  // Nobody sees anybody: no edges at all.
  const Output none = evaluate(network, s, one_structure({10, 10, 10, 20, 20, 20, 30, 30, 30}));
  EXPECT_EQ(largest(none.score), 0.0);
}

TEST(NetworkSymmetry, CoincidentAtomsGiveFiniteScores) {
  ScoreNetwork network = random_network(small_shape(), at::kFloat);
  const System s = godiff_test::open_box(40, 3);
  for (double distance : {0.0, 1e-9, 1e-5, 1e-2}) {
    const at::Tensor score =
        evaluate(network, s, one_structure({20, 20, 20, 20, 20, 20 + distance, 21, 20.5, 20}))
            .score;
    EXPECT_TRUE(score.isfinite().all().item<bool>()) << distance;
  }
}

TEST(Network, TimeMattersThroughTheFeaturesOnly) {
  ScoreNetwork network = random_network(small_shape(), at::kDouble);
  const System s = alloy();
  const at::Tensor x = one_structure(ALLOY_MOBILE);
  const at::Tensor a = evaluate(network, s, x, 0.2).score;
  EXPECT_GT(largest(a - evaluate(network, s, x, 0.6).score), 1e-6);
  // sin and cos of pi t have period 2; times beyond 1 never occur, but this pins the features.
  expect_equal(a, evaluate(network, s, x, 2.2).score, ROUNDING);
  EXPECT_TRUE(at::equal(evaluate(network, s, x, 0.2).forces, evaluate(network, s, x, 0.6).forces));
}

TEST(Network, ParametersOfTheMethod) {
  const ScoreNetwork plain{NetworkSettings(), at::kFloat};
  EXPECT_EQ(plain.parameters().size(), 231581);
  NetworkSettings guided;
  guided.force_head = true;
  const ScoreNetwork both(guided, at::kFloat);
  EXPECT_EQ(both.parameters().size(), 231581 + 18466);
  EXPECT_THROW(both.parameters()["painn.nothing"], Error);
}

// Weights can be handed from one to the other: the same tensors at the same places.
TEST(Network, ReferenceHasTheSameLayout) {
  for (const bool force_head : {false, true})
    for (const int nfeat : {16, 48, 64}) {
      NetworkSettings shape = small_shape();
      shape.force_head = force_head;
      shape.nfeat = nfeat;
      const ScoreNetwork product(shape, at::kFloat);
      const godiff::reference::ScoreNetwork twin(shape, at::kFloat);
      EXPECT_EQ(product.parameters().size(), twin.parameters().size());
      ASSERT_EQ(product.parameters().names(), twin.parameters().names());
      for (const std::string &name : twin.parameters().names()) {
        EXPECT_EQ(product.parameters().shape(name), twin.parameters().shape(name)) << name;
        EXPECT_EQ(product.parameters().offset(name), twin.parameters().offset(name)) << name;
      }
    }
}

TEST(Network, InitialisationOfTheMethod) {
  ScoreNetwork network(NetworkSettings(), at::kDouble);
  network.initialise(1);
  const auto values = [&](const char *name) { return to_vector(network.parameters()[name]); };
  for (double b : values("painn.filter.bias"))
    ASSERT_EQ(b, 0.0);
  const std::vector<double> embedding = values("painn.embedding.weight");
  double square = 0.0;
  for (std::size_t k = 0; k < embedding.size(); ++k) {
    ASSERT_TRUE(k >= 64 || embedding[k] == 0.0) << "row 0 is unused";
    square += embedding[k] * embedding[k];
  }
  // 99*64 standard normals: the mean square is 1 within 4*sqrt(2/6336).
  EXPECT_NEAR(square / (99 * 64), 1.0, 0.08);
  const std::vector<double> dense = values("painn.message.2.1.weight");  // (192, 64)
  const double bound = std::sqrt(6.0 / (192 + 64));
  double most = 0.0, sum = 0.0;
  for (double w : dense) {
    most = std::max(most, std::abs(w));
    sum += w * w;
  }
  EXPECT_LE(most, bound);
  EXPECT_GT(most, 0.999 * bound);
  EXPECT_NEAR(sum / static_cast<double>(dense.size()) / (bound * bound / 3.0), 1.0, 0.04);

  ScoreNetwork other(NetworkSettings(), at::kDouble);
  other.initialise(2);
  EXPECT_FALSE(at::equal(other.parameters().flat(), network.parameters().flat()));
  ScoreNetwork single(NetworkSettings(), at::kFloat);
  single.initialise(1);
  EXPECT_TRUE(at::equal(single.parameters().flat(), network.parameters().flat().to(at::kFloat)));
}

}  // namespace
