// SPDX-License-Identifier: GPL-2.0-only
// Evaluating a graph by layers on several ranks gives what evaluating it as a whole gives.
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/mace/model.hpp"
#include "mace/golden_models.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::MaceExchange;
using godiff::MaceGraph;
using godiff::MaceOptions;
using godiff::MacePrecision;
using godiff::MaceResult;
using godiff_test::message_of;
using golden_models::graph_of;
using golden_models::largest_difference;
using golden_models::load;
using golden_models::structure;

// Ranks that are threads. Only one runs at a time, until it waits for the others.
class Ranks {
public:
  explicit Ranks(int size) : size_(size) {}

  template <class Work> void run(Work work) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size_; ++rank)
      threads.emplace_back([&, rank] {
        {
          std::unique_lock<std::mutex> lock(mutex_);
          moved_.wait(lock, [&] { return turn_ == rank; });
        }
        work(rank);
        next();
      });
    for (std::thread &thread : threads)
      thread.join();
  }

  /// Comes back when all ranks have called it.
  void wait_for_all(int rank) {
    next();
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait(lock, [&] { return turn_ == rank; });
  }

private:
  void next() {
    const std::lock_guard<std::mutex> lock(mutex_);
    turn_ = (turn_ + 1) % size_;
    moved_.notify_all();
  }

  int size_;
  int turn_ = 0;
  std::mutex mutex_;
  std::condition_variable moved_;
};

// A graph dealt to ranks.
struct Part {
  MaceGraph graph;
  std::int64_t n_owned = 0;
  std::vector<std::int64_t> nodes, edges;  // of the whole graph
  // What the exchange sees.
  void *rows = nullptr;
  std::vector<int> widths;
};

// owner[n]: rank of node n.
std::vector<Part> deal(const MaceGraph &whole, const std::vector<int> &owner, int ranks) {
  std::vector<Part> parts(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    Part &part = parts[rank];
    std::vector<std::int64_t> place(owner.size(), -1);
    const auto add = [&](std::int64_t node) {
      place[node] = static_cast<std::int64_t>(part.nodes.size());
      part.nodes.push_back(node);
      part.graph.species.push_back(whole.species[node]);
    };
    for (std::int64_t n = 0; n < whole.n_nodes(); ++n)
      if (owner[n] == rank)
        add(n);
    part.n_owned = part.graph.n_nodes();
    for (std::int64_t e = 0; e < whole.n_edges(); ++e) {
      if (owner[whole.receivers[e]] != rank)
        continue;
      if (place[whole.senders[e]] < 0)
        add(whole.senders[e]);
      part.edges.push_back(e);
      part.graph.senders.push_back(place[whole.senders[e]]);
      part.graph.receivers.push_back(place[whole.receivers[e]]);
      part.graph.vectors.insert(part.graph.vectors.end(), &whole.vectors[3 * e],
                                &whole.vectors[3 * e] + 3);
    }
    part.graph.first_node.push_back(part.graph.n_nodes());
  }
  return parts;
}

class ThreadExchange : public MaceExchange {
public:
  ThreadExchange(Ranks &ranks, std::vector<Part> &parts, int rank) :
      ranks_(ranks),
      parts_(parts),
      rank_(rank) {}

  void to_ghosts(float *rows, int width) override { ghosts(rows, width); }
  void to_ghosts(double *rows, int width) override { ghosts(rows, width); }
  void to_owners(float *rows, int width) override { owners(rows, width); }
  void to_owners(double *rows, int width) override { owners(rows, width); }

private:
  template <class Number, class Visit> void visit_ghosts(Number *rows, int width, Visit visit) {
    Part &mine = parts_[rank_];
    mine.rows = rows;
    mine.widths.push_back(width);
    ranks_.wait_for_all(rank_);
    for (std::size_t other = 0; other < parts_.size(); ++other)
      for (std::size_t g = parts_[other].n_owned; g < parts_[other].nodes.size(); ++g)
        for (std::int64_t n = 0; n < mine.n_owned; ++n)
          if (parts_[other].nodes[g] == mine.nodes[n])
            for (int c = 0; c < width; ++c)
              visit(static_cast<Number *>(parts_[other].rows)[g * width + c], rows[n * width + c]);
    ranks_.wait_for_all(rank_);
  }
  template <class Number> void ghosts(Number *rows, int width) {
    visit_ghosts(rows, width, [](Number &ghost, const Number &owner) { ghost = owner; });
  }
  template <class Number> void owners(Number *rows, int width) {
    visit_ghosts(rows, width, [](const Number &ghost, Number &owner) { owner += ghost; });
  }

  Ranks &ranks_;
  std::vector<Part> &parts_;
  int rank_;
};

struct Dealt {
  MaceResult result;  // put together again; energies: sum
  std::vector<Part> parts;
};

// A model for each rank: loading takes longer than evaluating.
using Models = std::vector<std::unique_ptr<godiff::MaceModel>>;

Models load_models(const std::string &name, int ranks, const MaceOptions &options = MaceOptions()) {
  Models models;
  for (int rank = 0; rank < ranks; ++rank)
    models.push_back(load(name, options));
  return models;
}

Dealt by_layers(const Models &models, const MaceGraph &whole, const std::vector<int> &owner,
                int ranks, bool gradients) {
  Dealt dealt;
  dealt.parts = deal(whole, owner, ranks);
  dealt.result.energies = {0.0};
  dealt.result.node_energies.resize(whole.species.size());
  if (gradients)
    dealt.result.edge_gradients.resize(whole.vectors.size());
  Ranks world(ranks);
  world.run([&](int rank) {
    Part &part = dealt.parts[rank];
    ThreadExchange exchange(world, dealt.parts, rank);
    MaceResult result;
    models[rank]->evaluate_layers(part.graph, part.n_owned, gradients, exchange, result);
    ASSERT_EQ(result.node_energies.size(), static_cast<std::size_t>(part.n_owned));
    ASSERT_EQ(result.edge_gradients.size(), gradients ? part.graph.vectors.size() : 0u);
    dealt.result.energies[0] += result.energies.at(0);
    for (std::int64_t n = 0; n < part.n_owned; ++n)
      dealt.result.node_energies[part.nodes[n]] = result.node_energies[n];
    for (std::size_t e = 0; gradients && e < part.edges.size(); ++e)
      std::copy_n(&result.edge_gradients[3 * e], 3,
                  &dealt.result.edge_gradients[3 * part.edges[e]]);
  });
  return dealt;
}

class MaceLayers : public testing::TestWithParam<std::string> {};

TEST_P(MaceLayers, RanksTogetherGiveWhatOneGives) {
  for (const MacePrecision precision : {MacePrecision::DOUBLE, MacePrecision::SINGLE}) {
    MaceOptions options;
    options.precision = precision;
    // Rounding of energies and gradients of about 1 to 10 eV.
    const double tolerance = precision == MacePrecision::DOUBLE ? 1e-11 : 2e-5;
    const Models models = load_models(GetParam(), 3, options);
    for (const char *which : {"slab", "cluster", "one_atom_cell"}) {
      const MaceGraph graph = graph_of(structure(GetParam(), which), models[0]->info());
      MaceResult whole;
      models[0]->evaluate(graph, true, whole);
      for (int ranks = 1; ranks <= 3; ++ranks) {
        SCOPED_TRACE(std::string(which) + " on " + std::to_string(ranks) + " ranks");
        std::vector<int> owner(graph.species.size());
        for (std::size_t n = 0; n < owner.size(); ++n)
          owner[n] = static_cast<int>(n * 7 / 3) % ranks;
        const Dealt dealt = by_layers(models, graph, owner, ranks, true);
        EXPECT_LE(largest_difference(dealt.result.energies, whole.energies), 14 * tolerance);
        EXPECT_LE(largest_difference(dealt.result.node_energies, whole.node_energies), tolerance);
        EXPECT_LE(largest_difference(dealt.result.edge_gradients, whole.edge_gradients), tolerance);
      }
    }
  }
}

// A rank without nodes, one whose nodes have no edges: all come to every exchange, with the same widths.
TEST_P(MaceLayers, EveryRankJoinsEveryExchange) {
  const Models models = load_models(GetParam(), 3);
  const godiff::MaceInfo &info = models[0]->info();
  const MaceGraph graph = graph_of(structure(GetParam(), "cluster"), info);
  MaceResult whole;
  models[0]->evaluate(graph, true, whole);
  const double tolerance = info.single_precision ? 2e-5 : 1e-11;
  const std::vector<int> forward = info.exchange_widths;
  std::vector<int> both = forward;
  both.insert(both.end(), forward.rbegin(), forward.rend());
  for (const int empty : {0, 1, 2})
    for (const bool gradients : {false, true}) {
      std::vector<int> owner(graph.species.size());
      for (std::size_t n = 0; n < owner.size(); ++n)
        owner[n] = (empty + 1 + static_cast<int>(n) % 2) % 3;
      const Dealt dealt = by_layers(models, graph, owner, 3, gradients);
      EXPECT_EQ(dealt.parts[empty].graph.n_nodes(), 0);
      for (const Part &part : dealt.parts)
        EXPECT_EQ(part.widths, gradients ? both : forward);
      EXPECT_LE(largest_difference(dealt.result.node_energies, whole.node_energies), tolerance);
      if (gradients) {
        EXPECT_LE(largest_difference(dealt.result.edge_gradients, whole.edge_gradients), tolerance);
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, MaceLayers, testing::ValuesIn(golden_models::names()),
                         [](const auto &model) { return model.param; });

TEST(MaceLayersOfAPart, NodesWithoutEdges) {
  const Models models = load_models("pt_two_layers", 2);
  const nlohmann::json apart = structure("pt_two_layers", "apart");
  const MaceGraph graph = graph_of(apart, models[0]->info());
  const Dealt dealt = by_layers(models, graph, {0, 1, 1}, 2, true);
  EXPECT_LE(
      largest_difference(dealt.result.node_energies, apart.at("results")[0].at("node_energies")),
      1e-11);
}

// Ghosts but no owned nodes: their rows come and go, nothing is computed.
TEST(MaceLayersOfAPart, OnlyGhosts) {
  class Nobody : public MaceExchange {
  public:
    void to_ghosts(float *, int) override { FAIL() << "the model is in double precision"; }
    void to_ghosts(double *rows, int width) override { std::fill_n(rows, 3 * width, 1.0); }
    void to_owners(float *, int) override { FAIL() << "the model is in double precision"; }
    void to_owners(double *rows, int width) override { adjoints.assign(rows, rows + 3 * width); }
    std::vector<double> adjoints;
  };
  const auto model = load("pt_two_layers");
  MaceGraph graph;
  graph.species = {0, 0, 0};
  graph.first_node = {0, 3};
  Nobody exchange;
  MaceResult result;
  model->evaluate_layers(graph, 0, true, exchange, result);
  EXPECT_EQ(result.energies, std::vector<double>{0.0});
  EXPECT_TRUE(result.node_energies.empty());
  EXPECT_TRUE(result.edge_gradients.empty());
  EXPECT_EQ(exchange.adjoints, std::vector<double>(3 * model->info().exchange_widths.at(0), 0.0));
}

TEST(MaceLayersOfAPart, WrongPartsAreRefused) {
  const auto model = load("pt_two_layers");
  const MaceGraph graph = graph_of(structure("pt_two_layers", "dimer"), model->info());
  Ranks ranks(1);
  std::vector<Part> parts = deal(graph, {0, 0}, 1);
  ThreadExchange exchange(ranks, parts, 0);
  const auto refusal = [&](const MaceGraph &tried, std::int64_t n_owned) {
    MaceResult result;
    return message_of<Error>(
        [&] { model->evaluate_layers(tried, n_owned, true, exchange, result); });
  };
  EXPECT_EQ(refusal(graph, 2), "");
  EXPECT_EQ(refusal(graph, 1), "node 1 receives, but only the first 1 are owned");
  EXPECT_EQ(refusal(graph, 3),
            "by layers one graph is evaluated, not 1, and 3 of its 2 nodes are owned");
  MaceGraph two = graph;
  two.first_node = {0, 1, 2};
  EXPECT_EQ(refusal(two, 2),
            "by layers one graph is evaluated, not 2, and 2 of its 2 nodes are owned");
}

}  // namespace
