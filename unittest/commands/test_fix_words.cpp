// SPDX-License-Identifier: GPL-2.0-only
// Every bad word of the fix command ends the run with a message that says what it got and what is
// allowed, and LAMMPS points at that word.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

using godiff::testing::lines_of;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

struct BadWord {
  const char *name;
  const char *words;    // what follows "fix s mobile godiff"
  const char *message;  // part of the line that begins with ERROR
  const char *pointed;  // the word LAMMPS points at; "" for none
};

std::ostream &operator<<(std::ostream &out, const BadWord &bad) {
  return out << bad.words;
}

// The word above the first ^ in the line that follows "Last input line".
std::string pointed_word(const RunResult &run) {
  const auto lines = lines_of(run.output);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    if (lines[i].rfind("Last input line:", 0) != 0)
      continue;
    const std::size_t caret = lines[i + 1].find('^');
    if (caret == std::string::npos)
      return "";
    return lines[i].substr(caret, lines[i].find(' ', caret) - caret);
  }
  return "";
}

class BadWords : public ::testing::TestWithParam<BadWord> {};

}  // namespace

TEST_P(BadWords, AreRefused) {
  const BadWord &bad = GetParam();
  SmallSearch search;
  search.before = std::string("fix s mobile godiff ") + bad.words + "\n";
  const RunResult run = search.run();
  EXPECT_FALSE(run.ok());
  EXPECT_NE(run.error().find("Fix godiff: "), std::string::npos) << run.output;
  EXPECT_NE(run.error().find(bad.message), std::string::npos) << run.error();
  EXPECT_EQ(pointed_word(run), bad.pointed) << run.output;
}

#define OK "2 3 4711 20000 300 "

INSTANTIATE_TEST_SUITE_P(
    Required, BadWords,
    ::testing::Values(
        BadWord{"Nothing", "", "the number of stages M is missing", ""},
        BadWord{"NoTstop", "2 3 4711 20000", "Tstop is missing", ""},
        BadWord{"StagesWord", "two 3 4711 20000 300",
                "the number of stages M is 'two' but must be a whole number", "two"},
        BadWord{"StagesZero", "0 3 4711 20000 300",
                "the number of stages is 0 but must be at least 1", "0"},
        BadWord{"SamplesFraction", "2 3.5 4711 20000 300",
                "the number of candidates N is '3.5' but must be a whole number", "3.5"},
        BadWord{"SamplesNegative", "2 -3 4711 20000 300", "candidates per stage is -3", "-3"},
        BadWord{"SamplesHuge", "2 99999999999 4711 20000 300",
                "is 99999999999 but must be below 2147483647", "99999999999"},
        BadWord{"TooManyCandidates", "100000 100000 4711 20000 300",
                "100000 stages of 100000 candidates are more than 2147483647", "100000"},
        BadWord{"SeedZero", "2 3 0 20000 300",
                "the seed is '0' but must be a positive whole number", "0"},
        BadWord{"SeedNegative", "2 3 -5 20000 300", "the seed is '-5'", "-5"},
        BadWord{"SeedWord", "2 3 x 20000 300", "the seed is 'x'", "x"},
        BadWord{"TstartWord", "2 3 4711 hot 300", "Tstart is 'hot' but must be a number", "hot"},
        BadWord{"TstartNegative", "2 3 4711 -1 300", "Tstart is -1 but must be positive", "-1"},
        BadWord{"TstopZero", "2 3 4711 20000 0", "Tstop is 0 but must be positive", "0"},
        BadWord{"Heating", "2 3 4711 300 20000", "Tstop 20000 must be below Tstart 300", "20000"},
        BadWord{"ConstantTemperature", "2 3 4711 300 300.0", "Tstop 300.0 must be below Tstart 300",
                "300.0"}),
    [](const auto &info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Keywords, BadWords,
    ::testing::Values(
        BadWord{"Unknown", OK "bufer 5", "unknown keyword 'bufer', known are: elements confine",
                "bufer"},
        BadWord{"ElementsTooFew", OK "elements", "needs a symbol for each of the 1 atom types",
                "elements"},
        BadWord{"ElementsUnknown", OK "elements Xx", "'Xx' of type 1 is no element", "Xx"},
        BadWord{"ConfineMissing", OK "confine above 1.0",
                "keyword confine needs more values: confine above lo hi | zone lo hi", "confine"},
        BadWord{"ConfineStyle", OK "confine below 1 2",
                "confine is 'below' but must be above or zone", "below"},
        BadWord{"ConfineNumber", OK "confine zone low 2", "confine lo is 'low'", "low"},
        BadWord{"ConfineEmpty", OK "confine zone 4.0 2.0",
                "the confinement window is empty: hi 2.0 must be above lo 4.0", "2.0"},
        BadWord{"Mindist", OK "mindist -0.5", "mindist is -0.5 but must be 0 or more", "-0.5"},
        BadWord{"EnergyMissing", OK "energy NULL", "keyword energy needs more values", "energy"},
        BadWord{"EnergyNumber", OK "energy NULL low", "energy hi is 'low'", "low"},
        BadWord{"EnergyEmpty", OK "energy 5.0 2.0", "the energy window is empty", "2.0"},
        BadWord{"Buffer", OK "buffer 0", "buffer is 0 but must be at least 1", "0"},
        BadWord{"BufferMissing", OK "buffer", "keyword buffer needs more values: buffer n",
                "buffer"},
        BadWord{"BufferKeyword", OK "buffer train 2 2",
                "buffer is 'train' but must be a whole number", "train"},
        BadWord{"TrainSteps", OK "train -1 16", "train steps is -1 but must be at least 1", "-1"},
        BadWord{"TrainBatch", OK "train 10 0", "train batch is 0 but must be at least 1", "0"},
        BadWord{"OptimRate", OK "optim 0.0 0.95 100 10", "optim lr is 0 but must be positive",
                "0.0"},
        BadWord{"OptimFactor", OK "optim 1e-4 1.5 100 10", "optim factor is 1.5", "1.5"},
        BadWord{"OptimPatience", OK "optim 1e-4 0.95 1e2 10", "optim patience is '1e2'", "1e2"},
        BadWord{"OptimClip", OK "optim 1e-4 0.95 100 0", "optim clip is 0 but must be positive",
                "0"},
        BadWord{"NetworkCutoff", OK "network -6 64 4 30", "network cutoff is -6", "-6"},
        BadWord{"NetworkFeatures", OK "network 6 60 4 30",
                "network nfeat is 60 but must be a multiple of 16", "60"},
        BadWord{"NetworkBlocks", OK "network 6 64 0 30", "network nblock is 0", "0"},
        BadWord{"NetworkRadial", OK "network 6 64 4 1", "network nrbf is 1", "1"},
        BadWord{"SampleStyle", OK "sample heun 5", "sample is 'heun' but must be em or prior",
                "heun"},
        BadWord{"SampleSteps", OK "sample em 1 0.005", "sample em steps is 1", "1"},
        BadWord{"SampleEnd", OK "sample em 500 1.5", "sample em eps is 1.5 but must be in (0,1)",
                "1.5"},
        BadWord{"SampleMissing", OK "sample em 500", "keyword sample needs more values", "sample"},
        BadWord{"GuideNegative", OK "guide -0.2", "guide is -0.2 but must be 0 or more", "-0.2"},
        BadWord{"GuideExtraAlone", OK "guide 0.0 extra 7",
                "guide extra needs a guide scale above 0", "7"},
        BadWord{"GuidePrior", OK "guide 0.2 sample prior", "guide needs sample em", "prior"},
        BadWord{"RelaxSteps", OK "relax 1.5 0.05", "relax nmax is '1.5'", "1.5"},
        BadWord{"RelaxForce", OK "relax 10 0.0", "relax ftol is 0 but must be positive", "0.0"},
        BadWord{"Unique", OK "unique -1", "unique is -1 but must be 0 or more", "-1"},
        BadWord{"EvaluateBatch", OK "evaluate batch serial", "unknown keyword 'serial'", "serial"},
        BadWord{"EvaluateOther", OK "evaluate all", "evaluate is 'all' but must be step or batch",
                "all"},
        BadWord{"Anneal", OK "anneal linear",
                "anneal is 'linear' but must be geometric or adaptive", "linear"},
        BadWord{"AnnealEss", OK "anneal adaptive 0.5", "anneal adaptive ess is 0.5", "0.5"},
        // With LibTorch and a device for it as well: nobody has a hundred of them.
        BadWord{"DeviceCuda", OK "device cuda:99", "device cuda:99: ", "cuda:99"},
        BadWord{"DeviceNumber", OK "device cuda:x",
                "device is 'cuda:x' but must be auto, cpu, cuda or cuda:N", "cuda:x"},
        BadWord{"DeviceOther", OK "device tpu",
                "device is 'tpu' but must be auto, cpu, cuda or cuda:N", "tpu"},
        BadWord{"DeviceMissing", OK "device", "keyword device needs more values: device auto",
                "device"},
        BadWord{"Precision", OK "precision half",
                "precision is 'half' but must be single or double", "half"},
        BadWord{"LoadMissing", OK "load", "keyword load needs more values: load file", "load"},
        BadWord{"Mode", OK "mode draw", "mode is 'draw' but must be search or sample", "draw"},
        BadWord{"Replica", OK "replica some", "replica is 'some' but must be shared or independent",
                "some"},
        BadWord{"Resume", OK "resume maybe", "resume is 'maybe' but must be yes or no", "maybe"},
        BadWord{"SaveEvery", OK "save x every often", "save every is 'often' but must be a number",
                "often"},
        BadWord{"SaveEveryNegative", OK "save x every -1",
                "save every is -1 but must be a number of seconds", "-1"},
        BadWord{"Best", OK "best 0", "best is 0 but must be at least 1", "0"},
        BadWord{"Log", OK "log maybe", "log is 'maybe' but must be yes or no", "maybe"},
        BadWord{"Dumpall", OK "dumpall 1", "dumpall is '1' but must be yes or no", "1"},
        BadWord{"Final", OK "final first", "final is 'first' but must be best or last", "first"},
        BadWord{"SwitchUnknown", OK "switch sigma 1",
                "unknown switch 'sigma', known are: score_scale", "sigma"},
        BadWord{"SwitchValue", OK "switch g2 old", "switch g2 is 'old' but must be legacy or exact",
                "old"},
        BadWord{"SwitchMissing", OK "switch g2", "keyword switch needs more values", "switch"}),
    [](const auto &info) { return info.param.name; });

TEST(GoodWords, EveryKeywordIsRead) {
  SmallSearch search;
  search.commands = "run 0\n";
  search.words =
      "mindist 0.9 energy -30 NULL absolute optim 2e-4 0.9 50 5 guide 0.2 extra 1 "
      "relax 2 0.1 unique 0.01 evaluate step anneal adaptive 6 device auto precision double "
      "mode search replica independent best 3 save words log no dumpall no final last "
      "switch score_scale consistent switch ffg_zeta 2.5";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.warnings().empty()) << run.output;
  EXPECT_TRUE(run.contains("adaptive (kT")) << run.output;
  EXPECT_TRUE(run.contains("guide 0.2")) << run.output;
  EXPECT_TRUE(run.contains("double precision")) << run.output;
  EXPECT_TRUE(run.contains("words.csv words.best words.ckpt")) << run.output;
}

TEST(GoodWords, UnitsRealTakesKcalPerMole) {
  // The same search in both unit systems: 1 eV = 23.060549 kcal/mol.
  SmallSearch search;
  search.units = "real";
  search.potential = "pair_style lj/cut 5.0\npair_coeff * * 5.76513725 2.4\n";
  search.words = "energy NULL 23.060549";
  search.commands = "run 0\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("temperature 20000 to 300 K, geometric (kT 1.723 to 0.02585 eV)"))
      << run.output;
}
