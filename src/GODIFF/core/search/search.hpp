// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include "core/base/comm.hpp"
#include "core/base/settings.hpp"
#include "core/geometry/system.hpp"
#include "core/search/archive.hpp"
#include "core/search/evaluation.hpp"

namespace godiff {

class SafeTensors;

/// Called often during long work: what ("sampling", "training", "force training"), units done, units
/// in all. Returning false asks to stop as soon as possible.
using Progress = std::function<bool(const char *what, std::int64_t done, std::int64_t total)>;

/// One finished stage; energies in eV, kT in eV, times in seconds.
struct StageSummary {
  int stage = 0;  ///< from 0
  double kT = 0.0;
  std::int64_t evaluations = 0;  ///< energies spent in this stage (relaxation steps included)
  std::int64_t drawn = 0;        ///< candidates drawn, redraws included
  std::int64_t rejected = 0;     ///< of these, rejected by mindist
  std::int64_t outside = 0;      ///< energy outside the window (status high or low)
  std::int64_t duplicates = 0;   ///< structures left out of the buffer by `unique`
  std::int64_t failed = 0;
  double lowest = std::numeric_limits<double>::quiet_NaN();  ///< of this stage, status ok
  double mean = std::numeric_limits<double>::quiet_NaN();    ///< of this stage, status ok
  double best = std::numeric_limits<double>::quiet_NaN();    ///< of the search so far
  double ess = 0.0;         ///< effective sample size of the training buffer
  std::int64_t buffer = 0;  ///< structures trained on
  double score_loss = std::numeric_limits<double>::quiet_NaN();  ///< mean of the last epoch
  double force_loss = std::numeric_limits<double>::quiet_NaN();
  double seconds_sampling = 0.0;
  double seconds_training = 0.0;
  double seconds_evaluating = 0.0;
};

/// Totals over the whole search.
struct Totals {
  std::int64_t evaluations = 0;
  std::int64_t drawn = 0;
  std::int64_t rejected = 0;
  std::int64_t outside = 0;
  std::int64_t duplicates = 0;  ///< of the last training buffer
  std::int64_t failed = 0;
  std::int64_t network_calls = 0;      ///< structures passed through the network while sampling
  std::int64_t non_finite_scores = 0;  ///< scores of single atoms that were set to 0
  std::int64_t skipped_steps = 0;      ///< optimiser steps skipped for a non-finite loss
  double seconds_sampling = 0.0;
  double seconds_training = 0.0;
  double seconds_evaluating = 0.0;
};

/// Logarithm of the unnormalised weight of a structure at kT; the default is -E/kT (method section 6).
using LogWeight = std::function<double(const Positions &, double energy, double kT)>;

/// The state machine of method section 14: sample -> evaluate -> select -> train -> next temperature.
///
/// It never computes an energy: request() names a structure, report() is told its energy. One object
/// lives on one rank; all its state can be saved and restored bit for bit.
class Search {
public:
  /// The network lives on `device`, which is no part of what is saved: a search may go on on another.
  /// Throws godiff::Error for invalid settings or systems. Weights are initialised from the seed.
  /// The other ranks of `comm`, which must outlive the search, have a Learner and are in serve()
  /// whenever prepare() is called; the result has the same bits for any number of them.
  Search(const System &system, const Settings &settings,
         c10::Device device = c10::Device(c10::kCPU), Comm &comm = serial_comm());
  ~Search();

  /// Takes the network weights (only) of a checkpoint, before the first stage (transfer).
  void load_network(const SafeTensors &checkpoint);

  /// Takes over all that the search of a checkpoint has evaluated, before the first stage: it belongs to
  /// the candidates that are learned from and to the best structures. Energies keep the status they
  /// had. Throws godiff::Error when the system is another one.
  void load_archive(const SafeTensors &checkpoint);

  /// Replaces the weights of draw and loss, for instance by true importance weights -E/kT - ln q(x).
  void set_log_weight(LogWeight log_weight);

  /// Energy of the input structure (eV): the zero of the energy window unless that is absolute.
  void set_reference(double energy);
  bool has_reference() const;
  double reference() const;

  /// True when all candidates of all stages have been evaluated.
  bool finished() const;
  /// True when prepare() would train or sample (long work), or refuse to.
  bool work_due() const;
  /// Learns from the last full stage and draws the next candidates, as far as due. Returns false when
  /// `progress` interrupted it: with the next call training goes on where it was, and sampling, which
  /// has changed nothing, starts again. Throws godiff::Error when no candidate passes mindist, and
  /// after a stage whose energies have all failed.
  bool prepare(const Progress &progress);
  /// Lets the other ranks return from Learner::serve().
  void dismiss_helpers();
  /// True from the first step of the training of a stage to its end.
  bool training_under_way() const;

  /// True when a structure waits for its energy (prepare() first).
  bool has_request() const;
  /// Mobile positions to evaluate now, [3*n_mobile], relative to the corner of the cell.
  const Positions &request() const;
  ForceNeed forces_needed() const;
  /// Number of energies that the candidate of request() has had.
  std::int64_t request_step() const;
  /// Energy (eV) of request(), and raw forces [3*n_atoms] eV/Angstrom (template rows may be zero unless
  /// forces_needed() is ALL; nullptr when NONE). Returns true when this completed a candidate, which
  /// is then archive().back(); false while a local relaxation goes on. Throws godiff::Error, with the
  /// candidate on record, when it was the last of a stage whose energies have all failed.
  bool report(double energy, const double *forces);

  /// All candidates of the current stage, and the index of the first that has no result on record.
  const std::vector<Positions> &candidates() const;
  std::int64_t next_candidate() const;
  /// As report(), for the result of candidate next_candidate() that was evaluated elsewhere.
  void take(const Evaluated &result);
  /// Takes back what the candidate of request() has had: it begins anew, here or elsewhere.
  void restart_candidate();
  /// Adds to the time spent on evaluations that take() has brought.
  void add_evaluation_time(double seconds);

  const System &system() const;
  const Settings &settings() const;
  /// Where the network is.
  c10::Device device() const;
  const Archive &archive() const;
  /// Notes where the last record stands in the .xyz file.
  void set_last_offset(std::int64_t offset);
  const Totals &totals() const;
  /// The stage being worked on (finished ones: stages()); lowest, mean and so on are current.
  const StageSummary &current_stage() const;
  /// Finished stages in order; the last one gets its losses when it has been learned.
  const std::vector<StageSummary> &stages() const;
  /// Number of stages whose learning is complete.
  int learned_stages() const;
  std::int64_t parameter_count() const;
  std::int64_t edges_of_template() const;

  /// Indices of the lowest distinct structures with status ok, best first, at most `count`. Two
  /// structures are the same when their fingerprints agree and their energies differ by less than
  /// 0.05 eV.
  std::vector<std::int64_t> best_distinct(int count) const;

  /// Everything needed to go on (also a valid checkpoint for load_network). While prepare() calls its
  /// progress with a training, this is the state after that step.
  SafeTensors save() const;
  /// Continues from save(); throws godiff::Error naming the first setting or system property that
  /// differs, and for one that had just seen all energies of a stage fail. Afterwards the search
  /// behaves bit for bit as the saved one.
  void restore(const SafeTensors &state);
  /// 64 bits that tell searches apart: by settings, system and template.
  std::uint64_t identity() const;
  /// True when `later` is a saved state of the same search as `earlier`, and holds at least all of its
  /// records. Throws godiff::Error when one of them is no saved search.
  static bool goes_on_from(const SafeTensors &later, const SafeTensors &earlier);

  /// What the training under way has changed since the stage was full: weights, optimisers, position.
  /// Far smaller than save() and made for the same moments. Throws godiff::Error when none is under way.
  SafeTensors save_training() const;
  /// Continues that training from save_training(). Returns false and changes nothing when it does not
  /// belong to the present stage and archive; throws godiff::Error for damaged content.
  bool restore_training(const SafeTensors &training);

private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace godiff
