// SPDX-License-Identifier: GPL-2.0-only
#include <functional>
#include <string>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "../steps.hpp"
#include "../systems.hpp"
#include "core/network/score_engine.hpp"
#include "core/network/score_network.hpp"
#include "core/search/optimizer.hpp"
#include "measure.hpp"
#include "work.hpp"

namespace godiff_bench {

namespace {

using godiff::LeastSquares;
using godiff::ScoreEngine;
using godiff::ScoreNetwork;
using godiff::Settings;

const c10::Device CPU(c10::kCPU);

// Sums of thousands of terms in another order: 1e-14, which the layers amplify.
constexpr double LIMIT_DOUBLE = 1e-10;
// How far the device may be off in float32, where the CPU is off by `on_cpu`: rounding is amplified where
// atoms nearly meet, so there is no fixed limit.
double limit_float(double on_cpu) {
  return 10.0 * on_cpu + 4e-6;
}

Settings settings_with_forces() {
  Settings settings;
  settings.network.force_head = true;
  return settings;
}

// One network on one device.
struct Side {
  Side(const Slab &slab, const Settings &settings, at::ScalarType dtype, c10::Device device) :
      network(settings.network, dtype, device),
      engine(slab.system, network) {
    network.initialise(settings.seed);
  }
  ScoreNetwork network;
  ScoreEngine engine;
};

LeastSquares loss_of(const at::Tensor &offset) {
  const std::int64_t batch = offset.size(0);
  LeastSquares loss;
  loss.offset = offset;
  loss.factor = at::linspace(0.2, 0.9, batch, at::kDouble);
  loss.weight = at::linspace(0.5, 1.5, batch, at::kDouble) / static_cast<double>(offset.numel());
  return loss;
}

// A result of the network by its name: the same call on any side.
struct Question {
  std::string name;
  std::function<at::Tensor(Side &)> ask;
};

std::vector<Question> questions(const Slab &slab, const TrainingBatch &batch) {
  const std::int64_t n = batch.positions.size(0);
  const at::Tensor &x = batch.positions, &t = batch.times;
  // Any fixed numbers do for the forces to be fitted.
  const at::Tensor forces =
      at::arange(n * slab.system.n_atoms() * 3, at::kDouble).sin().view({n, -1, 3});
  const LeastSquares of_score = loss_of(batch.noise), of_forces = loss_of(forces);
  const auto gradient = [](Side &side) {
    return side.network.parameters().flat_gradient().clone();
  };
  return {{"score", [=](Side &side) { return side.engine.score(x, t); }},
          {"forces", [=](Side &side) { return side.engine.forces(x, false); }},
          {"forces of mobile atoms", [=](Side &side) { return side.engine.forces(x, true); }},
          {"loss of the score",
           [=](Side &side) { return side.engine.score_loss(x, t, of_score).view({1}); }},
          {"gradient of the score",
           [=](Side &side) {
             side.engine.score_gradient(x, t, of_score);
             return gradient(side);
           }},
          {"gradient of the forces", [=](Side &side) {
             side.engine.force_gradient(x, of_forces);
             return gradient(side);
           }}};
}

void check_slab(const std::string &name, std::int64_t count, c10::Device device, Report &report) {
  const Settings settings = settings_with_forces();
  const Slab slab = make_slab(name);
  const TrainingBatch batch = training_batch(slab, settings, count);
  Side exact(slab, settings, at::kDouble, CPU), rounded(slab, settings, at::kFloat, CPU);
  Side device_double(slab, settings, at::kDouble, device),
      device_float(slab, settings, at::kFloat, device);
  for (const Question &question : questions(slab, batch)) {
    const std::string what = question.name + " " + name + "/" + std::to_string(count);
    report.attempt(what, [&] {
      const at::Tensor expected = question.ask(exact);
      const double on_cpu = deviation(question.ask(rounded), expected);
      report.check(what + " float64", deviation(question.ask(device_double), expected),
                   LIMIT_DOUBLE);
      report.check(what + " float32", deviation(question.ask(device_float), expected),
                   limit_float(on_cpu));
    });
  }
}

// Weights after a few steps. The first steps of AdamW divide a gradient by its own size: a component that
// is rounding alone moves its weight by up to the learning rate either way, hence the mean of the differences.
void check_training(c10::Device device, Report &report) {
  constexpr int STEPS = 10;
  const Settings settings = settings_with_forces();
  const Slab slab = make_slab("S2");
  const TrainingBatch batch = training_batch(slab, settings, 16);
  const LeastSquares loss = loss_of(batch.noise);
  const auto train = [&](at::ScalarType dtype, c10::Device where) {
    Side side(slab, settings, dtype, where);
    godiff::AdamW optimizer(side.network.parameters(), settings.learning_rate);
    for (int step = 0; step < STEPS; ++step) {
      const at::Tensor value = side.engine.score_gradient(batch.positions, batch.times, loss);
      optimizer.step(side.network.parameters(), settings.clip, value);
    }
    return side.network.parameters().flat().to(at::kCPU, at::kDouble);
  };
  report.attempt("training S2/16", [&] {
    Side fresh(slab, settings, at::kDouble, CPU);
    const at::Tensor expected = train(at::kDouble, CPU);
    const double way = (expected - fresh.network.parameters().flat()).abs().mean().item<double>();
    const auto off = [&](const at::Tensor &weights) {
      return (weights - expected).abs().mean().item<double>() / way;
    };
    report.check("ten training steps S2/16 float64", off(train(at::kDouble, device)), 1e-6);
    report.check("ten training steps S2/16 float32", off(train(at::kFloat, device)),
                 10.0 * off(train(at::kFloat, CPU)) + 1e-4);
  });
}

void check_repetition(c10::Device device, Report &report) {
  const Settings settings = settings_with_forces();
  const Slab slab = make_slab("S2");
  const TrainingBatch batch = training_batch(slab, settings, 16);
  report.attempt("repetition", [&] {
    Side side(slab, settings, at::kFloat, device);
    for (const Question &question : questions(slab, batch)) {
      const at::Tensor first = question.ask(side).clone(), second = question.ask(side);
      report.note("the same bits twice, " + question.name + ": " +
                  (first.equal(second) ? "yes" : "no"));
    }
  });
}

}  // namespace

void check_network(const CheckOptions &options, Report &report) {
  check_slab("S1", 5, options.device, report);
  check_slab("S2", 16, options.device, report);
  check_slab("S2", 128, options.device, report);
  check_slab("12x12x4-56", 2, options.device, report);
  check_training(options.device, report);
  check_repetition(options.device, report);
}

void time_network(const CheckOptions &options, Report &report) {
  constexpr std::int64_t TRAINING = 16, REVERSE = 128;
  const Settings settings;
  for (const std::string &name : options.systems) {
    const Slab slab = make_slab(name);
    time_case("training step " + name + "/" + std::to_string(TRAINING), options, report,
              [&](c10::Device device) {
                auto step = std::make_shared<TrainingStep>(slab, settings, TRAINING, device);
                return [step] { step->run(); };
              });
    const ReverseBatch batch = middle_of_chain(slab, settings, REVERSE);
    time_case("reverse step " + name + "/" + std::to_string(REVERSE), options, report,
              [&](c10::Device device) {
                auto step = std::make_shared<ReverseStep>(slab, settings, batch, device);
                return [step] { step->run(); };
              });
  }
}

}  // namespace godiff_bench
