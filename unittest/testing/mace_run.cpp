// SPDX-License-Identifier: GPL-2.0-only
#include "testing/mace_run.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <gtest/gtest.h>

namespace godiff::testing {

namespace {

constexpr double BAR = 1.6021765e6;  // per eV/Angstrom^3, as LAMMPS has it

std::string symbol(int z) {
  switch (z) {
    case 1:
      return "H";
    case 6:
      return "C";
    case 8:
      return "O";
    case 13:
      return "Al";
    case 29:
      return "Cu";
    case 78:
      return "Pt";
    case 79:
      return "Au";
  }
  throw std::runtime_error("no symbol for atomic number " + std::to_string(z));
}

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.17g", value);
  return buffer;
}

}  // namespace

MaceStructure MaceStructure::repeated(int na, int nb, int nc) const {
  MaceStructure all = *this;
  all.types.clear();
  all.positions.clear();
  for (int i = 0; i < na; ++i)
    for (int j = 0; j < nb; ++j)
      for (int k = 0; k < nc; ++k)
        for (int atom = 0; atom < n_atoms(); ++atom) {
          all.types.push_back(types[atom]);
          for (int d = 0; d < 3; ++d)
            all.positions.push_back(positions[3 * atom + d] + i * cell[d] + j * cell[3 + d] +
                                    k * cell[6 + d]);
        }
  for (int d = 0; d < 3; ++d) {
    all.cell[d] *= na;
    all.cell[3 + d] *= nb;
    all.cell[6 + d] *= nc;
  }
  return all;
}

MaceStructure MaceStructure::repeated(int n) const {
  return repeated(periodic[0] ? n : 1, periodic[1] ? n : 1, periodic[2] ? n : 1);
}

MaceStructure MaceStructure::strained(const std::array<std::array<double, 3>, 3> &strain) const {
  MaceStructure all = *this;
  const auto apply = [&](double *v) {
    const double x[3] = {v[0], v[1], v[2]};
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        v[a] += strain[b][a] * x[b];
  };
  for (int row = 0; row < 3; ++row)
    apply(&all.cell[3 * row]);
  for (int atom = 0; atom < n_atoms(); ++atom)
    apply(&all.positions[3 * atom]);
  return all;
}

MaceValues MaceValues::repeated(int cells) const {
  MaceValues all = *this;
  all.energy *= cells;
  for (double &component : all.virial)
    component *= cells;
  for (int cell = 1; cell < cells; ++cell) {
    all.forces.insert(all.forces.end(), forces.begin(), forces.end());
    all.atom_energies.insert(all.atom_energies.end(), atom_energies.begin(), atom_energies.end());
  }
  return all;
}

MaceGolden::MaceGolden(const std::string &name) : name_(name) {
  std::ifstream in(std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/" + name + ".json");
  data_ = nlohmann::json::parse(in);
}

std::string MaceGolden::file() const {
  return std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/" + data_["file"].get<std::string>();
}

std::vector<std::string> MaceGolden::structures() const {
  std::vector<std::string> names;
  for (const auto &structure : data_["structures"])
    names.push_back(structure["name"]);
  return names;
}

std::vector<std::string> MaceGolden::symbols() const {
  std::vector<std::string> all;
  for (const int z : data_["atomic_numbers"])
    all.insert(all.begin(), symbol(z));
  return all;
}

namespace {

const nlohmann::json &find(const nlohmann::json &list, const std::string &name) {
  for (const auto &entry : list)
    if (entry["name"] == name)
      return entry;
  throw std::runtime_error("no structure " + name);
}

}  // namespace

MaceStructure MaceGolden::structure(const std::string &name) const {
  const auto &data = find(data_["structures"], name);
  MaceStructure s;
  s.cell = data["cell"];
  s.periodic = data["pbc"];
  s.positions = data["positions"].get<std::vector<double>>();
  const std::vector<std::string> types = symbols();
  for (const int z : data["atomic_numbers"])
    s.types.push_back(
        1 + static_cast<int>(std::find(types.begin(), types.end(), symbol(z)) - types.begin()));
  return s;
}

MaceValues MaceGolden::values(const std::string &structure, const std::string &head,
                              const std::string &precision) const {
  for (const auto &result : find(data_["structures"], structure)["results"]) {
    if (result["head"] != head || result["precision"] != precision)
      continue;
    MaceValues values;
    values.energy = result["energy"];
    values.forces = result["forces"].get<std::vector<double>>();
    values.atom_energies = result["node_energies"].get<std::vector<double>>();
    values.virial = result["virial"];
    return values;
  }
  throw std::runtime_error("no values of head " + head + " in " + precision);
}

std::string MaceRun::pair_commands() const {
  std::string all = "pair_style mace " + words + "\npair_coeff * * " + model;
  for (const auto &name : symbols)
    all += " " + name;
  return all + "\n";
}

std::string MaceRun::data() const {
  const auto &cell = structure.cell;
  const bool triclinic = cell[3] != 0.0 || cell[6] != 0.0 || cell[7] != 0.0;
  std::ostringstream data;
  data << "made by a test\n\n"
       << structure.n_atoms() << " atoms\n"
       << symbols.size() << " atom types\n0.0 " << text(cell[0]) << " xlo xhi\n0.0 "
       << text(cell[4]) << " ylo yhi\n0.0 " << text(cell[8]) << " zlo zhi\n";
  if (triclinic)
    data << text(cell[3]) << " " << text(cell[6]) << " " << text(cell[7]) << " xy xz yz\n";
  data << "\nMasses\n\n";
  for (std::size_t type = 1; type <= symbols.size(); ++type)
    data << type << " 100.0\n";
  data << "\nAtoms # " << atom_style << "\n\n";
  for (int i = 0; i < structure.n_atoms(); ++i)
    data << i + 1 << (atom_style == "bond" ? " 0 " : " ") << structure.types[i] << " "
         << text(structure.positions[3 * i]) << " " << text(structure.positions[3 * i + 1]) << " "
         << text(structure.positions[3 * i + 2]) << "\n";

  return data.str();
}

std::string MaceRun::input() const {
  std::string boundary;
  for (const int periodic : structure.periodic)
    boundary += periodic ? " p" : " f";
  return "units " + units + "\nboundary" + boundary + "\natom_style " + atom_style +
         "\natom_modify map yes\n" + before_read + "read_data structure" + tag + ".data\n" +
         (pair.empty() ? pair_commands() : pair) +
         "neighbor 1.0 bin\n"
         "compute press all pressure NULL virial\n"
         "compute eatom all pe/atom\n"
         "compute satom all stress/atom NULL virial\n"
         "compute csatom all centroid/stress/atom NULL virial\n"
         "thermo_style custom step atoms pe c_press[1] c_press[2] c_press[3] c_press[4] c_press[5] "
         "c_press[6] vol etotal\n"
         "thermo_modify format float %.17g\n"
         "dump d all custom 1 atoms" +
         tag +
         ".dump id type x y z fx fy fz c_eatom c_satom[*] c_csatom[*]\n"
         "dump_modify d sort id format float %.17g\n" +
         before + commands + "\n";
}

RunResult MaceRun::run() const {
  RunOptions chosen = options;
  chosen.files["structure" + tag + ".data"] = data();
  return run_lammps(input(), chosen);
}

std::vector<std::vector<double>> dump_rows(const std::string &dump, long step) {
  std::vector<std::vector<double>> rows;
  const auto lines = lines_of(dump);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    if (lines[i] != "ITEM: TIMESTEP" || std::stol(lines[i + 1]) != step)
      continue;
    const std::size_t count = std::stoul(lines[i + 3]);
    std::size_t first = i;
    while (lines[first].rfind("ITEM: ATOMS", 0) != 0)
      ++first;
    for (std::size_t row = first + 1; row <= first + count; ++row) {
      std::istringstream in(lines[row]);
      std::vector<double> numbers;
      for (std::string word; in >> word;)
        numbers.push_back(std::stod(word));
      rows.push_back(numbers);
    }
    return rows;
  }
  ADD_FAILURE() << "no step " << step << " in the dump";
  return rows;
}

namespace {

MaceValues values_of_table(const RunResult &run, const ThermoTable &table, long step,
                           const std::string &tag) {
  MaceValues values;
  for (const auto &row : dump_rows(run.file("atoms" + tag + ".dump"), step)) {
    values.forces.insert(values.forces.end(), row.begin() + 5, row.begin() + 8);
    values.atom_energies.push_back(row[8]);
  }
  for (const auto &row : table.rows) {
    if (static_cast<long>(row[0]) != step)
      continue;
    values.energy = row[2];
    for (int k = 0; k < 6; ++k)
      values.virial[k] = row[3 + k] * row[9] / BAR;
    return values;
  }
  ADD_FAILURE() << "no step " << step << " in the log";
  return values;
}

}  // namespace

MaceValues values_of(const RunResult &run, long step, const std::string &tag) {
  const auto tables = run.thermo();
  EXPECT_TRUE(run.ok()) << run.output;
  if (!run.ok() || tables.empty())
    return {};
  return values_of_table(run, tables.back(), step, tag);
}

std::vector<MaceValues> values_together(std::vector<MaceRun> runs) {
  RunOptions options = runs.front().options;
  std::string input;
  for (std::size_t k = 0; k < runs.size(); ++k) {
    runs[k].tag = "." + std::to_string(k);
    options.files["structure" + runs[k].tag + ".data"] = runs[k].data();
    input += (k ? "clear\n" : "") + runs[k].input();
  }
  const RunResult run = run_lammps(input, options);
  EXPECT_TRUE(run.ok()) << run.output;
  const auto tables = run.thermo();
  std::vector<MaceValues> values(runs.size());
  EXPECT_EQ(tables.size(), runs.size()) << run.output;
  for (std::size_t k = 0; run.ok() && k < std::min(tables.size(), runs.size()); ++k)
    values[k] = values_of_table(run, tables[k], 0, runs[k].tag);
  return values;
}

void expect_near(const MaceValues &found, const MaceValues &expected,
                 const MaceTolerance &tolerance) {
  ASSERT_EQ(found.forces.size(), expected.forces.size());
  const double n = std::max<double>(1.0, static_cast<double>(expected.atom_energies.size()));
  EXPECT_NEAR(found.energy, expected.energy, tolerance.energy * n);
  for (std::size_t k = 0; k < expected.forces.size(); ++k)
    EXPECT_NEAR(found.forces[k], expected.forces[k], tolerance.force) << "force component " << k;
  for (std::size_t i = 0; i < expected.atom_energies.size(); ++i)
    EXPECT_NEAR(found.atom_energies[i], expected.atom_energies[i], 10.0 * tolerance.energy)
        << "atom " << i + 1;
  for (int k = 0; k < 6; ++k)
    EXPECT_NEAR(found.virial[k], expected.virial[k], tolerance.virial) << "virial component " << k;
}

void expect_golden(const MaceGolden &golden, const std::vector<MaceDecomposition> &cases,
                   const std::string &words, const RunOptions &options) {
  std::vector<MaceRun> runs;
  for (const MaceDecomposition &c : cases) {
    runs.emplace_back(golden, c.structure);
    runs.back().words = words;
    runs.back().structure = runs.back().structure.repeated(c.repeats);
    runs.back().before_read = c.before_read;
    runs.back().before = c.before;
    runs.back().options = options;
  }
  const std::vector<MaceValues> found = values_together(runs);
  for (std::size_t k = 0; k < runs.size(); ++k) {
    SCOPED_TRACE(words + " " + cases[k].structure + " " + cases[k].before_read);
    const int cells = runs[k].structure.n_atoms() / golden.structure(cases[k].structure).n_atoms();
    MaceTolerance tolerance = MACE_DOUBLE;
    tolerance.virial *= cells;
    expect_near(found[k], golden.values(cases[k].structure, "Default", "float64").repeated(cells),
                tolerance);
  }
}

}  // namespace godiff::testing
