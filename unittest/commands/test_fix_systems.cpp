// SPDX-License-Identifier: GPL-2.0-only
// The systems, potentials and variants of the method that a search must work with.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

using godiff::testing::Csv;
using godiff::testing::parse_csv;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

constexpr double KCAL = 23.060549;  // kcal/mol in 1 eV, of LAMMPS

Csv csv_of(const RunResult &run) {
  return parse_csv(run.file("godiff.s.csv"));
}

}  // namespace

TEST(Systems, UnitsRealGiveTheSameSearch) {
  SmallSearch metal;
  metal.words = "sample prior mode sample relax 3 0.05";
  metal.commands = "run 24\n";
  SmallSearch real = metal;
  real.units = "real";
  real.potential =
      "pair_style lj/cut 5.0\npair_coeff * * " + std::to_string(0.25 * KCAL) + " 2.4\n";
  real.words = "sample prior mode sample relax 3 " + std::to_string(0.05 * KCAL);
  const RunResult a = metal.run(), b = real.run();
  ASSERT_TRUE(a.ok() && b.ok()) << a.output << b.output;
  const auto eV = csv_of(a).numbers("energy"), kcal = csv_of(b).numbers("energy");
  ASSERT_EQ(eV.size(), kcal.size());
  for (std::size_t k = 0; k < eV.size(); ++k)
    EXPECT_NEAR(kcal[k] / KCAL, eV[k], 1e-4 * std::max(1.0, std::abs(eV[k])));
  EXPECT_EQ(csv_of(a).numbers("evaluation"), csv_of(b).numbers("evaluation"));
}

TEST(Systems, PeriodicInAllDirections) {
  SmallSearch search;
  search.boundary = "p p p";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_NE(run.file("godiff.s.xyz").find("pbc=\"T T T\""), std::string::npos);
}

TEST(Systems, WindowAboveATemplateThatCrossesThePeriodicFace) {
  // The lower layer lies below the box and is wrapped to its top.
  SmallSearch search;
  search.boundary = "p p p";
  search.before = "displace_atoms all move 0.0 0.0 -2.5\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("z 0.4 to 3.4")) << run.output;
}

TEST(Systems, TriclinicEqualsADumpRerun) {
  SmallSearch search;
  search.triclinic = true;
  search.thermo = "step pe";
  search.after +=
      "dump d all custom 1 all.dump id type xu yu zu\ndump_modify d format float %.15g\n";
  search.commands = "run 6\nundump d\nunfix s\nrerun all.dump first 1 dump x y z box no\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto energies = csv_of(run).numbers("energy");
  const auto again = run.thermo()[1].column("PotEng");
  ASSERT_EQ(again.size(), energies.size());
  for (std::size_t k = 0; k < again.size(); ++k)
    EXPECT_NEAR(again[k], energies[k], 1e-8 * std::abs(energies[k]));
}

TEST(Systems, ElementsFromTheLabelMap) {
  SmallSearch search;
  search.types = 2;
  search.elements = "";
  search.before = "labelmap atom 1 Pt 2 Au\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("2 mobile (1 Pt, 1 Au), 18 template (18 Pt)")) << run.output;
  const std::string xyz = run.file("godiff.s.xyz");
  EXPECT_NE(xyz.find("\nAu "), std::string::npos);
}

TEST(Systems, ElementsOfUnusedTypesMayBeNull) {
  SmallSearch search;
  search.types = 2;
  search.mobile = 1;  // of type 1
  search.elements = "elements Pt NULL";
  EXPECT_TRUE(search.run().ok());
}

TEST(Systems, EnergyIsThatOfThermo) {
  // Two pair styles, and a fix that adds an energy only when it is told to.
  SmallSearch search;
  search.potential = "pair_style hybrid/overlay lj/cut 5.0 morse 4.0\n"
                     "pair_coeff * * lj/cut 0.25 2.4\npair_coeff * * morse 0.1 1.5 2.5\n";
  search.after += "variable push equal 0.1\nvariable up atom 0.3*z\n"
                  "fix field mobile addforce 0.0 0.0 v_push energy v_up\n"
                  "fix_modify field energy yes\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto energies = csv_of(run).numbers("energy");
  const auto pe = run.thermo()[0].column("PotEng");
  for (std::size_t k = 0; k < energies.size(); ++k)
    EXPECT_NEAR(pe[k + 1], energies[k], 1e-10);
}

TEST(Systems, OneEnergyThatIsNotFiniteIsRecordedAndSkipped) {
  SmallSearch search;
  search.after +=
      "variable zero equal 0.0\nvariable bad atom exp(1000*(step==2))-1.0\n"
      "fix bad mobile addforce v_zero 0.0 0.0 energy v_bad\nfix_modify bad energy yes\n";
  search.thermo = "step pe f_s f_s[8]";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const Csv csv = csv_of(run);
  ASSERT_EQ(csv.rows.size(), 6u);
  for (std::size_t k = 0; k < 6; ++k) {
    const bool failed = k == 1;
    EXPECT_EQ(csv.text("status")[k], failed ? "failed" : "ok");
    EXPECT_EQ(csv.text("energy")[k] == "nan", failed);
    EXPECT_EQ(csv.text("weight")[k] == "nan", failed);
    EXPECT_EQ(csv.text("class")[k] == "-1", failed);
  }
  EXPECT_EQ(run.thermo()[0].last("f_s[8]"), 1.0);
  EXPECT_TRUE(run.contains("0 outside the energy window, 1 failed")) << run.output;
}

TEST(Systems, EnergyWindowRelativeToTheInputStructure) {
  SmallSearch search;
  search.samples = 10;
  search.words = "sample prior mode sample";
  search.commands = "run 20\n";
  const auto energies = csv_of(search.run()).numbers("energy");
  std::vector<double> sorted = energies;
  std::sort(sorted.begin(), sorted.end());
  // A window that keeps neither the two lowest nor the five highest.
  const RunResult zero = search.run();
  const double reference = zero.thermo()[0].column("PotEng")[0];
  const double lo = 0.5 * (sorted[1] + sorted[2]), hi = 0.5 * (sorted[14] + sorted[15]);
  for (const bool absolute : {false, true}) {
    const double shift = absolute ? 0.0 : reference;
    std::ostringstream words;
    words.precision(15);
    words << "sample prior mode sample energy " << lo - shift << " " << hi - shift
          << (absolute ? " absolute" : "");
    search.words = words.str();
    const RunResult run = search.run();
    ASSERT_TRUE(run.ok()) << run.output;
    const Csv csv = csv_of(run);
    ASSERT_EQ(csv.numbers("energy"), energies);
    int low = 0, high = 0;
    for (std::size_t k = 0; k < energies.size(); ++k) {
      const std::string status = csv.text("status")[k];
      EXPECT_EQ(status, energies[k] <= lo ? "low" : energies[k] >= hi ? "high" : "ok");
      low += status == "low";
      high += status == "high";
    }
    EXPECT_EQ(low, 2);
    EXPECT_EQ(high, 5);
    EXPECT_NEAR(run.thermo()[0].last("f_s"), sorted[2], 1e-9);
    EXPECT_TRUE(run.contains("7 outside the energy window")) << run.output;
  }
}

TEST(Systems, EveryStepOfARelaxationIsAnEvaluation) {
  SmallSearch search;
  search.words = "sample prior mode sample relax 4 1e-6";
  search.commands = "run 1000\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const Csv csv = csv_of(run);
  ASSERT_EQ(csv.rows.size(), 6u);
  // Five evaluations each: the structure drawn and four steps.
  for (std::size_t k = 0; k < 6; ++k)
    EXPECT_EQ(csv.numbers("evaluation")[k], 5.0 * (static_cast<double>(k) + 1.0));
  const auto pe = run.thermo()[0].column("PotEng");
  ASSERT_EQ(pe.size(), 31u);
  for (std::size_t k = 0; k < 6; ++k) {
    EXPECT_NEAR(csv.numbers("energy")[k], pe[5 * (k + 1)], 1e-10);
    EXPECT_LT(pe[5 * (k + 1)], pe[5 * k + 1]);
  }
  EXPECT_TRUE(run.contains("GODIFF search complete: 6 candidates, 30 evaluations")) << run.output;
}

TEST(Systems, RelaxedForcesAreThoseOfLammps) {
  // Relaxed to the end, the structure is a minimum for LAMMPS' own minimizer as well.
  SmallSearch search;
  search.mobile = 1;
  search.stages = 1;
  search.samples = 1;
  search.words = "sample prior mode sample relax 500 1e-4";
  search.commands = "run 1000\nminimize 0 1e-4 100 1000\n";
  search.thermo = "step pe fmax";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_LT(run.thermo()[0].rows.size(), 400u);
  EXPECT_NEAR(run.thermo()[1].last("PotEng"), run.thermo()[0].last("PotEng"), 1e-6);
}

TEST(Systems, GuidanceLearnsRawForces) {
  // The template is frozen after the forces have been kept.
  SmallSearch search;
  search.words = "guide 0.2";
  search.thermo = "step pe f_s[14]";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.warnings().empty()) << run.output;
  EXPECT_GT(run.thermo()[0].last("f_s[14]"), 0.0);
  EXPECT_TRUE(run.contains("force loss")) << run.output;
}

TEST(Systems, AdaptiveAnnealing) {
  SmallSearch search;
  search.stages = 3;
  search.samples = 8;
  search.words = "anneal adaptive 2";
  search.commands = "run 24\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto kelvin = csv_of(run).numbers("temperature");
  EXPECT_NEAR(kelvin[0], 20000.0, 1e-5);
  EXPECT_LT(kelvin[8], kelvin[0]);
  EXPECT_NEAR(kelvin[16], 300.0, 1e-5);
}

TEST(Systems, ThreadedStylesOfLammpsKeepTheirThreads) {
  SmallSearch search;
  const auto plain = csv_of(search.run()).numbers("energy");
  RunOptions options;
  options.args = {"-sf", "omp", "-pk", "omp", "1"};
  options.threads = 2;  // for LibTorch
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_TRUE(run.contains("on CPU, 2 threads")) << run.output;
  EXPECT_NEAR(csv_of(run).numbers("energy")[0], plain[0], 1e-6);
}

TEST(Systems, DoublePrecision) {
  SmallSearch search;
  search.words = "precision double";
  EXPECT_TRUE(search.run().ok());
}

TEST(Systems, UniqueLeavesDuplicatesOut) {
  SmallSearch search;
  search.samples = 8;
  search.words = "unique 100.0";  // all structures of one kind
  search.commands = "run 16\n";
  search.thermo = "step f_s[7] f_s[12]";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_EQ(run.thermo()[0].column("f_s[7]")[9], 7.0);
  EXPECT_NEAR(run.thermo()[0].column("f_s[12]")[9], 1.0, 1e-12);
}
