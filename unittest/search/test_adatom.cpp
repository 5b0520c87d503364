// SPDX-License-Identifier: GPL-2.0-only
// The search must find the global minimum that plain LAMMPS found from a grid of starts.
#include <cmath>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "testing/example.hpp"

using namespace godiff::testing;

TEST(Search, AdatomFindsTheGlobalMinimum) {
  const auto examples = copy_examples();
  const RunResult run = run_example(examples, "adatom", {"seed", "1"}, 1700.0);
  ASSERT_TRUE(run.ok()) << run.output;
  const ExampleResult result = read_result(run);
  std::ifstream file(examples / "adatom" / "reference.json");
  const auto reference = nlohmann::json::parse(file)["global_minimum"];

  EXPECT_EQ(result.number.at("evaluations"), 320);
  EXPECT_NEAR(result.number.at("minimized"), reference["energy"].get<double>(), 1e-3);
  // Same site, one of two that are equivalent by symmetry: 0.05 A is far below their distance and
  // far above what is left after a minimization to 1e-6 eV/A.
  bool same_site = false;
  for (const auto &site : reference["sites"]) {
    double squared = 0.0;
    for (int k = 0; k < 3; ++k)
      squared += std::pow(result.at.at(k) - site[k].get<double>(), 2);
    same_site = same_site || std::sqrt(squared) < 0.05;
  }
  EXPECT_TRUE(same_site) << run.output.substr(run.output.rfind("RESULT"));
}
