// SPDX-License-Identifier: GPL-2.0-only
// Runs one of the inputs in examples/godiff or examples/mace in a copy of both folders.
#pragma once

#include <map>
#include <string>

#include "testing/lammps_runner.hpp"

namespace godiff::testing {

/// The last line of an example: RESULT prefix KEY value KEY value ... [word].
struct ExampleResult {
  std::map<std::string, double> number;  ///< found, minimized, evaluations
  std::vector<double> at;                ///< position, where the example prints one
  std::string outcome;                   ///< last word, where it is not a number
};

/// Copies examples/godiff and examples/mace below the folder of this test (once) and returns the copy of
/// the first or, by its name, of the other.
std::filesystem::path copy_examples(const std::string &which = "godiff");

/// Runs in.NAME in `examples`/NAME with `-var` name value pairs, with `worlds` above 1 in that many.
RunResult run_example(const std::filesystem::path &examples, const std::string &name,
                      const std::vector<std::string> &variables, double timeout = 300.0,
                      int threads = 1, int worlds = 1);

/// Reads the RESULT line; fails the test when there is none.
ExampleResult read_result(const RunResult &run);

}  // namespace godiff::testing
