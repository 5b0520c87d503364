// SPDX-License-Identifier: GPL-2.0-only
// Network, training and search on a device other than the CPU, with one that is made up of main memory:
// the plain twins run, nothing is read by the host behind the device's back, and nobody waits for it in
// the middle of a step. What a real device computes is not tested here.
#include <memory>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/diffusion/noiser.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/optimizer.hpp"
#include "core/search/search.hpp"
#include "core/search/trainer.hpp"
#include "engine_cases.hpp"
#include "foreign_device.hpp"
#include "toy_search.hpp"

namespace {

using godiff::LeastSquares;
using godiff::SafeTensors;
using godiff::ScoreEngine;
using godiff::ScoreNetwork;
using godiff::Search;
using godiff::Settings;
using godiff_test::EngineCase;
using godiff_test::FOREIGN;
using godiff_test::foreign_counts;

at::Tensor host(const at::Tensor &t) {
  return t.to(at::kCPU);
}

class ForeignDevice : public testing::Test {
protected:
  static void SetUpTestSuite() { godiff_test::foreign::enable(); }

  static std::vector<EngineCase> cases() {
    std::vector<EngineCase> some;
    for (const EngineCase &c : godiff_test::engine_cases())
      for (const char *name : {"S1", "S2 compact", "alloy p p p", "tiny cell", "out of reach",
                               "lone template atom", "no edges", "coincident"})
        if (c.name == name)
          some.push_back(c);
    EXPECT_EQ(some.size(), 8u);
    return some;
  }

  static LeastSquares loss_of(const at::Tensor &target) {
    const std::int64_t B = target.size(0);
    return {target, at::linspace(0.5, 1.5, B, at::kDouble), at::linspace(2.0, 1.0, B, at::kDouble)};
  }
};

// The device itself: it would notice what the tests below rely on.
TEST_F(ForeignDevice, RefusesMixtures) {
  const at::Tensor a = at::ones({3}, at::TensorOptions().device(FOREIGN)), b = at::ones({3});
  EXPECT_EQ(host(a + a).sum().item<double>(), 6.0);
  EXPECT_ANY_THROW(a + b);
  EXPECT_ANY_THROW(a.index_select(0, at::zeros({1}, at::kLong)));
  EXPECT_ANY_THROW(at::mm(a.view({1, 3}), b.view({3, 1})));
  EXPECT_NO_THROW(a * at::scalar_tensor(2.0));
  foreign_counts() = {};
  const at::Tensor c = a.narrow(0, 1, 2) * 2.0;
  EXPECT_EQ(foreign_counts().to_host, 0);
  EXPECT_EQ(c.sum().item<double>(), 4.0);
  EXPECT_EQ(foreign_counts().to_host, 1);
  host(c);
  EXPECT_EQ(foreign_counts().to_host, 2);
  EXPECT_GT(foreign_counts().operations, 0);
}

TEST_F(ForeignDevice, HostPointersCrash) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const at::Tensor a = at::ones({3}, at::TensorOptions().device(FOREIGN));
  EXPECT_DEATH(static_cast<void>(*static_cast<volatile float *>(a.data_ptr())), "");
}

TEST_F(ForeignDevice, EngineEqualsTheCpu) {
  for (const EngineCase &c : cases()) {
    SCOPED_TRACE(c.name);
    ScoreNetwork here(godiff_test::short_network(), at::kDouble);
    ScoreNetwork there(godiff_test::short_network(), at::kDouble, FOREIGN);
    here.initialise(3);
    there.initialise(3);
    EXPECT_EQ(there.device(), FOREIGN);
    ASSERT_TRUE(at::equal(host(there.parameters().flat()), here.parameters().flat()));
    ScoreEngine a(c.system, here), b(c.system, there);
    const at::Tensor t = godiff_test::spread_times(c.positions.size(0));
    const auto expect_same = [](const at::Tensor &on_device, const at::Tensor &expected,
                                const char *what) {
      EXPECT_EQ(on_device.device(), FOREIGN) << what;
      EXPECT_LE(godiff_test::deviation(host(on_device), expected),
                godiff_test::rounding_limit(at::kDouble, 0.0))
          << what;
    };
    const auto gradient = [](const ScoreNetwork &n) { return n.parameters().flat_gradient(); };
    const at::Tensor score = a.score(c.positions, t);
    expect_same(b.score(c.positions, t), score, "score");
    const LeastSquares score_target = loss_of(at::ones_like(score));
    const at::Tensor value = a.score_gradient(c.positions, t, score_target);
    expect_same(b.score_gradient(c.positions, t, score_target), value, "score loss");
    expect_same(gradient(there), gradient(here), "gradient of the score loss");
    expect_same(b.score_loss(c.positions, t, score_target), value, "score loss alone");
    for (const bool mobile_only : {true, false}) {
      const at::Tensor forces = a.forces(c.positions, mobile_only);
      expect_same(b.forces(c.positions, mobile_only), forces, "forces");
      const LeastSquares target = loss_of(at::ones_like(forces));
      expect_same(b.force_gradient(c.positions, target), a.force_gradient(c.positions, target),
                  "force loss");
      expect_same(gradient(there), gradient(here), "gradient of the force loss");
    }
  }
}

// The host may only wait where it needs a number: the scores of a reverse step.
TEST_F(ForeignDevice, StepsDoNotWait) {
  const EngineCase c = cases()[1];
  ScoreNetwork network(godiff_test::short_network(), at::kFloat, FOREIGN);
  network.initialise(4);
  ScoreEngine engine(c.system, network);
  godiff::AdamW optimiser(network.parameters(), 1e-3, "force.");
  const at::Tensor t = godiff_test::spread_times(c.positions.size(0));
  const LeastSquares target = loss_of(at::ones(c.positions.sizes(), at::kDouble));
  foreign_counts() = {};
  for (int step = 0; step < 3; ++step)
    optimiser.step(network.parameters(), 1.0, engine.score_gradient(c.positions, t, target));
  EXPECT_GT(foreign_counts().operations, 100);
  EXPECT_EQ(foreign_counts().to_host, 0);
  engine.forces(c.positions, false);
  EXPECT_EQ(foreign_counts().to_host, 0);
  host(engine.score(c.positions, t));
  EXPECT_EQ(foreign_counts().to_host, 1);
}

TEST_F(ForeignDevice, OptimiserEqualsTheCpu) {
  ScoreNetwork here(godiff_test::short_network(), at::kDouble);
  ScoreNetwork there(godiff_test::short_network(), at::kDouble, FOREIGN);
  here.initialise(5);
  there.initialise(5);
  godiff::AdamW a(here.parameters(), 1e-2, "score."), b(there.parameters(), 1e-2, "score.");
  at::Tensor gradient = at::linspace(-1, 1, here.parameters().size(), at::kDouble).cos();
  for (int step = 0; step < 4; ++step) {
    // The third one is refused.
    if (step == 2)
      gradient[7] = NAN;
    here.parameters().flat_gradient().copy_(gradient);
    there.parameters().flat_gradient().copy_(gradient);
    gradient[7] = 0.1;
    a.step(here.parameters(), 5.0);
    b.step(there.parameters(), 5.0);
    EXPECT_LE(godiff_test::deviation(host(there.parameters().flat()), here.parameters().flat()),
              1e-14);
  }
  EXPECT_EQ(a.skipped.item<std::int64_t>(), 1);
  EXPECT_EQ(b.skipped.item<std::int64_t>(), 1);
  EXPECT_LE(godiff_test::deviation(host(b.first_moment), a.first_moment), 1e-14);
  EXPECT_LE(godiff_test::deviation(host(b.second_moment), a.second_moment), 1e-14);
}

Settings guided_settings() {
  Settings s = godiff_test::toy_settings();
  s.double_precision = true;
  s.guide = 0.3;
  s.guide_extra = 2;
  s.optim_reset = false;  // the optimisers are part of what is saved
  return s;
}

// Structures, weights and moments of two finished searches.
void expect_same_search(const Search &a, const Search &b, double tolerance) {
  const SafeTensors x = a.save(), y = b.save();
  EXPECT_EQ(x.names(), y.names());
  EXPECT_EQ(x.metadata("settings"), y.metadata("settings"));
  for (const std::string &name : x.names()) {
    const at::Tensor one = x.get(name), other = y.get(name);
    if (name.rfind("search.stages", 0) == 0 || name == "search.current" ||
        name == "search.totals" || one.numel() == 0)
      continue;  // wall times, or nothing
    EXPECT_TRUE(one.device().is_cpu() && other.device().is_cpu()) << name;
    EXPECT_LE(godiff_test::deviation(one, other), tolerance) << name;
  }
}

TEST_F(ForeignDevice, SearchEqualsTheCpu) {
  const Settings s = guided_settings();
  Search here(godiff_test::toy_system(), s), there(godiff_test::toy_system(), s, FOREIGN);
  EXPECT_EQ(here.device(), c10::Device(c10::kCPU));
  EXPECT_EQ(there.device(), FOREIGN);
  godiff_test::run(here);
  godiff_test::run(there);
  // Rounding, carried on by three trainings and hundreds of steps.
  expect_same_search(here, there, 1e-6);
}

// A search is saved on one device and goes on on the other, weights and moments bit for bit.
TEST_F(ForeignDevice, SearchMovesBetweenDevices) {
  const godiff::System system = godiff_test::toy_system();
  const Settings s = guided_settings();
  Search whole(system, s);
  godiff_test::run(whole);
  for (const bool starts_here : {true, false}) {
    const c10::Device cpu(c10::kCPU), from = starts_here ? cpu : FOREIGN,
                                      to = starts_here ? FOREIGN : cpu;
    Search first(system, s, from), second(system, s, to);
    first.set_reference(-10.0);
    while (first.learned_stages() < 1) {
      first.prepare({});
      if (first.learned_stages() < 1)
        godiff_test::evaluate_one(first, godiff_test::springs());
    }
    const std::string bytes = first.save().to_bytes();
    second.restore(SafeTensors::from_bytes(bytes, "test"));
    EXPECT_EQ(second.device(), to);
    EXPECT_EQ(second.save().to_bytes(), bytes);
    godiff_test::run(second);
    expect_same_search(whole, second, 1e-6);

    Search loaded(system, s, to);
    loaded.load_network(SafeTensors::from_bytes(bytes, "test"));
    EXPECT_TRUE(
        at::equal(loaded.save().get("score.0.mix.weight"), first.save().get("score.0.mix.weight")));
  }
}

}  // namespace
