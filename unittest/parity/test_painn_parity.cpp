// SPDX-License-Identifier: GPL-2.0-only
// The reference network and the engine against SchNetPack's PaiNN and gated equivariant blocks.
#include <cstdio>

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "parity/golden.hpp"
#include "reference/network.hpp"

namespace {

using godiff::reference::BatchGraph;
using godiff::reference::Features;
using godiff::reference::GraphBuilder;
using godiff::reference::ScoreNetwork;
using golden::deviation;
using golden::painn;
using golden::Structure;
using golden::SYSTEMS;

class PainnParity : public testing::TestWithParam<at::ScalarType> {
protected:
  at::ScalarType dtype() const { return GetParam(); }
  double feature_tolerance() const { return dtype() == at::kDouble ? 1e-12 : 1e-5; }
  double head_tolerance() const { return dtype() == at::kDouble ? 1e-11 : 5e-5; }

  /// The deviation of one tensor, and the largest of the test as a property of its report.
  void expect_close(const at::Tensor &value, const at::Tensor &expected, double tolerance,
                    const std::string &what) {
    const double d = deviation(value, expected);
    EXPECT_LE(d, tolerance) << what;
    if (d > largest_) {
      char text[32];
      std::snprintf(text, sizeof text, "%.1e", largest_ = d);
      RecordProperty("largest_deviation", text);
    }
  }

  double largest_ = 0.0;
};

INSTANTIATE_TEST_SUITE_P(Types, PainnParity, testing::Values(at::kDouble, at::kFloat),
                         [](const auto &info) { return golden::type_name(info.param); });

// The network that all of these data belong to.
ScoreNetwork full_network(at::ScalarType dtype) {
  godiff::NetworkSettings settings;
  settings.force_head = true;
  ScoreNetwork network(settings, dtype);
  golden::set_weights(network.parameters());
  return network;
}

template <class Network> void check_first_elements() {
  godiff::NetworkSettings settings;
  settings.force_head = true;
  Network network(settings, at::kDouble);
  golden::set_weights(network.parameters());
  const nlohmann::json samples = golden::read_json("painn_gradients.json")["weight_samples"];
  ASSERT_EQ(samples.size(), network.parameters().names().size());
  for (const auto &sample : samples) {
    const auto name = sample["name"].get<std::string>();
    ASSERT_TRUE(network.parameters().has(name)) << name;
    EXPECT_EQ(network.parameters().shape(name), sample["shape"].get<std::vector<std::int64_t>>());
    const at::Tensor flat = network.parameters()[name].flatten();
    for (std::size_t k = 0; k < sample["first"].size(); ++k)
      EXPECT_EQ(flat[static_cast<std::int64_t>(k)].template item<double>(),
                sample["first"][k].get<double>())
          << name;
  }
}

TEST(PainnWeights, FirstElements) {
  check_first_elements<ScoreNetwork>();
  check_first_elements<godiff::ScoreNetwork>();
}

TEST_P(PainnParity, Features) {
  at::NoGradGuard no_grad;
  const ScoreNetwork network = full_network(dtype());
  for (const std::string &name : SYSTEMS) {
    SCOPED_TRACE(name);
    const Structure s = golden::structure(name);
    const std::int64_t n_template = s.n_atoms() - s.mobile;
    const GraphBuilder builder(s.system(n_template), 6.0, dtype());
    const BatchGraph graph = builder.build(s.mobile_positions(n_template));
    EXPECT_EQ(graph.n_edges(), painn().get(name + ".edges").item<std::int64_t>());
    const Features f = network.features(graph, golden::species(s));
    const at::Tensor atoms = painn().get(name + ".atoms");
    expect_close(f.q.index_select(0, atoms), painn().get(name + ".q"), feature_tolerance(), "q");
    expect_close(f.mu.index_select(0, atoms), painn().get(name + ".mu"), feature_tolerance(), "mu");
    expect_close(f.q.sum(0), painn().get(name + ".q_sum"), feature_tolerance(), "sum of q");
    expect_close(f.mu.sum(0), painn().get(name + ".mu_sum"), feature_tolerance(), "sum of mu");
  }
}

TEST_P(PainnParity, SmallNetwork) {
  at::NoGradGuard no_grad;
  godiff::NetworkSettings settings;
  settings.nfeat = 32;
  settings.nblock = 2;
  settings.nrbf = 20;
  settings.cutoff = 5.0;
  ScoreNetwork network(settings, dtype());
  golden::set_weights(network.parameters(), settings.nblock);

  const Structure s = golden::structure("mixed");
  const std::int64_t n_template = s.n_atoms() - s.mobile;
  const GraphBuilder builder(s.system(n_template), settings.cutoff, dtype());
  const Features f =
      network.features(builder.build(s.mobile_positions(n_template)), golden::species(s));
  const at::Tensor atoms = painn().get("small.atoms");
  expect_close(f.q.index_select(0, atoms), painn().get("small.q"), feature_tolerance(), "q");
  expect_close(f.mu.index_select(0, atoms), painn().get("small.mu"), feature_tolerance(), "mu");
  expect_close(f.q.sum(0), painn().get("small.q_sum"), feature_tolerance(), "sum of q");
  expect_close(f.mu.sum(0), painn().get("small.mu_sum"), feature_tolerance(), "sum of mu");
}

// Every atom, template included, however the structure is split; a batch with one time each.
TEST_P(PainnParity, Heads) {
  at::NoGradGuard no_grad;
  const ScoreNetwork network = full_network(dtype());
  const at::Tensor times = painn().get("times");
  const std::int64_t B = times.size(0);
  for (const std::string &name : SYSTEMS) {
    SCOPED_TRACE(name);
    const Structure s = golden::structure(name);
    const at::Tensor z = golden::species(s);
    for (const std::int64_t n_template : {std::int64_t{1}, s.n_atoms() - s.mobile}) {
      const GraphBuilder builder(s.system(n_template), 6.0, dtype());
      const BatchGraph graph = builder.build(s.mobile_positions(n_template, B));
      const at::Tensor score = network.score_of_all(graph, z, times);
      const at::Tensor force = network.forces(graph, z, false);
      for (std::int64_t k = 0; k < B; ++k) {
        expect_close(score[k], painn().get(name + ".score")[k], head_tolerance(),
                     "score at time " + std::to_string(k));
        expect_close(force[k], painn().get(name + ".force"), head_tolerance(), "force");
      }
      const std::int64_t n = s.n_atoms() - n_template;
      EXPECT_TRUE(at::equal(network.score(graph, z, times), score.narrow(1, n_template, n)));
      EXPECT_TRUE(at::equal(network.forces(graph, z, true), force.narrow(1, n_template, n)));
    }
  }
}

// The way a search takes: a batch with one time per structure. The engine gives scores of mobile atoms
// only; with one template atom they are all but one.
TEST_P(PainnParity, Engine) {
  godiff::NetworkSettings settings;
  settings.force_head = true;
  godiff::ScoreNetwork network(settings, dtype());
  golden::set_weights(network.parameters());
  const at::Tensor times = painn().get("times");
  const std::int64_t B = times.size(0);
  for (const std::string &name : SYSTEMS) {
    SCOPED_TRACE(name);
    const Structure s = golden::structure(name);
    for (const std::int64_t n_template : {std::int64_t{1}, s.n_atoms() - s.mobile}) {
      godiff::ScoreEngine engine(s.system(n_template), network);
      const at::Tensor x = s.mobile_positions(n_template, B);
      const std::int64_t n = s.n_atoms() - n_template;
      // Relative to the largest score of all atoms: the lone atom of `cluster` has score 0.
      const at::Tensor score = painn().get(name + ".score"), force = painn().get(name + ".force");
      at::Tensor all = score.clone();
      all.narrow(1, n_template, n).copy_(engine.score(x, times));
      const at::Tensor of_all = engine.forces(x, false), of_mobile = engine.forces(x, true);
      for (std::int64_t k = 0; k < B; ++k) {
        expect_close(all[k], score[k], head_tolerance(), "score at time " + std::to_string(k));
        expect_close(of_all[k], force, head_tolerance(), "forces of all atoms");
        at::Tensor some = force.clone();
        some.narrow(0, n_template, n).copy_(of_mobile[k]);
        expect_close(some, force, head_tolerance(), "forces of the mobile atoms");
      }
    }
  }
}

// An atom that sees nobody has no direction to point to.
TEST_P(PainnParity, LoneAtom) {
  const ScoreNetwork network = full_network(dtype());
  const Structure s = golden::structure("cluster");
  const GraphBuilder builder(s.system(3), 6.0, dtype());
  const BatchGraph graph = builder.build(s.mobile_positions(3));
  const at::Tensor score = network.score(graph, golden::species(s), at::tensor({0.5}, at::kDouble));
  const at::Tensor force = network.forces(graph, golden::species(s), true);
  EXPECT_EQ(score.abs().max().item<double>(), 0.0);
  EXPECT_EQ(force.abs().max().item<double>(), 0.0);
  // The norm of a zero vector has a kink: its gradient must be 0, not NaN.
  (score.sum() + (score - 1.0).square().sum() + (force - 1.0).square().sum()).backward();
  EXPECT_TRUE(network.parameters().flat_gradient().isfinite().all().item<bool>());
}

}  // namespace
