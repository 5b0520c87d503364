// SPDX-License-Identifier: GPL-2.0-only
// One candidate at a time, told its energies by whoever has them.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/search/evaluation.hpp"
#include "core/search/replay.hpp"
#include "toy_search.hpp"

using godiff::Evaluation;
using godiff::JournalRecord;
using godiff::Positions;
using godiff::Replay;
using namespace godiff_test;

namespace {

const double NOT_A_NUMBER = std::numeric_limits<double>::quiet_NaN();
const Positions SOMEWHERE = {4.0, 3.5, 4.2, 5.1, 5.3, 5.0};

godiff::Settings relaxing() {
  godiff::Settings s = toy_settings();
  s.relax_steps = 12;
  s.relax_ftol = 1e-3;
  return s;
}

// Evaluates to the end; returns what was reported.
std::vector<JournalRecord> run(Evaluation &evaluation, const godiff::System &system) {
  std::vector<JournalRecord> records;
  while (evaluation.open()) {
    JournalRecord r;
    r.stage = 3;
    r.candidate = evaluation.candidate();
    r.step = static_cast<std::int32_t>(evaluation.step());
    r.digest = godiff::digest(evaluation.positions());
    r.energy = toy_energy(system, evaluation.positions(), r.forces);
    records.push_back(r);
    evaluation.report(r.energy, r.forces.data());
  }
  return records;
}

}  // namespace

TEST(Evaluation, IsOneEnergyWithoutRelaxation) {
  const godiff::System system = toy_system();
  Evaluation evaluation(system, toy_settings());
  EXPECT_FALSE(evaluation.open());
  EXPECT_THROW(evaluation.report(1.0, nullptr), godiff::Error);
  evaluation.start(5, SOMEWHERE);
  EXPECT_TRUE(evaluation.open());
  EXPECT_EQ(evaluation.positions(), SOMEWHERE);
  EXPECT_TRUE(evaluation.report(-1.5, nullptr));
  EXPECT_FALSE(evaluation.open());
  EXPECT_EQ(evaluation.result().candidate, 5);
  EXPECT_EQ(evaluation.result().evaluations, 1);
  EXPECT_TRUE(evaluation.result().valid);
  EXPECT_EQ(evaluation.result().energy, -1.5);
  EXPECT_TRUE(evaluation.result().forces.empty());
}

TEST(Evaluation, FailsWithoutANumber) {
  const godiff::System system = toy_system();
  Evaluation evaluation(system, relaxing());
  std::vector<double> forces;
  toy_energy(system, SOMEWHERE, forces);
  evaluation.start(0, SOMEWHERE);
  EXPECT_THROW(evaluation.report(1.0, nullptr), godiff::Error);
  EXPECT_FALSE(evaluation.report(-1.0, forces.data()));
  EXPECT_TRUE(evaluation.report(NOT_A_NUMBER, forces.data()));
  EXPECT_FALSE(evaluation.result().valid);
  EXPECT_EQ(evaluation.result().evaluations, 2);
  evaluation.start(1, SOMEWHERE);
  forces.back() = NOT_A_NUMBER;
  EXPECT_TRUE(evaluation.report(-1.0, forces.data()));
  EXPECT_FALSE(evaluation.result().valid);
  evaluation.start(2, SOMEWHERE);
  evaluation.fail();
  EXPECT_FALSE(evaluation.open());
  EXPECT_FALSE(evaluation.result().valid);
  EXPECT_EQ(evaluation.result().candidate, 2);
}

TEST(Evaluation, KeepsForcesForAGuidedSearchOnly) {
  const godiff::System system = toy_system();
  godiff::Settings guided = toy_settings();
  guided.guide = 0.5;
  Evaluation evaluation(system, guided);
  std::vector<double> forces;
  toy_energy(system, SOMEWHERE, forces);
  evaluation.start(0, SOMEWHERE);
  EXPECT_TRUE(evaluation.report(-1.0, forces.data()));
  EXPECT_EQ(evaluation.result().forces.size(), forces.size());
}

TEST(Evaluation, RelaxationGoesOnFromItsState) {
  const godiff::System system = toy_system();
  Evaluation whole(system, relaxing()), half(system, relaxing()), rest(system, relaxing());
  whole.start(4, SOMEWHERE);
  const auto records = run(whole, system);
  ASSERT_GT(records.size(), 3u);
  half.start(4, SOMEWHERE);
  for (int k = 0; k < 3; ++k)
    half.report(records[k].energy, records[k].forces.data());
  rest.restore(4, half.relaxation());
  EXPECT_EQ(rest.step(), 3);
  run(rest, system);
  EXPECT_EQ(rest.result().positions, whole.result().positions);
  EXPECT_EQ(rest.result().energy, whole.result().energy);
  EXPECT_EQ(rest.result().evaluations, whole.result().evaluations);
}

TEST(Replay, RepeatsACandidateFromItsRecords) {
  const godiff::System system = toy_system();
  Evaluation first(system, relaxing()), again(system, relaxing());
  first.start(4, SOMEWHERE);
  std::vector<JournalRecord> records = run(first, system);
  again.start(4, SOMEWHERE);
  EXPECT_TRUE(Replay(records, relaxing(), system).report(3, again));
  EXPECT_EQ(again.result().positions, first.result().positions);
  EXPECT_EQ(again.result().energy, first.result().energy);
  EXPECT_EQ(again.result().evaluations, first.result().evaluations);

  // Up to what is known.
  records.resize(2);
  again.start(4, SOMEWHERE);
  EXPECT_FALSE(Replay(records, relaxing(), system).report(3, again));
  EXPECT_TRUE(again.open());
  EXPECT_EQ(again.step(), 2);
}

TEST(Replay, TakesNothingOfOtherStructures) {
  const godiff::System system = toy_system();
  Evaluation evaluation(system, relaxing());
  evaluation.start(4, SOMEWHERE);
  const Replay replay(run(evaluation, system), relaxing(), system);
  Positions moved = SOMEWHERE;
  moved[2] = std::nextafter(moved[2], 9.0);
  EXPECT_NE(replay.find(3, 4, 0, SOMEWHERE), nullptr);
  EXPECT_EQ(replay.find(3, 4, 0, moved), nullptr);
  EXPECT_EQ(replay.find(3, 5, 0, SOMEWHERE), nullptr);
  EXPECT_EQ(replay.find(2, 4, 0, SOMEWHERE), nullptr);
  EXPECT_EQ(replay.find(3, 4, 1, SOMEWHERE), nullptr);
}

TEST(Replay, TakesNoRecordWithoutTheForcesThatAreNeeded) {
  const godiff::System system = toy_system();
  JournalRecord record;
  record.digest = godiff::digest(SOMEWHERE);
  record.energy = -1.0;
  Evaluation evaluation(system, relaxing());
  evaluation.start(0, SOMEWHERE);
  EXPECT_FALSE(Replay({record}, relaxing(), system).report(0, evaluation));
  EXPECT_EQ(evaluation.step(), 0);
}
