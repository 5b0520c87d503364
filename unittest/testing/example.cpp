// SPDX-License-Identifier: GPL-2.0-only
#include "testing/example.hpp"

#include <sstream>

#include <gtest/gtest.h>

namespace godiff::testing {

std::filesystem::path copy_examples(const std::string &which) {
  const auto copy = fresh_folder();
  for (const char *folder : {"godiff", "mace"})
    std::filesystem::copy(std::filesystem::path(GODIFF_SOURCE_DIR) / "examples" / folder,
                          copy / folder, std::filesystem::copy_options::recursive);
  return copy / which;
}

RunResult run_example(const std::filesystem::path &examples, const std::string &name,
                      const std::vector<std::string> &variables, double timeout, int threads,
                      int worlds) {
  RunOptions options;
  options.folder = examples / name;
  options.timeout = timeout;
  options.threads = threads;
  options.nprocs = worlds;
  if (worlds > 1)
    options.args = {"-partition", std::to_string(worlds) + "x1"};
  for (std::size_t i = 0; i + 1 < variables.size(); i += 2)
    options.args.insert(options.args.end(), {"-var", variables[i], variables[i + 1]});
  return run_lammps(read_file(options.folder / ("in." + name)), options);
}

ExampleResult read_result(const RunResult &run) {
  ExampleResult result;
  std::string last;
  for (const std::string &line : lines_of(run.output))
    if (line.rfind("RESULT ", 0) == 0)
      last = line;
  EXPECT_FALSE(last.empty()) << "no RESULT line in\n" << run.output;
  std::istringstream words(last);
  std::string word, value;
  words >> word >> word;  // RESULT and the prefix
  while (words >> word) {
    if (word == "at") {
      result.at.resize(3);
      words >> result.at[0] >> result.at[1] >> result.at[2];
    } else if (word == "found" || word == "minimized" || word == "evaluations" ||
               word == "constant" || word == "temperature") {
      words >> value;
      result.number[word] = std::stod(value);
    } else {
      result.outcome = word;
    }
  }
  return result;
}

}  // namespace godiff::testing
