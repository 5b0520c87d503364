// SPDX-License-Identifier: GPL-2.0-only
// Gradients of the reference network and of the engine against SchNetPack with autograd, those of the
// reference against finite differences as well.
#include <functional>
#include <set>

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "core/diffusion/schedule.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "parity/golden.hpp"
#include "reference/network.hpp"

namespace {

using godiff::NetworkSettings;
using godiff::reference::BatchGraph;
using godiff::reference::GraphBuilder;
using godiff::reference::Parameters;
using godiff::reference::ScoreNetwork;
using golden::Structure;
using nlohmann::json;

// c[i][a] = sin(1 + 0.7*(3*i + a)), [n, 3].
at::Tensor pattern(std::int64_t n) {
  return (1.0 + 0.7 * at::arange(3 * n, at::kDouble)).sin().view({n, 3});
}

NetworkSettings with_forces() {
  NetworkSettings settings;
  settings.force_head = true;
  return settings;
}

/// The gradient of one tensor, flat, float64.
template <class AnyParameters>
at::Tensor gradient(const AnyParameters &parameters, const std::string &name) {
  return parameters.gradient(name).flatten().to(at::kDouble);
}

class GradientParity : public testing::TestWithParam<at::ScalarType> {
protected:
  at::ScalarType dtype() const { return GetParam(); }
  double tolerance() const { return dtype() == at::kDouble ? 1e-10 : 5e-5; }

  /// `size` is the sum of the magnitudes that add up to the loss, with either sign.
  template <class AnyParameters>
  void check(const AnyParameters &parameters, double loss, double size, const json &record) {
    EXPECT_NEAR(loss, record["loss"].get<double>(), (dtype() == at::kDouble ? 1e-11 : 1e-5) * size);
    std::set<std::string> listed;
    for (const json &entry : record["tensors"]) {
      const auto name = entry["name"].get<std::string>();
      listed.insert(name);
      const at::Tensor g = gradient(parameters, name);
      const double norm = entry["norm"].get<double>(), limit = tolerance() * norm;
      EXPECT_NEAR(g.norm().item<double>(), norm, limit) << name;
      EXPECT_NEAR(g.sum().item<double>(), entry["sum"].get<double>(),
                  limit * std::sqrt(static_cast<double>(g.numel())))
          << name;
      for (std::size_t k = 0; k < entry["index"].size(); ++k)
        EXPECT_NEAR(g[entry["index"][k].get<std::int64_t>()].item<double>(),
                    entry["value"][k].get<double>(), limit)
            << name << " element " << entry["index"][k];
    }
    ASSERT_EQ(listed.size(), 54u);
    for (const std::string &name : parameters.names())
      if (listed.count(name) == 0) {
        const at::Tensor g = gradient(parameters, name);
        EXPECT_EQ(g.abs().max().item<double>(), 0.0) << name << " takes no part";
      }
  }
};

INSTANTIATE_TEST_SUITE_P(Types, GradientParity, testing::Values(at::kDouble, at::kFloat),
                         [](const auto &info) { return golden::type_name(info.param); });

// The loss reaches the scores of all atoms, template included.
TEST_P(GradientParity, Scores) {
  const json data = golden::read_json("painn_gradients.json");
  for (const char *key : {"score_adatom", "score_mixed"}) {
    SCOPED_TRACE(key);
    const json &record = data[key];
    const Structure s = golden::structure(record["system"]);
    const std::int64_t n_template = s.n_atoms() - s.mobile;
    ScoreNetwork network(with_forces(), dtype());
    golden::set_weights(network.parameters());
    const GraphBuilder builder(s.system(n_template), 6.0, dtype());
    const at::Tensor score =
        network.score_of_all(builder.build(s.mobile_positions(n_template)), golden::species(s),
                             at::tensor({record["time"].get<double>()}, at::kDouble));
    const at::Tensor terms = pattern(s.n_atoms()).to(dtype()) * score[0];
    const at::Tensor loss = terms.sum();
    loss.backward();
    check(network.parameters(), loss.item<double>(), terms.abs().sum().item<double>(), record);
  }
}

TEST_P(GradientParity, Forces) {
  const json record = golden::read_json("painn_gradients.json")["force_mixed"];
  const Structure s = golden::structure("mixed");
  const std::int64_t n_template = s.n_atoms() - s.mobile;
  ScoreNetwork network(with_forces(), dtype());
  golden::set_weights(network.parameters());
  const GraphBuilder builder(s.system(n_template), 6.0, dtype());
  const at::Tensor force =
      network.forces(builder.build(s.mobile_positions(n_template)), golden::species(s), false);
  const at::Tensor terms = pattern(s.n_atoms()).to(dtype()) * force[0];
  const at::Tensor loss = terms.sum();
  loss.backward();
  check(network.parameters(), loss.item<double>(), terms.abs().sum().item<double>(), record);
}

TEST_P(GradientParity, ForceLoss) {
  const json record = golden::read_json("painn_gradients.json")["force_loss"];
  const Structure s = golden::structure("adatom");
  ScoreNetwork network(with_forces(), dtype());
  golden::set_weights(network.parameters());
  const GraphBuilder builder(s.system(20), 6.0, dtype());
  const at::Tensor x = golden::tensor(record["adatom_positions"]).view({2, 1, 3});
  const BatchGraph graph = builder.build(x);
  const at::Tensor target = (0.5 * pattern(42)).to(dtype()).view({2, 21, 3});
  const at::Tensor loss =
      (network.forces(graph, golden::species(s), false) - target).square().mean();
  loss.backward();
  check(network.parameters(), loss.item<double>(), loss.item<double>(), record);

  const at::Tensor mobile = network.forces(graph, golden::species(s), true);
  const double expected = record["mobile_square_sum"].get<double>();
  EXPECT_NEAR((mobile - target.narrow(1, 20, 1)).square().sum().item<double>(), expected,
              (dtype() == at::kDouble ? 1e-10 : 1e-5) * expected);
}

// Scores of template atoms, which the losses of the other records reach, are none of its business.
TEST_P(GradientParity, EngineForces) {
  const json record = golden::read_json("painn_gradients.json")["force_mixed"];
  const Structure s = golden::structure("mixed");
  const std::int64_t n_template = s.n_atoms() - s.mobile, N = s.n_atoms();
  godiff::ScoreNetwork network(with_forces(), dtype());
  golden::set_weights(network.parameters());
  godiff::ScoreEngine engine(s.system(n_template), network);
  const at::Tensor x = s.mobile_positions(n_template);
  // sum c*F from |F + c/4|^2 - |F - c/4|^2 = c*F, for values and gradients alike.
  const at::Tensor one = at::ones({1}, at::kDouble);
  const at::Tensor quarter = 0.25 * pattern(N).unsqueeze(0);
  const double more = engine.force_gradient(x, {quarter, one, one}).item<double>();
  const at::Tensor gradient = network.parameters().flat_gradient().clone();
  const double less = engine.force_gradient(x, {-quarter, one, one}).item<double>();
  network.parameters().flat_gradient().neg_().add_(gradient);
  const at::Tensor force = engine.forces(x, false)[0].to(at::kDouble);
  check(network.parameters(), more - less, force.square().sum().item<double>(), record);
}

TEST_P(GradientParity, EngineForceLoss) {
  const json record = golden::read_json("painn_gradients.json")["force_loss"];
  godiff::ScoreNetwork network(with_forces(), dtype());
  golden::set_weights(network.parameters());
  godiff::ScoreEngine engine(golden::structure("adatom").system(20), network);
  const at::Tensor x = golden::tensor(record["adatom_positions"]).view({2, 1, 3});
  const at::Tensor target = (0.5 * pattern(42)).view({2, 21, 3});
  const at::Tensor one = at::ones({2}, at::kDouble);
  const double loss = engine.force_gradient(x, {target, -one, one / 126.0}).item<double>();
  check(network.parameters(), loss, loss, record);

  const double expected = record["mobile_square_sum"].get<double>();
  EXPECT_NEAR(engine.force_loss(x, {target.narrow(1, 20, 1), -one, one}).item<double>(), expected,
              (dtype() == at::kDouble ? 1e-10 : 1e-5) * expected);
}

/// Compares the gradient of `loss` with fourth-order central differences. Of every tensor whose
/// name does not start with `other_head`, the largest element of every 64 rows is taken: the parts
/// of a layer (scalar, direction, vector; V, U) come 64 rows at a time.
void check_differences(ScoreNetwork &network, const std::function<at::Tensor()> &loss,
                       const std::string &other_head) {
  constexpr double STEP = 2e-3;
  constexpr std::int64_t ROWS = 64;
  Parameters &parameters = network.parameters();
  parameters.flat_gradient().zero_();
  loss().backward();
  at::NoGradGuard no_grad;
  double *w = parameters.flat().data_ptr<double>();
  for (const std::string &name : parameters.names()) {
    if (name.compare(0, other_head.size(), other_head) == 0)
      continue;
    const at::Tensor g = gradient(parameters, name);
    ASSERT_GT(g.abs().max().item<double>(), 0.0) << name;
    const std::int64_t part = ROWS * g.numel() / parameters.shape(name)[0];
    for (std::int64_t begin = 0; begin < g.numel(); begin += part) {
      const at::Tensor some = g.slice(0, begin, begin + part);
      const std::int64_t e = begin + some.abs().argmax().item<std::int64_t>();
      double &value = w[parameters.offset(name) + e];
      const double start = value;
      const auto at_step = [&](double steps) {
        value = start + steps * STEP;
        return loss().item<double>();
      };
      const double difference =
          (8.0 * (at_step(1) - at_step(-1)) - (at_step(2) - at_step(-2))) / (12.0 * STEP);
      value = start;
      // 1e-12 is the rounding of a loss of order 1 divided by the step.
      const double slope = g[e].item<double>();
      EXPECT_NEAR(difference, slope, 1e-6 * std::abs(slope) + 1e-12) << name << " element " << e;
    }
  }
}

// Two different structures of four atoms, two of them mobile.
struct SmallBatch {
  Structure structure = golden::structure("alloy");
  GraphBuilder builder{structure.system(2), 6.0, at::kDouble};
  at::Tensor x0 =
      structure.mobile_positions(2, 2) + 0.1 * at::arange(12, at::kDouble).view({2, 2, 3}).cos();
  at::Tensor species = golden::species(structure);
};

TEST(GradientDifferences, ScoreLossOfEveryTensor) {
  const SmallBatch batch;
  const godiff::Schedule schedule;
  const at::Tensor t = at::tensor({0.35, 0.8}, at::kDouble);
  const at::Tensor w = at::arange(12, at::kDouble).add(0.5).sin().view({2, 2, 3});
  const at::Tensor weights = at::tensor({1.5, 0.5}, at::kDouble);
  const at::Tensor s =
      at::tensor({schedule.std(0.35), schedule.std(0.8)}, at::kDouble).view({2, 1, 1});
  const BatchGraph graph = batch.builder.build(batch.x0 + s * w);
  ScoreNetwork network(with_forces(), at::kDouble);
  golden::set_weights(network.parameters());
  // The residuals w + v(t)*score and w + s(t)*score of method section 5, of eight atoms in all.
  for (const bool consistent : {false, true}) {
    SCOPED_TRACE(consistent ? "consistent" : "reference");
    const auto loss = [&] {
      return godiff::reference::least_squares(network.score(graph, batch.species, t), w,
                                              consistent ? s : s.square(), weights / 8.0);
    };
    check_differences(network, loss, "force.");
  }
}

TEST(GradientDifferences, ForceLossOfEveryTensor) {
  const SmallBatch batch;
  const BatchGraph graph = batch.builder.build(batch.x0);
  ScoreNetwork network(with_forces(), at::kDouble);
  golden::set_weights(network.parameters());
  const at::Tensor target = pattern(8).view({2, 4, 3});
  for (const bool mobile_only : {false, true}) {
    SCOPED_TRACE(mobile_only ? "mobile" : "all");
    const at::Tensor wanted = mobile_only ? target.narrow(1, 2, 2) : target;
    const auto loss = [&] {
      return (network.forces(graph, batch.species, mobile_only) - wanted).square().mean();
    };
    check_differences(network, loss, "score.");
  }
}

// What no output depends on gets a gradient of exactly 0.
TEST_P(GradientParity, ZeroGradients) {
  const Structure s = golden::structure("mixed");
  ScoreNetwork network(with_forces(), dtype());
  golden::set_weights(network.parameters());
  const Parameters &parameters = network.parameters();
  const GraphBuilder builder(s.system(12), 6.0, dtype());
  const at::Tensor t = at::tensor({0.4}, at::kDouble);
  const BatchGraph graph = builder.build(s.mobile_positions(12));
  for (const std::string head : {"score", "force"}) {
    parameters.flat_gradient().zero_();
    const at::Tensor out = head == "score" ? network.score(graph, golden::species(s), t)
                                           : network.forces(graph, golden::species(s), false);
    (out - 1.0).square().sum().backward();
    // Row 0 of the last layer makes the scalar output, which is dropped; row 1 makes the gate.
    const at::Tensor weight = gradient(parameters, head + ".2.1.weight").view({2, 16});
    const at::Tensor bias = gradient(parameters, head + ".2.1.bias");
    EXPECT_EQ(weight[0].abs().max().item<double>(), 0.0);
    EXPECT_GT(weight[1].abs().max().item<double>(), 0.0);
    EXPECT_EQ(bias[0].item<double>(), 0.0);
    EXPECT_NE(bias[1].item<double>(), 0.0);

    const std::set<int> present(s.numbers.begin(), s.numbers.end());
    ASSERT_EQ(present.size(), 3u);
    const at::Tensor rows =
        gradient(parameters, "painn.embedding.weight").view({100, 64}).abs().amax({1});
    for (int z = 0; z < 100; ++z)
      EXPECT_EQ(rows[z].item<double>() > 0.0, present.count(z) == 1) << z;
  }
}

}  // namespace
