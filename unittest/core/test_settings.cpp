// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/settings.hpp"

#include <cmath>
#include <functional>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::get_switch;
using godiff::OPEN;
using godiff::set_switch;
using godiff::Settings;
using godiff::Switch;
using godiff::switches;
using godiff_test::message_of;

std::vector<std::string> choices(const Switch &entry) {
  std::vector<std::string> all;
  std::istringstream text(entry.choices);
  std::string one;
  while (std::getline(text, one, '|'))
    all.push_back(one);
  return all;
}

// Settings that pass validate().
Settings good() {
  Settings s;
  s.stages = 5;
  s.samples = 8;
  return s;
}

// The message of validate() after a change.
std::string complaint(const std::function<void(Settings &)> &change) {
  Settings s = good();
  change(s);
  return message_of<Error>([&] { validate(s); });
}

TEST(Switches, NamesAreUniqueAndDescribed) {
  std::set<std::string> names;
  for (const Switch &entry : switches()) {
    names.insert(entry.name);
    for (const char *text :
         {entry.choices, entry.default_value, entry.paper, entry.authors, entry.meaning})
      EXPECT_STRNE(text, "") << entry.name;
  }
  EXPECT_EQ(names.size(), switches().size());
}

// The table that the documentation prints must be what a fresh Settings holds.
TEST(Switches, DefaultsAreThoseOfTheSettings) {
  const Settings s;
  for (const Switch &entry : switches()) {
    if (std::string(entry.choices) == "number") {
      EXPECT_EQ(std::stod(get_switch(s, entry.name)), std::stod(entry.default_value)) << entry.name;
    } else {
      EXPECT_EQ(get_switch(s, entry.name), entry.default_value) << entry.name;
    }
  }
}

TEST(Switches, EveryChoiceIsSetAndReadBack) {
  for (const Switch &entry : switches()) {
    if (std::string(entry.choices) == "number")
      continue;
    const std::vector<std::string> all = choices(entry);
    EXPECT_GE(all.size(), 2u) << entry.name;
    for (const std::string &value : all) {
      Settings s;
      set_switch(s, entry.name, value);
      EXPECT_EQ(get_switch(s, entry.name), value) << entry.name;
      // Only this switch has moved.
      for (const Switch &other : switches())
        EXPECT_TRUE(std::string(other.name) == entry.name ||
                    get_switch(s, other.name) == get_switch(Settings(), other.name))
            << entry.name << " changes " << other.name;
      // It is part of what a continuation compares.
      EXPECT_EQ(describe(s) == describe(Settings()), value == entry.default_value) << entry.name;
    }
  }
}

// The words mean what the members of Settings say.
TEST(Switches, WordsReachTheirMembers) {
  Settings s;
  set_switch(s, "score_scale", "consistent");
  EXPECT_EQ(s.score_scale, godiff::ScoreScale::CONSISTENT);
  set_switch(s, "score_scale", "rescaled");
  EXPECT_EQ(s.score_scale, godiff::ScoreScale::RESCALED);
  set_switch(s, "g2", "legacy");
  EXPECT_TRUE(s.g2_legacy);
  set_switch(s, "weights_norm", "all");
  EXPECT_TRUE(s.weights_all);
  set_switch(s, "loss_weights", "none");
  EXPECT_FALSE(s.loss_weights);
  set_switch(s, "ffg_dt", "no");
  EXPECT_FALSE(s.ffg_dt);
  set_switch(s, "ffg_zeta", "2.5");
  EXPECT_EQ(s.ffg_zeta, 2.5);
  set_switch(s, "ffg_atoms", "all");
  EXPECT_TRUE(s.ffg_all_atoms);
  set_switch(s, "ffg_history", "raw");
  EXPECT_TRUE(s.ffg_raw_history);
  set_switch(s, "force_loss", "mobile");
  EXPECT_TRUE(s.force_loss_mobile);
  set_switch(s, "mindist_image", "no");
  EXPECT_FALSE(s.mindist_image);
  set_switch(s, "val_fraction", "0");
  EXPECT_EQ(s.val_fraction, 0.0);
  set_switch(s, "optim_reset", "no");
  EXPECT_FALSE(s.optim_reset);
}

TEST(Switches, NumbersReadBackExactly) {
  for (const Switch &entry : switches()) {
    if (std::string(entry.choices) != "number")
      continue;
    for (const char *text : {"0", "0.1", "0.33333333333333331", "1e-3"}) {
      Settings s;
      set_switch(s, entry.name, text);
      EXPECT_EQ(std::stod(get_switch(s, entry.name)), std::stod(text)) << entry.name;
    }
    for (const char *bad : {"", "x", "1x", "-1", "nan", "inf", "1e9"}) {
      Settings s;
      const std::string message = message_of<Error>([&] { set_switch(s, entry.name, bad); });
      EXPECT_NE(message.find(entry.name), std::string::npos) << bad << ": " << message;
      EXPECT_NE(message.find("a number from"), std::string::npos) << bad << ": " << message;
      EXPECT_EQ(get_switch(s, entry.name), get_switch(Settings(), entry.name)) << bad;
    }
  }
}

TEST(Switches, BadWordsNameWhatIsAllowed) {
  for (const Switch &entry : switches()) {
    if (std::string(entry.choices) == "number")
      continue;
    Settings s;
    const std::string message = message_of<Error>([&] { set_switch(s, entry.name, "purple"); });
    EXPECT_NE(message.find(entry.name), std::string::npos) << message;
    EXPECT_NE(message.find("purple"), std::string::npos) << message;
    for (const std::string &value : choices(entry))
      EXPECT_NE(message.find(value), std::string::npos) << message;
  }
  Settings s;
  const std::string message = message_of<Error>([&] { set_switch(s, "colour", "red"); });
  EXPECT_NE(message.find("colour"), std::string::npos);
  for (const Switch &entry : switches())
    EXPECT_NE(message.find(entry.name), std::string::npos) << message;
  EXPECT_THROW(get_switch(s, "colour"), Error);
}

TEST(Validate, AcceptsTheDefaults) {
  EXPECT_NO_THROW(validate(good()));
  EXPECT_EQ(complaint([](Settings &s) { s.stages = 1, s.kT_stop = s.kT_start; }), "");
  EXPECT_EQ(complaint([](Settings &s) { s.guide = 0.2, s.guide_extra = 100; }), "");
  EXPECT_EQ(complaint([](Settings &s) { s.sample = godiff::SampleKind::PRIOR; }), "");
}

TEST(Validate, NamesWhatIsWrong) {
  const double nan = std::nan("");
  const struct {
    const char *word;  // in the message
    std::function<void(Settings &)> change;
  } cases[] = {
      {"stages", [](Settings &s) { s.stages = 0; }},
      {"candidates per stage", [](Settings &s) { s.samples = 0; }},
      {"temperature", [](Settings &s) { s.kT_stop = 0.0; }},
      {"temperature", [](Settings &s) { s.kT_stop = -1.0; }},
      {"temperature", [](Settings &s) { s.kT_start = OPEN; }},
      {"temperature", [=](Settings &s) { s.kT_start = nan; }},
      {"temperature", [](Settings &s) { s.kT_start = s.kT_stop; }},
      {"temperature", [](Settings &s) { s.stages = 1, s.kT_start = -1.0; }},
      {"mindist", [](Settings &s) { s.mindist = -0.1; }},
      {"mindist", [=](Settings &s) { s.mindist = nan; }},
      {"mindist", [](Settings &s) { s.mindist = OPEN; }},
      {"energy window", [](Settings &s) { s.energy_lo = s.energy_hi = 1.0; }},
      {"energy window", [=](Settings &s) { s.energy_hi = nan; }},
      {"buffer", [](Settings &s) { s.buffer = 0; }},
      {"train steps", [](Settings &s) { s.train_steps = 0; }},
      {"train batch", [](Settings &s) { s.batch = 0; }},
      {"optim lr", [](Settings &s) { s.learning_rate = 0.0; }},
      {"optim lr", [](Settings &s) { s.learning_rate = OPEN; }},
      {"optim factor", [](Settings &s) { s.lr_factor = 1.5; }},
      {"optim factor", [](Settings &s) { s.lr_factor = 0.0; }},
      {"optim patience", [](Settings &s) { s.patience = -1; }},
      {"optim clip", [](Settings &s) { s.clip = 0.0; }},
      {"network cutoff", [](Settings &s) { s.network.cutoff = 0.0; }},
      {"network cutoff", [](Settings &s) { s.network.cutoff = OPEN; }},
      {"network nfeat", [](Settings &s) { s.network.nfeat = 24; }},
      {"network nfeat", [](Settings &s) { s.network.nfeat = 0; }},
      {"network nblock", [](Settings &s) { s.network.nblock = 0; }},
      {"network nrbf", [](Settings &s) { s.network.nrbf = 1; }},
      {"sample em steps", [](Settings &s) { s.sample_steps = 1; }},
      {"sample em eps", [](Settings &s) { s.sample_eps = 0.0; }},
      {"sample em eps", [](Settings &s) { s.sample_eps = 1.0; }},
      {"guide", [](Settings &s) { s.guide = -0.2; }},
      {"guide", [=](Settings &s) { s.guide = nan; }},
      {"guide", [](Settings &s) { s.guide = OPEN; }},
      {"guide extra", [](Settings &s) { s.guide = 0.2, s.guide_extra = -1; }},
      {"guide extra", [](Settings &s) { s.guide_extra = 10; }},
      {"sample em", [](Settings &s) { s.guide = 0.2, s.sample = godiff::SampleKind::PRIOR; }},
      {"relax nmax", [](Settings &s) { s.relax_steps = -1; }},
      {"relax ftol", [](Settings &s) { s.relax_ftol = 0.0; }},
      {"unique", [](Settings &s) { s.unique_tolerance = -1e-3; }},
      {"anneal adaptive",
       [](Settings &s) { s.annealing = godiff::Annealing::ADAPTIVE_ESS, s.adaptive_ess = 0.0; }},
      {"anneal adaptive",
       [=](Settings &s) { s.annealing = godiff::Annealing::ADAPTIVE_ESS, s.adaptive_ess = nan; }},
      {"val_fraction", [](Settings &s) { s.val_fraction = 1.0; }},
  };
  int number = 0;
  for (const auto &c : cases) {
    const std::string message = complaint(c.change);
    EXPECT_NE(message.find(c.word), std::string::npos)
        << "case " << number << " (" << c.word << "): '" << message << "'";
    ++number;
  }
}

// Every setting that decides the result is in the description, so that a continuation with another
// value is refused.
TEST(Describe, SeesEverySetting) {
  const std::function<void(Settings &)> changes[] = {
      [](Settings &s) { ++s.stages; },
      [](Settings &s) { ++s.samples; },
      [](Settings &s) { ++s.seed; },
      [](Settings &s) { s.kT_start = std::nextafter(s.kT_start, 9.0); },
      [](Settings &s) { s.kT_stop = std::nextafter(s.kT_stop, 9.0); },
      [](Settings &s) { s.mindist = 1.1; },
      [](Settings &s) { s.energy_lo = -200; },
      [](Settings &s) { s.energy_hi = 0; },
      [](Settings &s) { s.energy_absolute = true; },
      [](Settings &s) { ++s.buffer; },
      [](Settings &s) { ++s.train_steps; },
      [](Settings &s) { ++s.batch; },
      [](Settings &s) { s.learning_rate *= 2; },
      [](Settings &s) { s.lr_factor = 0.9; },
      [](Settings &s) { ++s.patience; },
      [](Settings &s) { s.clip = 5; },
      [](Settings &s) { s.network.cutoff = 5; },
      [](Settings &s) { s.network.nfeat = 32; },
      [](Settings &s) { s.network.nblock = 3; },
      [](Settings &s) { s.network.nrbf = 20; },
      [](Settings &s) { s.sample = godiff::SampleKind::PRIOR; },
      [](Settings &s) { ++s.sample_steps; },
      [](Settings &s) { s.sample_eps = 0.01; },
      [](Settings &s) { s.guide = 0.2; },
      [](Settings &s) { s.guide_extra = 3; },
      [](Settings &s) { s.relax_steps = 10; },
      [](Settings &s) { s.relax_ftol = 0.1; },
      [](Settings &s) { s.unique_tolerance = 1e-3; },
      [](Settings &s) { s.annealing = godiff::Annealing::ADAPTIVE_ESS; },
      [](Settings &s) { s.double_precision = true; },
      [](Settings &s) { s.train = false; },
  };
  int number = 0;
  for (const auto &change : changes) {
    Settings s;
    change(s);
    EXPECT_NE(describe(s), describe(Settings())) << "change " << number;
    ++number;
  }
  Settings a, b;
  a.annealing = b.annealing = godiff::Annealing::ADAPTIVE_ESS;
  b.adaptive_ess = 9;
  EXPECT_NE(describe(a), describe(b));
  EXPECT_EQ(describe(a), describe(a));
}

}  // namespace
