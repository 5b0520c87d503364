// SPDX-License-Identifier: GPL-2.0-only
#include "testing/small_search.hpp"

#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace godiff::testing {

std::string SmallSearch::fix() const {
  std::ostringstream out;
  out << "fix s mobile godiff " << stages << " " << samples << " " << seed << " " << temperatures
      << " " << elements << " " << settings << " " << words << "\n";
  return out.str();
}

std::string SmallSearch::input() const {
  std::ostringstream out;
  out << "units " << units << "\nboundary " << boundary << "\n"
      << before_read << "read_data data.slab\n"
      << potential << "group template id 1:18\ngroup mobile subtract all template\n"
      << before << fix() << after << "thermo 1\nthermo_style custom " << thermo
      << "\nthermo_modify format float %20.15g\n"
      << commands;
  return out.str();
}

std::string SmallSearch::data() const {
  constexpr int SIDE = 3;
  constexpr double SPACING = 2.7, LAYER = 1.9;
  constexpr double LENGTH = SIDE * SPACING;
  std::ostringstream out;
  out.precision(12);
  out << "two layers of a square lattice\n\n"
      << 2 * SIDE * SIDE + mobile << " atoms\n"
      << types << " atom types\n\n0.0 " << LENGTH << " xlo xhi\n0.0 " << LENGTH << " ylo yhi\n-2.0 "
      << height - 2.0 << " zlo zhi\n";
  if (triclinic)
    out << SPACING << " 0.0 0.0 xy xz yz\n";
  out << "\nMasses\n\n";
  for (int type = 1; type <= types; ++type)
    out << type << " 100.0\n";
  out << "\nAtoms # atomic\n\n";
  int id = 0;
  for (int layer = 0; layer < 2; ++layer)
    for (int j = 0; j < SIDE; ++j)
      for (int i = 0; i < SIDE; ++i) {
        const double x = (i + 0.5 * layer) * SPACING + (triclinic ? SPACING * j / SIDE : 0.0);
        out << ++id << " 1 " << x << " " << (j + 0.5 * layer) * SPACING << " " << layer * LAYER
            << "\n";
      }
  for (int m = 0; m < mobile; ++m)
    out << ++id << " " << (types > 1 && m % 2 == 1 ? 2 : 1) << " " << 1.0 + 2.5 * (m % 3) << " "
        << 1.0 + 2.5 * (m / 3) << " " << mobile_z << "\n";
  return out.str();
}

RunResult SmallSearch::run(RunOptions options) const {
  options.files["data.slab"] = data();
  return run_lammps(input(), options);
}

std::vector<std::string> Csv::text(const std::string &column) const {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (header[i] != column)
      continue;
    std::vector<std::string> values;
    for (const auto &row : rows)
      values.push_back(row.at(i));
    return values;
  }
  throw std::out_of_range("no column " + column);
}

std::vector<double> Csv::numbers(const std::string &column) const {
  std::vector<double> values;
  for (const auto &word : text(column))
    values.push_back(std::strtod(word.c_str(), nullptr));
  return values;
}

Csv parse_csv(const std::string &text) {
  Csv csv;
  for (const auto &line : lines_of(text)) {
    std::vector<std::string> row;
    std::istringstream in(line);
    for (std::string word; std::getline(in, word, ',');)
      row.push_back(word);
    if (csv.header.empty())
      csv.header = row;
    else
      csv.rows.push_back(row);
  }
  return csv;
}

}  // namespace godiff::testing
