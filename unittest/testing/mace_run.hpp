// SPDX-License-Identifier: GPL-2.0-only
// Runs of pair style mace with the small models of unittest/mace, and their golden values.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "testing/lammps_runner.hpp"

namespace godiff::testing {

/// A structure of unittest/mace/NAME.json: eV, Angstrom.
struct MaceStructure {
  std::array<double, 9> cell{};  ///< rows a, b, c; lower triangle
  std::array<int, 3> periodic{};
  std::vector<int> types;         ///< from 1, in the order of MaceRun::symbols
  std::vector<double> positions;  ///< [3N]

  int n_atoms() const { return static_cast<int>(types.size()); }
  /// Repeats it along its axes.
  MaceStructure repeated(int na, int nb, int nc) const;
  /// Repeats it n times along each periodic axis.
  MaceStructure repeated(int n) const;
  /// With the cell and the atoms strained by (1 + strain), lower triangle only.
  MaceStructure strained(const std::array<std::array<double, 3>, 3> &strain) const;
};

/// What a model says of a structure, by atom ID, in the units of the run.
struct MaceValues {
  double energy = 0.0;
  std::vector<double> forces;         ///< [3N]
  std::vector<double> atom_energies;  ///< [N]
  std::array<double, 6> virial{};     ///< xx yy zz xy xz yz, -dE/dstrain

  /// Those of as many cells side by side.
  MaceValues repeated(int cells) const;
};

/// How far values may be apart: eV, Angstrom.
struct MaceTolerance {
  double energy;  ///< per atom
  double force, virial;
};

/// Sums in another order, of numbers of some 10 eV in double precision.
constexpr MaceTolerance MACE_DOUBLE{1e-10, 1e-9, 1e-8};
/// The same in single precision.
constexpr MaceTolerance MACE_SINGLE{2e-6, 2e-5, 1e-4};

/// Golden values of unittest/mace/NAME.json.
class MaceGolden {
public:
  explicit MaceGolden(const std::string &name);

  const std::string &name() const { return name_; }
  std::string file() const;  ///< path of the model
  const nlohmann::json &data() const { return data_; }
  bool single_precision() const { return data_["dtype"] == "float32"; }
  std::vector<std::string> structures() const;
  /// Symbols of the elements, atom type 1 first: the reverse of the order in the model.
  std::vector<std::string> symbols() const;
  MaceStructure structure(const std::string &name) const;
  /// `precision` is float32 or float64.
  MaceValues values(const std::string &structure, const std::string &head,
                    const std::string &precision) const;

private:
  std::string name_;
  nlohmann::json data_;
};

/// One input with pair_style mace.
struct MaceRun {
  explicit MaceRun(const MaceGolden &golden, const std::string &structure = "slab") :
      model(golden.file()),
      symbols(golden.symbols()),
      structure(golden.structure(structure)) {}

  std::string model;  ///< path
  std::vector<std::string> symbols;
  MaceStructure structure;
  std::string words;  ///< after "pair_style mace"
  std::string units = "metal";
  std::string atom_style = "atomic";  ///< or bond
  std::string before_read;            ///< commands before the atoms are there
  std::string pair;                   ///< instead of pair_style and pair_coeff
  std::string before;                 ///< commands before the run
  std::string commands = "run 0";
  RunOptions options;

  std::string tag;  ///< in the names of its files

  /// pair_style and pair_coeff as `words`, `model` and `symbols` say.
  std::string pair_commands() const;
  std::string input() const;
  std::string data() const;  ///< the file that the input reads
  RunResult run() const;
};

/// The numbers of a step of a run of MaceRun, all digits.
MaceValues values_of(const RunResult &run, long step = 0, const std::string &tag = "");

/// Runs several inputs one after the other in one LAMMPS, with `clear` between them, and returns what
/// each has at step 0. The options are those of the first.
std::vector<MaceValues> values_together(std::vector<MaceRun> runs);

/// Rows of a dump at a step, by atom ID; fails the test when there is no such step.
std::vector<std::vector<double>> dump_rows(const std::string &dump, long step);

/// EXPECT_NEAR for all values; an atom has ten times the tolerance of the mean one.
void expect_near(const MaceValues &found, const MaceValues &expected,
                 const MaceTolerance &tolerance);

/// A structure and how it is dealt to ranks.
struct MaceDecomposition {
  const char *structure;
  int repeats;  ///< along each periodic axis
  const char *before_read, *before;
};

/// Runs the structures of a model with golden values in double precision, all with the same words and
/// options, and expects those values.
void expect_golden(const MaceGolden &golden, const std::vector<MaceDecomposition> &cases,
                   const std::string &words, const RunOptions &options);

}  // namespace godiff::testing
