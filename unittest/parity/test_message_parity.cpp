// SPDX-License-Identifier: GPL-2.0-only
// The fused message kernels against message_reference, LibTorch operations with autograd.
#include <array>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/geometry/graph.hpp"
#include "kernels/message.hpp"
#include "kernels/message_kernels.hpp"
#include "parity/golden.hpp"

namespace {

using godiff::BatchGraph;
using golden::deviation;

constexpr std::int64_t BATCH = 3;

// Three displaced copies of a system: template edges, mobile edges and self images.
BatchGraph graph_of(const std::string &name, at::ScalarType dtype) {
  const golden::Structure s = golden::structure(name);
  const std::int64_t n_template = s.n_atoms() - s.mobile;
  const at::Tensor move =
      at::arange(BATCH * s.mobile * 3, at::kDouble).view({BATCH, s.mobile, 3}).sin();
  const godiff::GraphBuilder builder(s.system(n_template), 6.0, dtype);
  return builder.build(s.mobile_positions(n_template, BATCH) + move);
}

// Inputs, cotangents and what comes out; tensors in the order x, mu, fixed and mobile filters.
struct Case {
  BatchGraph graph;
  std::array<at::Tensor, 4> inputs;
  at::Tensor gq, gmu;
};

Case make_case(const std::string &name, std::int64_t features, bool with_mu, bool strided,
               at::ScalarType dtype) {
  at::manual_seed(7);
  Case c;
  c.graph = graph_of(name, dtype);
  const std::int64_t nodes = c.graph.n_nodes();
  // Drawn in float64 and cast, so that both types get the same numbers.
  const auto random = [&](std::vector<std::int64_t> shape) {
    return at::randn(shape, at::kDouble).to(dtype);
  };
  const auto filter = [&](const godiff::EdgeSet &edges) {
    // Block 1 of three, as the backbone hands its filters over: rows wider than the filter.
    const at::Tensor all = random({edges.n_pairs(), 9 * features});
    const at::Tensor part = all.narrow(1, 3 * features, 3 * features);
    return strided ? part : part.contiguous();
  };
  c.inputs[0] = random({nodes, 3 * features});
  const at::Tensor mu = random({nodes, 3, features});
  if (with_mu)
    c.inputs[1] = mu;
  c.inputs[2] = filter(c.graph.fixed);
  c.inputs[3] = filter(c.graph.mobile);
  c.gq = random({nodes, features});
  c.gmu = random({nodes, 3, features});
  return c;
}

struct Outcome {
  at::Tensor dq, dmu;
  std::array<at::Tensor, 4> gradients;
};

template <class Message>
Outcome run(const Case &c, Message message, bool use_q = true, bool use_mu = true) {
  std::array<at::Tensor, 4> leaf;
  for (int k = 0; k < 4; ++k)
    if (c.inputs[k].defined())
      leaf[k] = c.inputs[k].detach().requires_grad_(true);
  Outcome out;
  std::tie(out.dq, out.dmu) = message(leaf[0], leaf[1], leaf[2], leaf[3], c.graph);
  at::Tensor value = at::zeros({}, c.gq.options());
  if (use_q)
    value = value + (out.dq * c.gq).sum();
  if (use_mu)
    value = value + (out.dmu * c.gmu).sum();
  value.backward();
  for (int k = 0; k < 4; ++k)
    if (leaf[k].defined())
      out.gradients[k] = leaf[k].grad().defined() ? leaf[k].grad() : at::zeros_like(leaf[k]);
  return out;
}

Case in_float64(const Case &c, const std::string &name) {
  Case d = c;
  d.graph = graph_of(name, at::kDouble);
  for (at::Tensor &t : d.inputs)
    if (t.defined())
      t = t.to(at::kDouble);
  d.gq = c.gq.to(at::kDouble);
  d.gmu = c.gmu.to(at::kDouble);
  return d;
}

void expect_close(const Outcome &value, const Outcome &expected, double tolerance) {
  EXPECT_LE(deviation(value.dq, expected.dq), tolerance) << "dq";
  EXPECT_LE(deviation(value.dmu, expected.dmu), tolerance) << "dmu";
  const char *names[] = {"x", "mu", "fixed filter", "mobile filter"};
  for (int k = 0; k < 4; ++k) {
    ASSERT_EQ(value.gradients[k].defined(), expected.gradients[k].defined());
    if (value.gradients[k].defined()) {
      EXPECT_LE(deviation(value.gradients[k], expected.gradients[k]), tolerance)
          << "gradient of " << names[k];
    }
  }
}

bool same_bits(const Outcome &a, const Outcome &b) {
  bool same = at::equal(a.dq, b.dq) && at::equal(a.dmu, b.dmu);
  for (int k = 0; k < 4; ++k)
    if (a.gradients[k].defined())
      same = same && at::equal(a.gradients[k], b.gradients[k]);
  return same;
}

const auto kernel = [](const auto &...arguments) { return godiff::message(arguments...); };
const auto reference = [](const auto &...arguments) {
  return godiff::message_reference(arguments...);
};

class MessageParity : public testing::TestWithParam<at::ScalarType> {
protected:
  at::ScalarType dtype() const { return GetParam(); }
  double tolerance() const { return dtype() == at::kDouble ? 1e-13 : 2e-6; }
};

INSTANTIATE_TEST_SUITE_P(Types, MessageParity, testing::Values(at::kDouble, at::kFloat),
                         [](const auto &info) { return golden::type_name(info.param); });

// Both types are compared with the reference in float64.
TEST_P(MessageParity, ForwardAndGradients) {
  for (const std::string &name : golden::SYSTEMS)
    for (const std::int64_t features : {16, 48, 64})
      for (const bool with_mu : {false, true})
        for (const bool strided : {false, true}) {
          if (name == "heptamer" && features != 64)
            continue;  // large and of no other kind than `adatom`
          SCOPED_TRACE(name + ", features " + std::to_string(features) +
                       (with_mu ? ", mu" : ", no mu") + (strided ? ", strided" : ""));
          const Case c = make_case(name, features, with_mu, strided, dtype());
          expect_close(run(c, kernel), run(in_float64(c, name), reference), tolerance());
        }
}

TEST_P(MessageParity, OneOutputOnly) {
  const Case c = make_case("mixed", 32, true, true, dtype());
  const Case d = in_float64(c, "mixed");
  expect_close(run(c, kernel, true, false), run(d, reference, true, false), tolerance());
  expect_close(run(c, kernel, false, true), run(d, reference, false, true), tolerance());
}

TEST_P(MessageParity, UndefinedMuIsZero) {
  Case c = make_case("mixed", 32, false, true, dtype());
  const Outcome without = run(c, kernel);
  c.inputs[1] = at::zeros({c.graph.n_nodes(), 3, 32}, c.gq.options());
  Outcome with = run(c, kernel);
  // The gradient of mu itself is not zero, and only one of the two has it.
  EXPECT_GT(with.gradients[1].abs().max().item<double>(), 0.1);
  with.gradients[1] = at::Tensor();
  EXPECT_TRUE(same_bits(with, without));
}

// Sampling runs without gradients and takes another path.
TEST_P(MessageParity, NoGradientSameBits) {
  for (const bool with_mu : {false, true}) {
    const Case c = make_case("mixed", 64, with_mu, true, dtype());
    const Outcome trained = run(c, kernel);
    at::NoGradGuard no_grad;
    const auto [dq, dmu] =
        godiff::message(c.inputs[0], c.inputs[1], c.inputs[2], c.inputs[3], c.graph);
    EXPECT_TRUE(at::equal(dq, trained.dq));
    EXPECT_TRUE(at::equal(dmu, trained.dmu));
  }
}

TEST_P(MessageParity, AnyNumberOfThreadsSameBits) {
  const int before = at::get_num_threads();
  for (const bool with_mu : {false, true}) {
    const Case c = make_case("heptamer", 64, with_mu, true, dtype());
    at::set_num_threads(1);
    const Outcome one = run(c, kernel);
    for (const int threads : {2, 3, 5}) {
      at::set_num_threads(threads);
      EXPECT_TRUE(same_bits(run(c, kernel), one)) << threads << " threads";
    }
  }
  at::set_num_threads(before);
}

template <class T>
godiff::kernels::Edges<T> view(const godiff::EdgeSet &edges, const at::Tensor &filter) {
  return {edges.pair_i.const_data_ptr<std::int32_t>(),
          edges.pair_j.const_data_ptr<std::int32_t>(),
          edges.pair_direction.const_data_ptr<T>(),
          edges.first.const_data_ptr<std::int32_t>(),
          edges.sender.const_data_ptr<std::int32_t>(),
          edges.pair.const_data_ptr<std::int32_t>(),
          edges.direction.const_data_ptr<T>(),
          filter.const_data_ptr<T>(),
          filter.stride(0),
          edges.n_pairs()};
}

// The loops cut into ranges of a few rows, as threads would get them, in falling order.
template <class T> Outcome run_in_pieces(const Case &c, std::int64_t piece) {
  using namespace godiff::kernels;
  const std::int64_t nodes = c.graph.n_nodes(), F = c.gq.size(1);
  const at::Tensor &x = c.inputs[0], &mu = c.inputs[1];
  MessageProblem<T> p;
  p.n_feat = F;
  p.n_structures = c.graph.n_structures;
  p.n_template = c.graph.n_template;
  p.n_atoms = c.graph.n_atoms();
  p.fixed = view<T>(c.graph.fixed, c.inputs[2]);
  p.mobile = view<T>(c.graph.mobile, c.inputs[3]);
  p.x = x.const_data_ptr<T>();
  p.mu = mu.defined() ? mu.const_data_ptr<T>() : nullptr;

  // Rows that no range writes would stay NaN.
  const auto fresh = [&](std::vector<std::int64_t> shape) {
    return at::full(shape, NAN, c.gq.options());
  };
  Outcome out;
  out.dq = fresh({nodes, F});
  out.dmu = fresh({nodes, 3, F});
  out.gradients = {fresh({nodes, 3 * F}), mu.defined() ? fresh({nodes, 3, F}) : at::Tensor(),
                   fresh({p.fixed.n_pairs, 3 * F}), fresh({p.mobile.n_pairs, 3 * F})};
  const T *gq = c.gq.const_data_ptr<T>(), *gmu = c.gmu.const_data_ptr<T>();
  const auto pieces = [&](std::int64_t n, const auto &work) {
    for (std::int64_t begin = (n - 1) / piece * piece; begin >= 0; begin -= piece)
      work(begin, std::min(begin + piece, n));
  };
  pieces(nodes, [&](std::int64_t begin, std::int64_t end) {
    message_forward(p, begin, end, out.dq.data_ptr<T>(), out.dmu.data_ptr<T>());
    message_backward_nodes(p, gq, gmu, begin, end, out.gradients[0].data_ptr<T>(),
                           mu.defined() ? out.gradients[1].data_ptr<T>() : nullptr);
  });
  for (const bool fixed : {true, false})
    pieces(fixed ? p.fixed.n_pairs : p.mobile.n_pairs, [&](std::int64_t begin, std::int64_t end) {
      message_backward_filters(p, fixed, gq, gmu, begin, end,
                               out.gradients[fixed ? 2 : 3].data_ptr<T>());
    });
  return out;
}

// No row depends on the range it is computed in, whether or not threads are compiled in.
TEST_P(MessageParity, AnyRangesSameBits) {
  for (const bool with_mu : {false, true}) {
    const Case c = make_case("mixed", 48, with_mu, true, dtype());
    const Outcome whole = run(c, kernel);
    for (const std::int64_t piece : {1, 5, 17}) {
      const Outcome cut =
          dtype() == at::kDouble ? run_in_pieces<double>(c, piece) : run_in_pieces<float>(c, piece);
      EXPECT_TRUE(same_bits(cut, whole)) << "ranges of " << piece;
    }
  }
}

}  // namespace
