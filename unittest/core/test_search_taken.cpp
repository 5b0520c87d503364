// SPDX-License-Identifier: GPL-2.0-only
// Results and structures that a search has not evaluated itself.
#include <memory>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/io/safetensors.hpp"
#include "toy_search.hpp"

using godiff::Evaluated;
using godiff::Evaluation;
using godiff::Search;
using namespace godiff_test;

namespace {

std::unique_ptr<Search> started(const godiff::Settings &settings) {
  auto search = std::make_unique<Search>(toy_system(), settings);
  search->set_reference(-10.0);
  search->prepare({});
  return search;
}

Evaluated evaluated(const Search &search, std::int64_t candidate) {
  Evaluation evaluation(search.system(), search.settings());
  evaluation.start(candidate, search.candidates()[static_cast<std::size_t>(candidate)]);
  std::vector<double> forces;
  while (evaluation.open()) {
    const double energy = toy_energy(search.system(), evaluation.positions(), forces);
    evaluation.report(energy, forces.data());
  }
  return evaluation.result();
}

}  // namespace

TEST(Taken, ResultsFromElsewhereMakeTheSameSearch) {
  for (const bool relax : {false, true}) {
    godiff::Settings settings = toy_settings();
    settings.relax_steps = relax ? 5 : 0;
    Search own(toy_system(), settings);
    run(own);
    const auto begun = started(settings);
    Search &told = *begun;
    while (!told.finished()) {
      std::vector<Evaluated> results;
      for (std::size_t k = 0; k < told.candidates().size(); ++k)
        results.push_back(evaluated(told, static_cast<std::int64_t>(k)));
      for (const Evaluated &result : results)
        told.take(result);
      told.prepare({});
    }
    EXPECT_EQ(state_bytes(told), state_bytes(own));
  }
}

TEST(Taken, OnlyTheNextCandidateIsTaken) {
  const auto begun = started(toy_settings());
  Search &search = *begun;
  const Evaluated first = evaluated(search, 0), second = evaluated(search, 1);
  EXPECT_THROW(search.take(second), godiff::Error);
  search.take(first);
  EXPECT_EQ(search.next_candidate(), 1);
  EXPECT_THROW(search.take(first), godiff::Error);
  search.take(second);
  EXPECT_EQ(search.archive().size(), 2u);
}

TEST(Loaded, OldStructuresAreLearnedFromAndCountAsBest) {
  Search old(toy_system(), toy_settings());
  run(old);
  const godiff::SafeTensors checkpoint = old.save();
  godiff::Settings colder = toy_settings();
  colder.kT_start = 0.05;
  colder.kT_stop = 0.02;
  colder.seed = 32;
  colder.stages = 2;
  colder.buffer = 24;
  Search search(toy_system(), colder);
  search.load_network(checkpoint);
  search.load_archive(checkpoint);
  EXPECT_EQ(search.archive().size(), old.archive().size());
  EXPECT_EQ(search.archive().best_energy(), old.archive().best_energy());
  EXPECT_EQ(search.best_distinct(3).size(), old.best_distinct(3).size());
  EXPECT_EQ(search.totals().evaluations, 0);
  EXPECT_EQ(search.current_stage().best, old.archive().best_energy());
  search.set_reference(-10.0);
  search.prepare({});
  const std::size_t one = colder.samples;
  while (search.has_request())
    evaluate_one(search, springs());
  EXPECT_EQ(search.archive().size(), old.archive().size() + one);
  EXPECT_EQ(search.totals().evaluations, static_cast<std::int64_t>(one));
  search.prepare({});
  // More than this search has evaluated.
  EXPECT_EQ(search.stages()[0].buffer, 24);

  // And it can be saved and continued as any other.
  Search again(toy_system(), colder);
  again.restore(search.save());
  run(search);
  run(again);
  EXPECT_EQ(state_bytes(again), state_bytes(search));
}

TEST(Loaded, OnlyTheSameSystemAndOnlyAtTheBegin) {
  Search old(toy_system(), toy_settings());
  run(old);
  const godiff::SafeTensors checkpoint = old.save();
  godiff::System other = toy_system();
  other.atomic_numbers.back() = 7;
  Search elsewhere(other, toy_settings());
  EXPECT_THROW(elsewhere.load_archive(checkpoint), godiff::Error);
  godiff::System higher = toy_system();
  higher.z_hi += 0.5;
  Search another_window(higher, toy_settings());
  EXPECT_NO_THROW(another_window.load_archive(checkpoint));
  godiff::System moved = toy_system();
  moved.template_positions[0] += 1e-3;
  Search shifted(moved, toy_settings());
  EXPECT_THROW(shifted.load_archive(checkpoint), godiff::Error);
  EXPECT_THROW(started(toy_settings())->load_archive(checkpoint), godiff::Error);
  godiff::Settings guided = toy_settings();
  guided.guide = 0.5;
  Search needs_forces(toy_system(), guided);
  EXPECT_THROW(needs_forces.load_archive(checkpoint), godiff::Error);
}

TEST(GoesOn, ALaterStateOfTheSameSearch) {
  const auto begun = started(toy_settings());
  Search &search = *begun;
  evaluate_one(search, springs());
  const godiff::SafeTensors earlier = search.save();
  evaluate_one(search, springs());
  const godiff::SafeTensors later = search.save();
  EXPECT_TRUE(Search::goes_on_from(later, earlier));
  EXPECT_TRUE(Search::goes_on_from(later, later));
  EXPECT_FALSE(Search::goes_on_from(earlier, later));

  godiff::Settings settings = toy_settings();
  settings.seed = 99;
  const auto another = started(settings);
  Search &other = *another;
  evaluate_one(other, springs());
  evaluate_one(other, springs());
  EXPECT_FALSE(Search::goes_on_from(other.save(), earlier));
  EXPECT_NE(other.identity(), search.identity());
  EXPECT_EQ(search.identity(), started(toy_settings())->identity());
}
