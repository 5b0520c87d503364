// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <vector>

#include "pointers.h"

#include "core/base/settings.hpp"
#include "godiff_glue.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// How candidates get their energies.
enum class Evaluate {
  STEP,     ///< one by one, by the run loop of LAMMPS
  AUTO,     ///< a stage at once: DIRECT if possible, else STACKED
  DIRECT,   ///< through the batch service of the pair style
  STACKED,  ///< above each other in one tall box
};

/// What the words of the fix command say beyond the settings of the search.
struct FixOptions {
  std::vector<std::string> elements;  ///< symbol or NULL per atom type; empty = from the label map
  bool confine_above = true;  ///< window relative to the highest template atom, else absolute
  Evaluate evaluate = Evaluate::STEP;
  double confine_lo = 1.0;  ///< Angstrom
  double confine_hi = 6.0;
  std::string device = "auto";  ///< where the network runs: auto, cpu, cuda or cuda:N
  std::string load;             ///< checkpoint to take the network from
  bool load_archive = false;    ///< and all that has been evaluated
  bool resume = false;          ///< go on with the search whose files have this prefix
  bool shared = true;           ///< all worlds of a multi-partition run work on one search
  std::string prefix;           ///< of the output files
  double save_every = 60.0;     ///< seconds of training between two saved positions
  int best = 10;                ///< structures in PREFIX.best
  bool log = true;              ///< a line per stage
  bool dump_all = true;         ///< write PREFIX.xyz
  bool final_best = true;       ///< the best structure is in the atoms after a run, else the last
};

/// Reads `fix ID group godiff M N seed Tstart Tstop keyword values ...`; every bad word ends in
/// error->all that points at it. Energies and temperatures are converted to eV.
void parse(LAMMPS *lmp, int narg, char **arg, const Units &units, godiff::Settings &settings,
           FixOptions &options);

/// Atomic number of each atom type [1..ntypes] (0: none), from the keyword or the label map.
std::vector<int> elements_of_types(LAMMPS *lmp, const FixOptions &options);

}  // namespace GODiff
}  // namespace LAMMPS_NS
