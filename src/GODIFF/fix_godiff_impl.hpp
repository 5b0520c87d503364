// SPDX-License-Identifier: GPL-2.0-only
// What a FixGODiff consists of; private to the fix_godiff*.cpp files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fix_godiff.h"

#include "core/search/run_files.hpp"
#include "core/search/search.hpp"
#include "fix_godiff_parse.hpp"
#include "godiff_glue.hpp"

namespace LAMMPS_NS {

struct FixGODiff::Impl {
  static constexpr int VECTOR = 17;   // length of the global vector
  static constexpr int COLUMNS = 18;  // of the global array

  GODiff::Units units;
  godiff::Settings settings;
  GODiff::FixOptions options;
  class Compute *pe = nullptr;

  // The same on all ranks. Atoms are ordered template first, then mobile, each by ID.
  bool begun = false;     // the first run has been set up
  godiff::System system;  // lengths relative to the corner of the box
  std::vector<tagint> sorted_ids;
  std::vector<int> sorted_index;  // of the atom with that ID in the order above
  std::vector<double> positions;  // absolute [3*n_atoms]; the mobile part is the present candidate
  std::vector<imageint> images;   // [n_atoms]
  double box[9] = {};             // lo, lengths, tilts

  bool running = false;      // between setup and post_run of a run, not of a minimization
  bool referenced = false;   // the energy of the input structure is known
  bool active = false;       // the atoms hold a structure that waits for its energy
  bool finished = false;     // the budget is spent
  bool stopped = false;      // this fix ends the present run early ...
  bool out_of_time = false;  // ... because of the wall time limit
  bool warned = false;       // about a run beyond the end
  int forces = 0;            // godiff::ForceNeed of the structure in the atoms
  int threads = 1;           // for LibTorch on rank 0
  bigint evaluated = 0;      // energies of the present run

  double best = 0.0;
  double vector[VECTOR] = {};
  std::vector<double> array;  // [stages * COLUMNS]
  bool array_shared = false;  // all rows of a continued search are known to all ranks

  // Rank 0 only.
  std::unique_ptr<godiff::Search> search;
  std::unique_ptr<godiff::RunFiles> files;
  std::string saved;               // state from a restart file, until the first run
  std::vector<double> raw_forces;  // [3*n_atoms] eV/Angstrom
  double energy = 0.0;             // of the structure in the atoms, units of the run
  int printed = 0;                 // stages whose line has been printed
  int saved_stages = -1;           // learned stages that PREFIX.ckpt has been updated for
  bool summarised = false;
  double seconds = 0.0;  // of all runs before the present one
  double run_start = 0.0;
  double last_tick = 0.0;
  bool tick_shown = false;

  int n_template() const { return static_cast<int>(system.n_template); }
  int n_atoms() const { return static_cast<int>(system.n_atoms()); }
  double run_energy(double eV) const { return eV / units.energy; }
  double run_temperature(double kT) const { return kT / units.temperature; }

  /// Index of the atom with this ID, -1 for one that was not there when the search began.
  int index_of(tagint id) const;
  /// Makes these structure coordinates, relative to the corner of the box, the ones to place.
  void set_mobile(const godiff::Positions &mobile);
};

}  // namespace LAMMPS_NS
