// SPDX-License-Identifier: GPL-2.0-only
// What the graphs of the engine share and how they find neighbours; test_engine_graphs.cpp compares
// their edges with those of the reference.
#include "core/geometry/structure_graphs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/random.hpp"
#include "core/geometry/image_grid.hpp"
#include "engine_cases.hpp"
#include "reference/graph.hpp"

namespace {

using godiff::Cell;
using godiff::ImageGrid;
using godiff::StructureGraphs;
using godiff::System;
using godiff::TemplateEdges;
using godiff::Vec3;
using godiff_test::displaced;
using godiff_test::engine_cases;
using godiff_test::EngineCase;
using godiff_test::fcc111;
using godiff_test::heptamer_pt;

// A neighbour: point, and the difference to one of its images in units of 1e-8 Angstrom.
using Neighbour = std::tuple<std::int32_t, std::int64_t, std::int64_t, std::int64_t>;

Neighbour neighbour(std::int32_t point, const Vec3 &r) {
  return {point, std::llround(r[0] * 1e8), std::llround(r[1] * 1e8), std::llround(r[2] * 1e8)};
}

void check_grid(const Cell &cell, const std::vector<double> &points, const Vec3 &place,
                double cutoff) {
  const auto n = static_cast<std::int32_t>(points.size() / 3);
  std::vector<Neighbour> found, expected;
  const ImageGrid grid(cell, points.data(), n, cutoff);
  grid.for_near(place, [&](std::int32_t i, const Vec3 &r) { found.push_back(neighbour(i, r)); });
  // The differences of wrapped places, so that both round alike.
  const Vec3 from = cell.wrap(place);
  for (std::int32_t i = 0; i < n; ++i) {
    const Vec3 to = cell.wrap({points[3 * i], points[3 * i + 1], points[3 * i + 2]});
    cell.for_images({to[0] - from[0], to[1] - from[1], to[2] - from[2]}, cutoff,
                    [&](const Vec3 &r) { expected.push_back(neighbour(i, r)); });
  }
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t k = 0; k < found.size(); ++k) {
    EXPECT_EQ(std::get<0>(found[k]), std::get<0>(expected[k]));
    // One unit: a number may be rounded to either side.
    EXPECT_LE(std::abs(std::get<1>(found[k]) - std::get<1>(expected[k])), 1);
    EXPECT_LE(std::abs(std::get<2>(found[k]) - std::get<2>(expected[k])), 1);
    EXPECT_LE(std::abs(std::get<3>(found[k]) - std::get<3>(expected[k])), 1);
  }
}

TEST(ImageGrid, AgainstAllImages) {
  godiff::RandomStream random(21, godiff::Purpose::INIT);
  const auto between = [&](double lo, double hi) { return lo + (hi - lo) * random.uniform(); };
  std::int64_t neighbours = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE("trial " + std::to_string(trial));
    const double a = between(2, 15), b = between(2, 15), c = between(2, 15);
    const Cell cell({{{a, 0, 0}, {between(-a, a) / 2, b, 0}, {between(-a, a) / 2, 0.3 * b, c}}},
                    {trial % 2 == 0, trial % 3 != 0, trial % 5 < 2});
    std::vector<double> points;
    for (int k = 0; k < 3 * (trial % 13); ++k)
      points.push_back(between(-30, 30));
    const double cutoff = between(1, 9);
    for (int k = 0; k < 4; ++k)
      check_grid(cell, points, {between(-60, 60), between(-60, 60), between(-60, 60)}, cutoff);
    // At the points themselves.
    for (std::size_t k = 0; k + 2 < points.size(); k += 9) {
      check_grid(cell, points, {points[k], points[k + 1], points[k + 2]}, cutoff);
      ++neighbours;
    }
  }
  EXPECT_GT(neighbours, 100);
}

// Far apart points must not ask for more bins than memory holds, nor lose anybody.
TEST(ImageGrid, HugeSparseBoxes) {
  for (const double size : {1e3, 1e5, 1e7})
    for (const std::array<bool, 3> &periodic :
         {std::array<bool, 3>{false, false, false}, {true, false, false}, {true, true, true}}) {
      SCOPED_TRACE("size " + std::to_string(size));
      const Cell cell({{{size, 0, 0}, {0.2 * size, size, 0}, {0, 0, size}}}, periodic);
      const std::vector<double> points{0,        0,          0, 1, 2, 1, size - 1, 0.5,
                                       size - 2, 0.5 * size, 3, 0, 3, 3, 0};
      for (const Vec3 &place :
           {Vec3{0, 0, 0}, Vec3{1, 1, 1}, Vec3{size, 0, size}, Vec3{0.5 * size + 1, 2, -1},
            Vec3{-1, -1, -1}, Vec3{0.3 * size, 0.3 * size, 0.3 * size}})
        check_grid(cell, points, place, 5.0);
    }
}

TEST(ImageGrid, NoPoints) {
  const Cell cell({{{5, 0, 0}, {0, 5, 0}, {0, 0, 5}}}, {true, true, true});
  ImageGrid(cell, nullptr, 0, 3.0).for_near({1, 1, 1}, [](std::int32_t, const Vec3 &) {
    ADD_FAILURE() << "there is no point";
  });
}

// Lengths of the template's pairs in ascending order, from the graph of the reference.
std::vector<double> template_distances(const System &s, double cutoff) {
  const godiff::reference::BatchGraph graph =
      godiff::reference::GraphBuilder(s, cutoff, at::kDouble)
          .build(godiff_test::scattered(s, 1, 1));
  std::vector<double> all;
  for (std::int64_t e = 0; e < graph.n_pairs(); ++e)
    if (graph.receiver[e].item<std::int64_t>() < s.n_template &&
        graph.sender[e].item<std::int64_t>() < s.n_template)
      all.push_back(graph.distance[graph.pair[e]].item<double>());
  std::sort(all.begin(), all.end());
  return all;
}

std::int64_t shells(const std::vector<double> &sorted, double gap) {
  std::int64_t count = sorted.empty() ? 0 : 1;
  for (std::size_t k = 1; k < sorted.size(); ++k)
    count += sorted[k] - sorted[k - 1] > gap;
  return count;
}

// On a lattice the distances are those of its few shells; off a lattice each pair has its own.
TEST(TemplateEdges, DistinctDistances) {
  const System lattice = heptamer_pt(), relaxed = displaced(lattice, 0.1);
  const std::vector<double> on_lattice = template_distances(lattice, 5.0),
                            off_lattice = template_distances(relaxed, 5.0);
  ASSERT_GT(shells(on_lattice, 1e-4), 1);
  ASSERT_EQ(shells(on_lattice, 1e-4), shells(on_lattice, 1e-12));
  ASSERT_LT(shells(on_lattice, 1e-4), 12);
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    const StructureGraphs graphs(lattice, 5.0, dtype);
    const auto rows = static_cast<std::int64_t>(graphs.template_edges().distance.size());
    EXPECT_GE(rows, shells(on_lattice, 1e-4));
    // In float64 what rounding makes of one shell may be a few values.
    EXPECT_LE(rows, (dtype == at::kFloat ? 1 : 8) * shells(on_lattice, 1e-4));
  }
  EXPECT_EQ(StructureGraphs(relaxed, 5.0, at::kDouble).template_edges().distance.size(),
            off_lattice.size());
}

// Whatever shares a filter: no edge is further from its row's distance than one rounding of the
// network's type, rows differ, and runs of one row lie side by side.
TEST(TemplateEdges, RowsAreWithinTheResolution) {
  for (const auto dtype : {at::kDouble, at::kFloat})
    for (const EngineCase &c : engine_cases()) {
      SCOPED_TRACE(c.name);
      const TemplateEdges edges = StructureGraphs(c.system, 5.0, dtype).template_edges();
      const double resolution = dtype == at::kFloat ? std::numeric_limits<float>::epsilon()
                                                    : std::numeric_limits<double>::epsilon();
      EXPECT_TRUE(std::is_sorted(edges.distance.begin(), edges.distance.end()));
      EXPECT_EQ(std::adjacent_find(edges.distance.begin(), edges.distance.end()),
                edges.distance.end());
      std::vector<double> used;
      for (std::int64_t e = 0; e < edges.n_edges(); ++e) {
        used.push_back(edges.distance[edges.filter[e]]);
        EXPECT_GE(e, edges.first[edges.receiver[e]]);
        EXPECT_LT(e, edges.first[edges.receiver[e] + 1]);
        if (e > edges.first[edges.receiver[e]]) {
          EXPECT_GE(edges.filter[e], edges.filter[e - 1]);
        }
      }
      std::sort(used.begin(), used.end());
      const std::vector<double> expected = template_distances(c.system, 5.0);
      ASSERT_EQ(used.size(), 2 * expected.size());
      // Sorted, both lists pair up; 1e-13: other images of an atom round differently.
      for (std::size_t k = 0; k < expected.size(); ++k)
        for (const double d : {used[2 * k], used[2 * k + 1]})
          EXPECT_NEAR(d, expected[k], (resolution + 1e-13) * expected[k]);
    }
}

// What a graph holds grows with the number of atoms and not with its square.
TEST(TemplateEdges, LargeTemplatesHaveAsManyEdgesPerAtom) {
  const System small = fcc111(12, 8, 1), large = fcc111(25, 8, 1);
  ASSERT_EQ(large.n_template, 5000);
  const TemplateEdges few = StructureGraphs(small, 5.0, at::kFloat).template_edges();
  const TemplateEdges many = StructureGraphs(large, 5.0, at::kFloat).template_edges();
  EXPECT_EQ(few.n_edges() * large.n_template, many.n_edges() * small.n_template);
  EXPECT_EQ(few.distance.size(), many.distance.size());
}

// The bound that memory is taken by holds for whatever the mobile atoms do, all of them in one place included.
TEST(MostPairs, IsNeverExceeded) {
  godiff::RandomStream random(23, godiff::Purpose::PRIOR);
  const double cutoff = 4.5;
  for (const System &s : {godiff_test::stepped_pt(), godiff_test::heptamer_pt()}) {
    const StructureGraphs graphs(s, cutoff, at::kDouble);
    const std::optional<std::int64_t> most = graphs.most_pairs(s.z_lo, s.z_hi);
    ASSERT_TRUE(most);
    std::int64_t seen = 0;
    godiff::ChunkGraph graph;
    for (int k = 0; k < 400; ++k) {
      const bool heap = k % 2 == 0;
      std::vector<double> x;
      godiff::Vec3 place{};
      for (std::int64_t m = 0; m < s.n_mobile; ++m) {
        if (m == 0 || !heap) {
          place = s.cell.cartesian({random.uniform(), random.uniform(), 0.0});
          place[2] = s.z_lo + (k % 4 < 2 ? 0.0 : random.uniform()) * (s.z_hi - s.z_lo);
        }
        x.insert(x.end(), place.begin(), place.end());
      }
      graphs.build(x.data(), 1, 1, graph);
      seen = std::max(seen, graph.n_pairs());
    }
    EXPECT_LE(seen, *most);
    EXPECT_GT(seen, *most / 2) << "the bound is not close";
  }
  // None where z is not the direction away from the surface.
  const System leaning = godiff_test::make_system({{{5, 0, 1}, {0, 5, 0}, {0, 0, 9}}},
                                                  {true, true, false}, {1, 1, 1}, {78}, {78}, 3, 6);
  EXPECT_FALSE(StructureGraphs(leaning, cutoff, at::kDouble).most_pairs(3, 6));
  const System open = godiff_test::make_system({{{5, 0, 0}, {0, 5, 0}, {0, 0, 9}}},
                                               {false, true, false}, {1, 1, 1}, {78}, {78}, 3, 6);
  EXPECT_FALSE(StructureGraphs(open, cutoff, at::kDouble).most_pairs(3, 6));
}

}  // namespace
