// SPDX-License-Identifier: GPL-2.0-only
// Interrupting, saving, restoring and transferring a search (method section 24.10).
#include <cmath>
#include <functional>
#include <memory>

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/search/search.hpp"
#include "temporary_folder.hpp"
#include "toy_search.hpp"

namespace {

using godiff::Error;
using godiff::SafeTensors;
using godiff::Search;
using godiff::Settings;
using godiff::System;
using godiff_test::evaluate_one;
using godiff_test::message_of;
using godiff_test::run;
using godiff_test::springs;
using godiff_test::state_bytes;
using godiff_test::toy_settings;
using godiff_test::toy_system;

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// Saved, written as bytes, and read into a new search.
std::unique_ptr<Search> reborn(const Search &search, const System &system,
                               const Settings &settings) {
  const std::string bytes = search.save().to_bytes();
  auto copy = std::make_unique<Search>(system, settings);
  copy->restore(SafeTensors::from_bytes(bytes, "test"));
  return copy;
}

// Goes through a search; at every position it can be in, checks that a copy made there is the same
// and (at every `stride`-th) that the copy ends as the uninterrupted search. Returns the positions.
int check_every_cut(const Settings &settings, int stride) {
  const System system = toy_system();
  Search whole(system, settings);
  run(whole);
  const std::string end = state_bytes(whole);

  Search search(system, settings);
  int cuts = 0;
  const auto cut = [&] {
    const auto copy = reborn(search, system, settings);
    EXPECT_EQ(state_bytes(*copy), state_bytes(search)) << "cut " << cuts;
    EXPECT_EQ(copy->finished(), search.finished());
    EXPECT_EQ(copy->work_due(), search.work_due());
    EXPECT_EQ(copy->has_request(), search.has_request());
    if (search.has_request()) {
      EXPECT_EQ(copy->request(), search.request());
    }
    if (cuts++ % stride == 0) {
      run(*copy);
      EXPECT_EQ(state_bytes(*copy), end) << "cut " << cuts - 1;
    }
  };
  cut();
  search.set_reference(-10.0);
  while (true) {
    cut();
    search.prepare({});
    if (search.finished())
      break;
    while (search.has_request()) {
      cut();
      evaluate_one(search, springs());
    }
  }
  cut();
  EXPECT_EQ(state_bytes(search), end);
  return cuts;
}

TEST(SaveRestore, AtEveryPosition) {
  EXPECT_EQ(check_every_cut(toy_settings(), 1), 1 + 4 + 18 + 1);
}

TEST(SaveRestore, InTheMiddleOfRelaxations) {
  Settings s = toy_settings();
  s.samples = 3;
  s.relax_steps = 4;
  s.relax_ftol = 0.3;
  EXPECT_GT(check_every_cut(s, 1), 25);
}

TEST(SaveRestore, WithEverythingSwitchedOn) {
  Settings s = toy_settings();
  s.samples = 4;
  s.guide = 0.2;
  s.guide_extra = 2;
  s.relax_steps = 2;
  s.unique_tolerance = 1e-3;
  s.annealing = godiff::Annealing::ADAPTIVE_ESS;
  s.adaptive_ess = 3;
  s.optim_reset = false;
  s.weights_all = true;
  s.energy_hi = 30.0;
  s.double_precision = true;
  check_every_cut(s, 4);
}

TEST(SaveRestore, ModeSampleAndPrior) {
  Settings s = toy_settings();
  s.train = false;
  check_every_cut(s, 5);
  s.train = true;
  s.sample = godiff::SampleKind::PRIOR;
  check_every_cut(s, 5);
}

TEST(SaveRestore, FailedCandidatesSurvive) {
  const Settings s = toy_settings();
  Search search(toy_system(), s);
  search.set_reference(0.0);
  search.prepare({});
  search.report(NAN, nullptr);
  search.report(-1.0, nullptr);
  search.set_last_offset(77);
  const auto copy = reborn(search, toy_system(), s);
  EXPECT_EQ(state_bytes(*copy), state_bytes(search));
  EXPECT_EQ(copy->archive()[0].status, godiff::Status::FAILED);
  EXPECT_TRUE(std::isnan(copy->archive()[0].energy));
  EXPECT_EQ(copy->archive()[1].offset, 77);
  EXPECT_EQ(copy->reference(), 0.0);
}

TEST(SaveRestore, ReplacesWhateverTheSearchHadDone) {
  Search a(toy_system(), toy_settings()), b(toy_system(), toy_settings());
  a.set_reference(-10.0);
  a.prepare({});
  evaluate_one(a, springs());
  const SafeTensors early = SafeTensors::from_bytes(a.save().to_bytes(), "test");
  run(b);
  const std::string end = state_bytes(b);
  b.restore(early);
  EXPECT_EQ(state_bytes(b), state_bytes(a));
  run(b);
  EXPECT_EQ(state_bytes(b), end);
}

TEST(Mismatch, IsRefusedByName) {
  const Settings s = toy_settings();
  Search search(toy_system(), s);
  run(search);
  const SafeTensors state = search.save();
  const auto refusal = [&](const std::function<void(System &, Settings &)> &change) {
    System system = toy_system();
    Settings settings = s;
    change(system, settings);
    Search other(system, settings);
    const std::string fresh = state_bytes(other);
    const std::string message = message_of<Error>([&] { other.restore(state); });
    EXPECT_EQ(state_bytes(other), fresh) << "a refused state left traces: " << message;
    return message;
  };
  const struct {
    const char *word;
    std::function<void(System &, Settings &)> change;
  } cases[] = {
      {"stages 3, this one has 4", [](System &, Settings &x) { x.stages = 4; }},
      {"samples 6, this one has 7", [](System &, Settings &x) { x.samples = 7; }},
      {"seed", [](System &, Settings &x) { ++x.seed; }},
      {"kT_start", [](System &, Settings &x) { x.kT_start = 3; }},
      {"mindist", [](System &, Settings &x) { x.mindist = 0.7; }},
      {"buffer 8, this one has 9", [](System &, Settings &x) { x.buffer = 9; }},
      {"train", [](System &, Settings &x) { x.batch = 5; }},
      {"optim", [](System &, Settings &x) { x.clip = 1; }},
      {"nfeat", [](System &, Settings &x) { x.network.nfeat = 32; }},
      {"cutoff", [](System &, Settings &x) { x.network.cutoff = 5; }},
      {"sample", [](System &, Settings &x) { x.sample_steps = 9; }},
      {"guide", [](System &, Settings &x) { x.guide = 0.1; }},
      {"relax", [](System &, Settings &x) { x.relax_steps = 1; }},
      {"unique", [](System &, Settings &x) { x.unique_tolerance = 0.1; }},
      {"anneal", [](System &, Settings &x) { x.annealing = godiff::Annealing::ADAPTIVE_ESS; }},
      {"precision", [](System &, Settings &x) { x.double_precision = true; }},
      {"mode search, this one has sample", [](System &, Settings &x) { x.train = false; }},
      {"switch g2 exact, this one has legacy", [](System &, Settings &x) { x.g2_legacy = true; }},
      {"cell",
       [](System &x, Settings &) {
         x.cell = godiff::Cell({{{9, 0, 0}, {2, 8.6, 0}, {0, 0, 14}}}, {true, true, false});
       }},
      {"periodicity ppf, this one has pff",
       [](System &x, Settings &) {
         x.cell = godiff::Cell(x.cell.rows(), {true, false, false});
       }},
      {"confinement", [](System &x, Settings &) { x.z_hi = 9; }},
      {"elements", [](System &x, Settings &) { x.atomic_numbers[4] = 29; }},
      {"atom IDs", [](System &x, Settings &) { x.ids[0] = 99; }},
      {"template", [](System &x, Settings &) { x.template_positions[0] += 1e-12; }},
  };
  for (const auto &c : cases) {
    const std::string message = refusal(c.change);
    EXPECT_TRUE(contains(message, c.word)) << "wanted '" << c.word << "', got '" << message << "'";
  }
}

TEST(Mismatch, OtherNumbersOfAtoms) {
  Search search(toy_system(), toy_settings());
  System fewer = toy_system();
  fewer.n_mobile = 1;
  fewer.atomic_numbers.pop_back();
  fewer.ids.pop_back();
  fewer.types.pop_back();
  Search other(fewer, toy_settings());
  EXPECT_TRUE(contains(message_of<Error>([&] { other.restore(search.save()); }),
                       "mobile atoms 2, this one has 1"));
}

TEST(Mismatch, DamagedStatesAreRefused) {
  Search search(toy_system(), toy_settings());
  search.set_reference(-10.0);
  search.prepare({});
  evaluate_one(search, springs());
  const auto refused = [&](const std::function<void(SafeTensors &)> &damage) {
    SafeTensors state = search.save();
    damage(state);
    Search other(toy_system(), toy_settings());
    const std::string fresh = state_bytes(other);
    const std::string message = message_of<Error>([&] { other.restore(state); });
    EXPECT_EQ(state_bytes(other), fresh) << message;
    return message;
  };
  EXPECT_NE(refused([](SafeTensors &s) { s.put_metadata("format", "other"); }), "");
  EXPECT_NE(refused([](SafeTensors &s) { s.put_metadata("format_version", "2"); }), "");
  EXPECT_NE(refused([](SafeTensors &s) { s.put_metadata("network", "{"); }), "");
  EXPECT_NE(refused([](SafeTensors &s) { s.put_metadata("settings", ""); }), "");
  for (const std::string &name : search.save().names()) {
    EXPECT_NE(refused([&](SafeTensors &s) {
                s.put(name, at::zeros({2, 2, 2}, at::kHalf));
              }),
              "")
        << name;
  }
  EXPECT_NE(refused([](SafeTensors &s) {
              at::Tensor w = s.get("score.1.0.weight").clone();
              w[0][0] = NAN;
              s.put("score.1.0.weight", w);
            }),
            "");
  // Counters beyond what is there.
  for (int k = 2; k < 5; ++k)
    for (double value : std::vector<double>{-1.0, 1e9, std::nan("")}) {
      EXPECT_NE(refused([&](SafeTensors &s) {
                  at::Tensor p = s.get("search.position").clone();
                  p[k] = value;
                  s.put("search.position", p);
                }),
                "")
          << k << " " << value;
    }
}

TEST(Transfer, TakesTheWeightsOnly) {
  Search teacher(toy_system(), toy_settings());
  run(teacher);
  const SafeTensors file = SafeTensors::from_bytes(teacher.save().to_bytes(), "test");
  // Another system, another seed, another ladder: only the shape of the network counts.
  Settings s = toy_settings();
  s.seed = 1000;
  s.stages = 2;
  s.kT_start = 1.0;
  System bigger = toy_system();
  bigger.n_mobile = 3;
  bigger.atomic_numbers.push_back(78);
  bigger.ids.push_back(6);
  bigger.types.push_back(1);
  Search search(bigger, s);
  search.load_network(file);
  const SafeTensors now = search.save();
  for (const std::string &name : file.names()) {
    if (name.rfind("painn.", 0) == 0 || name.rfind("score.", 0) == 0) {
      EXPECT_TRUE(at::equal(now.get(name), file.get(name))) << name;
    }
  }
  EXPECT_EQ(search.archive().size(), 0u);
  EXPECT_EQ(search.totals().evaluations, 0);
  EXPECT_FALSE(search.has_reference());
  run(search);
  EXPECT_EQ(search.archive().size(), 12u);
  EXPECT_TRUE(
      contains(message_of<Error>([&] { search.load_network(file); }), "before the first stage"));
}

TEST(Transfer, OnlyBeforeTheFirstStageIsDrawn) {
  Search teacher(toy_system(), toy_settings());
  const SafeTensors file = teacher.save();
  Search search(toy_system(), toy_settings());
  search.prepare({});  // candidates of the old network wait
  EXPECT_TRUE(
      contains(message_of<Error>([&] { search.load_network(file); }), "before the first stage"));
}

TEST(Transfer, BetweenGuidedAndPlainSearches) {
  Settings guided = toy_settings();
  guided.guide = 0.2;
  Search plain_teacher(toy_system(), toy_settings()), guided_teacher(toy_system(), guided);
  run(plain_teacher);
  run(guided_teacher);
  Search a(toy_system(), guided);
  const at::Tensor fresh = a.save().get("force.0.mix.weight").clone();
  a.load_network(plain_teacher.save());
  EXPECT_TRUE(at::equal(a.save().get("force.0.mix.weight"), fresh)) << "no force head to take over";
  a.load_network(guided_teacher.save());
  EXPECT_TRUE(at::equal(a.save().get("force.0.mix.weight"),
                        guided_teacher.save().get("force.0.mix.weight")));
  Search b(toy_system(), toy_settings());
  EXPECT_NO_THROW(b.load_network(guided_teacher.save()));
}

TEST(Transfer, BetweenPrecisions) {
  Settings twice = toy_settings();
  twice.double_precision = true;
  Search teacher(toy_system(), toy_settings()), search(toy_system(), twice);
  run(teacher);
  search.load_network(teacher.save());
  EXPECT_TRUE(at::equal(search.save().get("painn.filter.weight"),
                        teacher.save().get("painn.filter.weight").to(at::kDouble)));
}

TEST(Transfer, RefusesWhatDoesNotFit) {
  Search teacher(toy_system(), toy_settings());
  const auto refused = [&](const SafeTensors &file, const Settings &settings) {
    Search search(toy_system(), settings);
    const std::string fresh = state_bytes(search);
    const std::string message = message_of<Error>([&] { search.load_network(file); });
    EXPECT_EQ(state_bytes(search), fresh) << "half a network was loaded: " << message;
    return message;
  };
  SafeTensors foreign;
  foreign.put("weight", at::ones({3}));
  EXPECT_TRUE(contains(refused(foreign, toy_settings()), "not a GODIFF checkpoint"));

  for (const char *word : {"nfeat", "nblock", "nrbf", "cutoff"}) {
    Settings other = toy_settings();
    if (word[1] == 'f')
      other.network.nfeat = 32;
    else if (word[1] == 'b')
      other.network.nblock = 3;
    else if (word[1] == 'r')
      other.network.nrbf = 9;
    else
      other.network.cutoff = 6;
    const std::string message = refused(teacher.save(), other);
    EXPECT_TRUE(contains(message, word)) << message;
    EXPECT_TRUE(contains(message, "keyword network")) << message;
  }
  SafeTensors file = teacher.save();
  file.put("score.2.1.bias", at::zeros({3}));
  EXPECT_TRUE(contains(refused(file, toy_settings()), "score.2.1.bias"));
  file = teacher.save();
  file.put("painn.mixing.1.0.bias", at::full({16}, NAN));
  EXPECT_TRUE(contains(refused(file, toy_settings()), "painn.mixing.1.0.bias"));
  file = teacher.save();
  file.put_metadata("network", "{\"nfeat\":16}");
  EXPECT_TRUE(contains(refused(file, toy_settings()), "cutoff"));

  SafeTensors missing;
  const SafeTensors all = teacher.save();
  for (const auto &[key, value] : all.metadata())
    missing.put_metadata(key, value);
  for (const std::string &name : all.names())
    if (name != "painn.message.0.1.weight")
      missing.put(name, all.get(name));
  EXPECT_TRUE(contains(refused(missing, toy_settings()), "painn.message.0.1.weight"));
}

TEST(SaveRestore, AStageWhoseEnergiesHaveAllFailedIsRefused) {
  const Settings s = toy_settings();
  Search search(toy_system(), s);
  search.set_reference(-10.0);
  search.prepare({});
  const auto fail = [&] {
    while (search.has_request())
      search.report(NAN, nullptr);
  };
  const std::string refusal = message_of<Error>(fail);
  EXPECT_EQ(refusal,
            "the energy of all 6 candidates of stage 1 is not finite: check the pair style, "
            "mindist and confine");
  // Whoever caught that and goes on is told the same.
  EXPECT_TRUE(search.work_due());
  EXPECT_EQ(message_of<Error>([&] { search.prepare({}); }), refusal);
  EXPECT_EQ(message_of<Error>([&] { reborn(search, toy_system(), s); }), refusal);
}

// Structures of an earlier search have a stage of their own.
TEST(SaveRestore, LoadedArchivesSurvive) {
  Settings s = toy_settings();
  for (const double guide : {0.0, 0.2}) {
    s.guide = guide;
    Search earlier(toy_system(), s);
    run(earlier);
    Search search(toy_system(), s);
    search.load_archive(earlier.save());
    ASSERT_EQ(search.archive().size(), earlier.archive().size());
    EXPECT_EQ(search.archive()[0].stage, godiff::LOADED_STAGE);
    EXPECT_EQ(state_bytes(*reborn(search, toy_system(), s)), state_bytes(search));
    search.set_reference(-10.0);
    search.prepare({});
    evaluate_one(search, springs());
    const auto copy = reborn(search, toy_system(), s);
    run(search);
    run(*copy);
    EXPECT_EQ(state_bytes(*copy), state_bytes(search));
    // And a search can begin with what such a one has collected.
    Search third(toy_system(), s);
    third.load_archive(search.save());
    EXPECT_EQ(third.archive().size(), 2 * earlier.archive().size());
  }
}

}  // namespace
