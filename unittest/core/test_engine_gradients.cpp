// SPDX-License-Identifier: GPL-2.0-only
// Losses of the engine and their gradients with respect to every tensor of the network, against
// autograd through the reference network.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "core/network/score_engine.hpp"
#include "engine_cases.hpp"

namespace {

using godiff::LeastSquares;
using godiff::NetworkSettings;
using godiff::System;
using godiff_test::deviation;
using godiff_test::engine_cases;
using godiff_test::EngineCase;
using godiff_test::fcc111;
using godiff_test::full_network;
using godiff_test::heptamer_pt;
using godiff_test::rounding_limit;
using godiff_test::scattered;
using godiff_test::short_network;
using godiff_test::small_alloy;
using godiff_test::spread_times;
using godiff_test::Twins;
using DeviceBatch = godiff::ScoreEngine::DeviceBatch;

enum class Loss { SCORE, MOBILE_FORCES, ALL_FORCES };

const char *name_of(Loss loss) {
  return loss == Loss::SCORE           ? "score"
         : loss == Loss::MOBILE_FORCES ? "forces of the mobile atoms"
                                       : "forces of all atoms";
}

/// Targets with no structure in them, different for every structure.
LeastSquares some_target(const System &s, std::int64_t batch, Loss loss) {
  const std::int64_t rows = loss == Loss::ALL_FORCES ? s.n_atoms() : s.n_mobile;
  const at::Tensor number = at::arange(batch * rows * 3, at::kDouble);
  const at::Tensor structure = at::arange(batch, at::kDouble);
  return {(1.3 * number + 0.4).sin().view({batch, rows, 3}), 0.6 + 0.3 * (structure * 1.7).cos(),
          0.5 + 0.4 * (structure * 0.9).sin()};
}

/// The value of a loss and the gradients by name.
struct Outcome {
  double value;
  std::map<std::string, at::Tensor> gradients;
};

// One structure after the other, so that the graph of autograd stays small.
Outcome plain(const Twins &twins, const godiff::reference::ScoreNetwork &network,
              const at::Tensor &x, const LeastSquares &target, Loss loss) {
  const at::Tensor z = godiff::reference::atomic_numbers(twins.system);
  const at::Tensor t = spread_times(x.size(0));
  Outcome out{0.0, {}};
  network.parameters().flat_gradient().zero_();
  for (std::int64_t g = 0; g < x.size(0); ++g) {
    const auto of_g = [&](const at::Tensor &all) { return all.narrow(0, g, 1); };
    const godiff::reference::BatchGraph graph = twins.graph(of_g(x), network.dtype());
    const at::Tensor output = loss == Loss::SCORE
                                  ? network.score(graph, z, of_g(t))
                                  : network.forces(graph, z, loss == Loss::MOBILE_FORCES);
    const at::Tensor value = godiff::reference::least_squares(
        output, of_g(target.offset), of_g(target.factor), of_g(target.weight));
    value.backward();
    out.value += value.item<double>();
  }
  for (const std::string &name : network.parameters().names())
    out.gradients[name] = network.parameters().gradient(name).to(at::kDouble, false, true);
  return out;
}

// The loss of the engine, by a device batch if there is one; `gradient`: it leaves its gradient as well.
at::Tensor loss_of(Twins &twins, const at::Tensor &x, const LeastSquares &target, Loss loss,
                   DeviceBatch *batch, bool gradient) {
  godiff::ScoreEngine &engine = twins.engine;
  if (loss == Loss::SCORE) {
    const at::Tensor t = spread_times(x.size(0));
    if (batch)
      return gradient ? engine.score_gradient(*batch, x, t, target)
                      : engine.score_loss(*batch, x, t, target);
    return gradient ? engine.score_gradient(x, t, target) : engine.score_loss(x, t, target);
  }
  if (batch)
    return gradient ? engine.force_gradient(*batch, x, target)
                    : engine.force_loss(*batch, x, target);
  return gradient ? engine.force_gradient(x, target) : engine.force_loss(x, target);
}

Outcome fast(Twins &twins, const at::Tensor &x, const LeastSquares &target, Loss loss,
             DeviceBatch *batch = nullptr) {
  // What was there before must not count.
  twins.network.parameters().flat_gradient().fill_(NAN);
  const at::Tensor value = loss_of(twins, x, target, loss, batch, true);
  EXPECT_EQ(value.dim(), 0);
  EXPECT_EQ(value.scalar_type(), at::kDouble);
  Outcome out{value.item<double>(), {}};
  for (const std::string &name : twins.network.parameters().names())
    out.gradients[name] = twins.network.parameters().gradient(name).to(at::kDouble, false, true);
  return out;
}

class EngineGradients : public testing::TestWithParam<at::ScalarType> {
protected:
  at::ScalarType dtype() const { return GetParam(); }

  /// Value and gradient of every tensor, relative to the largest element of that tensor; what nothing
  /// depends on has a gradient of exactly 0.
  void check(Twins &twins, const at::Tensor &x, Loss loss, DeviceBatch *batch = nullptr) {
    SCOPED_TRACE(name_of(loss));
    const LeastSquares target = some_target(twins.system, x.size(0), loss);
    const Outcome expected = plain(twins, twins.exact, x, target, loss);
    const Outcome value = fast(twins, x, target, loss, batch);
    double rounding = 0.0;
    if (dtype() == at::kFloat) {
      const Outcome rounded = plain(twins, twins.rounded, x, target, loss);
      for (const auto &[name, gradient] : expected.gradients)
        rounding = std::max(rounding, deviation(rounded.gradients.at(name), gradient));
      rounding = std::max(rounding, std::abs(rounded.value / expected.value - 1.0));
    }
    ASSERT_LT(rounding, 1e-2) << "float32 is not up to this";
    EXPECT_NEAR(value.value / expected.value, 1.0, rounding_limit(dtype(), rounding));
    for (const auto &[name, gradient] : expected.gradients) {
      const double limit =
          gradient.abs().max().item<double>() == 0.0 ? 0.0 : rounding_limit(dtype(), rounding);
      EXPECT_LE(deviation(value.gradients.at(name), gradient), limit) << name;
    }
    const at::Tensor alone = loss_of(twins, x, target, loss, batch, false);
    EXPECT_NEAR(alone.item<double>() / expected.value, 1.0, rounding_limit(dtype(), rounding));
  }

  void check_all(Twins &twins, const at::Tensor &x, DeviceBatch *batch = nullptr) {
    for (const Loss loss : {Loss::SCORE, Loss::MOBILE_FORCES, Loss::ALL_FORCES})
      check(twins, x, loss, batch);
  }
};

INSTANTIATE_TEST_SUITE_P(Types, EngineGradients, testing::Values(at::kDouble, at::kFloat),
                         godiff_test::type_name);

TEST_P(EngineGradients, EveryKindOfSystem) {
  for (const EngineCase &c : engine_cases()) {
    SCOPED_TRACE(c.name);
    Twins twins(c.system, short_network(), dtype());
    check_all(twins, c.positions);
  }
}

// The same losses where the graphs of the structures are built on the device of Kokkos.
TEST_P(EngineGradients, DeviceBatches) {
  if (godiff::kernels::implementation(c10::kCPU) != godiff::kernels::Implementation::KOKKOS)
    GTEST_SKIP() << "only the functors of Kokkos build graphs on a device";
  int tried = 0;
  for (const EngineCase &c : engine_cases()) {
    SCOPED_TRACE(c.name);
    Twins twins(c.system, short_network(), dtype());
    const at::Tensor z = c.positions.select(2, 2), x = c.positions.contiguous();
    const auto batch =
        twins.engine.device_batch(x.size(0), z.min().item<double>(), z.max().item<double>());
    if (!batch)
      continue;
    ++tried;
    check_all(twins, x, batch.get());
    // Another content of the same tensors; the score of before is not in them.
    check_all(twins, x.flip(0).contiguous(), batch.get());
    EXPECT_NO_THROW(godiff::ScoreEngine::check(*batch));
    const at::Tensor t = spread_times(x.size(0));
    EXPECT_LE(deviation(twins.engine.score(*batch, x, t).to(at::kDouble),
                        twins.engine.score(x, t).to(at::kDouble)),
              dtype() == at::kDouble ? 1e-12 : 1e-4);
  }
  EXPECT_GE(tried, 5);
}

TEST_P(EngineGradients, EveryShapeOfNetwork) {
  const System alloy = small_alloy({true, true, false});
  const at::Tensor x = godiff_test::noised(godiff_test::small_alloy_mobile(), 2, 0.2, 30);
  for (const int nblock : {1, 2, 3, 4, 6})
    for (const int nfeat : {16, 32, 64, 128}) {
      SCOPED_TRACE(std::to_string(nblock) + " blocks, " + std::to_string(nfeat) + " features");
      NetworkSettings shape = short_network();
      shape.nblock = nblock;
      shape.nfeat = nfeat;
      shape.nrbf = 7 + nblock;
      Twins twins(alloy, shape, dtype());
      check_all(twins, x);
    }
}

TEST_P(EngineGradients, NetworkOfThePaper) {
  Twins s1(godiff_test::stepped_pt(), full_network(), dtype());
  check_all(s1, scattered(s1.system, 3, 32));
  Twins s2(heptamer_pt(), full_network(), dtype());
  check_all(s2, godiff_test::noised(godiff_test::heptamer(), 2, 0.3, 33));
}

TEST_P(EngineGradients, EverySizeOfBatch) {
  Twins adatom(godiff_test::stepped_pt(), short_network(), dtype());
  Twins island(heptamer_pt(), short_network(), dtype());
  for (const std::int64_t batch : {1, 3, 16, 37, 2}) {
    SCOPED_TRACE("batch " + std::to_string(batch));
    check_all(adatom, scattered(adatom.system, batch, 40 + batch));
    check(island, scattered(island.system, batch, 40 + batch), Loss::SCORE);
  }
}

TEST_P(EngineGradients, LargeSlab) {
  Twins twins(fcc111(12, 4, 7), short_network(), dtype());
  check_all(twins, scattered(twins.system, 2, 52));
}

TEST_P(EngineGradients, ReceptiveFields) {
  const EngineCase c = godiff_test::many_hops();
  for (const int nblock : {1, 2, 3, 4, 5, 6}) {
    SCOPED_TRACE(std::to_string(nblock) + " blocks");
    NetworkSettings shape = short_network();
    shape.cutoff = 3.2;
    shape.nblock = nblock;
    Twins twins(c.system, shape, dtype());
    check_all(twins, c.positions);
  }
}

// Every pair of this template has filters of its own, and every part of a batch has gradients of all
// of them, 14 MB. More parts than fit in memory get several structures each.
class EngineParts : public EngineGradients {};
INSTANTIATE_TEST_SUITE_P(Types, EngineParts, testing::Values(at::kDouble), godiff_test::type_name);

TEST_P(EngineParts, MoreStructuresThanParts) {
  NetworkSettings shape = short_network();
  shape.nfeat = 64;
  shape.nblock = 2;
  Twins twins(godiff_test::displaced(fcc111(8, 4, 2), 0.1), shape, dtype());
  EXPECT_GT(twins.engine.template_edges(), 8000);
  check(twins, scattered(twins.system, 24, 53), Loss::SCORE);
}

// The weights of the loss: a structure of weight 0 teaches nothing, twice the weight twice as much.
TEST_P(EngineGradients, WeightsOfStructures) {
  Twins twins(heptamer_pt(), short_network(), dtype());
  const at::Tensor x = scattered(twins.system, 4, 61);
  const auto gradient = [&](const std::vector<double> &weight, const at::Tensor &positions) {
    LeastSquares target = some_target(twins.system, 4, Loss::SCORE);
    target.weight = at::tensor(weight, at::kDouble);
    twins.engine.score_gradient(positions, spread_times(4), target);
    return twins.network.parameters().flat_gradient().clone();
  };
  const double limit = rounding_limit(dtype(), 0.0);
  at::Tensor moved = x.clone();
  moved.narrow(0, 2, 2).add_(0.7);
  EXPECT_LE(deviation(gradient({1, 2, 0, 0}, moved), gradient({1, 2, 0, 0}, x)), limit);
  EXPECT_LE(deviation(gradient({2, 4, 6, 8}, x), 2.0 * gradient({1, 2, 3, 4}, x)), limit);
  const at::Tensor parts = gradient({1, 2, 0, 0}, x) + gradient({0, 0, 3, 4}, x);
  EXPECT_LE(deviation(parts, gradient({1, 2, 3, 4}, x)), limit);
  EXPECT_EQ(gradient({0, 0, 0, 0}, x).abs().max().item<double>(), 0.0);
}

TEST_P(EngineGradients, AnyNumberOfThreadsSameBits) {
  if (!godiff_test::by_rows())
    GTEST_SKIP() << "here the matrix products of LibTorch use all of its threads, and their bits "
                    "depend on them";
  Twins twins(heptamer_pt(), full_network(), dtype());
  const int before = at::get_num_threads();
  for (const std::int64_t batch : {1, 19})
    for (const Loss loss : {Loss::SCORE, Loss::ALL_FORCES}) {
      const at::Tensor x = scattered(twins.system, batch, 70);
      const LeastSquares target = some_target(twins.system, batch, loss);
      at::set_num_threads(1);
      const Outcome one = fast(twins, x, target, loss);
      for (const int threads : {1, 2, 3}) {
        at::set_num_threads(threads);
        const Outcome more = fast(twins, x, target, loss);
        EXPECT_EQ(more.value, one.value) << threads << " threads, " << name_of(loss);
        for (const auto &[name, gradient] : one.gradients)
          EXPECT_TRUE(at::equal(more.gradients.at(name), gradient))
              << threads << " threads, " << name_of(loss) << ", " << name;
      }
    }
  at::set_num_threads(before);
}

// The head that a loss does not use, and elements that are not there, have no gradient at all.
TEST_P(EngineGradients, ExactZeros) {
  const System alloy = small_alloy({true, true, false});
  Twins twins(alloy, short_network(), dtype());
  const at::Tensor x = godiff_test::noised(godiff_test::small_alloy_mobile(), 2, 0.2, 62);
  const std::set<int> present(alloy.atomic_numbers.begin(), alloy.atomic_numbers.end());
  for (const Loss loss : {Loss::SCORE, Loss::MOBILE_FORCES, Loss::ALL_FORCES}) {
    const Outcome out = fast(twins, x, some_target(alloy, 2, loss), loss);
    const std::string head = loss == Loss::SCORE ? "score." : "force.";
    const std::string other = loss == Loss::SCORE ? "force." : "score.";
    for (const auto &[name, gradient] : out.gradients) {
      if (name.rfind(other, 0) == 0)
        EXPECT_EQ(gradient.abs().max().item<double>(), 0.0) << name;
      else
        EXPECT_GT(gradient.abs().max().item<double>(), 0.0) << name;
    }
    // Row 0 of the last layer makes the scalar output, which is dropped.
    EXPECT_EQ(out.gradients.at(head + "2.1.weight")[0].abs().max().item<double>(), 0.0);
    EXPECT_EQ(out.gradients.at(head + "2.1.bias")[0].item<double>(), 0.0);
    const at::Tensor rows = out.gradients.at("painn.embedding.weight").abs().amax({1});
    for (int z = 0; z < 100; ++z)
      EXPECT_EQ(rows[z].item<double>() > 0.0, present.count(z) == 1) << z;
  }
}

// Gradients belong to the weights of their own call.
TEST_P(EngineGradients, FollowTheWeights) {
  Twins twins(heptamer_pt(), short_network(), dtype());
  const at::Tensor x = scattered(twins.system, 3, 63);
  for (const std::uint64_t seed : {6, 7, 8}) {
    godiff::reference::randomise(twins.exact.parameters(), seed);
    twins.set_weights(twins.exact.parameters().flat().clone());
    check_all(twins, x);
  }
}

}  // namespace
