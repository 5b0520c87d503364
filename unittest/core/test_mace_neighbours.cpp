// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/neighbours.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <tuple>

#include <gtest/gtest.h>

#include "core/base/random.hpp"

namespace {

using godiff::MaceDomain;
using godiff::MaceGraph;
using godiff::MaceNeighbours;

constexpr double CUTOFF = 2.0;
constexpr int TAG = 1 << 30;  // what a simulation keeps beside an index

// Atoms in a row of boxes: owned ones, then copies of them shifted by one period along x.
struct Atoms {
  std::vector<std::array<double, 3>> positions;
  std::vector<int> types, owners;
  int n_owned = 0;

  // Points into the vectors.
  std::vector<const double *> rows;
  std::vector<std::vector<int>> lists;
  std::vector<const int *> list_rows;
  std::vector<int> counts, owned;
  std::vector<std::int64_t> species = {-1, 1, 0};

  // Neighbours within `reach` of each atom, owned and ghosts.
  MaceNeighbours view(double reach) {
    const int n = static_cast<int>(positions.size());
    rows.clear();
    lists.assign(n, {});
    for (int i = 0; i < n; ++i) {
      rows.push_back(positions[i].data());
      for (int j = 0; j < n; ++j)
        if (j != i && distance(i, j) < reach)
          lists[i].push_back(j | TAG);
    }
    list_rows.clear();
    counts.clear();
    for (const auto &list : lists) {
      list_rows.push_back(list.data());
      counts.push_back(static_cast<int>(list.size()));
    }
    // In an order of its own, as skip lists have it.
    owned.clear();
    for (int i = n_owned; i-- > 0;)
      owned.push_back(i);
    MaceNeighbours neighbours;
    neighbours.n_atoms = n;
    neighbours.n_owned = n_owned;
    neighbours.owned = owned.data();
    neighbours.counts = counts.data();
    neighbours.lists = list_rows.data();
    neighbours.mask = TAG - 1;
    neighbours.positions = rows.data();
    neighbours.types = types.data();
    neighbours.species = species.data();
    return neighbours;
  }
  double distance(int i, int j) const {
    return std::hypot(positions[i][0] - positions[j][0], positions[i][1] - positions[j][1],
                      positions[i][2] - positions[j][2]);
  }
};

Atoms random_atoms(int n_owned, double length, int images) {
  godiff::RandomStream random(4711, godiff::Purpose::INIT);
  Atoms atoms;
  atoms.n_owned = n_owned;
  for (int i = 0; i < n_owned; ++i) {
    atoms.positions.push_back(
        {length * random.uniform(), 3.0 * random.uniform(), 3.0 * random.uniform()});
    atoms.types.push_back(1 + i % 2);
    atoms.owners.push_back(i);
  }
  for (int image = -images; image <= images; ++image)
    for (int i = 0; image != 0 && i < n_owned; ++i) {
      auto shifted = atoms.positions[i];
      shifted[0] += image * length;
      atoms.positions.push_back(shifted);
      atoms.types.push_back(atoms.types[i]);
      atoms.owners.push_back(i);
    }
  return atoms;
}

// Receiver and sender as atoms, and the length, which tells images of one atom apart.
using Edge = std::tuple<int, int, double>;

std::set<Edge> edges_of(const MaceDomain &domain) {
  const MaceGraph &graph = domain.graph();
  std::set<Edge> edges;
  for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
    const double *v = &graph.vectors[3 * e];
    edges.emplace(domain.atom_of_node()[graph.receivers[e]],
                  domain.atom_of_node()[graph.senders[e]], std::hypot(v[0], v[1], v[2]));
  }
  EXPECT_EQ(static_cast<std::int64_t>(edges.size()), graph.n_edges()) << "an edge came twice";
  return edges;
}

// Edges from an atom away from owned atoms, by repeated relaxation.
std::vector<int> hops_of(const Atoms &atoms) {
  const int n = static_cast<int>(atoms.positions.size());
  std::vector<int> hops(n, n);
  std::fill_n(hops.begin(), atoms.n_owned, 0);
  for (bool changed = true; changed;) {
    changed = false;
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j)
        if (i != j && atoms.distance(i, j) < CUTOFF && hops[j] + 1 < hops[i]) {
          hops[i] = hops[j] + 1;
          changed = true;
        }
  }
  return hops;
}

}  // namespace

TEST(MaceDomain, TakesWhatIsFewerEdgesAwayThanThereAreLayers) {
  Atoms atoms = random_atoms(12, 3.0, 4);
  const std::vector<int> hops = hops_of(atoms);
  const MaceNeighbours neighbours = atoms.view(CUTOFF + 0.7);
  MaceDomain domain;
  for (int layers = 1; layers <= 3; ++layers) {
    ASSERT_FALSE(domain.build(neighbours, CUTOFF, layers));
    std::set<Edge> expected;
    for (int i = 0; i < static_cast<int>(hops.size()); ++i)
      for (int j = 0; j < static_cast<int>(hops.size()); ++j)
        if (i != j && hops[i] < layers && atoms.distance(i, j) < CUTOFF)
          expected.emplace(i, j, atoms.distance(i, j));
    EXPECT_EQ(edges_of(domain), expected);

    const MaceGraph &graph = domain.graph();
    EXPECT_EQ(domain.n_owned(), 12);
    EXPECT_EQ(graph.first_node, (std::vector<std::int64_t>{0, graph.n_nodes()}));
    ASSERT_EQ(graph.counted.size(), graph.species.size());
    for (std::int64_t node = 0; node < graph.n_nodes(); ++node) {
      const int atom = domain.atom_of_node()[node];
      EXPECT_TRUE(node >= 12 || atom == 11 - node);
      EXPECT_EQ(graph.counted[node], node < 12 ? 1 : 0);
      EXPECT_LE(hops[atom], layers);
      EXPECT_EQ(graph.species[node], atoms.types[atom] == 1 ? 1 : 0);
    }
  }
}

TEST(MaceDomain, ImagesAreTheirOwners) {
  // A period of 1.3: several images of each atom are within the cutoff.
  Atoms atoms = random_atoms(5, 1.3, 3);
  MaceNeighbours neighbours = atoms.view(CUTOFF + 0.5);
  neighbours.owners = atoms.owners.data();
  MaceDomain domain;
  ASSERT_FALSE(domain.build(neighbours, CUTOFF, 1));
  std::set<Edge> expected;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < static_cast<int>(atoms.positions.size()); ++j)
      if (i != j && atoms.distance(i, j) < CUTOFF)
        expected.emplace(i, atoms.owners[j], atoms.distance(i, j));
  // An atom and its image at the same distance on both sides are two edges of one length.
  EXPECT_EQ(domain.graph().n_nodes(), 5);
  EXPECT_TRUE(domain.graph().counted.empty());
  std::set<Edge> found;
  const MaceGraph &graph = domain.graph();
  std::int64_t count = 0;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < static_cast<int>(atoms.positions.size()); ++j)
      count += i != j && atoms.distance(i, j) < CUTOFF ? 1 : 0;
  EXPECT_EQ(graph.n_edges(), count);
  for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
    const double *v = &graph.vectors[3 * e];
    found.emplace(domain.atom_of_node()[graph.receivers[e]],
                  domain.atom_of_node()[graph.senders[e]], std::hypot(v[0], v[1], v[2]));
  }
  EXPECT_EQ(found, expected);
}

TEST(MaceDomain, AnEdgePointsFromTheSenderToTheReceiver) {
  Atoms atoms = random_atoms(2, 9.0, 0);
  atoms.positions = {{1.0, 2.0, 3.0}, {1.5, 2.25, 3.0}};
  MaceDomain domain;
  ASSERT_FALSE(domain.build(atoms.view(CUTOFF), CUTOFF, 1));
  const MaceGraph &graph = domain.graph();
  ASSERT_EQ(graph.n_edges(), 2);
  for (int e = 0; e < 2; ++e) {
    const double sign = domain.atom_of_node()[graph.receivers[e]] == 1 ? 1.0 : -1.0;
    EXPECT_EQ(graph.vectors[3 * e], 0.5 * sign);
    EXPECT_EQ(graph.vectors[3 * e + 1], 0.25 * sign);
    EXPECT_EQ(graph.vectors[3 * e + 2], 0.0);
  }
}

TEST(MaceDomain, AtomsOnEachOtherAreReported) {
  Atoms atoms = random_atoms(3, 9.0, 0);
  atoms.positions = {{0.0, 0.0, 0.0}, {1.0, 0.0, 0.0}, {1.0, 0.0, 0.0009}};
  MaceDomain domain;
  const auto contact = domain.build(atoms.view(CUTOFF), CUTOFF, 1);
  ASSERT_TRUE(contact);
  EXPECT_EQ(std::minmax(contact->first, contact->second), std::minmax(1, 2));
  EXPECT_NEAR(contact->distance, 0.0009, 1e-12);
  atoms.positions[2][2] = 0.0011;
  EXPECT_FALSE(domain.build(atoms.view(CUTOFF), CUTOFF, 1));
}

TEST(MaceDomain, NothingIsAGraphWithoutNodes) {
  Atoms atoms = random_atoms(4, 3.0, 1);
  atoms.n_owned = 0;
  MaceDomain domain;
  ASSERT_FALSE(domain.build(atoms.view(CUTOFF), CUTOFF, 3));
  EXPECT_EQ(domain.graph().n_graphs(), 1);
  EXPECT_EQ(domain.graph().n_nodes(), 0);
  EXPECT_EQ(domain.graph().n_edges(), 0);
}
