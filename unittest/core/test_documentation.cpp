// SPDX-License-Identifier: GPL-2.0-only
// The tables of doc/fix_godiff.rst are those of the program.
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/settings.hpp"

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::vector<std::string> lines_of(const std::string &path) {
  std::ifstream file(std::string(GODIFF_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);)
    lines.push_back(line);
  return lines;
}

// The rows of a reStructuredText list-table below its header, without the literal quotes.
Rows list_table(const std::string &title) {
  Rows rows;
  bool inside = false;
  for (const std::string &line : lines_of("doc/fix_godiff.rst")) {
    if (!inside) {
      inside = line == ".. list-table:: " + title;
      continue;
    }
    if (!line.empty() && line[0] != ' ')
      break;
    const bool row = line.rfind("   * - ", 0) == 0, cell = line.rfind("     - ", 0) == 0;
    if (!row && !cell)
      continue;
    std::string text = line.substr(7);
    if (text.rfind("``", 0) == 0)
      text = text.substr(2, text.size() - 4);
    if (row)
      rows.emplace_back();
    rows.back().push_back(text);
  }
  if (!rows.empty())
    rows.erase(rows.begin());
  return rows;
}

}  // namespace

TEST(Documentation, SwitchesAreThoseOfTheProgram) {
  Rows expected;
  for (const godiff::Switch &s : godiff::switches())
    expected.push_back({s.name, s.choices, s.default_value, s.paper, s.authors});
  EXPECT_EQ(list_table("Switches"), expected);
}

TEST(Documentation, KeywordsAndDefaultsAreThoseOfTheParser) {
  // The parser belongs to LAMMPS and cannot be linked here: its table is read as text.
  const std::regex entry("^ *\\{\"(.*)\", \"(.*)\", \"(.*)\", &Parser::\\w+\\},$");
  Rows expected;
  std::smatch match;
  for (const std::string &line : lines_of("src/GODIFF/fix_godiff_parse.cpp"))
    if (std::regex_match(line, match, entry))
      expected.push_back({match[1], match[2], match[3]});
  ASSERT_GT(expected.size(), 20u);
  EXPECT_EQ(list_table("Keywords"), expected);
}
