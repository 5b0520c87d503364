// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pointers.h"

namespace LAMMPS_NS {
namespace GODiff {

/// How the atoms of a rank become a graph.
enum class MaceMode {
  AUTO,     ///< image on one rank, else message if the model allows it, else ghost
  IMAGE,    ///< one rank: ghosts are their owners
  MESSAGE,  ///< features of ghosts come from their owners before each layer
  GHOST     ///< ghosts as deep as all layers together reach
};
const char *mode_name(MaceMode mode);

enum class MaceCheck { OFF, NONFINITE, FULL };
enum class MaceNumbers { MODEL, SINGLE, DOUBLE };

/// What the words of pair_style mace say.
struct MaceSettings {
  MaceMode mode = MaceMode::AUTO;
  std::string head;                  ///< empty: the one that the file was exported with
  std::string device = "cpu";        ///< of this rank, as "cpu", "cuda:1"
  std::string device_word = "auto";  ///< what the user says
  MaceNumbers precision = MaceNumbers::MODEL;
  std::int64_t max_edges = 0;  ///< of one call with several structures; 0: chosen
  int threads = 0;             ///< 0: chosen
  bool jit = false;
  std::optional<double> charge, spin;  ///< total, for models that need them
  MaceCheck check = MaceCheck::NONFINITE;
  bool timing = false;
};

/// Reads the words after `pair_style mace`; every bad one ends in error->all that points at it.
/// Collective, since each rank looks for its device.
MaceSettings parse_mace(LAMMPS *lmp, int narg, char **arg);

/// Where a word of the command that LAMMPS executes stands, for error->all, also when pair_style
/// hybrid passes only some of its words on; a place that nothing points at if it is none of them.
int place_of_word(LAMMPS *lmp, const char *word);

}  // namespace GODiff
}  // namespace LAMMPS_NS
