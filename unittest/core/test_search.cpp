// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/search.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/geometry/fingerprint.hpp"
#include "core/search/annealing.hpp"
#include "temporary_folder.hpp"
#include "toy_search.hpp"

namespace {

using godiff::Archive;
using godiff::Error;
using godiff::ForceNeed;
using godiff::Positions;
using godiff::Record;
using godiff::Search;
using godiff::Settings;
using godiff::StageSummary;
using godiff::Status;
using godiff::System;
using godiff_test::evaluate_one;
using godiff_test::make_system;
using godiff_test::message_of;
using godiff_test::Potential;
using godiff_test::run;
using godiff_test::springs;
using godiff_test::state_bytes;
using godiff_test::toy_energy;
using godiff_test::toy_settings;
using godiff_test::toy_system;

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// Energies by the number of the candidate, whatever its structure.
Potential scripted(std::vector<double> energies) {
  return [=](const System &s, const Positions &x, std::int64_t candidate, std::vector<double> &f) {
    toy_energy(s, x, f);
    return energies[static_cast<std::size_t>(candidate) % energies.size()];
  };
}

// Method section 24.11.
TEST(Search, Counts) {
  Settings s = toy_settings();
  s.mindist = 2.6;  // large enough to reject some
  Search search(toy_system(), s);
  run(search);
  const auto &totals = search.totals();
  EXPECT_TRUE(search.finished());
  EXPECT_FALSE(search.work_due());
  EXPECT_FALSE(search.has_request());
  EXPECT_EQ(search.archive().size(), 18u);
  EXPECT_EQ(totals.evaluations, 18);
  EXPECT_GT(totals.rejected, 0);
  EXPECT_EQ(totals.drawn, 18 + totals.rejected);
  EXPECT_EQ(totals.network_calls, totals.drawn * s.sample_steps);
  EXPECT_EQ(totals.failed + totals.outside, 0);
  EXPECT_EQ(totals.skipped_steps, 0);
  EXPECT_EQ(totals.non_finite_scores, 0);
  ASSERT_EQ(search.stages().size(), 3u);
  EXPECT_EQ(search.learned_stages(), 3);
  std::int64_t drawn = 0, evaluations = 0;
  for (const StageSummary &stage : search.stages()) {
    EXPECT_EQ(stage.drawn - stage.rejected, 6);
    EXPECT_EQ(stage.evaluations, 6);
    drawn += stage.drawn;
    evaluations += stage.evaluations;
  }
  EXPECT_EQ(drawn, totals.drawn);
  EXPECT_EQ(evaluations, totals.evaluations);
  // Each structure once, in the order of evaluation, none too close, all inside the window.
  std::set<Positions> seen;
  for (std::size_t k = 0; k < search.archive().size(); ++k) {
    const Record &r = search.archive()[k];
    EXPECT_EQ(r.evaluation, static_cast<std::int64_t>(k) + 1);
    EXPECT_EQ(r.stage, static_cast<int>(k / 6));
    EXPECT_FALSE(godiff::too_close(search.system(), r.positions, s.mindist));
    EXPECT_EQ(godiff::outside_window(search.system(), r.positions), 0.0);
    EXPECT_TRUE(r.forces.empty());
    seen.insert(r.positions);
  }
  EXPECT_EQ(seen.size(), 18u);
}

TEST(Search, RecordsOrderAndProvenance) {
  const Settings s = toy_settings();
  Search search(toy_system(), s);
  run(search);
  const std::vector<double> ladder = godiff::geometric_ladder(s.kT_start, s.kT_stop, s.stages);
  godiff::ClassRegistry classes;
  double best = INFINITY;
  std::vector<double> f;
  for (const Record &r : search.archive().records()) {
    EXPECT_EQ(r.kT, ladder[r.stage]);
    EXPECT_EQ(r.energy, toy_energy(search.system(), r.positions, f));
    EXPECT_EQ(r.status, Status::OK);
    best = std::min(best, r.energy);
    EXPECT_DOUBLE_EQ(r.weight, std::exp(-(r.energy - best) / r.kT));
    EXPECT_EQ(r.structure_class,
              classes.classify(godiff::fingerprint(search.system(), r.positions)));
    EXPECT_EQ(r.offset, -1);
  }
  EXPECT_EQ(search.archive().best_energy(), best);
  EXPECT_EQ(search.archive()[search.archive().best()].energy, best);
  for (int k = 0; k < 3; ++k) {
    const StageSummary &stage = search.stages()[k];
    double lowest = INFINITY, sum = 0.0, so_far = INFINITY;
    for (const Record &r : search.archive().records()) {
      if (r.stage <= k)
        so_far = std::min(so_far, r.energy);
      if (r.stage != k)
        continue;
      lowest = std::min(lowest, r.energy);
      sum += r.energy;
    }
    EXPECT_EQ(stage.stage, k);
    EXPECT_EQ(stage.kT, ladder[k]);
    EXPECT_EQ(stage.lowest, lowest);
    EXPECT_NEAR(stage.mean, sum / 6, 1e-12);
    EXPECT_EQ(stage.best, so_far);
    EXPECT_TRUE(std::isfinite(stage.score_loss));
    EXPECT_TRUE(std::isnan(stage.force_loss));
    EXPECT_EQ(stage.buffer, std::min(s.buffer, 6 * (k + 1)));
    EXPECT_GE(stage.ess, 1.0);
    EXPECT_LE(stage.ess, static_cast<double>(stage.buffer));
  }
}

TEST(Search, CurrentStageIsUpToDate) {
  Search search(toy_system(), toy_settings());
  search.set_reference(0.0);
  EXPECT_EQ(search.current_stage().kT, 2.0);
  EXPECT_TRUE(search.work_due());
  EXPECT_FALSE(search.has_request());
  EXPECT_THROW(search.request(), Error);
  ASSERT_TRUE(search.prepare({}));
  EXPECT_FALSE(search.work_due());
  for (int k = 0; k < 5; ++k) {
    evaluate_one(search, scripted({-1.0, -3.0, -2.0, 5.0, 0.0}));
    const StageSummary &c = search.current_stage();
    EXPECT_EQ(c.evaluations, k + 1);
    EXPECT_EQ(c.lowest, k == 0 ? -1.0 : -3.0);
    EXPECT_NEAR(c.mean, (std::vector<double>{-1, -2, -2, -0.25, -0.2})[k], 1e-12);
    EXPECT_EQ(c.best, c.lowest);
    EXPECT_FALSE(search.work_due());
  }
  evaluate_one(search, scripted({0.0}));
  EXPECT_TRUE(search.work_due());
  EXPECT_EQ(search.current_stage().stage, 1);
  EXPECT_FALSE(search.has_request());
  search.set_last_offset(1234);
  EXPECT_EQ(search.archive().back().offset, 1234);
}

TEST(Search, SameSeedSameBits) {
  Search a(toy_system(), toy_settings()), b(toy_system(), toy_settings());
  run(a);
  run(b);
  EXPECT_EQ(state_bytes(a), state_bytes(b));
  Settings s = toy_settings();
  ++s.seed;
  Search c(toy_system(), s);
  run(c);
  EXPECT_NE(a.archive()[0].positions, c.archive()[0].positions);
}

TEST(Search, StatusesByTheEnergyWindow) {
  Settings s = toy_settings();
  s.stages = 1;
  s.energy_lo = -2.0;
  s.energy_hi = 3.0;
  const std::vector<double> energies{-100.0, -102.0, -97.0, NAN, INFINITY, -101.9999};
  for (bool absolute : {false, true}) {
    s.energy_absolute = absolute;
    std::vector<double> e = energies;
    if (absolute)
      for (double &x : e)
        x += 100.0;
    Search search(toy_system(), s);
    search.set_reference(-100.0);
    run(search, scripted(e));
    const Status expected[] = {Status::OK,     Status::LOW,    Status::HIGH,
                               Status::FAILED, Status::FAILED, Status::OK};
    const Archive &archive = search.archive();
    for (std::size_t k = 0; k < 6; ++k) {
      EXPECT_EQ(archive[k].status, expected[k]) << k;
      const bool failed = expected[k] == Status::FAILED;
      EXPECT_EQ(std::isnan(archive[k].energy), failed);
      EXPECT_EQ(archive[k].structure_class < 0, failed);
      EXPECT_EQ(archive[k].positions.size(), 6u);
    }
    EXPECT_EQ(archive.count(Status::OK), 2);
    EXPECT_EQ(archive.best(), 5);
    EXPECT_EQ(search.totals().failed, 2);
    EXPECT_EQ(search.totals().outside, 2);
    EXPECT_EQ(search.stages()[0].outside, 2);
    EXPECT_EQ(search.stages()[0].failed, 2);
    EXPECT_EQ(search.stages()[0].buffer, 2);
    EXPECT_NEAR(search.stages()[0].mean, (e[0] + e[5]) / 2, 1e-9);
    EXPECT_EQ(search.totals().evaluations, 6) << "a failed energy was paid for";
  }
}

TEST(Search, NeedsTheReferenceForARelativeWindow) {
  Search search(toy_system(), toy_settings());
  search.prepare({});
  const std::string message = message_of<Error>([&] { evaluate_one(search, springs()); });
  EXPECT_TRUE(contains(message, "input structure")) << message;
  EXPECT_THROW(search.set_reference(NAN), Error);
  Settings s = toy_settings();
  s.energy_absolute = true;
  Search absolute(toy_system(), s);
  absolute.prepare({});
  EXPECT_NO_THROW(evaluate_one(absolute, springs()));
}

TEST(Search, AllFailedIsAnError) {
  Search search(toy_system(), toy_settings());
  const std::string message = message_of<Error>([&] { run(search, scripted({NAN})); });
  EXPECT_TRUE(contains(message, "all 6 candidates of stage 1")) << message;
  EXPECT_TRUE(contains(message, "not finite")) << message;
  EXPECT_EQ(search.archive().size(), 6u) << "all are on record";
  // Nobody can go on by mistake.
  EXPECT_FALSE(search.has_request());
  EXPECT_THROW(search.request(), Error);
}

// Stages without a single structure to train on keep the network and go on.
TEST(Search, EmptyBufferSkipsTheTraining) {
  Settings s = toy_settings();
  s.energy_hi = -50.0;
  Search search(toy_system(), s);
  run(search);
  EXPECT_TRUE(search.finished());
  EXPECT_EQ(search.archive().best(), -1);
  EXPECT_TRUE(search.best_distinct(5).empty());
  for (const StageSummary &stage : search.stages()) {
    EXPECT_EQ(stage.buffer, 0);
    EXPECT_EQ(stage.outside, 6);
    EXPECT_TRUE(std::isnan(stage.lowest));
    EXPECT_TRUE(std::isnan(stage.score_loss));
  }
}

TEST(Search, MindistTooLargeIsAnError) {
  Settings s = toy_settings();
  s.mindist = 20.0;
  s.sample_steps = 2;
  Search search(toy_system(), s);
  const std::string message = message_of<Error>([&] { search.prepare({}); });
  EXPECT_TRUE(contains(message, "0 of 6 candidates of stage 1")) << message;
  EXPECT_TRUE(contains(message, "mindist 20")) << message;
  EXPECT_TRUE(contains(message, "confine")) << message;
}

TEST(Search, DuplicatesStayOutOfTheBuffer) {
  Settings s = toy_settings();
  s.unique_tolerance = 1e-3;
  s.buffer = 100;
  Search search(toy_system(), s);
  run(search);
  // Two atoms are bonded or not: two classes at most.
  std::vector<std::set<int>> classes(3);
  for (const Record &r : search.archive().records())
    for (int k = r.stage; k < 3; ++k)
      classes[k].insert(r.structure_class);
  for (int k = 0; k < 3; ++k) {
    EXPECT_EQ(search.stages()[k].buffer, static_cast<std::int64_t>(classes[k].size()));
    EXPECT_EQ(search.stages()[k].duplicates,
              6 * (k + 1) - static_cast<std::int64_t>(classes[k].size()));
  }
  EXPECT_EQ(search.totals().duplicates, search.stages()[2].duplicates);
  System one = toy_system();
  one.n_mobile = 1;
  one.atomic_numbers.pop_back();
  one.ids.pop_back();
  one.types.pop_back();
  EXPECT_TRUE(contains(message_of<Error>([&] { Search(one, s); }), "unique"));
}

TEST(Search, DuplicatesAreThoseOfComparingAllStructures) {
  // Four atoms and a wide tolerance: classes that are no duplicates of each other can both be
  // duplicates of a third.
  const System system =
      make_system({{{9, 0, 0}, {2, 8.5, 0}, {0, 0, 14}}}, {true, true, false},
                  {3, 3, 2, 5.5, 3, 2, 4.2, 5.2, 2}, {78, 78, 29}, {78, 78, 78, 78}, 3, 8);
  Settings s = toy_settings();
  s.sample = godiff::SampleKind::PRIOR;
  s.stages = 2;
  s.samples = 40;
  s.unique_tolerance = 0.4;
  s.buffer = 100;
  Search search(system, s);
  run(search);
  std::vector<const Record *> order;
  for (const Record &r : search.archive().records())
    order.push_back(&r);
  std::stable_sort(order.begin(), order.end(),
                   [](const Record *a, const Record *b) { return a->energy < b->energy; });
  std::vector<godiff::Fingerprint> kept;
  std::set<int> classes;
  for (const Record *r : order) {
    const godiff::Fingerprint f = godiff::fingerprint(system, r->positions);
    classes.insert(r->structure_class);
    if (std::none_of(kept.begin(), kept.end(), [&](const godiff::Fingerprint &other) {
          return godiff::fingerprint_distance(f, other) <= s.unique_tolerance;
        }))
      kept.push_back(f);
  }
  EXPECT_GT(kept.size(), 2u);
  EXPECT_LT(kept.size(), classes.size());
  EXPECT_EQ(search.stages()[1].buffer, static_cast<std::int64_t>(kept.size()));
}

TEST(Search, BestDistinctStructuresInOrder) {
  Settings s = toy_settings();
  s.stages = 1;
  s.samples = 12;
  Search search(toy_system(), s);
  search.set_reference(0.0);
  // All further apart than 0.05 eV or equal: of equals of one class the first counts.
  run(search, scripted({-1, -2, -2, -5, -1, -5, -3, -3, -4, -2, -4, -1}));
  const Archive &archive = search.archive();
  std::vector<std::int64_t> expected;
  for (double energy = -5; energy < 0; ++energy) {
    std::set<int> classes;
    for (std::int64_t i = 0; i < 12; ++i)
      if (archive[i].energy == energy && classes.insert(archive[i].structure_class).second)
        expected.push_back(i);
  }
  EXPECT_EQ(search.best_distinct(100), expected);
  expected.resize(3);
  EXPECT_EQ(search.best_distinct(3), expected);
}

TEST(Search, BestDistinctStructures) {
  Settings s = toy_settings();
  s.stages = 1;
  Search search(toy_system(), s);
  search.set_reference(0.0);
  run(search, scripted({-1.0, -3.0, -3.04, -2.0, -3.06, -2.03}));
  const Archive &archive = search.archive();
  const std::vector<std::int64_t> best = search.best_distinct(10);
  ASSERT_FALSE(best.empty());
  EXPECT_EQ(best[0], 4);
  for (std::size_t k = 1; k < best.size(); ++k)
    EXPECT_LE(archive[best[k - 1]].energy, archive[best[k]].energy);
  // Whatever is left out equals a better one: same class, less than 0.05 eV apart.
  for (std::int64_t i = 0; i < 6; ++i) {
    if (std::find(best.begin(), best.end(), i) != best.end())
      continue;
    EXPECT_TRUE(std::any_of(best.begin(), best.end(), [&](std::int64_t b) {
      return archive[b].structure_class == archive[i].structure_class &&
             std::abs(archive[b].energy - archive[i].energy) < 0.05;
    })) << i;
  }
  EXPECT_EQ(search.best_distinct(2).size(), 2u);
  EXPECT_TRUE(search.best_distinct(0).empty());
}

TEST(Search, AdaptiveAnnealing) {
  Settings s = toy_settings();
  s.annealing = godiff::Annealing::ADAPTIVE_ESS;
  s.adaptive_ess = 4.0;
  s.stages = 5;
  s.kT_start = 50.0;
  s.kT_stop = 1e-3;
  Search search(toy_system(), s);
  run(search);
  const auto &stages = search.stages();
  EXPECT_EQ(stages.front().kT, 50.0);
  EXPECT_EQ(stages.back().kT, 1e-3) << "the last stage is always cold";
  for (int k = 1; k < 4; ++k) {
    std::vector<double> energies;
    for (const Record &r : search.archive().records())
      if (r.stage < k)
        energies.push_back(r.energy);
    EXPECT_EQ(stages[k].kT,
              godiff::adaptive_temperature(energies, stages[k - 1].kT, s.kT_stop, 4.0));
    EXPECT_LT(stages[k].kT, stages[k - 1].kT);
    EXPECT_GE(godiff::effective_sample_size(godiff::boltzmann_weights(energies, stages[k].kT)),
              4.0);
  }
}

TEST(Search, ModeSampleLearnsNothing) {
  Settings s = toy_settings();
  s.train = false;
  Search search(toy_system(), s);
  const at::Tensor before = search.save().get("painn.embedding.weight").clone();
  run(search);
  EXPECT_EQ(search.archive().size(), 18u);
  EXPECT_EQ(search.learned_stages(), 0);
  EXPECT_FALSE(search.work_due());
  EXPECT_TRUE(at::equal(search.save().get("painn.embedding.weight"), before));
  EXPECT_EQ(search.totals().seconds_training, 0.0);
  EXPECT_EQ(search.stages()[1].buffer, 0);
  // Its first stage is that of a search.
  Search learning(toy_system(), toy_settings());
  run(learning);
  EXPECT_EQ(learning.archive()[5].positions, search.archive()[5].positions);
  EXPECT_NE(learning.archive()[6].positions, search.archive()[6].positions);
}

// Random structure search (method section 20): uniform draws, relaxed one by one.
TEST(Search, PriorWithRelaxation) {
  Settings s = toy_settings();
  s.sample = godiff::SampleKind::PRIOR;
  s.train = false;
  s.relax_steps = 60;
  s.relax_ftol = 0.05;
  const System system = toy_system();
  Search search(system, s);
  EXPECT_EQ(search.forces_needed(), ForceNeed::MOBILE);
  search.set_reference(0.0);
  std::int64_t evaluations = 0;
  std::vector<double> f;
  while (!search.finished()) {
    search.prepare({});
    while (search.has_request()) {
      const Positions asked = search.request();
      EXPECT_EQ(search.request(), asked) << "asking twice changes nothing";
      EXPECT_EQ(godiff::outside_window(system, asked), 0.0);
      ++evaluations;
      if (!evaluate_one(search, springs()))
        continue;
      const Record &r = search.archive().back();
      EXPECT_EQ(r.positions, asked);
      EXPECT_EQ(r.evaluation, evaluations);
      EXPECT_EQ(r.energy, toy_energy(system, asked, f));
      double largest = 0.0;
      for (std::size_t k = 9; k < 15; k += 3)
        largest =
            std::max(largest, std::sqrt(f[k] * f[k] + f[k + 1] * f[k + 1] + f[k + 2] * f[k + 2]));
      EXPECT_LT(largest, 0.05);
    }
  }
  EXPECT_GT(evaluations, 3 * 18);
  EXPECT_EQ(search.totals().evaluations, evaluations);
  EXPECT_EQ(search.totals().network_calls, 0);
  EXPECT_EQ(search.archive().size(), 18u);
  std::int64_t sum = 0;
  for (const StageSummary &stage : search.stages())
    sum += stage.evaluations;
  EXPECT_EQ(sum, evaluations);
}

TEST(Search, FailureInTheMiddleOfARelaxation) {
  Settings s = toy_settings();
  s.stages = 1;
  s.relax_steps = 5;
  s.relax_ftol = 1e-6;
  Search search(toy_system(), s);
  search.set_reference(0.0);
  int calls = 0;
  run(search, [&](const System &system, const Positions &x, std::int64_t, std::vector<double> &f) {
    const double e = toy_energy(system, x, f);
    ++calls;
    if (calls == 3)
      return std::nan("");
    if (calls == 5)
      f[9] = INFINITY;  // a force of a mobile atom
    return e;
  });
  EXPECT_EQ(search.archive()[0].status, Status::FAILED);
  EXPECT_EQ(search.archive()[0].evaluation, 3);
  EXPECT_EQ(search.archive()[1].status, Status::FAILED);
  EXPECT_EQ(search.archive()[1].evaluation, 5);
  EXPECT_EQ(search.archive()[2].status, Status::OK);
  EXPECT_EQ(search.archive()[2].evaluation, 11) << "the first evaluation and five steps";
  EXPECT_EQ(search.totals().evaluations, calls);
}

TEST(Search, GuidedSearchUsesForcesOfAllAtoms) {
  Settings s = toy_settings();
  s.guide = 0.2;
  Search search(toy_system(), s);
  EXPECT_EQ(search.forces_needed(), ForceNeed::ALL);
  EXPECT_GT(search.parameter_count(), Search(toy_system(), toy_settings()).parameter_count());
  run(search);
  const auto &stages = search.stages();
  // Stage 0 is not guided: its force head knows nothing.
  std::int64_t calls = 0;
  for (const StageSummary &stage : stages)
    calls += stage.drawn * s.sample_steps * (stage.stage == 0 ? 1 : 2);
  EXPECT_EQ(search.totals().network_calls, calls);
  std::vector<double> f;
  for (const Record &r : search.archive().records()) {
    toy_energy(search.system(), r.positions, f);
    ASSERT_EQ(r.forces.size(), 15u);
    for (std::size_t k = 0; k < 15; ++k)
      EXPECT_EQ(r.forces[k], static_cast<float>(f[k]));
  }
  for (const StageSummary &stage : stages)
    EXPECT_TRUE(std::isfinite(stage.force_loss));
  // Stage 0 draws with the same weights and streams as without guidance.
  Search plain(toy_system(), toy_settings());
  run(plain);
  EXPECT_EQ(plain.archive()[0].positions, search.archive()[0].positions);
  EXPECT_NE(plain.archive()[17].positions, search.archive()[17].positions);
}

TEST(Search, GuidedSearchNeedsForces) {
  Settings s = toy_settings();
  s.guide = 0.2;
  Search search(toy_system(), s);
  search.set_reference(0.0);
  search.prepare({});
  EXPECT_TRUE(contains(message_of<Error>([&] { search.report(-1.0, nullptr); }), "forces"));
  // A force of the template that is not finite spoils the force stage too.
  std::vector<double> f(15, 0.0);
  f[2] = NAN;
  search.report(-1.0, f.data());
  EXPECT_EQ(search.archive().back().status, Status::FAILED);
}

TEST(Search, GuidedSearchWithRelaxationAndExtraSteps) {
  Settings s = toy_settings();
  s.guide = 0.2;
  s.guide_extra = 2;
  s.ffg_all_atoms = true;
  s.relax_steps = 2;
  Search search(toy_system(), s);
  run(search);
  EXPECT_EQ(search.archive().size(), 18u);
  EXPECT_GT(search.totals().evaluations, 18);
  EXPECT_LE(search.totals().evaluations, 3 * 18);
}

// Every variant of the switches runs and changes what it should change.
TEST(Search, SwitchesActOnTheSearch) {
  const auto last = [](Settings s, bool guided) {
    s.guide = guided ? 5.0 : 0.0;
    Search search(toy_system(), s);
    run(search);
    return search.archive().back().positions;
  };
  const Positions plain = last(toy_settings(), false), with_forces = last(toy_settings(), true);
  const auto changed = [&](const char *name, const char *value, bool guided) {
    Settings s = toy_settings();
    godiff::set_switch(s, name, value);
    return last(s, guided) != (guided ? with_forces : plain);
  };
  EXPECT_TRUE(changed("score_scale", "rescaled", false));
  EXPECT_TRUE(changed("score_scale", "consistent", false));
  EXPECT_TRUE(changed("g2", "legacy", false));
  EXPECT_TRUE(changed("weights_norm", "all", false));
  EXPECT_TRUE(changed("loss_weights", "none", false));
  EXPECT_TRUE(changed("val_fraction", "0.4", false));
  EXPECT_TRUE(changed("optim_reset", "no", false));
  EXPECT_TRUE(changed("ffg_dt", "no", true));
  EXPECT_TRUE(changed("ffg_zeta", "1", true));
  EXPECT_TRUE(changed("ffg_atoms", "all", true));
  EXPECT_TRUE(changed("force_loss", "mobile", true));
}

// Injected weights (method section 6) decide draw and loss; with the default formula they change
// nothing.
TEST(Search, WeightsCanBeReplaced) {
  Search plain(toy_system(), toy_settings()), same(toy_system(), toy_settings()),
      other(toy_system(), toy_settings());
  same.set_log_weight([](const Positions &, double energy, double kT) { return -energy / kT; });
  // Whatever the energy, what lies higher weighs more.
  std::int64_t asked = 0;
  other.set_log_weight([&](const Positions &x, double, double) {
    EXPECT_EQ(x.size(), 6u);
    ++asked;
    return 2.0 * (x[2] + x[5]);
  });
  run(plain);
  run(same);
  run(other);
  EXPECT_EQ(state_bytes(plain), state_bytes(same));
  EXPECT_EQ(asked, 6 + 12 + 18);
  EXPECT_EQ(other.archive()[5].positions, plain.archive()[5].positions);
  EXPECT_NE(other.archive()[6].positions, plain.archive()[6].positions);
  EXPECT_NE(other.stages()[0].ess, plain.stages()[0].ess);
}

TEST(Search, DoublePrecision) {
  Settings s = toy_settings();
  s.double_precision = true;
  Search search(toy_system(), s);
  run(search);
  EXPECT_EQ(search.save().get("painn.filter.weight").scalar_type(), at::kDouble);
  // The weights start from the same numbers: stage 0 agrees to the rounding of float32 scores.
  Search single(toy_system(), toy_settings());
  run(single);
  for (int k = 0; k < 6; ++k)
    EXPECT_NEAR(single.archive()[0].positions[k], search.archive()[0].positions[k], 1e-3);
}

TEST(Search, RefusesWrongSystems) {
  System s = toy_system();
  s.z_hi = s.z_lo;
  EXPECT_TRUE(contains(message_of<Error>([&] { Search(s, toy_settings()); }), "window"));
  s = toy_system();
  s.atomic_numbers[2] = 0;
  EXPECT_TRUE(contains(message_of<Error>([&] { Search(s, toy_settings()); }), "atomic number 0"));
  s = toy_system();
  s.n_mobile = 0;
  EXPECT_TRUE(contains(message_of<Error>([&] { Search(s, toy_settings()); }), "no mobile atom"));
  Settings bad = toy_settings();
  bad.network.nfeat = 20;
  EXPECT_TRUE(contains(message_of<Error>([&] { Search(toy_system(), bad); }), "nfeat"));
}

}  // namespace
