// SPDX-License-Identifier: GPL-2.0-only
// The examples with the MACE model of platinum, small: what they find is what plain LAMMPS finds.
#include <cmath>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "testing/example.hpp"

using namespace godiff::testing;

// Fewer steps of training than the example has; the reference is a grid of minimizations.
TEST(MaceExample, TheSearchEndsAtTheMinimumOfTheModel) {
  const auto examples = copy_examples("mace");
  const RunResult run = run_example(examples, "adatom", {"steps", "300"}, 800.0);
  ASSERT_TRUE(run.ok()) << run.output;
  const ExampleResult result = read_result(run);
  const auto reference = nlohmann::json::parse(read_file(examples / "adatom" / "reference.json"));
  // Both are minimized until forces are below 1e-6 eV/Angstrom.
  EXPECT_NEAR(result.number.at("minimized"), reference["global_minimum"]["energy"].get<double>(),
              1e-4);
  EXPECT_EQ(result.number.at("evaluations"), 320);
  EXPECT_EQ(lines_of(read_file(examples / "adatom" / "adatom.csv")).size(), 321u);
}

// 3.9292 Angstrom is what the potential has that the model was trained on (README of the example). In 60
// steps of 4 fs the box breathes by less than a percent.
TEST(MaceExample, Npt) {
  const auto examples = copy_examples("mace");
  const RunResult run = run_example(examples, "npt", {"equilibrate", "20", "steps", "40"});
  ASSERT_TRUE(run.ok()) << run.output;
  const ExampleResult result = read_result(run);
  EXPECT_NEAR(result.number.at("constant"), 3.9292, 0.03);
  EXPECT_GT(result.number.at("temperature"), 150.0);
  EXPECT_LT(result.number.at("temperature"), 600.0);
}

// The same input with the potential that the model was trained on, to its end, and with the model for a
// few steps.
TEST(MaceExample, Neb) {
  const auto barrier = [](const RunResult &run) {
    const auto lines = lines_of(read_file(run.folder / "log.lammps"));
    std::istringstream words(lines.back());
    double value = NAN;
    for (int column = 0; column < 7; ++column)
      words >> value;
    return value;  // forward
  };
  const auto examples = copy_examples("mace");
  const RunResult eam = run_example(examples, "neb", {"potential", "eam"}, 300.0, 1, 3);
  ASSERT_TRUE(eam.ok()) << eam.output;
  // From hollow and bridge, each relaxed by plain LAMMPS (README); the force tolerance of neb is
  // 0.01 eV/Angstrom.
  EXPECT_NEAR(barrier(eam), 0.4844, 2e-3);
  const RunResult mace = run_example(examples, "neb", {"steps", "50"}, 300.0, 1, 3);
  ASSERT_TRUE(mace.ok()) << mace.output;
  EXPECT_GT(barrier(mace), 0.3);
}
