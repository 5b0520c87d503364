// SPDX-License-Identifier: GPL-2.0-only
// Whatever is wrong with an input ends the run before its first step, with a message that says what it
// got and what to type, and LAMMPS points at the word.
#include "testing/mace_run.hpp"

#include <functional>

#include <gtest/gtest.h>

using godiff::testing::lines_of;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::RunResult;

namespace {

const std::string FOLDER = std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/";

// The word above the first ^ below "Last input line", or below the line as LAMMPS has read it.
std::string pointed_word(const RunResult &run) {
  const auto lines = lines_of(run.output);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    if (lines[i].rfind("Last input line:", 0) != 0)
      continue;
    if (lines[i + 1].rfind("--> parsed line:", 0) == 0)
      ++i;
    const std::size_t caret = i + 1 < lines.size() ? lines[i + 1].find('^') : std::string::npos;
    if (caret == std::string::npos)
      return "";
    return lines[i].substr(caret, lines[i].find(' ', caret) - caret);
  }
  return "";
}

void expect_refused(const RunResult &run, const std::string &message, const std::string &pointed) {
  EXPECT_FALSE(run.ok());
  EXPECT_NE(run.error().find(message), std::string::npos) << message << "\n" << run.output;
  EXPECT_EQ(pointed_word(run), pointed) << run.output;
  EXPECT_FALSE(run.contains("Loop time")) << run.output;
}

struct BadWord {
  const char *name;
  const char *words;    // what follows "pair_style mace"
  const char *message;  // part of the line that begins with ERROR
  const char *pointed;  // the word LAMMPS points at
};

std::ostream &operator<<(std::ostream &out, const BadWord &bad) {
  return out << bad.words;
}

class MaceWords : public ::testing::TestWithParam<BadWord> {};

}  // namespace

// In one process each, but none gets as far as a model.
TEST_P(MaceWords, AreRefused) {
  const BadWord &bad = GetParam();
  MaceRun run(MaceGolden("pt_two_layers"));
  run.words = bad.words;
  expect_refused(run.run(), std::string("Pair style mace: ") + bad.message, bad.pointed);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, MaceWords,
    ::testing::Values(
        BadWord{"Unknown", "mod image",
                "unknown word 'mod', valid words: mode head device precision maxedges threads jit "
                "charge spin check timing",
                "mod"},
        BadWord{"Head", "head \"\"", "head is '' but must be the name of a head of the model", ""},
        BadWord{"Infinite", "charge 1e400", "charge is '1e400' but must be a number", "1e400"},
        BadWord{"ManyThreads", "threads 1000000", "threads is 1000000 but must be from 1 to ",
                "1000000"},
        BadWord{"Twice", "mode image threads 1 mode ghost", "keyword mode is given twice", "mode"},
        BadWord{"NoValue", "jit on timing", "keyword timing needs a value", "timing"},
        BadWord{"Mode", "mode foo",
                "unknown word 'foo' of keyword mode, valid words: auto image message ghost", "foo"},
        BadWord{"Precision", "precision half",
                "unknown word 'half' of keyword precision, valid words: model single double",
                "half"},
        BadWord{"Check", "check on",
                "unknown word 'on' of keyword check, valid words: off nan full", "on"},
        BadWord{"Timing", "timing yes", "unknown word 'yes' of keyword timing, valid words: off on",
                "yes"},
        BadWord{"Jit", "jit 1", "unknown word '1' of keyword jit, valid words: off on", "1"},
        BadWord{"MaxedgesWord", "maxedges many", "maxedges is 'many' but must be a whole number",
                "many"},
        BadWord{"MaxedgesZero", "maxedges 0", "maxedges is 0 but must be from 1 to", "0"},
        BadWord{"Threads", "threads -1", "threads is -1 but must be from 1 to", "-1"},
        BadWord{"Charge", "charge plus", "charge is 'plus' but must be a number", "plus"},
        BadWord{"Spin", "spin up", "spin is 'up' but must be a number", "up"},
        BadWord{"DeviceWord", "device gpu", "device is 'gpu' but must be auto, cpu, cuda or cuda:N",
                "gpu"},
        // With LibTorch for CUDA and a device as well: nobody has a hundred of them.
        BadWord{"DeviceMissing", "device cuda:99", "device cuda:99: ", "cuda:99"}),
    [](const auto &info) { return info.param.name; });

namespace {

struct BadInput {
  std::string name;
  std::function<void(MaceRun &)> change;
  std::string message;
  std::string pointed;  // "" for none
};

std::ostream &operator<<(std::ostream &out, const BadInput &bad) {
  return out << bad.name;
}

class MaceInputs : public ::testing::TestWithParam<BadInput> {};

std::function<void(MaceRun &)> coeff(const std::string &words) {
  return [=](MaceRun &run) { run.pair = "pair_style mace\npair_coeff " + words + "\n"; };
}

std::function<void(MaceRun &)> set(std::string MaceRun::*member, const std::string &text) {
  return [=](MaceRun &run) { run.*member = text; };
}

BadInput refused_file(const std::string &name, const std::string &file,
                      const std::string &message) {
  const std::string path = FOLDER + "refused/" + file;
  return {name, coeff("* * " + path + " Pt O"), "model file " + path + " " + message, path};
}

const std::string MODEL = FOLDER + "pto_two_heads.pt";

}  // namespace

TEST_P(MaceInputs, AreRefused) {
  const BadInput &bad = GetParam();
  MaceRun run(MaceGolden("pto_two_heads"));
  bad.change(run);
  expect_refused(run.run(), "Pair style mace: " + bad.message, bad.pointed);
}

INSTANTIATE_TEST_SUITE_P(
    Coeff, MaceInputs,
    ::testing::Values(
        BadInput{
            "NoFile", coeff("* *"),
            "the file is missing: pair_coeff * * FILE and a symbol for each of the 2 atom types",
            ""},
        BadInput{"FileMissing", coeff("* * nowhere.pt Pt O"),
                 "cannot open nowhere.pt: there is no such file that can be read, neither here nor "
                 "in the folders of LAMMPS_POTENTIALS (/",
                 "nowhere.pt"},
        BadInput{"TooFewSymbols", coeff("* * " + MODEL + " Pt"),
                 "pair_coeff has 1 symbols but needs one for each of the 2 atom types", "Pt"},
        BadInput{"TooManySymbols", coeff("* * " + MODEL + " Pt O H"),
                 "pair_coeff has 3 symbols but needs one for each of the 2 atom types", "H"},
        BadInput{"Element", coeff("* * " + MODEL + " Pt Au"),
                 "element Au of atom type 2 is not in the model, which knows: O Pt", "Au"},
        BadInput{"Folder", coeff("* * . Pt O"),
                 ". is a folder: give the name of a model file in it", "."},
        BadInput{"NoElement", coeff("* * " + MODEL + " Pt Xx"),
                 "element Xx of atom type 2 is not in the model, which knows: O Pt", "Xx"},
        BadInput{"NullAlone", coeff("* * " + MODEL + " Pt NULL"),
                 "type 2 is NULL, which is for pair_style hybrid only", "NULL"},
        BadInput{"Head", set(&MaceRun::words, "head bulk"),
                 "model file " + MODEL + " has no head 'bulk', use one of: surface oxide", MODEL},
        refused_file("Training", "pickled.model",
                     "is a pickled Python model, not TorchScript: export the model with "
                     "mace_create_lammps_model"),
        refused_file("Mliap", "mliap.pt",
                     "is a model for pair_style mliap, which needs Python: export"),
        refused_file("OtherScript", "linear.pt",
                     "is TorchScript of class Linear but no MACE model for LAMMPS, it lacks model"),
        refused_file("Dipoles", "dipoles.pt",
                     "does not work: a model of class Dipoles gives no energies of atoms"),
        refused_file("Charge", "needs_charge.pt",
                     "needs the total charge of the structures: add the keyword 'charge' with "
                     "its value")),
    [](const auto &info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Init, MaceInputs,
    ::testing::Values(
        BadInput{"Units", set(&MaceRun::units, "lj"),
                 "units metal or real are needed, not lj: models are in eV and Angstrom", ""},
        BadInput{"Newton", set(&MaceRun::before_read, "newton off\n"),
                 "this needs the command: newton on", ""},
        BadInput{"SpecialBonds", set(&MaceRun::atom_style, "bond"),
                 "all neighbors of an atom are needed, bonded ones too: use the command: "
                 "special_bonds lj 1.0 1.0 1.0 coul 1.0 1.0 1.0",
                 ""},
        BadInput{
            "IncludeGroup",
            set(&MaceRun::before, "group some id 1:3\natom_modify first some\n"
                                  "neigh_modify include some\n"),
            "all atoms are needed in neighbor lists: use the command: neigh_modify include all",
            ""},
        BadInput{"ImageOnRanks",
                 [](MaceRun &run) {
                   run.words = "mode image";
                   run.options.nprocs = 2;
                 },
                 "mode image is for one rank, here are 2: use pair_style mace mode auto", ""},
        BadInput{"GhostAndMulti",
                 [](MaceRun &run) {
                   run.words = "mode ghost";
                   run.before = "neighbor 1.0 multi\ncomm_modify mode multi cutoff/multi 1 9.0\n";
                 },
                 "mode ghost needs the command: comm_modify mode single", ""},
        BadInput{"GhostAndNeighborMulti",
                 [](MaceRun &run) {
                   run.words = "mode ghost";
                   run.before = "neighbor 1.0 multi\n";
                 },
                 "mode ghost needs the command: neighbor 1 bin", ""}),
    [](const auto &info) { return info.param.name; });

TEST(MaceInput, TwoDimensionsAreRefused) {
  const RunResult run = godiff::testing::run_lammps(
      "units metal\ndimension 2\nregion box block 0 9 0 9 -0.5 0.5\ncreate_box 1 box\n"
      "create_atoms 1 single 1 1 0\nmass 1 195\npair_style mace\npair_coeff * * " +
      FOLDER + "pt_two_layers.pt Pt\nrun 0\n");
  expect_refused(run, "Pair style mace: this needs the command: dimension 3", "");
}

// Words change how a file is loaded.
TEST(MaceInput, SettingsAskForPairCoeffAgain) {
  MaceRun run(MaceGolden("pt_two_layers"));
  run.before = "pair_style mace precision single\n";
  const RunResult result = run.run();
  EXPECT_FALSE(result.ok());
  EXPECT_TRUE(result.contains("All pair coeffs are not set")) << result.output;
}

// Pair style hybrid takes words away before it passes the others on.
TEST(MaceInput, BadWordsInHybridStylesArePointedAt) {
  MaceRun run(MaceGolden("pt_two_layers"));
  run.pair = "pair_style hybrid/overlay lj/cut 4.0 mace mode images\n";
  expect_refused(run.run(), "unknown word 'images' of keyword mode", "images");
  run.pair = "pair_style hybrid/overlay lj/cut 4.0 mace\npair_coeff * * mace nowhere.pt Pt\n";
  expect_refused(run.run(), "cannot open nowhere.pt", "nowhere.pt");
}

TEST(MaceInput, WhatChangesEnergiesUnnoticedIsWarnedOf) {
  MaceRun run(MaceGolden("pto_two_heads"));
  run.pair = "pair_style hybrid/overlay mace zbl 2.0 3.0\npair_coeff * * mace " + MODEL +
             " Pt O\npair_coeff 1 1 zbl 78 78\npair_coeff 2 2 zbl 8 8\n";
  run.before = "neigh_modify exclude type 1 2\n";
  const RunResult result = run.run();
  EXPECT_TRUE(result.ok()) << result.output;
  EXPECT_TRUE(result.contains("this model has its own ZBL repulsion, so pair style zbl counts it "
                              "twice"))
      << result.output;
  EXPECT_TRUE(result.contains("neigh_modify exclude takes edges out of the graph"))
      << result.output;
}
