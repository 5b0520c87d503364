// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace godiff {

constexpr double OPEN = std::numeric_limits<double>::infinity();

enum class ScoreScale { REFERENCE, RESCALED, CONSISTENT };  ///< method section 5
enum class SampleKind { EULER_MARUYAMA, PRIOR };
enum class Annealing { GEOMETRIC, ADAPTIVE_ESS };

/// Shape of the PaiNN backbone (method section 8).
struct NetworkSettings {
  double cutoff = 6.0;  ///< Angstrom
  int nfeat = 64;
  int nblock = 4;
  int nrbf = 30;
  bool force_head = false;
};

/// Everything that decides the result of a search; energies in eV, lengths in Angstrom, kT in eV.
/// The defaults are those of the documentation page (keywords) and of method section 22 (switches).
struct Settings {
  // required arguments
  int stages = 1;
  int samples = 1;
  std::uint64_t seed = 1;
  double kT_start = 5.0;
  double kT_stop = 0.02;

  // keywords
  double mindist = 1.0;
  double energy_lo = -OPEN;      ///< at or below: a false minimum, dropped
  double energy_hi = OPEN;       ///< at or above: recorded, never trained on
  bool energy_absolute = false;  ///< window not relative to the input structure
  int buffer = 64;
  int train_steps = 8000;
  int batch = 16;
  double learning_rate = 1e-4;
  double lr_factor = 0.95;
  int patience = 100;
  double clip = 10.0;
  NetworkSettings network;
  SampleKind sample = SampleKind::EULER_MARUYAMA;
  int sample_steps = 500;
  double sample_eps = 0.005;
  double guide = 0.0;   ///< ffg_scale
  int guide_extra = 0;  ///< ffg_extra
  int relax_steps = 0;
  double relax_ftol = 0.05;  ///< eV/Angstrom
  double unique_tolerance = 0.0;
  Annealing annealing = Annealing::GEOMETRIC;
  double adaptive_ess = 8.0;  ///< effective sample size that `anneal adaptive` aims at
  bool double_precision = false;
  bool train = true;  ///< `mode search`; false = `mode sample`

  // switches (method section 22)
  ScoreScale score_scale = ScoreScale::REFERENCE;
  bool g2_legacy = false;
  bool weights_all = false;  ///< weights_norm all
  bool loss_weights = true;  ///< loss_weights boltzmann
  bool ffg_dt = true;
  double ffg_zeta = 3.0;
  bool ffg_all_atoms = false;      ///< ffg_atoms all
  bool ffg_raw_history = false;    ///< ffg_history raw
  bool force_loss_mobile = false;  ///< force_loss mobile
  bool mindist_image = true;
  double val_fraction = 0.1;
  bool optim_reset = true;

  /// True when the network has and uses a force head.
  bool guided() const { return guide > 0.0; }
};

/// One row of the table of switches: shown in the documentation, used by the parser.
struct Switch {
  const char *name;
  const char *choices;  ///< "a|b" or "number"
  const char *default_value;
  const char *paper;
  const char *authors;
  const char *meaning;
};

/// All switches, in the order of the documentation page.
const std::vector<Switch> &switches();

/// Sets one switch by name; throws godiff::Error naming the allowed values.
void set_switch(Settings &settings, const std::string &name, const std::string &value);

/// The value of one switch in the words of the input script; throws for an unknown name.
std::string get_switch(const Settings &settings, const std::string &name);

/// Throws godiff::Error for values out of range or contradictory (for instance kT_start <= kT_stop).
void validate(const Settings &settings);

/// The settings that must not change between a run and its continuation, as "name=value" lines.
std::string describe(const Settings &settings);

}  // namespace godiff
