// SPDX-License-Identifier: GPL-2.0-only
// Graphs of many structures and how they are evaluated in few calls, with a model whose energy can be
// written down.
#include "core/mace/batch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "fake_mace.hpp"

namespace {

using godiff::append_structure;
using godiff::MaceBatch;
using godiff::MaceBatchResult;
using godiff::MaceGraph;
using godiff::MaceStructures;
using godiff_test::FakeMace;

// Owns what MaceStructures points to.
struct Batch {
  std::vector<std::int64_t> first_atom{0}, species;
  std::vector<double> positions, cells;
  std::vector<unsigned char> periodic;

  void add(const std::vector<double> &x, const std::vector<double> &cell,
           const std::vector<unsigned char> &pbc, std::int64_t first_species = 0) {
    positions.insert(positions.end(), x.begin(), x.end());
    for (std::size_t i = 0; i < x.size() / 3; ++i)
      species.push_back((first_species + static_cast<std::int64_t>(i)) % 3);
    first_atom.push_back(static_cast<std::int64_t>(species.size()));
    cells.insert(cells.end(), cell.begin(), cell.end());
    periodic.insert(periodic.end(), pbc.begin(), pbc.end());
  }
  MaceStructures view() const {
    return {static_cast<std::int64_t>(first_atom.size()) - 1,
            first_atom.data(),
            species.data(),
            positions.data(),
            cells.data(),
            periodic.data()};
  }
  std::int64_t count() const { return static_cast<std::int64_t>(first_atom.size()) - 1; }
};

struct Results {
  std::vector<double> energies, forces, virials, atom_energies;
  explicit Results(const Batch &batch) :
      energies(batch.count(), 77.0),
      forces(batch.positions.size(), 77.0),
      virials(6 * batch.count(), 77.0),
      atom_energies(batch.species.size(), 77.0) {}
  MaceBatchResult all() {
    return {energies.data(), forces.data(), virials.data(), atom_energies.data()};
  }
};

// Structures of every kind: thin, triclinic and left-handed cells, all mixes of periodicity, atoms far
// outside of the cell, one atom, no atom.
Batch many_structures(int count, bool with_empty = true) {
  Batch batch;
  godiff::RandomStream random(5, godiff::Purpose::INIT);
  const auto between = [&](double lo, double hi) { return lo + (hi - lo) * random.uniform(); };
  for (int k = 0; k < count; ++k) {
    const double a = between(2.5, 9), b = between(2.5, 9), c = between(2.5, 9);
    const double sign = k % 4 == 3 ? -1.0 : 1.0;
    std::vector<double> x;
    const int atoms = with_empty ? k % 7 : 1 + k % 6;
    for (int i = 0; i < 3 * atoms; ++i)
      x.push_back(between(-2, 2) + 15 * (k % 3));
    batch.add(x, {a, 0, 0, between(-a, a) / 2, b, 0, between(-a, a) / 2, 0.4 * b, sign * c},
              {static_cast<unsigned char>(k % 2), static_cast<unsigned char>(k / 2 % 2),
               static_cast<unsigned char>(k / 4 % 2)},
              k);
  }
  return batch;
}

// The energy of each atom by definition: over all images in a range that surely suffices.
std::vector<double> atom_energies_by_definition(const Batch &batch, std::int64_t which,
                                                double cutoff) {
  constexpr int RANGE = 14;
  const double *h = &batch.cells[9 * which];
  const unsigned char *p = &batch.periodic[3 * which];
  std::vector<double> energies;
  for (std::int64_t i = batch.first_atom[which]; i < batch.first_atom[which + 1]; ++i) {
    double density = 1.0;
    for (std::int64_t j = batch.first_atom[which]; j < batch.first_atom[which + 1]; ++j)
      for (int a = -RANGE * p[0]; a <= RANGE * p[0]; ++a)
        for (int b = -RANGE * p[1]; b <= RANGE * p[1]; ++b)
          for (int c = -RANGE * p[2]; c <= RANGE * p[2]; ++c) {
            double squared = 0.0;
            for (int d = 0; d < 3; ++d) {
              const double r = batch.positions[3 * j + d] - batch.positions[3 * i + d] + a * h[d] +
                               b * h[3 + d] + c * h[6 + d];
              squared += r * r;
            }
            const double r = std::sqrt(squared);
            if ((i == j && a == 0 && b == 0 && c == 0) || r >= cutoff)
              continue;
            density += FakeMace::strength(batch.species[i], batch.species[j]) *
                       std::pow(1.0 - r / cutoff, 3);
          }
    energies.push_back(FakeMace::isolated(batch.species[i]) - std::sqrt(density));
  }
  return energies;
}

std::string message_of(const std::function<void()> &work) {
  try {
    work();
  } catch (const godiff::Error &e) {
    return e.what();
  }
  return "";
}

const std::vector<double> CUBE = {6, 0, 0, 0, 6, 0, 0, 0, 6};

}  // namespace

TEST(MaceBatch, EnergiesOfAllKindsOfCellsByDefinition) {
  const Batch batch = many_structures(64);
  FakeMace model(4.5);
  Results results(batch);
  MaceBatch(model, 0).compute(batch.view(), results.all());
  for (std::int64_t k = 0; k < batch.count(); ++k) {
    SCOPED_TRACE(k);
    const std::vector<double> expected = atom_energies_by_definition(batch, k, 4.5);
    double sum = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      // Rounding of positions 50 Angstrom away in up to 200 terms.
      EXPECT_NEAR(results.atom_energies[batch.first_atom[k] + i], expected[i], 1e-11);
      sum += expected[i];
    }
    EXPECT_NEAR(results.energies[k], sum, 1e-11);
  }
}

TEST(MaceBatch, ForcesAndVirialsAreDerivatives) {
  const Batch batch = many_structures(32);
  FakeMace model(4.5);
  MaceBatch evaluator(model, 500);
  Results results(batch);
  evaluator.compute(batch.view(), results.all());
  const auto energies = [&](const Batch &changed) {
    Results r(changed);
    evaluator.compute(changed.view(), {r.energies.data(), nullptr, nullptr, nullptr});
    return r.energies;
  };
  // Central differences: the error is h^2 times a third derivative (below 1e-7), and rounding / h.
  constexpr double H = 1e-5, TOLERANCE = 2e-8;
  for (std::int64_t k = 0; k < batch.count(); ++k)
    for (std::int64_t i = batch.first_atom[k]; i < batch.first_atom[k + 1]; ++i)
      for (int d = 0; d < 3; ++d) {
        Batch up = batch, down = batch;
        up.positions[3 * i + d] += H;
        down.positions[3 * i + d] -= H;
        EXPECT_NEAR(results.forces[3 * i + d], -(energies(up)[k] - energies(down)[k]) / (2 * H),
                    TOLERANCE);
      }
  constexpr int FIRST[6] = {0, 1, 2, 0, 0, 1}, SECOND[6] = {0, 1, 2, 1, 2, 2};
  for (int component = 0; component < 6; ++component) {
    const auto strained = [&](double h) {
      Batch b = batch;
      const auto strain = [&](std::vector<double> &rows) {
        for (std::size_t i = 0; i < rows.size(); i += 3) {
          const double p = rows[i + FIRST[component]], q = rows[i + SECOND[component]];
          rows[i + FIRST[component]] += 0.5 * h * q;
          rows[i + SECOND[component]] += 0.5 * h * p;
        }
      };
      strain(b.positions);
      strain(b.cells);
      return energies(b);
    };
    const std::vector<double> up = strained(H), down = strained(-H);
    for (std::int64_t k = 0; k < batch.count(); ++k)
      EXPECT_NEAR(results.virials[6 * k + component], -(up[k] - down[k]) / (2 * H), 5e-7);
  }
}

TEST(MaceBatch, NothingDependsOnHowItIsCut) {
  const Batch batch = many_structures(40);
  FakeMace model(4.5);
  Results all(batch);
  MaceBatch(model, 1000000).compute(batch.view(), all.all());
  ASSERT_EQ(model.calls.size(), 1U);
  for (const std::int64_t edges : {1, 50, 200}) {
    model.calls.clear();
    model.structures.clear();
    Results results(batch);
    MaceBatch evaluator(model, edges);
    evaluator.compute(batch.view(), results.all());
    EXPECT_EQ(results.energies, all.energies);
    EXPECT_EQ(results.forces, all.forces);
    EXPECT_EQ(results.virials, all.virials);
    EXPECT_EQ(results.atom_energies, all.atom_energies);
    EXPECT_GT(model.calls.size(), 3U);
    EXPECT_EQ(evaluator.calls(), static_cast<std::int64_t>(model.calls.size()));
    for (std::size_t k = 0; k < model.calls.size(); ++k)
      EXPECT_TRUE(model.calls[k] <= edges || model.structures[k] == 1);
  }
}

TEST(MaceBatch, OnlyWhatIsWantedIsAskedFor) {
  const Batch batch = many_structures(9);
  FakeMace model(4.5);
  Results results(batch);
  MaceBatch evaluator(model, 0);
  evaluator.compute(batch.view(), {results.energies.data(), nullptr, nullptr, nullptr});
  EXPECT_FALSE(model.asked_for_gradients);
  evaluator.compute(batch.view(), {nullptr, nullptr, results.virials.data(), nullptr});
  EXPECT_TRUE(model.asked_for_gradients);
}

TEST(MaceBatch, OneStructureWithAtomsOnEachOtherLeavesTheOthersRight) {
  const double nan = std::nan("");
  Batch good, batch;
  const std::vector<double> places = {1, 1, 1, 2.5, 1, 1}, pair = {1, 1, 1, 1, 1, 1.0005};
  const std::vector<unsigned char> pbc = {1, 1, 0};
  good.add(places, CUBE, pbc);
  batch.add({1, 1, 1, 1, 1, 1}, CUBE, pbc);
  batch.add(places, CUBE, pbc);
  batch.add(pair, CUBE, pbc);
  batch.add({1, 1, 1, 7, 1, 1}, CUBE, pbc);  // on the image of the other
  batch.add({1, 1, 1, nan, 1, 1}, CUBE, pbc);
  batch.add({1, 1, 1, 1, 1, 1e300}, CUBE, pbc);
  batch.add(places, CUBE, pbc);
  FakeMace model(4.5);
  Results expected(good), results(batch);
  MaceBatch(model, 0).compute(good.view(), expected.all());
  MaceBatch(model, 0).compute(batch.view(), results.all());
  for (const std::int64_t k : {1, 6}) {
    EXPECT_EQ(results.energies[k], expected.energies[0]);
    for (int d = 0; d < 6; ++d) {
      EXPECT_EQ(results.forces[6 * k + d], expected.forces[d]);
      EXPECT_EQ(results.virials[6 * k + d], expected.virials[d]);
    }
  }
  for (const std::int64_t k : {0, 2, 3, 4, 5}) {
    EXPECT_TRUE(std::isnan(results.energies[k])) << k;
    EXPECT_TRUE(std::isnan(results.atom_energies[2 * k])) << k;
    for (int d = 0; d < 6; ++d) {
      EXPECT_TRUE(std::isnan(results.forces[6 * k + d])) << k;
      EXPECT_TRUE(std::isnan(results.virials[6 * k + d])) << k;
    }
  }
  MaceGraph graph;
  EXPECT_TRUE(append_structure(batch.view(), 1, 4.5, graph));
  const std::vector<std::int64_t> senders = graph.senders;
  EXPECT_FALSE(append_structure(batch.view(), 2, 4.5, graph));
  EXPECT_EQ(graph.n_graphs(), 1);
  EXPECT_EQ(graph.n_nodes(), 2);
  EXPECT_EQ(graph.senders, senders);
  EXPECT_EQ(graph.receivers.size(), senders.size());
  EXPECT_EQ(graph.vectors.size(), 3 * senders.size());
}

TEST(MaceBatch, EmptyAndLonelyStructures) {
  Batch batch;
  batch.add({}, CUBE, {1, 1, 1});
  batch.add({1, 2, 3}, {0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0}, 2);
  batch.add({}, CUBE, {0, 0, 0});
  FakeMace model(4.5);
  Results results(batch);
  MaceBatch evaluator(model, 0);
  evaluator.compute(batch.view(), results.all());
  EXPECT_EQ(results.energies, (std::vector<double>{0.0, FakeMace::isolated(2) - 1.0, 0.0}));
  EXPECT_EQ(results.forces, (std::vector<double>(3, 0.0)));
  EXPECT_EQ(results.virials, (std::vector<double>(18, 0.0)));
  const Batch none;
  evaluator.compute(none.view(), {});
  Batch empty;
  empty.add({}, CUBE, {1, 1, 1});
  Results nothing(empty);
  evaluator.compute(empty.view(), nothing.all());
  EXPECT_EQ(nothing.energies[0], 0.0);
  EXPECT_EQ(evaluator.calls(), 1);
}

TEST(MaceBatch, HalvesAndRemembersWhenMemoryRunsOut) {
  const Batch batch = many_structures(60, false);
  FakeMace model(4.5);
  Results expected(batch), results(batch);
  MaceBatch(model, 0).compute(batch.view(), expected.all());
  std::int64_t largest = 0, sum = 0;
  for (std::int64_t k = 0; k < batch.count(); ++k) {
    MaceGraph graph;
    ASSERT_TRUE(append_structure(batch.view(), k, 4.5, graph));
    largest = std::max(largest, graph.n_edges());
    sum += graph.n_edges();
  }
  model.memory = 2 * largest;
  ASSERT_GT(sum, 3 * model.memory);
  model.calls.clear();
  MaceBatch evaluator(model, 4 * sum);
  evaluator.compute(batch.view(), results.all());
  EXPECT_EQ(results.energies, expected.energies);
  EXPECT_EQ(results.forces, expected.forces);
  EXPECT_LE(evaluator.max_edges(), model.memory);
  EXPECT_LE(evaluator.largest_call(), model.memory);
  // Nothing fails a second time.
  model.calls.clear();
  evaluator.compute(batch.view(), results.all());
  for (const std::int64_t edges : model.calls)
    EXPECT_LE(edges, model.memory);

  model.memory = largest - 1;
  const std::string message = message_of([&] { evaluator.compute(batch.view(), results.all()); });
  EXPECT_NE(message.find("one structure alone, with "), std::string::npos) << message;
  EXPECT_NE(message.find(" atoms and " + std::to_string(largest) + " edges"), std::string::npos)
      << message;
}

TEST(MaceBatch, GrowsOnADeviceUntilItsMemoryIsFull) {
  Batch batch;
  std::vector<double> x;
  for (int i = 0; i < 216; ++i)
    for (const int digit : {i % 6, i / 6 % 6, i / 36})
      x.push_back(1.5 * digit);
  for (int k = 0; k < 40; ++k)
    batch.add(x, {9, 0, 0, 0, 9, 0, 0, 0, 9}, {1, 1, 1});
  FakeMace model(4.4);
  model.info_.device = "cuda:0";
  model.memory = 300000;
  MaceBatch evaluator(model, 0);
  std::vector<double> energies(40);
  for (int call = 0; call < 3; ++call)
    evaluator.compute(batch.view(), {energies.data(), nullptr, nullptr, nullptr});
  for (const double energy : energies)
    EXPECT_EQ(energy, energies[0]);
  EXPECT_LE(evaluator.max_edges(), model.memory);
  EXPECT_GT(2 * evaluator.largest_call(), model.memory / 2);
  EXPECT_GT(model.calls.back(), model.calls.front());
}

TEST(MaceBatch, RefusesWhatMakesNoSense) {
  FakeMace model(4.5);
  const auto message = [&](const std::function<void(Batch &)> &spoil) {
    Batch batch;
    batch.add({1, 1, 1, 3, 1, 1}, CUBE, {1, 1, 1});
    batch.add({1, 1, 1, 3, 1, 1}, CUBE, {1, 1, 1});
    spoil(batch);
    Results results(batch);
    return message_of([&] { MaceBatch(model, 0).compute(batch.view(), results.all()); });
  };
  EXPECT_EQ(message([](Batch &) {}), "");
  EXPECT_EQ(message([](Batch &b) { b.species[2] = 3; }),
            "structure 2 of a batch has an atom of species 3, the model knows 0 to 2");
  EXPECT_EQ(message([](Batch &b) { b.first_atom[1] = 5; }), "structure 2 of a batch has -1 atoms");
  EXPECT_EQ(message([](Batch &b) { b.first_atom[0] = 1; }),
            "structure 1 of a batch begins with atom 1 instead of 0");
  EXPECT_EQ(message([](Batch &b) { b.cells[8] = 0; }),
            "structure 1 of a batch cannot be periodic: the cell vectors span no volume");
  EXPECT_NE(message([](Batch &b) { b.cells[17] = 1e-8; }).find("has a cell that is too thin"),
            std::string::npos);
  EXPECT_NE(message_of([&] { MaceBatch(model, -1); }).find("must be positive, or 0"),
            std::string::npos);
}
