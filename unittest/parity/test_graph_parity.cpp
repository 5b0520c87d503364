// SPDX-License-Identifier: GPL-2.0-only
// The graphs of the reference network against ASE's neighbour lists.
#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include <gtest/gtest.h>

#include "parity/golden.hpp"
#include "reference/graph.hpp"

namespace {

using godiff::reference::BatchGraph;
using godiff::reference::GraphBuilder;
using golden::Structure;
using nlohmann::json;

struct Edge {
  std::int64_t receiver, sender;
  double vector[3], distance;
};

// The directed edges of one structure of the batch, as a message from sender to receiver sees them.
std::vector<Edge> edges_of(const BatchGraph &graph, std::int64_t structure) {
  std::vector<Edge> out;
  const at::Tensor u = graph.direction.to(at::kDouble);
  const at::Tensor d = graph.distance.to(at::kDouble);
  const std::int64_t offset = structure * graph.n_atoms();
  for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
    const std::int64_t receiver = graph.receiver.const_data_ptr<std::int64_t>()[e] - offset;
    if (receiver < 0 || receiver >= graph.n_atoms())
      continue;
    Edge edge{receiver,
              graph.sender.const_data_ptr<std::int64_t>()[e] - offset,
              {},
              d.const_data_ptr<double>()[graph.pair.const_data_ptr<std::int64_t>()[e]]};
    for (int k = 0; k < 3; ++k)
      edge.vector[k] = u.const_data_ptr<double>()[3 * e + k] * edge.distance;
    out.push_back(edge);
  }
  return out;
}

Structure structure_of(const json &entry) {
  Structure s;
  s.cell = golden::tensor(entry["cell"]);
  s.positions = golden::tensor(entry["positions"]);
  for (int flag : entry["pbc"])
    s.pbc.push_back(flag != 0);
  s.numbers = entry["numbers"].get<std::vector<int>>();
  s.mobile = entry["mobile"].get<std::int64_t>();
  return s;
}

void check(const json &entry, const BatchGraph &graph, std::int64_t structure, double tolerance) {
  const auto n = static_cast<std::int64_t>(entry["numbers"].size());
  const std::vector<Edge> edges = edges_of(graph, structure);
  std::vector<std::int64_t> per_centre(n, 0);
  std::vector<double> distances;
  at::Tensor sums = at::zeros({n, 3}, at::kDouble);
  std::int64_t self = 0;
  double shortest = std::numeric_limits<double>::infinity();
  const std::int64_t first_mobile = n - entry["mobile"].get<std::int64_t>();
  for (const Edge &e : edges) {
    ASSERT_TRUE(e.receiver >= 0 && e.receiver < n && e.sender >= 0 && e.sender < n);
    ++per_centre[e.receiver];
    self += e.receiver == e.sender;
    distances.push_back(e.distance);
    for (int k = 0; k < 3; ++k)
      sums.data_ptr<double>()[3 * e.receiver + k] += e.vector[k];
    if (std::max(e.receiver, e.sender) >= first_mobile)
      shortest = std::min(shortest, e.distance);
  }
  EXPECT_EQ(edges.size(), entry["edges"].get<std::size_t>());
  EXPECT_EQ(self, entry["self_edges"].get<std::int64_t>());
  EXPECT_EQ(per_centre, entry["per_centre"].get<std::vector<std::int64_t>>());
  // Stored positions have nine decimals, and the rounding of a centre counts once per edge.
  const at::Tensor limit =
      tolerance + 1e-9 * at::tensor(per_centre, at::kLong).to(at::kDouble).unsqueeze(1);
  EXPECT_TRUE(((sums - golden::tensor(entry["vector_sum"])).abs() <= limit).all().item<bool>());
  if (entry["shortest_with_mobile"].is_null()) {
    EXPECT_TRUE(std::isinf(shortest));
  } else {
    EXPECT_NEAR(shortest, entry["shortest_with_mobile"].get<double>(), tolerance);
  }

  std::sort(distances.begin(), distances.end());
  const auto expected = entry["distances"].get<std::vector<double>>();
  ASSERT_EQ(distances.size(), 2 * expected.size());
  double worst = 0.0;
  for (std::size_t k = 0; k < distances.size(); ++k)
    worst = std::max(worst, std::abs(distances[k] - expected[k / 2]));
  EXPECT_LE(worst, tolerance);
}

// The template never comes out empty and there is always a mobile atom; the number of template
// atoms must not matter.
std::set<std::int64_t> splits(const Structure &s) {
  const std::int64_t n = s.n_atoms();
  std::set<std::int64_t> some{1, n / 2, n - 1};
  if (s.mobile > 0 && s.mobile < n)
    some.insert(n - s.mobile);
  return some;
}

class GraphParity : public testing::TestWithParam<at::ScalarType> {};

INSTANTIATE_TEST_SUITE_P(Types, GraphParity, testing::Values(at::kDouble, at::kFloat),
                         [](const auto &info) { return golden::type_name(info.param); });

TEST_P(GraphParity, CountsVectorsDistances) {
  // Float32 vectors of up to 40 edges are summed here, in float64.
  const double tolerance = GetParam() == at::kDouble ? 1e-8 : 1e-5;
  const json data = golden::read_json("graphs.json");
  ASSERT_EQ(data["structures"].size(), 15u);
  for (const json &entry : data["structures"]) {
    const Structure s = structure_of(entry);
    for (const std::int64_t n_template : splits(s)) {
      SCOPED_TRACE(entry["name"].get<std::string>() + ", template atoms " +
                   std::to_string(n_template));
      const GraphBuilder builder(s.system(n_template), data["cutoff"], GetParam());
      const BatchGraph graph = builder.build(s.mobile_positions(n_template, 3));
      EXPECT_EQ(graph.n_nodes(), 3 * s.n_atoms());
      EXPECT_EQ(graph.coincident_pairs, 0);
      for (std::int64_t g = 0; g < 3; ++g)
        check(entry, graph, g, tolerance);
    }
  }
}

// A batch of different structures is the union of the structures.
TEST_P(GraphParity, BatchEqualsSingle) {
  const Structure s = golden::structure("mixed");
  const GraphBuilder builder(s.system(12), 6.0, GetParam());
  const at::Tensor move = at::arange(36, at::kDouble).view({3, 4, 3}).sin() * 3.0;
  const at::Tensor x = s.mobile_positions(12, 3) + move;
  const BatchGraph batch = builder.build(x);
  for (std::int64_t g = 0; g < 3; ++g) {
    const std::vector<Edge> in_batch = edges_of(batch, g);
    const std::vector<Edge> alone = edges_of(builder.build(x.narrow(0, g, 1)), 0);
    ASSERT_EQ(in_batch.size(), alone.size());
    for (std::size_t k = 0; k < alone.size(); ++k) {
      EXPECT_EQ(in_batch[k].receiver, alone[k].receiver);
      EXPECT_EQ(in_batch[k].sender, alone[k].sender);
      EXPECT_EQ(in_batch[k].distance, alone[k].distance);
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(in_batch[k].vector[c], alone[k].vector[c]);
    }
  }
}

// Every pair is there once each way.
TEST_P(GraphParity, PairsAreTwoOppositeEdges) {
  for (const std::string &name : golden::SYSTEMS) {
    const Structure s = golden::structure(name);
    const std::int64_t n_template = s.n_atoms() - s.mobile;
    const GraphBuilder builder(s.system(n_template), 6.0, GetParam());
    const BatchGraph graph = builder.build(s.mobile_positions(n_template, 2));
    const std::int64_t P = graph.n_pairs();
    ASSERT_EQ(graph.n_edges(), 2 * P);
    const auto halves = [&](const at::Tensor &edges) {
      return std::pair(edges.narrow(0, 0, P), edges.narrow(0, P, P));
    };
    const auto [pair, same_pair] = halves(graph.pair);
    const auto [receiver, other_receiver] = halves(graph.receiver);
    const auto [sender, other_sender] = halves(graph.sender);
    const auto [direction, other_direction] = halves(graph.direction);
    EXPECT_TRUE(at::equal(pair, at::arange(P, at::kLong)) && at::equal(pair, same_pair)) << name;
    EXPECT_TRUE(at::equal(receiver, other_sender) && at::equal(sender, other_receiver)) << name;
    EXPECT_TRUE(at::equal(direction, -other_direction)) << name;
  }
}

TEST_P(GraphParity, CoincidentAtoms) {
  const Structure s = golden::structure("mixed");
  const GraphBuilder builder(s.system(12), 6.0, GetParam());
  at::Tensor x = s.mobile_positions(12, 2);
  x[1][2].copy_(s.positions[3] + s.cell[0]);  // an image of a template atom
  const BatchGraph graph = builder.build(x);
  EXPECT_EQ(graph.coincident_pairs, 1);
  const at::Tensor length = graph.direction.square().sum(1);
  EXPECT_EQ((length == 0).sum().item<std::int64_t>(), 2);
  EXPECT_TRUE(graph.direction.isfinite().all().item<bool>());
}

}  // namespace
