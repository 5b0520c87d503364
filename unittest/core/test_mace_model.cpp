// SPDX-License-Identifier: GPL-2.0-only
// Evaluating graphs with MACE models. Golden values: parity/test_mace_parity.cpp.
#include "core/mace/model.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "mace/golden_models.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::MaceGraph;
using godiff::MaceModel;
using godiff::MaceOptions;
using godiff::MacePrecision;
using godiff::MaceResult;
using godiff_test::message_of;
using golden_models::graph_of;
using golden_models::largest_difference;
using golden_models::load;
using golden_models::structure;

// One model in double precision, one in single with two heads and pair repulsion.
const char *const PT = "pt_two_layers";
const char *const PTO = "pto_two_heads";

// Rounding of sums in another order, of numbers of about 1 to 10.
constexpr double ROUNDING = 1e-12;

MaceModel &pt() {
  static const auto model = load(PT);
  return *model;
}

MaceResult evaluate(MaceModel &model, const MaceGraph &graph, bool gradients = true) {
  MaceResult result;
  model.evaluate(graph, gradients, result);
  return result;
}

TEST(MaceModel, GradientsAreFiniteDifferences) {
  MaceOptions options;
  options.precision = MacePrecision::DOUBLE;
  for (const char *name : {PT, PTO}) {
    const auto model = load(name, options);
    MaceGraph graph = graph_of(structure(name, "cluster"), model->info());
    const MaceResult result = evaluate(*model, graph);
    ASSERT_EQ(result.edge_gradients.size(), graph.vectors.size());
    // Error of a central difference: third derivatives times 1e-8 and rounding over 1e-4.
    constexpr double STEP = 1e-4;
    for (std::size_t k = 0; k < graph.vectors.size(); k += 5) {
      const double at = graph.vectors[k];
      graph.vectors[k] = at + STEP;
      const double up = evaluate(*model, graph, false).energies[0];
      graph.vectors[k] = at - STEP;
      const double down = evaluate(*model, graph, false).energies[0];
      graph.vectors[k] = at;
      EXPECT_NEAR(result.edge_gradients[k], (up - down) / (2 * STEP), 1e-6) << name << " " << k;
    }
  }
}

TEST(MaceModel, GraphsTogetherAreGraphsOneByOne) {
  MaceGraph together;
  MaceResult one_by_one;
  for (const char *which : {"slab", "atom", "triclinic", "dimer", "cluster"}) {
    const nlohmann::json found = structure(PT, which);
    golden_models::append(found, pt().info(), together);
    const MaceResult single = evaluate(pt(), graph_of(found, pt().info()));
    for (auto [to, from] : {std::pair(&one_by_one.energies, &single.energies),
                            std::pair(&one_by_one.node_energies, &single.node_energies),
                            std::pair(&one_by_one.edge_gradients, &single.edge_gradients)})
      to->insert(to->end(), from->begin(), from->end());
  }
  const MaceResult all = evaluate(pt(), together);
  EXPECT_LE(largest_difference(all.energies, one_by_one.energies), 40 * ROUNDING);
  EXPECT_LE(largest_difference(all.node_energies, one_by_one.node_energies), ROUNDING);
  EXPECT_LE(largest_difference(all.edge_gradients, one_by_one.edge_gradients), ROUNDING);
}

TEST(MaceModel, EnergiesAloneAreTheSame) {
  const MaceGraph graph = graph_of(structure(PT, "slab"), pt().info());
  const MaceResult both = evaluate(pt(), graph);
  const MaceResult alone = evaluate(pt(), graph, false);
  EXPECT_LE(largest_difference(alone.node_energies, both.node_energies), ROUNDING);
  EXPECT_LE(largest_difference(alone.energies, both.energies), 14 * ROUNDING);
  EXPECT_TRUE(alone.edge_gradients.empty());
}

TEST(MaceModel, OnlyTheNodesThatCountAreSummed) {
  MaceGraph graph = graph_of(structure(PT, "slab"), pt().info());
  const MaceResult all = evaluate(pt(), graph);
  // The gradients of a sum are the sum of the gradients of its parts.
  std::vector<double> gradients(graph.vectors.size(), 0.0);
  for (const int part : {0, 1}) {
    graph.counted.assign(graph.species.size(), 0);
    for (std::size_t n = 0; n < graph.counted.size(); ++n)
      graph.counted[n] = n % 3 == 0 ? part : 1 - part;
    const MaceResult result = evaluate(pt(), graph);
    EXPECT_LE(largest_difference(result.node_energies, all.node_energies), ROUNDING);
    double sum = 0.0;
    for (std::size_t n = 0; n < graph.counted.size(); ++n)
      sum += graph.counted[n] ? all.node_energies[n] : 0.0;
    EXPECT_NEAR(result.energies[0], sum, 14 * ROUNDING);
    EXPECT_GT(std::fabs(result.energies[0] - all.energies[0]), 1.0);
    for (std::size_t k = 0; k < gradients.size(); ++k)
      gradients[k] += result.edge_gradients[k];
  }
  EXPECT_LE(largest_difference(gradients, all.edge_gradients), ROUNDING);
}

TEST(MaceModel, NodesWithoutEdges) {
  const nlohmann::json apart = structure(PT, "apart");
  const MaceGraph graph = graph_of(apart, pt().info());
  ASSERT_EQ(graph.n_edges(), 0);
  for (const bool gradients : {false, true}) {
    const MaceResult result = evaluate(pt(), graph, gradients);
    EXPECT_LE(largest_difference(result.node_energies, apart.at("results")[0].at("node_energies")),
              ROUNDING);
    EXPECT_TRUE(result.edge_gradients.empty());
  }
}

TEST(MaceModel, GraphsWithoutNodes) {
  MaceGraph graph;
  MaceResult result;
  result.node_energies = result.edge_gradients = {1.0};  // of an earlier call
  pt().evaluate(graph, true, result);
  EXPECT_TRUE(result.energies.empty());
  EXPECT_TRUE(result.node_energies.empty());
  EXPECT_TRUE(result.edge_gradients.empty());
  graph.first_node = {0, 0, 0};
  pt().evaluate(graph, true, result);
  EXPECT_EQ(result.energies, (std::vector<double>{0.0, 0.0}));

  // Between, before and after graphs with nodes.
  graph.first_node = {0, 0};
  const nlohmann::json cluster = structure(PT, "cluster");
  golden_models::append(cluster, pt().info(), graph);
  graph.first_node.push_back(graph.n_nodes());
  golden_models::append(cluster, pt().info(), graph);
  graph.first_node.push_back(graph.n_nodes());
  pt().evaluate(graph, true, result);
  const double energy = evaluate(pt(), graph_of(cluster, pt().info())).energies[0];
  EXPECT_LE(largest_difference(result.energies, {0.0, energy, 0.0, energy, 0.0}), 14 * ROUNDING);
}

TEST(MaceModel, GraphsThatDoNotFitTogetherAreRefused) {
  const MaceGraph good = graph_of(structure(PT, "dimer"), pt().info());
  const auto refusal = [&](auto change) {
    MaceGraph graph = good;
    change(graph);
    return message_of<Error>([&] { evaluate(pt(), graph); });
  };
  EXPECT_EQ(refusal([](MaceGraph &) {}), "");
  EXPECT_EQ(refusal([](MaceGraph &g) { g.species[1] = 1; }), "a node has species 1 of 1");
  EXPECT_EQ(refusal([](MaceGraph &g) { g.species[1] = -1; }), "a node has species -1 of 1");
  EXPECT_EQ(refusal([](MaceGraph &g) { g.senders[0] = 2; }), "an edge ends at node 2 of 2");
  EXPECT_EQ(refusal([](MaceGraph &g) { g.receivers[1] = -1; }), "an edge ends at node -1 of 2");
  EXPECT_EQ(refusal([](MaceGraph &g) { g.vectors.pop_back(); }),
            "a graph has 2 senders, 2 receivers and 5 vector components");
  EXPECT_EQ(refusal([](MaceGraph &g) { g.counted = {1}; }), "a graph counts 1 of 2 nodes");
  EXPECT_EQ(refusal([](MaceGraph &g) {
              g.first_node = {0, 1};
            }),
            "the graphs do not have the 2 nodes between them");
}

// A kept tensor of the last graph must not be used for the next one.
TEST(MaceModel, GraphsThatChange) {
  MaceOptions options;
  options.precision = MacePrecision::DOUBLE;
  const auto model = load(PTO, options);
  for (const char *which : {"cluster", "slab", "cluster", "atom"}) {
    MaceGraph graph = graph_of(structure(PTO, which), model->info());
    for (int turn = 0; turn < 3; ++turn) {
      // With a dimer behind it is another graph, of which nothing is kept.
      MaceGraph longer = graph;
      golden_models::append(structure(PTO, "dimer"), model->info(), longer);
      std::vector<double> expected = evaluate(*model, longer).node_energies;
      expected.resize(graph.species.size());
      EXPECT_LE(largest_difference(evaluate(*model, graph).node_energies, expected), ROUNDING);
      EXPECT_LE(largest_difference(evaluate(*model, graph).node_energies, expected), ROUNDING);
      graph.species[0] = 1 - graph.species[0];
    }
  }
}

TEST(MaceModel, WhatTheProcessHadIsPutBack) {
  for (const bool optimize : {false, true}) {
    const bool gradients = !optimize;
    const torch::jit::GraphOptimizerEnabledGuard optimizer(optimize);
    const c10::AutoGradMode mode(gradients);
    const auto dtype = c10::get_default_dtype();
    const auto model = load(PT);
    const MaceGraph graph = graph_of(structure(PT, "dimer"), model->info());
    evaluate(*model, graph, true);
    evaluate(*model, graph, false);
    EXPECT_EQ(torch::jit::getGraphExecutorOptimize(), optimize);
    EXPECT_EQ(c10::GradMode::is_enabled(), gradients);
    EXPECT_EQ(c10::get_default_dtype(), dtype);
  }
}

TEST(MaceModel, OptimisedScriptsGiveTheSame) {
  MaceOptions options;
  options.jit = true;
  const auto model = load(PT, options);
  const MaceGraph graph = graph_of(structure(PT, "cluster"), model->info());
  const MaceResult plain = evaluate(pt(), graph);
  // The first calls profile, later ones run what was optimised.
  for (int call = 0; call < 4; ++call) {
    const MaceResult result = evaluate(*model, graph);
    EXPECT_LE(largest_difference(result.node_energies, plain.node_energies), ROUNDING);
    EXPECT_LE(largest_difference(result.edge_gradients, plain.edge_gradients), ROUNDING);
  }
}

TEST(MaceModel, TimesAddUp) {
  const auto model = load(PT);
  EXPECT_EQ(model->times().forward, 0.0);
  EXPECT_EQ(model->times().backward, 0.0);
  const MaceGraph graph = graph_of(structure(PT, "slab"), model->info());
  evaluate(*model, graph, false);
  const double forward = model->times().forward;
  EXPECT_GT(forward, 0.0);
  EXPECT_EQ(model->times().backward, 0.0);
  evaluate(*model, graph, true);
  EXPECT_GT(model->times().forward, forward);
  EXPECT_GT(model->times().backward, 0.0);
}

TEST(MaceModel, OutOfMemoryIsTold) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer needs more address space than this test leaves";
#endif
  // Edges whose features alone take gigabytes.
  const MaceGraph small = graph_of(structure(PT, "dimer"), pt().info());
  MaceGraph graph = small;
  for (int doubling = 0; doubling < 18; ++doubling) {
    graph.senders.insert(graph.senders.end(), graph.senders.begin(), graph.senders.end());
    graph.receivers.insert(graph.receivers.end(), graph.receivers.begin(), graph.receivers.end());
    const std::vector<double> vectors = graph.vectors;
    graph.vectors.insert(graph.vectors.end(), vectors.begin(), vectors.end());
  }
  rlimit saved;
  getrlimit(RLIMIT_AS, &saved);
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit = saved;
  limit.rlim_cur = static_cast<rlim_t>(pages * 4096 + (512 << 20));
  setrlimit(RLIMIT_AS, &limit);
  const std::string message = message_of<godiff::MaceOutOfMemory>([&] { evaluate(pt(), graph); });
  setrlimit(RLIMIT_AS, &saved);
  EXPECT_EQ(
      message.rfind("the MACE model ran out of memory (2 atoms, 524288 edges in a call): ", 0), 0u)
      << message;
  // It works on.
  EXPECT_LE(std::fabs(evaluate(pt(), small).energies[0] -
                      structure(PT, "dimer").at("results")[0].at("energy").get<double>()),
            1e-9);
}

}  // namespace
