// SPDX-License-Identifier: GPL-2.0-only
// Optimiser steps on the score loss against PyTorch's AdamW, gradient clip and plateau scheduler.
#include <gtest/gtest.h>

#include "core/diffusion/schedule.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "core/search/optimizer.hpp"
#include "core/search/trainer.hpp"
#include "parity/golden.hpp"

namespace {

using godiff::AdamW;
using godiff::Plateau;
using godiff::ScoreNetwork;
using golden::deviation;
using nlohmann::json;

class TrainingParity : public testing::TestWithParam<at::ScalarType> {
protected:
  at::ScalarType dtype() const { return GetParam(); }
  bool is_double() const { return dtype() == at::kDouble; }
};

INSTANTIATE_TEST_SUITE_P(Types, TrainingParity, testing::Values(at::kDouble, at::kFloat),
                         [](const auto &info) { return golden::type_name(info.param); });

double element(const ScoreNetwork &network, const std::string &name, std::int64_t index) {
  return network.parameters()[name].flatten()[index].item<double>();
}

TEST_P(TrainingParity, Steps) {
  const json data = golden::read_json("training.json");
  const golden::Structure s = golden::structure("adatom");
  const godiff::Schedule schedule;
  const at::Tensor x0 = golden::tensor(data["x0"]).view({2, 1, 3});
  const json &constants = data["optimiser"];
  ASSERT_EQ(data["cases"].size(), 3u);
  bool clipped = false;
  for (const json &run : data["cases"]) {
    const auto residual = run["residual"].get<std::string>();
    const double factor = run["weight_scale"].get<double>();
    SCOPED_TRACE(residual + ", weights times " + std::to_string(factor));
    const auto scale =
        residual == "consistent" ? godiff::ScoreScale::CONSISTENT : godiff::ScoreScale::REFERENCE;
    ScoreNetwork network({}, dtype());
    golden::set_weights(network.parameters());
    godiff::ScoreEngine engine(s.system(20), network);
    const at::Tensor start = network.parameters().flat().clone();
    AdamW optimiser(network.parameters(), constants["lr"]);
    Plateau plateau(constants["factor"], constants["patience"], at::kCPU);
    const at::Tensor weights = factor * golden::tensor(data["weights"]);

    for (const json &probe : run["probes"])
      for (std::size_t k = 0; k < probe["index"].size(); ++k)
        EXPECT_NEAR(element(network, probe["name"], probe["index"][k]), probe["start"][k],
                    is_double() ? 0.0 : 1e-7);
    ASSERT_EQ(run["steps"].size(), 6u);
    for (std::size_t step = 0; step < 6; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const json &expected = run["steps"][step];
      const at::Tensor t = golden::tensor(data["times"][step]);
      const at::Tensor noise = golden::tensor(data["noise"][step]).view({2, 1, 3});
      const at::Tensor std = at::tensor(
          {schedule.std(t[0].item<double>()), schedule.std(t[1].item<double>())}, at::kDouble);
      const at::Tensor x = x0 + std.view({2, 1, 1}) * noise;
      EXPECT_LE(deviation(x.squeeze(1), golden::tensor(expected["positions"])), 1e-14);

      const at::Tensor score = engine.score(x, t);
      // Relative to a score of order 1: those of some steps happen to be small.
      EXPECT_LE((score.squeeze(1) - golden::tensor(expected["score"])).abs().max().item<double>(),
                is_double() ? 1e-10 : 5e-5);
      const at::Tensor loss =
          engine.score_gradient(x, t, godiff::score_loss(schedule, scale, noise, t, weights, 21));
      EXPECT_NEAR(loss.item<double>() / expected["loss"].get<double>(), 1.0,
                  is_double() ? 1e-9 : 1e-5);
      const double norm = network.parameters().flat_gradient().norm().item<double>();
      EXPECT_NEAR(norm / expected["grad_norm"].get<double>(), 1.0, is_double() ? 1e-9 : 1e-4);
      clipped = clipped || norm > constants["clip"].get<double>();
      EXPECT_DOUBLE_EQ(optimiser.learning_rate.item<double>(), expected["lr"].get<double>());
      optimiser.step(network.parameters(), constants["clip"]);
      plateau.update(at::scalar_tensor(data["epoch_losses"][step].get<double>(), at::kDouble),
                     optimiser.learning_rate);

      for (const json &probe : run["probes"])
        for (std::size_t k = 0; k < probe["index"].size(); ++k)
          EXPECT_NEAR(element(network, probe["name"], probe["index"][k]), probe["after"][step][k],
                      is_double() ? 1e-10 : 1e-6)
              << probe["name"] << " element " << probe["index"][k];
    }
    const double change =
        (network.parameters().flat() - start).to(at::kDouble).norm().item<double>();
    EXPECT_NEAR(change / run["last_step_change_norm"].get<double>(), 1.0,
                is_double() ? 1e-6 : 1e-3);
  }
  EXPECT_TRUE(clipped);
}

TEST_P(TrainingParity, AdamWScalar) {
  const json data = golden::read_json("training.json")["adamw_scalar"];
  godiff::Parameters parameters(dtype());
  parameters.declare("p", {1});
  parameters.allocate();
  const at::Tensor p = parameters.flat(), g = parameters.flat_gradient();
  p.fill_(data["start"].get<double>());
  AdamW optimiser(parameters, 1e-4);
  for (std::size_t k = 0; k < data["gradients"].size(); ++k) {
    g.fill_(data["gradients"][k].get<double>());
    optimiser.step(parameters, 1e30);
    EXPECT_NEAR(p.item<double>(), data["values"][k], is_double() ? 1e-14 : 3e-7);
  }
  EXPECT_EQ(optimiser.steps.item<std::int64_t>(), 5);
}

// A stage trains one head: the weights of the other one stay, decay included, and change nothing.
TEST_P(TrainingParity, OtherHeadStays) {
  for (const std::string frozen : {"force.", "score."}) {
    godiff::NetworkSettings settings;
    settings.force_head = true;
    ScoreNetwork network(settings, dtype());
    golden::set_weights(network.parameters());
    const godiff::Parameters &parameters = network.parameters();
    const at::Tensor start = parameters.flat().clone();
    AdamW optimiser(parameters, 1e-4, frozen);
    for (int k = 0; k < 3; ++k) {
      parameters.flat_gradient().zero_();
      for (const std::string &name : parameters.names())
        if (name.rfind(frozen, 0) != 0)
          parameters.gradient(name).fill_(0.01);
      optimiser.step(network.parameters(), 10.0);
    }
    for (const std::string &name : parameters.names()) {
      const at::Tensor before = start.narrow(0, parameters.offset(name), parameters[name].numel());
      const at::Tensor moved = parameters[name].flatten() != before;
      const bool stays = name.rfind(frozen, 0) == 0;
      EXPECT_TRUE((stays ? ~moved : moved).all().item<bool>()) << name;
    }
  }
}

// The same seen from the two stages of a guided search.
TEST_P(TrainingParity, StagesTrainOneHead) {
  const golden::Structure s = golden::structure("adatom");
  const godiff::System system = s.system(20);
  godiff::Settings settings;
  settings.train_steps = 2;
  settings.batch = 2;
  settings.network.force_head = true;
  for (const bool reset : {true, false}) {
    settings.optim_reset = reset;
    ScoreNetwork network(settings.network, dtype());
    golden::set_weights(network.parameters());
    const godiff::Parameters &parameters = network.parameters();
    godiff::ScoreEngine engine(system, network);
    godiff::Trainer trainer(system, settings, network, engine);
    const at::Tensor x = s.mobile_positions(20, 4);
    const auto changed = [&](const at::Tensor &before, const std::string &name) {
      const std::int64_t begin = parameters.offset(name), n = parameters[name].numel();
      return !at::equal(parameters.flat().narrow(0, begin, n), before.narrow(0, begin, n));
    };
    const auto check = [&](const at::Tensor &before, bool score) {
      EXPECT_TRUE(changed(before, "painn.filter.weight"));
      EXPECT_EQ(changed(before, "score.0.mix.weight"), score);
      EXPECT_EQ(changed(before, "score.2.1.bias"), score);
      EXPECT_EQ(changed(before, "force.0.mix.weight"), !score);
      EXPECT_EQ(changed(before, "force.2.1.bias"), !score);
    };
    at::Tensor before = parameters.flat().clone();
    trainer.train_forces(x, at::ones({4, 21, 3}, at::kFloat), 0, {});
    check(before, false);
    before = parameters.flat().clone();
    trainer.train_score(x, {1.0, 1.0, 1.0, 1.0}, 0, {});
    check(before, true);
  }
}

// The clip shortens the gradient and keeps its direction: the first moment after one step shows it.
TEST_P(TrainingParity, ClipKeepsDirection) {
  godiff::Parameters parameters(dtype());
  parameters.declare("p", {2, 3});
  parameters.allocate();
  const at::Tensor gradient = at::tensor({3.0, -4.0, 12.0, 0.0, 84.0, 1e-3}, at::kDouble);
  for (const double clip : {10.0, 1000.0}) {
    AdamW optimiser(parameters, 1e-4);
    parameters.flat_gradient().copy_(gradient);
    optimiser.step(parameters, clip);
    const double norm = gradient.norm().item<double>();
    const at::Tensor expected = gradient * (0.1 * std::min(1.0, clip / (norm + 1e-6)));
    EXPECT_LE(deviation(optimiser.first_moment, expected), is_double() ? 1e-14 : 1e-6);
  }
}

std::vector<double> rates(int patience, const std::vector<double> &losses) {
  Plateau plateau(0.95, patience, at::kCPU);
  std::vector<double> out;
  const at::Tensor rate = at::scalar_tensor(1e-4, at::kDouble);
  for (const double loss : losses) {
    plateau.update(at::scalar_tensor(loss, at::kDouble), rate);
    out.push_back(rate.item<double>());
  }
  return out;
}

TEST(PlateauParity, Sequences) {
  const json data = golden::read_json("training.json");
  ASSERT_EQ(data["plateau"].size(), 2u);
  for (const json &run : data["plateau"]) {
    const std::vector<double> got =
        rates(run["patience"], run["losses"].get<std::vector<double>>());
    ASSERT_EQ(got.size(), run["lr"].size());
    for (std::size_t k = 0; k < got.size(); ++k)
      EXPECT_DOUBLE_EQ(got[k], run["lr"][k].get<double>())
          << "patience " << run["patience"] << ", epoch " << k;
  }
  ASSERT_EQ(data["plateau_constant"].size(), 6u);
  for (const json &point : data["plateau_constant"]) {
    const auto epoch = point["epoch"].get<std::size_t>();
    EXPECT_DOUBLE_EQ(rates(point["patience"], std::vector<double>(epoch, 1.0)).back(),
                     point["lr"].get<double>())
        << "epoch " << epoch;
  }
  const json &floor = data["plateau_floor"];
  EXPECT_DOUBLE_EQ(rates(floor["patience"], std::vector<double>(floor["epochs"], 1.0)).back(),
                   floor["lr"].get<double>());
}

}  // namespace
