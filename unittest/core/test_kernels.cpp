// SPDX-License-Identifier: GPL-2.0-only
// The kernels against their plain twins, on tables that lie in memory as the engine passes them: filters
// are columns of wider tables, q is the first half of longer rows.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/geometry/structure_graphs.hpp"
#include "engine_cases.hpp"
#include "kernels/device_graph.hpp"
#include "kernels/flat_buffers.hpp"
#include "kernels/implementation.hpp"
#include "kernels/instruction_set.hpp"
#include "kernels/messages.hpp"
#include "kernels/messages_plain.hpp"
#include "kernels/mixing.hpp"

namespace {

using godiff::AdamWBuffers;
using godiff::AtomRows;
using godiff::ChunkGraph;
using godiff::Filters;
using godiff::FirstBlockRows;
using godiff::TemplateEdges;
using godiff::kernels::AdamWStep;
using godiff_test::EngineCase;

/// The same values in the type of the test, for the kernel, and in float64, for its twin.
struct Both {
  at::Tensor kernel, twin;
};

/// One of the two.
using Side = at::Tensor Both::*;
constexpr Side SIDES[] = {&Both::kernel, &Both::twin};

/// Graphs of a few structures.
struct Problem {
  std::string name;
  TemplateEdges edges;
  ChunkGraph graph;

  Problem(const EngineCase &c, double cutoff, int max_hops, at::ScalarType dtype) : name(c.name) {
    const godiff::StructureGraphs graphs(c.system, cutoff, dtype);
    graphs.build(c.positions.const_data_ptr<double>(), c.positions.size(0), max_hops, graph);
    edges = graphs.template_edges();
  }

  std::int64_t n_elements() const {
    return *std::max_element(edges.element.begin(), edges.element.end()) + 1;
  }
  std::int64_t n_distances() const { return static_cast<std::int64_t>(edges.distance.size()); }
};

/// A structure of the template alone, as SharedTemplate makes it.
void remove_mobile_atoms(Problem &p) {
  const auto n = static_cast<std::int32_t>(p.graph.n_template);
  p.name += ", template alone";
  p.graph = ChunkGraph();
  p.graph.n_structures = 1;
  p.graph.n_template = n;
  p.graph.max_hops = 1;
  p.graph.atom.resize(n);
  std::iota(p.graph.atom.begin(), p.graph.atom.end(), 0);
  p.graph.slot = p.graph.atom;
  p.graph.counts = {0, 0, n};
  p.graph.offsets = {0, 0, 0, 0, 0, n};
  p.graph.first = {0};
  p.edges.element.resize(n);
}

class Kernels : public testing::TestWithParam<at::ScalarType> {
protected:
  static constexpr std::int64_t F = 16;

  at::ScalarType dtype() const { return GetParam(); }

  /// Of the largest value. float64: thousands of terms added in another order. float32: the same, in
  /// units that are 2^29 times as large, against a twin in float64.
  double tolerance() const { return dtype() == at::kDouble ? 1e-12 : 1e-5; }

  Both both(const at::Tensor &values) const {
    const at::Tensor rounded = values.to(dtype());
    return {rounded.clone(), rounded.to(at::kDouble, false, /*copy=*/true)};
  }
  Both random(at::IntArrayRef sizes) { return both(at::randn(sizes, random_, at::kDouble)); }
  /// What a kernel has to overwrite.
  Both unset(at::IntArrayRef sizes) const {
    return both(at::full(sizes, std::numeric_limits<double>::quiet_NaN(), at::kDouble));
  }
  /// Lets the kernel's rows be a part of rows three times as long, with NaN on both sides.
  static Both strided(Both b) {
    const std::int64_t columns = b.kernel.size(1);
    const at::Tensor wide = at::full({b.kernel.size(0), 3 * columns},
                                     std::numeric_limits<double>::quiet_NaN(), b.kernel.options());
    b.kernel = wide.narrow(1, columns, columns).copy_(b.kernel);
    return b;
  }

  void expect_close(const Both &b, const char *what) const {
    if (b.twin.numel() > 0) {
      EXPECT_LE(godiff_test::deviation(b.kernel, b.twin), tolerance()) << what;
    }
  }

  void check_template_first(const Problem &p);
  void check_first(const Problem &p, int depth);
  void check_later(const Problem &p, int depth_in, int depth_out, bool with_base);
  void check_all(const Problem &p);

  at::Generator random_ = at::detail::createCPUGenerator(4);
};

INSTANTIATE_TEST_SUITE_P(Types, Kernels, testing::Values(at::kDouble, at::kFloat),
                         godiff_test::type_name);

void Kernels::check_template_first(const Problem &p) {
  const std::int64_t n = p.edges.n_atoms, elements = p.n_elements();
  const Both filter = strided(random({p.n_distances(), 3 * F})), x = random({elements, 3 * F}),
             embedding = random({elements, F});
  const Both q = strided(unset({n, F})), mu = unset({n, 3, F});
  const Both gq = random({n, F}), gmu = random({n, 3, F});
  const Both gx = random({elements, 3 * F}), g_embedding = random({elements, F}),
             g_filter = strided(random({p.n_distances(), 3 * F}));
  for (Side side : SIDES) {
    const bool kernel = side == &Both::kernel;
    FirstBlockRows rows{x.*side, embedding.*side, q.*side, mu.*side};
    FirstBlockRows gradient{gx.*side, g_embedding.*side, gq.*side, gmu.*side};
    at::Tensor filter_gradient = g_filter.*side;
    (kernel ? godiff::template_first_messages
            : godiff::plain::template_first_messages)(p.edges, filter.*side, rows);
    (kernel ? godiff::template_first_messages_backward
            : godiff::plain::template_first_messages_backward)(p.edges, filter.*side, rows,
                                                               gradient, filter_gradient);
  }
  expect_close(q, "q");
  expect_close(mu, "mu");
  expect_close(gx, "gradient of x");
  expect_close(g_embedding, "gradient of the embedding");
  expect_close(g_filter, "gradient of the filters");
}

void Kernels::check_first(const Problem &p, int depth) {
  const std::int64_t n = p.graph.n_template, elements = p.n_elements(), rows = p.graph.rows(depth),
                     pairs = p.graph.n_pairs();
  const Both x = random({elements, 3 * F}), embedding = random({elements, F}),
             q_template = strided(random({n, F})), mu_template = random({n, 3, F}),
             filter = strided(random({pairs, 3 * F}));
  const Both q = strided(unset({rows, F})), mu = unset({rows, 3, F});
  const Both gq = random({rows, F}), gmu = random({rows, 3, F});
  const Both gx = random({elements, 3 * F}), g_embedding = random({elements, F}),
             gq_template = random({n, F}), gmu_template = random({n, 3, F}),
             g_filter = random({pairs, 3 * F});
  for (Side side : SIDES) {
    const bool kernel = side == &Both::kernel;
    const FirstBlockRows from{x.*side, embedding.*side, q_template.*side, mu_template.*side};
    FirstBlockRows gradient{gx.*side, g_embedding.*side, gq_template.*side, gmu_template.*side};
    at::Tensor q_out = q.*side, mu_out = mu.*side, filter_gradient = g_filter.*side;
    (kernel ? godiff::first_messages : godiff::plain::first_messages)(p.edges, p.graph, depth, from,
                                                                      filter.*side, q_out, mu_out);
    (kernel ? godiff::first_messages_backward : godiff::plain::first_messages_backward)(
        p.edges, p.graph, depth, from, filter.*side, gq.*side, gmu.*side, gradient,
        filter_gradient);
  }
  expect_close(q, "q");
  expect_close(mu, "mu");
  expect_close(gx, "gradient of x");
  expect_close(g_embedding, "gradient of the embedding");
  expect_close(gq_template, "gradient of the template's q");
  expect_close(gmu_template, "gradient of the template's mu");
  expect_close(g_filter, "gradient of the filters");
}

void Kernels::check_later(const Problem &p, int depth_in, int depth_out, bool with_base) {
  const std::int64_t n = with_base ? p.graph.n_template : 0, in = p.graph.rows(depth_in),
                     out = p.graph.rows(depth_out), pairs = p.graph.n_pairs();
  const Both of_template = strided(random({p.n_distances(), 3 * F})),
             of_pairs = random({pairs, 3 * F});
  const Both x = random({in, 3 * F}), mu = random({in, 3, F}), q = random({in, F});
  const Both x_base = random({n, 3 * F}), mu_base = random({n, 3, F}), q_base = random({n, F});
  const Both q_new = strided(unset({out, F})), mu_new = unset({out, 3, F});
  const Both gq = random({out, F}), gmu = random({out, 3, F});
  const Both gx = unset({in, 3 * F}), gmu_in = unset({in, 3, F}), gq_in = unset({in, F});
  const Both gx_base = random({n, 3 * F}), gmu_base = random({n, 3, F}), gq_base = random({n, F});
  const Both g_template = strided(random({p.n_distances(), 3 * F})),
             g_pairs = random({pairs, 3 * F});
  for (Side side : SIDES) {
    const bool kernel = side == &Both::kernel;
    const AtomRows own{x.*side, mu.*side, q.*side};
    AtomRows own_gradient{gx.*side, gmu_in.*side, gq_in.*side}, base, base_gradient;
    if (with_base) {
      base = {x_base.*side, mu_base.*side, q_base.*side};
      base_gradient = {gx_base.*side, gmu_base.*side, gq_base.*side};
    }
    const Filters filters{of_template.*side, of_pairs.*side};
    Filters gradients{g_template.*side, g_pairs.*side};
    at::Tensor q_out = q_new.*side, mu_out = mu_new.*side;
    (kernel ? godiff::messages : godiff::plain::messages)(p.edges, p.graph, depth_in, depth_out,
                                                          own, base, filters, q_out, mu_out);
    (kernel ? godiff::messages_backward : godiff::plain::messages_backward)(
        p.edges, p.graph, depth_in, depth_out, own, base, filters, gq.*side, gmu.*side,
        own_gradient, base_gradient, gradients);
  }
  expect_close(q_new, "q");
  expect_close(mu_new, "mu");
  expect_close(gx, "gradient of x");
  expect_close(gmu_in, "gradient of mu");
  expect_close(gq_in, "gradient of q");
  expect_close(gx_base, "gradient of the lone template's x");
  expect_close(gmu_base, "gradient of the lone template's mu");
  expect_close(gq_base, "gradient of the lone template's q");
  expect_close(g_template, "gradient of the template's filters");
  expect_close(g_pairs, "gradient of the pairs' filters");
}

// All pairs of depths for which the arguments say what every atom sends.
void Kernels::check_all(const Problem &p) {
  SCOPED_TRACE(p.name);
  const int all = p.graph.all();
  check_template_first(p);
  for (int out = 0; out <= all; ++out) {
    SCOPED_TRACE("to depth " + std::to_string(out));
    check_first(p, out);
    for (int in = 0; in <= all; ++in) {
      SCOPED_TRACE("from depth " + std::to_string(in));
      if (out < all)
        check_later(p, in, out, true);
      if (in == all || in > out)
        check_later(p, in, out, false);
    }
  }
}

TEST_P(Kernels, MessagesOnEveryKindOfSystem) {
  for (const EngineCase &c : godiff_test::engine_cases())
    check_all(Problem(c, 5.0, 2, dtype()));
}

TEST_P(Kernels, MessagesOfManyHops) {
  check_all(Problem(godiff_test::many_hops(), 3.2, 4, dtype()));
}

// No distance within the cutoff at all, and nearly none.
TEST_P(Kernels, MessagesAlongFewEdges) {
  for (const EngineCase &c : godiff_test::engine_cases())
    for (const double cutoff : {0.01, 2.0})
      if (c.name == "alloy" || c.name == "out of reach" || c.name == "lone template atom")
        check_all(Problem(c, cutoff, 1, dtype()));
}

TEST_P(Kernels, MessagesOfTheTemplateAlone) {
  for (const EngineCase &c : godiff_test::engine_cases()) {
    Problem p(c, 5.0, 1, dtype());
    remove_mobile_atoms(p);
    SCOPED_TRACE(p.name);
    check_template_first(p);
    check_later(p, p.graph.all(), p.graph.all(), false);
  }
}

// Along a line through the space of all inputs the messages are a polynomial of degree three, whose
// derivative the rule with five points gives exactly, whatever the step.
TEST(MessageGradient, EqualsFiniteDifferences) {
  const std::int64_t F = 16;
  const godiff::System s = godiff_test::heptamer_pt();
  const Problem p({"S2", s, godiff_test::noised(godiff_test::heptamer(), 2, 0.2, 3)}, 5.0, 3,
                  at::kDouble);
  at::Generator generator = at::detail::createCPUGenerator(6);
  const auto random = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::kDouble);
  };
  const std::int64_t n = p.graph.n_template;
  for (const auto &[in, out] : {std::pair<int, int>{1, 2}, {2, 2}, {2, 1}, {1, 0}}) {
    SCOPED_TRACE("from depth " + std::to_string(in) + " to " + std::to_string(out));
    const std::int64_t rows = p.graph.rows(in), rows_out = p.graph.rows(out);
    std::vector<at::Tensor> at_zero, along;
    for (const std::vector<std::int64_t> &sizes : {std::vector<std::int64_t>{rows, 3 * F},
                                                   {rows, 3, F},
                                                   {rows, F},
                                                   {n, 3 * F},
                                                   {n, 3, F},
                                                   {n, F},
                                                   {p.n_distances(), 3 * F},
                                                   {p.graph.n_pairs(), 3 * F}}) {
      at_zero.push_back(random(sizes));
      along.push_back(random(sizes));
    }
    const at::Tensor gq = random({rows_out, F}), gmu = random({rows_out, 3, F});
    const auto value = [&](double step) {
      std::vector<at::Tensor> v;
      for (std::size_t k = 0; k < along.size(); ++k)
        v.push_back(at_zero[k] + step * along[k]);
      at::Tensor q = at::empty_like(gq), mu = at::empty_like(gmu);
      messages(p.edges, p.graph, in, out, {v[0], v[1], v[2]}, {v[3], v[4], v[5]}, {v[6], v[7]}, q,
               mu);
      return ((gq * q).sum() + (gmu * mu).sum()).item<double>();
    };
    std::vector<at::Tensor> gradient;
    for (const at::Tensor &v : at_zero)
      gradient.push_back(at::zeros_like(v));
    AtomRows own{gradient[0], gradient[1], gradient[2]},
        base{gradient[3], gradient[4], gradient[5]};
    Filters filters{gradient[6], gradient[7]};
    messages_backward(p.edges, p.graph, in, out, {at_zero[0], at_zero[1], at_zero[2]},
                      {at_zero[3], at_zero[4], at_zero[5]}, {at_zero[6], at_zero[7]}, gq, gmu, own,
                      base, filters);
    double slope = 0.0;
    for (std::size_t k = 0; k < along.size(); ++k)
      slope += (gradient[k] * along[k]).sum().item<double>();
    const double difference =
        (value(-2.0) - 8.0 * value(-1.0) + 8.0 * value(1.0) - value(2.0)) / 12.0;
    // Rounding only, of values that are larger than their slope.
    EXPECT_NEAR(slope, difference, 1e-10 * (std::abs(value(2.0)) + std::abs(slope)));
    EXPECT_GT(std::abs(slope), 1.0);
  }
}

TEST_P(Kernels, Mixing) {
  for (const std::int64_t n : {16, 48, 128})
    for (const std::int64_t rows : {0, 1, 7, 70}) {
      SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(n));
      const Both vu = random({rows, 3, 2 * n}), joined = random({rows, 2 * n}),
                 mu = random({rows, 3, n}), prs = random({rows, 3 * n});
      // A row without vectors: the norm there is the root of eps alone.
      for (Side side : SIDES)
        if (rows > 1)
          (vu.*side)[1].zero_();
      const Both q = unset({rows, n}), mu_out = unset({rows, 3, n});
      const Both gq = random({rows, n}), gmu = random({rows, 3, n}),
                 g_joined = random({rows, 2 * n});
      const Both gprs = unset({rows, 3 * n}), gvu = unset({rows, 3, 2 * n}), sums = random({2 * n});
      for (Side side : SIDES) {
        const bool kernel = side == &Both::kernel;
        at::Tensor j = joined.*side, q_out = q.*side, mu_new = mu_out.*side, g_prs = gprs.*side,
                   g_vu = gvu.*side, g_q = gq.*side;
        (kernel ? godiff::mixing_norm : godiff::plain::mixing_norm)(vu.*side, j);
        (kernel ? godiff::mixing_gate : godiff::plain::mixing_gate)(j, mu.*side, vu.*side,
                                                                    prs.*side, q_out, mu_new);
        (kernel ? godiff::mixing_gate_backward : godiff::plain::mixing_gate_backward)(
            g_q, gmu.*side, vu.*side, prs.*side, g_prs, g_vu);
        (kernel ? godiff::mixing_norm_backward
                : godiff::plain::mixing_norm_backward)(vu.*side, j, g_joined.*side, g_vu, g_q);
        (kernel ? godiff::add_column_sums : godiff::plain::add_column_sums)(g_joined.*side,
                                                                            sums.*side);
      }
      expect_close(joined, "norm");
      expect_close(q, "q");
      expect_close(mu_out, "mu");
      expect_close(gprs, "gradient of the gates");
      expect_close(gvu, "gradient of V and U");
      expect_close(gq, "gradient of q");
      expect_close(sums, "sums over the rows");
    }
}

// The hand-written gradients against those of LibTorch for the plain forward twins.
TEST(MixingGradient, EqualsAutograd) {
  const std::int64_t n = 32, rows = 9;
  at::Generator generator = at::detail::createCPUGenerator(7);
  const auto random = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::kDouble);
  };
  const at::Tensor q = random({rows, n}).requires_grad_(),
                   vu = random({rows, 3, 2 * n}).requires_grad_(),
                   prs = random({rows, 3 * n}).requires_grad_(), mu = random({rows, 3, n});
  const at::Tensor gq = random({rows, n}), gmu = random({rows, 3, n}),
                   g_joined = random({rows, 2 * n});
  at::Tensor joined = at::zeros({rows, 2 * n}, at::kDouble), q_out = at::zeros_like(gq),
             mu_out = at::zeros_like(gmu);
  joined.narrow(1, 0, n).copy_(q);
  godiff::plain::mixing_norm(vu, joined);
  godiff::plain::mixing_gate(joined, mu, vu, prs, q_out, mu_out);
  const auto expected =
      torch::autograd::grad({q_out, mu_out, joined}, {q, vu, prs}, {gq, gmu, g_joined});

  at::NoGradGuard no_grad;
  const at::Tensor vectors = vu.detach(), gates = prs.detach(), ends = joined.detach();
  at::Tensor g_prs = at::empty_like(gates), g_vu = at::empty_like(vectors), g_q = gq.clone();
  godiff::mixing_gate_backward(g_q, gmu, vectors, gates, g_prs, g_vu);
  godiff::mixing_norm_backward(vectors, ends, g_joined, g_vu, g_q);
  EXPECT_LE(godiff_test::deviation(g_q, expected[0]), 1e-13);
  EXPECT_LE(godiff_test::deviation(g_vu, expected[1]), 1e-13);
  EXPECT_LE(godiff_test::deviation(g_prs, expected[2]), 1e-13);
}

TEST_P(Kernels, SumOfParts) {
  for (const std::int64_t n : {1, 63, 64, 65, 1 << 14, (1 << 14) + 9, 100003})
    for (const int n_parts : {1, 2, 9}) {
      SCOPED_TRACE(std::to_string(n_parts) + " parts of " + std::to_string(n));
      std::vector<at::Tensor> parts;
      at::Tensor expected = at::zeros({n}, dtype());
      for (int k = 0; k < n_parts; ++k) {
        parts.push_back(random({n}).kernel);
        expected += parts.back();
      }
      const double squares = expected.to(at::kDouble).square().sum().item<double>();
      double last = 0.0;
      for (const int threads : {2, 1}) {
        at::set_num_threads(threads);
        const at::Tensor total = unset({n}).kernel;
        const double found = godiff::sum_parts(parts, total).item<double>();
        EXPECT_TRUE(at::equal(total, expected));  // the order is given, so the bits are
        EXPECT_NEAR(found, squares, 1e-12 * squares);
        if (threads == 1) {
          EXPECT_EQ(found, last);
        }
        last = found;
      }
      // In place, as the optimiser asks for the norm.
      godiff::sum_parts({parts[0]}, parts[0]);
      parts[0][n - 1] = std::numeric_limits<double>::infinity();
      EXPECT_FALSE(godiff::sum_parts(parts, parts[0]).isfinite().item<bool>());
    }
}

/// Weights, gradient and moments of n parameters.
struct AdamWCase {
  Both gradient, weights, first_moment, second_moment;
  AdamWBuffers buffers(Side side) const {
    return {gradient.*side, weights.*side, first_moment.*side, second_moment.*side};
  }
};

TEST_P(Kernels, AdamWStep) {
  const std::int64_t n = 40000;
  const std::vector<std::pair<std::int64_t, std::int64_t>> ranges{{0, 5}, {17, 33000}, {33001, n}};
  const auto make = [&] {
    AdamWCase c{random({n}), random({n}), random({n}), random({n})};
    for (Side side : SIDES)
      (c.second_moment.*side).square_();
    return c;
  };
  const AdamWCase c = make(), before = c;
  const double rate = 3e-3, decay = 0.01, beta1 = 0.9, beta2 = 0.999, scale = 0.25;
  const double steps = 7;
  const AdamWStep step{beta1,
                       beta2,
                       1e-8,
                       1.0 - rate * decay,
                       rate / (1.0 - std::pow(beta1, steps)),
                       1.0 / std::sqrt(1.0 - std::pow(beta2, steps)),
                       scale};
  const at::Tensor old = c.weights.kernel.clone();
  const at::Tensor numbers = at::tensor({step.shrink, step.rate, step.root, scale}, at::kDouble);

  // LibTorch's own AdamW, in float64; what lies in no range stays.
  const at::Tensor w = c.weights.twin.clone(), m = c.first_moment.twin.clone(),
                   v = c.second_moment.twin.clone();
  for (const auto &range : ranges) {
    const auto part = [&](const at::Tensor &t) {
      return t.narrow(0, range.first, range.second - range.first);
    };
    std::vector<at::Tensor> self{part(w)}, gradient{part(c.gradient.twin) * scale}, m1{part(m)},
        m2{part(v)}, count{at::scalar_tensor(steps, at::kFloat)};
    at::_fused_adamw_(self, gradient, m1, m2, {}, count, rate, beta1, beta2, decay, 1e-8, false,
                      false);
  }

  // Refused, the twin does nothing.
  const at::Tensor untouched = c.weights.twin.clone(), moment = c.first_moment.twin.clone();
  godiff::plain::adamw_update(step, numbers, at::scalar_tensor(false, at::kBool), ranges,
                              c.buffers(&Both::twin));
  EXPECT_TRUE(at::equal(c.weights.twin, untouched));
  EXPECT_TRUE(at::equal(c.first_moment.twin, moment));

  godiff::plain::adamw_update(step, numbers, at::scalar_tensor(true, at::kBool), ranges,
                              c.buffers(&Both::twin));
  EXPECT_LE(godiff_test::deviation(c.weights.twin, w), 1e-14);
  EXPECT_LE(godiff_test::deviation(c.first_moment.twin, m), 1e-14);
  EXPECT_LE(godiff_test::deviation(c.second_moment.twin, v), 1e-14);

  godiff::adamw_update(step, ranges, c.buffers(&Both::kernel));
  expect_close(c.weights, "weights");
  expect_close(c.first_moment, "first moment");
  expect_close(c.second_moment, "second moment");
  for (const std::int64_t i : {5, 16, 33000})
    EXPECT_EQ(c.weights.kernel[i].item<double>(), old[i].item<double>());
  EXPECT_NE(c.weights.kernel[4].item<double>(), old[4].item<double>());
}

// The update of a device other than the CPU, which takes numbers and verdict from there.
TEST_P(Kernels, AdamWStepOfADevice) {
  const std::int64_t n = 40000;
  const std::vector<std::pair<std::int64_t, std::int64_t>> ranges{{0, 5}, {17, 33000}, {33001, n}};
  AdamWCase c{random({n}), random({n}), random({n}), random({n})};
  for (Side side : SIDES)
    (c.second_moment.*side).square_();
  const AdamWStep step{0.9, 0.999, 1e-8, 0.0, 0.0, 0.0, 0.0};
  const at::Tensor numbers = at::tensor({0.9999, 1e-2, 1.5, 0.25}, at::kDouble),
                   before = c.weights.kernel.clone(), moment = c.first_moment.kernel.clone();
  godiff::adamw_update(step, numbers, at::scalar_tensor(false, at::kBool), ranges,
                       c.buffers(&Both::kernel));
  EXPECT_TRUE(at::equal(c.weights.kernel, before));
  EXPECT_TRUE(at::equal(c.first_moment.kernel, moment));
  const at::Tensor yes = at::scalar_tensor(true, at::kBool);
  godiff::adamw_update(step, numbers, yes, ranges, c.buffers(&Both::kernel));
  godiff::plain::adamw_update(step, numbers, yes, ranges, c.buffers(&Both::twin));
  expect_close(c.weights, "weights");
  expect_close(c.first_moment, "first moment");
  expect_close(c.second_moment, "second moment");
  for (const std::int64_t i : {5, 16, 33000})
    EXPECT_EQ(c.weights.kernel[i].item<double>(), before[i].item<double>());
  EXPECT_NE(c.weights.kernel[4].item<double>(), before[4].item<double>());
}

// With GODIFF_KERNELS set this very executable has tested those, or the row kernels.
TEST(ActiveImplementation, IsTheOneAskedFor) {
  const char *wanted = std::getenv("GODIFF_KERNELS");
  EXPECT_STREQ(godiff::kernels::name(godiff::kernels::implementation(c10::kCPU)),
               wanted ? wanted : "rows");
}

TEST(ActiveImplementation, RefusesOtherWords) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("GODIFF_KERNELS", "fast", 1);
        try {
          godiff::kernels::implementation(c10::kCPU);
        } catch (const std::runtime_error &error) {
          std::fputs(error.what(), stderr);
          std::_Exit(3);
        }
      },
      testing::ExitedWithCode(3), "GODIFF_KERNELS is 'fast' but must be rows, kokkos or plain");
}

// With GODIFF_INSTRUCTION_SET set this very executable has tested that set.
TEST(ActiveInstructionSet, IsTheOneAskedFor) {
  const char *wanted = std::getenv("GODIFF_INSTRUCTION_SET");
  const auto usable = godiff::kernels::usable_instruction_sets();
  const auto active = godiff::kernels::active_instruction_set();
  const auto named = std::find_if(usable.begin(), usable.end(), [&](auto set) {
    return wanted && std::strcmp(godiff::kernels::name(set), wanted) == 0;
  });
  EXPECT_EQ(active, named == usable.end() ? usable.back() : *named);
}

}  // namespace
