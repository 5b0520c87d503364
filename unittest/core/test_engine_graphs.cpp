// SPDX-License-Identifier: GPL-2.0-only
// The graphs of the engine against those of the reference network, which looks at every pair of atoms.
#include "core/geometry/structure_graphs.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine_cases.hpp"
#include "reference/graph.hpp"

namespace {

using godiff::ChunkGraph;
using godiff::StructureGraphs;
using godiff::System;
using godiff::TemplateEdges;
using godiff::Vec3;
using godiff_test::EngineCase;

/// The vectors from receiver to sender of all edges between two atoms.
using Edges = std::map<std::pair<std::int64_t, std::int64_t>, std::vector<Vec3>>;

void add(Edges &edges, std::int64_t receiver, std::int64_t sender, const double *direction,
         double distance) {
  edges[{receiver, sender}].push_back(
      {direction[0] * distance, direction[1] * distance, direction[2] * distance});
}

// All edges of structure g by atoms, those of the template included.
Edges edges_of(const TemplateEdges &fixed, const ChunkGraph &graph, std::int64_t g) {
  Edges edges;
  for (std::int64_t e = 0; e < fixed.n_edges(); ++e)
    add(edges, fixed.receiver[e], fixed.sender[e], &fixed.direction.in_double[3 * e],
        fixed.distance[fixed.filter[e]]);
  const std::int32_t *atom = graph.atom.data() + g * graph.n_atoms();
  for (std::int32_t row = graph.offset(1, g); row < graph.offset(1, g + 1); ++row)
    for (std::int32_t e = graph.first[row]; e < graph.first[row + 1]; ++e) {
      EXPECT_EQ(graph.receiver[e], row - graph.offset(1, g));
      add(edges, atom[graph.receiver[e]], graph.sender[e],
          &graph.direction.in_double[3 * static_cast<std::size_t>(e)],
          graph.distance[graph.pair[e]]);
    }
  return edges;
}

Edges edges_of(const godiff::reference::BatchGraph &graph, std::int64_t g) {
  Edges edges;
  const std::int64_t N = graph.n_atoms();
  for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
    const std::int64_t receiver = graph.receiver.const_data_ptr<std::int64_t>()[e];
    if (receiver / N == g)
      add(edges, receiver % N, graph.sender.const_data_ptr<std::int64_t>()[e] % N,
          graph.direction.const_data_ptr<double>() + 3 * e,
          graph.distance.const_data_ptr<double>()[graph.pair.const_data_ptr<std::int64_t>()[e]]);
  }
  return edges;
}

// Hops of every atom to the nearest mobile one; a large number for those that are not connected.
std::vector<int> hops_of(const Edges &edges, const System &system) {
  std::vector<int> hops(system.n_atoms(), std::numeric_limits<int>::max() - 1);
  std::fill(hops.begin() + system.n_template, hops.end(), 0);
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto &edge : edges) {
      const auto [receiver, sender] = edge.first;
      if (hops[receiver] > hops[sender] + 1) {
        hops[receiver] = hops[sender] + 1;
        changed = true;
      }
    }
  }
  return hops;
}

void check(const EngineCase &c, double cutoff, int max_hops) {
  SCOPED_TRACE(c.name + ", cutoff " + std::to_string(cutoff));
  const std::int64_t B = c.positions.size(0);
  const StructureGraphs graphs(c.system, cutoff, at::kDouble);
  ChunkGraph graph;
  graphs.build(c.positions.const_data_ptr<double>(), B, max_hops, graph);
  const godiff::reference::BatchGraph plain =
      godiff::reference::GraphBuilder(c.system, cutoff, at::kDouble).build(c.positions);
  EXPECT_EQ(B * graphs.template_edges().n_edges() + 2 * graph.n_pairs(), plain.n_edges());
  ASSERT_EQ(graph.rows(graph.all()), plain.n_nodes());
  for (std::int64_t g = 0; g < B; ++g) {
    const Edges found = edges_of(graphs.template_edges(), graph, g), expected = edges_of(plain, g);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto &[atoms, vectors] : expected) {
      ASSERT_EQ(found.count(atoms), 1u) << atoms.first << " from " << atoms.second;
      std::vector<Vec3> left = found.at(atoms);
      ASSERT_EQ(left.size(), vectors.size()) << atoms.first << " from " << atoms.second;
      for (const Vec3 &v : vectors) {
        const auto same = std::find_if(left.begin(), left.end(), [&](const Vec3 &w) {
          const Vec3 d{v[0] - w[0], v[1] - w[1], v[2] - w[2]};
          return godiff::dot(d, d) <
                 1e-20;  // 1e-10 Angstrom, beyond rounding of places in the cell
        });
        ASSERT_NE(same, left.end()) << atoms.first << " from " << atoms.second;
        left.erase(same);
      }
    }
    const std::vector<int> hops = hops_of(expected, c.system);
    std::vector<bool> seen(c.system.n_atoms(), false);
    for (std::int64_t slot = 0; slot < c.system.n_atoms(); ++slot) {
      const std::int32_t atom = graph.atom[g * c.system.n_atoms() + slot];
      EXPECT_FALSE(seen[atom]);
      seen[atom] = true;
      if (atom < c.system.n_template) {
        EXPECT_EQ(graph.slot[g * c.system.n_template + atom], slot);
      }
      for (int depth = 0; depth <= max_hops; ++depth)
        EXPECT_EQ(slot < graph.count(depth, g), hops[atom] <= depth) << atom << ", hops " << depth;
    }
  }
}

TEST(EngineGraphs, EveryKindOfSystem) {
  for (const EngineCase &c : godiff_test::engine_cases())
    for (const double cutoff : {2.0, 5.0, 7.5})
      check(c, cutoff, 3);
  for (const int max_hops : {1, 2, 4, 40})
    check(godiff_test::many_hops(), 3.2, max_hops);
}

// Atoms on faces, edges and corners of the cell and just beside them, where images enter and leave.
TEST(EngineGraphs, AtomsOnTheFacesOfTheCell) {
  const std::vector<double> fractions{0.0, 1e-15, -1e-15, 1e-7, 0.5, 1.0, 1.0 - 1e-15, 1.0 + 1e-7};
  for (const bool periodic_z : {true, false}) {
    EngineCase c{"faces", godiff_test::small_alloy({true, true, periodic_z}), {}};
    std::vector<double> x;
    for (const double f : fractions)
      for (const double e : fractions)
        for (const Vec3 &place : {Vec3{f, e, 0.4}, Vec3{f, 0.3, e}, Vec3{0.7, f, e}}) {
          const Vec3 r = c.system.cell.cartesian(place);
          x.insert(x.end(), r.begin(), r.end());
        }
    c.positions = at::tensor(x, at::kDouble).view({-1, 3, 3});
    check(c, 4.7, 2);
    // The same places as template.
    System s = c.system;
    s.template_positions.assign(x.begin(), x.begin() + 3 * 24);
    s.n_template = 24;
    s.atomic_numbers.assign(27, godiff_test::PLATINUM);
    s.ids.resize(27);
    s.types.resize(27);
    check({"faces of the template", s, c.positions.narrow(0, 0, 2)}, 4.7, 2);
  }
}

TEST(EngineGraphs, RandomCells) {
  godiff::RandomStream random(8, godiff::Purpose::INIT);
  const auto between = [&](double lo, double hi) { return lo + (hi - lo) * random.uniform(); };
  for (int trial = 0; trial < 400; ++trial) {
    // Tilts up to half an edge, as LAMMPS allows them.
    const double lx = between(3, 12), ly = between(3, 12), lz = between(3, 12);
    const std::array<Vec3, 3> rows{{{lx, 0, 0},
                                    {between(-0.5, 0.5) * lx, ly, 0},
                                    {between(-0.5, 0.5) * lx, between(-0.5, 0.5) * ly, lz}}};
    const std::array<bool, 3> periodic{trial % 2 == 0, trial % 3 != 0, trial % 4 < 2};
    std::vector<double> x;
    for (int k = 0; k < 3 * 8; ++k)
      x.push_back(between(-20, 20));
    const System s = godiff_test::make_system(rows, periodic, x, std::vector<int>(8, 78),
                                              std::vector<int>(4, 78), 0, lz);
    at::Tensor places = at::empty({2, 4, 3}, at::kDouble);
    for (int k = 0; k < 24; ++k)
      places.data_ptr<double>()[k] = between(-20, 20);
    check({"trial " + std::to_string(trial), s, places}, between(2, 8), 2);
  }
}

}  // namespace
