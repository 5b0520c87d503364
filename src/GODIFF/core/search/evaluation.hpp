// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/base/settings.hpp"
#include "core/geometry/system.hpp"
#include "core/search/relax.hpp"

namespace godiff {

enum class ForceNeed { NONE, MOBILE, ALL };

/// Which forces a search needs with every energy.
ForceNeed forces_needed(const Settings &settings);

/// What came of one candidate.
struct Evaluated {
  std::int64_t candidate = -1;  ///< index in its stage
  std::int64_t evaluations = 0;
  bool valid = false;  ///< the energy and all needed forces are finite
  double energy = std::numeric_limits<double>::quiet_NaN();  ///< eV, of the last structure
  Positions positions;        ///< of the last structure, [3*n_mobile]
  std::vector<float> forces;  ///< [3*n_atoms] eV/Angstrom, only for a valid one with ForceNeed::ALL
};

/// One candidate on its way from proposed positions to an energy: one evaluation, or as many as its
/// local relaxation takes.
class Evaluation {
public:
  /// The system must outlive the evaluation.
  Evaluation(const System &system, const Settings &settings);

  /// Begins with a candidate of a stage; an unfinished one is forgotten.
  void start(std::int64_t candidate, const Positions &positions);
  /// True when positions() waits for its energy.
  bool open() const { return open_; }
  /// The structure to evaluate now, [3*n_mobile], relative to the corner of the cell.
  const Positions &positions() const { return positions_; }
  std::int64_t candidate() const { return result_.candidate; }
  /// Number of energies that this candidate has had.
  std::int64_t step() const { return result_.evaluations; }

  /// Energy (eV) of positions() and raw forces [3*n_atoms] eV/Angstrom (template rows may be zero unless
  /// ForceNeed::ALL; nullptr with ForceNeed::NONE). Returns true when the candidate is done, false
  /// when its relaxation goes on. Throws godiff::Error when forces are needed and missing.
  bool report(double energy, const double *forces);
  /// Forgets the candidate under way.
  void drop() { open_ = relaxing_ = false; }
  /// Ends the candidate as failed: its energy could not be computed.
  void fail();
  /// What came of the candidate that is done.
  const Evaluated &result() const { return result_; }

  /// State of the relaxation under way as numbers, empty without one, and back (checkpoints).
  std::vector<double> relaxation() const;
  /// Goes on with the relaxation of a candidate; throws godiff::Error for a state that is none.
  void restore(std::int64_t candidate, const std::vector<double> &relaxation);

private:
  const System &system_;
  ForceNeed need_;
  bool relaxes_;
  Relaxation relaxation_;
  bool open_ = false;
  bool relaxing_ = false;
  Positions positions_;
  Evaluated result_;
};

}  // namespace godiff
