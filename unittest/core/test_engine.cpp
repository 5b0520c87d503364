// SPDX-License-Identifier: GPL-2.0-only
// Scores and forces of the engine against the reference network, every edge of every structure
// written out, and what a search relies on: same bits for any number of threads, no allocations.
#include "core/network/score_engine.hpp"

#include <atomic>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/ScalarType.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "engine_cases.hpp"

namespace {

using godiff::Error;
using godiff::LeastSquares;
using godiff::NetworkSettings;
using godiff::ScoreEngine;
using godiff::System;
using godiff::reference::BatchGraph;
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

class Engine : public testing::TestWithParam<at::ScalarType> {
protected:
  at::ScalarType dtype() const { return GetParam(); }

  using Plain =
      std::function<at::Tensor(const godiff::reference::ScoreNetwork &, const BatchGraph &)>;

  void expect_close(Twins &twins, const at::Tensor &x, const at::Tensor &value, const Plain &plain,
                    const char *what) {
    at::NoGradGuard no_grad;
    const at::Tensor expected = plain(twins.exact, twins.graph(x, at::kDouble));
    double rounding = 0.0;
    if (dtype() == at::kFloat)
      rounding = deviation(plain(twins.rounded, twins.graph(x, at::kFloat)), expected);
    ASSERT_LT(rounding, 1e-3) << what << ": float32 is not up to this";
    EXPECT_EQ(value.scalar_type(), dtype()) << what;
    EXPECT_LE(deviation(value, expected), rounding_limit(dtype(), rounding)) << what;
  }

  /// Scores and forces of these structures.
  void check(Twins &twins, const at::Tensor &x) {
    const at::Tensor t = spread_times(x.size(0));
    const at::Tensor z = godiff::reference::atomic_numbers(twins.system);
    expect_close(
        twins, x, twins.engine.score(x, t),
        [&](const auto &network, const auto &graph) { return network.score(graph, z, t); },
        "score");
    for (const bool mobile_only : {true, false})
      expect_close(
          twins, x, twins.engine.forces(x, mobile_only),
          [&](const auto &network, const auto &graph) {
            return network.forces(graph, z, mobile_only);
          },
          mobile_only ? "forces of the mobile atoms" : "forces of all atoms");
  }
};

INSTANTIATE_TEST_SUITE_P(Types, Engine, testing::Values(at::kDouble, at::kFloat),
                         godiff_test::type_name);

TEST_P(Engine, EveryKindOfSystem) {
  for (const EngineCase &c : engine_cases()) {
    SCOPED_TRACE(c.name);
    Twins twins(c.system, short_network(), dtype());
    check(twins, c.positions);
  }
}

// A cutoff beyond three cells, and one that leaves the template without a single edge.
TEST_P(Engine, OtherCutoffs) {
  for (const double cutoff : {2.0, 3.5, 11.0}) {
    NetworkSettings shape = short_network();
    shape.cutoff = cutoff;
    for (const EngineCase &c : engine_cases())
      if (c.name.rfind("alloy", 0) == 0 || c.name == "out of reach") {
        SCOPED_TRACE(c.name + ", cutoff " + std::to_string(cutoff));
        Twins twins(c.system, shape, dtype());
        check(twins, c.positions);
      }
  }
}

TEST_P(Engine, EveryShapeOfNetwork) {
  const System alloy = small_alloy({true, true, false}), slab = fcc111(3, 2, 2);
  const at::Tensor on_alloy = godiff_test::noised(godiff_test::small_alloy_mobile(), 2, 0.2, 30);
  const at::Tensor on_slab = scattered(slab, 2, 31);
  for (const int nblock : {1, 2, 3, 4, 6})
    for (const int nfeat : {16, 32, 64, 128}) {
      SCOPED_TRACE(std::to_string(nblock) + " blocks, " + std::to_string(nfeat) + " features");
      NetworkSettings shape = short_network();
      shape.nblock = nblock;
      shape.nfeat = nfeat;
      shape.nrbf = 7 + nblock;
      Twins on_three_elements(alloy, shape, dtype()), on_one_element(slab, shape, dtype());
      check(on_three_elements, on_alloy);
      check(on_one_element, on_slab);
    }
}

TEST_P(Engine, NetworkOfThePaper) {
  Twins s1(godiff_test::stepped_pt(), full_network(), dtype());
  check(s1, scattered(s1.system, 3, 32));
  Twins s2(heptamer_pt(), full_network(), dtype());
  check(s2, godiff_test::noised(godiff_test::heptamer(), 2, 0.3, 33));
  check(s2, scattered(s2.system, 2, 34));
}

// Several chunks, full and partly filled; afterwards a small batch again.
TEST_P(Engine, EverySizeOfBatch) {
  Twins adatom(godiff_test::stepped_pt(), short_network(), dtype());
  Twins island(heptamer_pt(), short_network(), dtype());
  for (const std::int64_t batch : {1, 3, 16, 37, 2}) {
    SCOPED_TRACE("batch " + std::to_string(batch));
    check(adatom, scattered(adatom.system, batch, 40 + batch));
    check(island, scattered(island.system, batch, 40 + batch));
  }
  const at::Tensor nothing = at::empty({0, 7, 3}, at::kDouble), never = at::empty({0}, at::kDouble);
  EXPECT_EQ(island.engine.score(nothing, never).sizes(), nothing.sizes());
  EXPECT_EQ(island.engine.forces(nothing, true).sizes(), nothing.sizes());
}

// Larger than what three blocks reach: most of the template is not seen, and what is seen differs
// from structure to structure. Islands in the middle, across the faces of the cell, and spread.
TEST_P(Engine, LargeSlab) {
  Twins twins(fcc111(12, 4, 7), short_network(), dtype());
  std::vector<double> island = godiff_test::heptamer();
  for (std::size_t k = 2; k < island.size(); k += 3)
    island[k] += 2.0 * godiff_test::LATTICE / std::sqrt(3.0);
  std::vector<double> corner = island;
  for (std::size_t k = 0; k < corner.size(); k += 3) {
    corner[k] -= island[0];
    corner[k + 1] -= island[1];
  }
  check(twins, at::cat({godiff_test::noised(island, 1, 0.1, 50),
                        godiff_test::noised(corner, 1, 0.1, 51), scattered(twins.system, 1, 52)}));
  Twins crowded(fcc111(12, 4, 56), short_network(), dtype());
  check(crowded, scattered(crowded.system, 1, 53));
}

// Atoms that no mobile atom has reached yet, atoms that no wanted atom can hear any more, and those
// between, for every number of blocks.
TEST_P(Engine, ReceptiveFields) {
  const EngineCase c = godiff_test::many_hops();
  for (const int nblock : {1, 2, 3, 4, 5, 6}) {
    SCOPED_TRACE(std::to_string(nblock) + " blocks");
    NetworkSettings shape = short_network();
    shape.cutoff = 3.2;
    shape.nblock = nblock;
    Twins twins(c.system, shape, dtype());
    check(twins, c.positions);
  }
}

// What a structure gets hardly depends on its batch: chunks of another size may sum in another order.
TEST_P(Engine, BatchEqualsOneByOne) {
  Twins twins(heptamer_pt(), full_network(), dtype());
  const at::Tensor x = scattered(twins.system, 5, 60), t = spread_times(5);
  const at::Tensor score = twins.engine.score(x, t).clone();
  const at::Tensor forces = twins.engine.forces(x, true).clone();
  // float32: a few units of 6e-8 per layer.
  const double tolerance = dtype() == at::kDouble ? 1e-12 : 2e-5;
  for (int g = 0; g < 5; ++g) {
    EXPECT_LE(deviation(twins.engine.score(x.narrow(0, g, 1), t.narrow(0, g, 1))[0], score[g]),
              tolerance);
    EXPECT_LE(deviation(twins.engine.forces(x.narrow(0, g, 1), true)[0], forces[g]), tolerance);
  }
}

TEST_P(Engine, AnyNumberOfThreadsSameBits) {
  if (!godiff_test::by_rows())
    GTEST_SKIP() << "here the matrix products of LibTorch use all of its threads, and their bits "
                    "depend on them";
  Twins twins(heptamer_pt(), full_network(), dtype());
  const int before = at::get_num_threads();
  for (const std::int64_t batch : {1, 5, 37}) {
    const at::Tensor x = scattered(twins.system, batch, 70), t = spread_times(batch);
    std::vector<at::Tensor> score, mobile, all;
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      score.push_back(twins.engine.score(x, t).clone());
      mobile.push_back(twins.engine.forces(x, true).clone());
      all.push_back(twins.engine.forces(x, false).clone());
      EXPECT_TRUE(at::equal(score.back(), score[0])) << threads << " threads, score";
      EXPECT_TRUE(at::equal(mobile.back(), mobile[0])) << threads << " threads, forces";
      EXPECT_TRUE(at::equal(all.back(), all[0])) << threads << " threads, forces of all atoms";
    }
  }
  at::set_num_threads(before);
}

// Nothing that one call leaves behind may reach the next one.
TEST_P(Engine, CallsDoNotDisturbEachOther) {
  Twins twins(heptamer_pt(), short_network(), dtype());
  const at::Tensor x = scattered(twins.system, 20, 80), t = spread_times(20);
  const at::Tensor other = godiff_test::noised(godiff_test::heptamer(), 3, 0.1, 81) + 40.0;
  const at::Tensor score = twins.engine.score(x, t);
  const at::Tensor first = score.clone();
  const at::Tensor forces = twins.engine.forces(x, false);
  const at::Tensor first_forces = forces.clone();
  const LeastSquares target{at::ones({3, 7, 3}, at::kDouble), at::ones({3}, at::kDouble),
                            at::ones({3}, at::kDouble)};
  const auto disturb = [&] {
    twins.engine.score(other, spread_times(3));
    twins.engine.score_gradient(other, spread_times(3), target);
    twins.engine.forces(other, true);
    twins.engine.force_gradient(other, target);
    twins.engine.force_loss(other, target);
  };
  disturb();
  EXPECT_TRUE(at::equal(score, first)) << "a result was overwritten by a later call";
  EXPECT_TRUE(at::equal(forces, first_forces)) << "a result was overwritten by a later call";
  EXPECT_TRUE(at::equal(twins.engine.score(x, t), first));
  disturb();
  EXPECT_TRUE(at::equal(twins.engine.forces(x, false), first_forces));
  EXPECT_TRUE(at::equal(twins.engine.score(x, t), first));
}

TEST_P(Engine, FollowsTheWeights) {
  Twins twins(heptamer_pt(), short_network(), dtype());
  ScoreEngine second(twins.system, twins.network);
  const at::Tensor x = scattered(twins.system, 3, 90), t = spread_times(3);
  check(twins, x);
  const at::Tensor before = second.score(x, t).clone();

  // All at once.
  at::Tensor weights = twins.exact.parameters().flat().clone();
  weights *= 1.1;
  twins.set_weights(weights);
  check(twins, x);
  EXPECT_GT(deviation(second.score(x, t), before), 1e-3);
  EXPECT_TRUE(at::equal(second.score(x, t), twins.engine.score(x, t)));

  twins.network.initialise(3);
  twins.exact.parameters().flat().copy_(twins.network.parameters().flat());
  twins.rounded.parameters().flat().copy_(twins.network.parameters().flat());
  check(twins, x);
  twins.set_weights(weights);
  check(twins, x);

  // One tensor at a time: each reaches the score or the forces, none is remembered for too long.
  for (const std::string &name : twins.network.parameters().names()) {
    SCOPED_TRACE(name);
    const at::Tensor score = twins.engine.score(x, t).clone();
    const at::Tensor forces = twins.engine.forces(x, true).clone();
    twins.network.parameters()[name].detach().mul_(1.1);
    twins.network.parameters().touch();
    const bool biased = name == "score.2.1.weight" || name == "force.2.1.weight";
    const double change = deviation(twins.engine.score(x, t), score) +
                          deviation(twins.engine.forces(x, true), forces);
    EXPECT_GT(change, biased ? 0.0 : 1e-9);
    at::NoGradGuard no_grad;
    twins.exact.parameters().flat().copy_(twins.network.parameters().flat());
    twins.rounded.parameters().flat().copy_(twins.network.parameters().flat());
  }
  check(twins, x);
}

TEST_P(Engine, TimeReachesTheScoreOnly) {
  Twins twins(heptamer_pt(), short_network(), dtype());
  const at::Tensor x = scattered(twins.system, 2, 91);
  const at::Tensor early = twins.engine.score(x, at::full({2}, 0.2, at::kDouble)).clone();
  const at::Tensor late = twins.engine.score(x, at::full({2}, 0.7, at::kDouble)).clone();
  EXPECT_GT(deviation(late, early), 1e-3);
  const at::Tensor mixed = twins.engine.score(x, at::tensor({0.7, 0.2}, at::kDouble));
  EXPECT_LE(deviation(mixed[0], late[0]), rounding_limit(dtype(), 0.0));
  EXPECT_LE(deviation(mixed[1], early[1]), rounding_limit(dtype(), 0.0));
}

TEST_P(Engine, IsolatedAtomsScoreZero) {
  Twins twins(fcc111(3, 2, 3), short_network(), dtype());
  const at::Tensor x =
      at::tensor({1.4, 0.8, 4.2, 4.0, 2.5, 4.4, 5.0, 5.0, 24.0}, at::kDouble).view({1, 3, 3});
  EXPECT_EQ(twins.engine.score(x, spread_times(1))[0][2].abs().max().item<double>(), 0.0);
  const at::Tensor forces = twins.engine.forces(x, true);
  EXPECT_EQ(forces[0][2].abs().max().item<double>(), 0.0);
  EXPECT_GT(forces[0][1].abs().max().item<double>(), 1e-6);
}

TEST(EngineRefusals, NoForceHead) {
  NetworkSettings shape = short_network();
  shape.force_head = false;
  Twins twins(heptamer_pt(), shape, at::kFloat);
  const at::Tensor x = scattered(twins.system, 2, 92);
  EXPECT_EQ(twins.engine.score(x, spread_times(2)).size(1), 7);
  EXPECT_THROW(twins.engine.forces(x, true), Error);
  const LeastSquares target{at::ones({2, 7, 3}, at::kDouble), at::ones({2}, at::kDouble),
                            at::ones({2}, at::kDouble)};
  EXPECT_THROW(twins.engine.force_loss(x, target), Error);
  EXPECT_THROW(twins.engine.force_gradient(x, target), Error);
}

// The sanitizer ends this test where such a number becomes an integer.
TEST(EngineRefusals, AtomsThatAreNowhere) {
  const System system = small_alloy({true, true, false});
  Twins twins(system, short_network(), at::kFloat);
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e7, -1e300}) {
    at::Tensor x = scattered(system, 2, 7);
    x[1][1][1] = bad;
    try {
      twins.engine.score(x, spread_times(2));
      ADD_FAILURE() << bad;
    } catch (const Error &error) {
      EXPECT_EQ(std::string(error.what()).find("a mobile atom is at coordinate "), 0u)
          << error.what();
    }
  }
}

TEST(EngineRefusals, WrongShapes) {
  Twins twins(heptamer_pt(), short_network(), at::kFloat);
  const at::Tensor x = scattered(twins.system, 2, 93), t = spread_times(2);
  EXPECT_THROW(twins.engine.score(x.narrow(1, 0, 6), t), Error);
  EXPECT_THROW(twins.engine.score(x[0], t), Error);
  EXPECT_THROW(twins.engine.score(x, spread_times(3)), Error);
  EXPECT_THROW(twins.engine.score(x, spread_times(1)), Error);
  EXPECT_THROW(twins.engine.forces(x.narrow(2, 0, 2), true), Error);
  const at::Tensor one = at::ones({2}, at::kDouble);
  for (const LeastSquares &target :
       {LeastSquares{at::ones({2, 8, 3}, at::kDouble), one, one},
        LeastSquares{at::ones({3, 7, 3}, at::kDouble), one, one},
        LeastSquares{at::ones({2, 7, 3}, at::kDouble), one[0], one},
        LeastSquares{at::ones({2, 7, 3}, at::kDouble), one, at::ones({3}, at::kDouble)}}) {
    EXPECT_THROW(twins.engine.score_loss(x, t, target), Error);
    EXPECT_THROW(twins.engine.score_gradient(x, t, target), Error);
    EXPECT_THROW(twins.engine.force_gradient(x, target), Error);
  }
}

// Counts what is taken from LibTorch's allocator of the CPU, by any thread, while it lives.
class CountingAllocator : public c10::Allocator {
public:
  CountingAllocator() : inner_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, PRIORITY); }
  CountingAllocator(const CountingAllocator &) = delete;
  CountingAllocator &operator=(const CountingAllocator &) = delete;
  ~CountingAllocator() override { c10::SetCPUAllocator(inner_, PRIORITY); }

  c10::DataPtr allocate(std::size_t bytes) override {
    bytes_ += bytes;
    return inner_->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void *to, const void *from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  /// Bytes taken since the last call.
  std::size_t take() { return bytes_.exchange(0); }

private:
  static constexpr std::uint8_t PRIORITY = 200;
  c10::Allocator *inner_;
  std::atomic<std::size_t> bytes_{0};
};

// A search makes ten thousands of calls of the same shape: buffers are taken once. What is left are
// the result, copies of what is handed over and small temporaries: less than one table of features of
// the batch, of which a pass fills dozens (134 MB a call without sharing and buffers, in float64).
TEST_P(Engine, NoBuffersInSteadyState) {
  if (!godiff_test::by_rows())
    GTEST_SKIP()
        << "tables of the other kernels come from LibTorch, which keeps the memory of a GPU";
  Twins twins(heptamer_pt(), full_network(), dtype());
  constexpr std::int64_t BATCH = 16;
  const std::size_t table = BATCH * twins.system.n_atoms() * 64 * c10::elementSize(dtype());
  std::vector<at::Tensor> x;
  for (int k = 0; k < 6; ++k)
    x.push_back(scattered(twins.system, BATCH, 100 + k));
  const at::Tensor t = spread_times(BATCH);
  const LeastSquares target{at::ones({BATCH, 7, 3}, at::kDouble), at::ones({BATCH}, at::kDouble),
                            at::ones({BATCH}, at::kDouble)};
  const std::vector<std::function<void(const at::Tensor &)>> calls{
      [&](const at::Tensor &p) { twins.engine.score(p, t); },
      [&](const at::Tensor &p) { twins.engine.forces(p, true); },
      [&](const at::Tensor &p) { twins.engine.score_gradient(p, t, target); },
      [&](const at::Tensor &p) { twins.engine.force_gradient(p, target); }};
  for (std::size_t call = 0; call < calls.size(); ++call) {
    // The number of edges differs: the largest batch comes first.
    for (const at::Tensor &positions : x)
      calls[call](positions);
    CountingAllocator counter;
    for (const at::Tensor &positions : x)
      calls[call](positions);
    EXPECT_LT(counter.take() / x.size(), table) << "call " << call;
  }
}

}  // namespace
