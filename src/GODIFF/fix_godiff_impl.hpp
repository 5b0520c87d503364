// SPDX-License-Identifier: GPL-2.0-only
// What a FixGODiff consists of; private to the fix_godiff*.cpp files.
#pragma once

#include <cmath>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fix_godiff.h"

#include "core/io/journal.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/evaluation.hpp"
#include "core/search/learner.hpp"
#include "core/search/replay.hpp"
#include "core/search/run_files.hpp"
#include "core/search/search.hpp"
#include "fix_godiff_parse.hpp"
#include "godiff_glue.hpp"
#include "mpi_comm.hpp"
#include "termination.hpp"

namespace LAMMPS_NS {

// What `evaluate batch` has under way in this world.
struct FixGODiff::Batch {
  bool direct = false;  // by the pair style, else stacked

  // Roots only.
  std::list<godiff::Evaluation> open;   // candidates that wait for an energy
  std::vector<godiff::Evaluated> done;  // of this step; not on record before LAMMPS agrees
  std::size_t shown = 0;                // which of them is in the atoms

  bool idle() const { return open.empty() && done.empty(); }
};

// Three circles of ranks take part in a search. Those of one world evaluate a structure together. The
// first rank of each world, its root, hands out structures and keeps the journal. All ranks, of this
// world or with `replica shared` of all worlds, sample and train together; the first of them, the
// leader, has the search and its files.
struct FixGODiff::Impl {
  static constexpr int VECTOR = 17;   // length of the global vector
  static constexpr int COLUMNS = 18;  // of the global array

  GODiff::Units units;
  godiff::Settings settings;
  GODiff::FixOptions options;
  class Compute *pe = nullptr;

  // The circles of ranks.
  bool shared = false;  // one search on all worlds
  bool leader = false;
  bool root = false;
  std::unique_ptr<GODiff::MpiComm> everyone;  // that searches together
  std::unique_ptr<GODiff::MpiComm> roots;     // of several worlds; on roots only
  bool alone = false;                         // the leader samples and trains without help
  std::unique_ptr<godiff::Learner> helper;    // on the ranks that help the leader

  // The same on all ranks. Atoms are ordered template first, then mobile, each by ID.
  bool begun = false;     // the first run has been set up
  godiff::System system;  // lengths relative to the corner of the box
  std::vector<tagint> sorted_ids;
  std::vector<int> sorted_index;  // of the atom with that ID in the order above
  std::vector<double> positions;  // absolute [3*n_atoms]; the mobile part is the present candidate
  std::vector<imageint> images;   // [n_atoms]
  double box[9] = {};             // lo, lengths, tilts

  std::optional<GODiff::TerminationWatch> termination;  // during a run
  bool terminated = false;                              // by a signal: everything is saved
  bool running = false;        // between setup and post_run of a run, not of a minimization
  bool referenced = false;     // the energy of the input structure is known
  bool active = false;         // the atoms hold a structure that waits for its energy
  bool finished = false;       // the budget is spent
  bool stopped = false;        // this fix ends the present run early ...
  bool stop_at_step = false;   // the first step of the present run ends it
  bool out_of_time = false;    // ... because of the wall time limit
  bool warned = false;         // about a run beyond the end
  bool worked = false;         // this run has learned or sampled
  bool anything_open = false;  // some world has begun a candidate
  int threads = 1;             // for LibTorch on this rank
  bool lost = false;           // this world has lost atoms: it evaluates nothing any more

  double best = 0.0;
  double vector[VECTOR] = {};
  std::vector<double> array;  // [stages * COLUMNS]
  bool array_shared = false;  // all rows of a continued search are known to all ranks

  // Roots only.
  std::optional<godiff::Journal> journal;
  godiff::Replay replay;           // energies of an interrupted run
  std::vector<double> raw_forces;  // [3*n_atoms] eV/Angstrom
  std::string trouble;             // what ended the work of this world, until all worlds know

  // Roots with `replica shared`: what is evaluated in this world.
  int stage = 0;
  std::vector<godiff::Positions> candidates;  // of the stage
  std::vector<std::int64_t> dealt;            // indices of those that the worlds share out
  std::unique_ptr<GODiff::Deal> deal;
  std::optional<godiff::Evaluation> evaluation;
  std::vector<godiff::Evaluated> results;  // since the last meeting

  std::unique_ptr<Batch> batch;  // nullptr: candidates are evaluated step by step
  double reference = NAN;        // energy of the input structure (eV); since the last meeting

  // The leader only.
  std::unique_ptr<godiff::Search> search;
  std::unique_ptr<godiff::RunFiles> files;
  std::string saved;                            // from a restart file, until the first run
  bool resumed = false;                         // the files of an earlier run go on
  std::optional<godiff::SafeTensors> training;  // of an interrupted run
  std::map<std::int64_t, godiff::Evaluated>
      ahead;                              // results of the stage that wait for earlier ones
  bool ahead_of_atoms = false;            // no run has left the best structure in them
  std::size_t records_before = 0;         // this run
  double energy = 0.0;                    // of the structure in the atoms, units of the run
  int lost_worlds = 0;                    // that evaluate nothing any more
  std::set<std::int64_t> open_elsewhere;  // candidates that some world has begun
  bool saved_now = false;                 // the present meeting has written PREFIX.ckpt
  double dealt_at = 0.0;                  // when the worlds began with the stage
  double training_saved = 0.0;            // when PREFIX.training was written
  int printed = 0;                        // stages whose line has been printed
  int saved_stages = -1;                  // complete stages that PREFIX.ckpt has been updated for
  bool summarised = false;
  double run_start = 0.0;
  double last_tick = 0.0;
  bool tick_shown = false;

  int n_template() const { return static_cast<int>(system.n_template); }
  int n_atoms() const { return static_cast<int>(system.n_atoms()); }
  double run_energy(double eV) const { return eV / units.energy; }
  double run_temperature(double kT) const { return kT / units.temperature; }

  /// Candidates of a batch or of a shared search that are under way in this world. Roots only.
  std::vector<std::int64_t> under_way() const;
  /// Stages of which nothing is left to do. Leader only.
  int complete_stages() const;

  /// Index of the atom with this ID, -1 for one that was not there when the search began.
  int index_of(tagint id) const;
  /// Makes these structure coordinates, relative to the corner of the box, the ones to place.
  void set_mobile(const godiff::Positions &mobile);
};

}  // namespace LAMMPS_NS
