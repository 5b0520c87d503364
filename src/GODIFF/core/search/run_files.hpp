// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/geometry/system.hpp"
#include "core/io/csv.hpp"
#include "core/io/extxyz.hpp"
#include "core/search/search.hpp"

namespace godiff {

class SafeTensors;

/// Name, choices and units of the files of one run.
struct RunFileOptions {
  std::string prefix;      ///< PREFIX.csv, .xyz, .best, .ckpt, .training and .journal
  int best = 10;           ///< structures in PREFIX.best
  bool dump_all = true;    ///< write PREFIX.xyz
  bool triclinic = false;  ///< the LAMMPS box is of the triclinic kind
  /// Up to this size of the archive (bytes) update_checkpoint() always writes.
  std::int64_t small_archive = 16 << 20;
  double energy_unit = 1.0;       ///< eV per energy unit of the run
  double temperature_unit = 1.0;  ///< kT in eV per temperature unit of the run
};

/// The files of one run: what has been evaluated (.csv, .xyz, written at once and candidate by
/// candidate), the best structures (.best), the state of the search (.ckpt) and of a training that
/// was interrupted (.training). The journal of the evaluations (.journal, see Journal) lies beside
/// them: it is removed here, but written by who evaluates.
///
/// One object at a time writes the files of a prefix, in this process or any other: it holds a lock
/// on PREFIX.csv, which ends with the process. A file system without locks does without.
///
/// Every failure to write throws godiff::Error with the path and the system's reason.
class RunFiles {
public:
  /// Opens new files, replacing those of the same name and removing the rest. Throws
  /// before any of them is touched when the folder is not writable, another run writes the files, or
  /// something with the name of one of them is not a regular file.
  static RunFiles create(const RunFileOptions &options, const System &system);
  /// Continues the files of the run that put save() into `state`: what was written later is cut off.
  /// With another prefix than in that run (or when one of them had no .xyz file) new files begin.
  /// Throws as create() does, and when a file to continue is missing, too short or another one.
  static RunFiles resume(const RunFileOptions &options, const System &system,
                         const SafeTensors &state);

  /// True when `state` was saved by a run with files of this prefix.
  static bool belongs_to(const SafeTensors &state, const std::string &prefix);

  /// Names of the files of this prefix that exist.
  static std::vector<std::string> existing(const std::string &prefix);
  /// The content of PREFIX.ckpt, nothing when there is none. Throws when it cannot be read.
  static std::optional<SafeTensors> read_checkpoint(const std::string &prefix);

  /// Writes the candidate that search.archive().back() holds and notes its place in the archive.
  void record(Search &search);
  /// Replaces PREFIX.best; does nothing as long as no structure has status ok.
  void write_best(const Search &search) const;
  /// Replaces PREFIX.ckpt, which holds all structures so far.
  void write_checkpoint(const Search &search);
  /// The same after a stage, unless the archive is large and has grown by less than an eighth since
  /// the last time: then the bytes written in a whole search are a fixed multiple of those of its
  /// archive, however short the stages are. Returns whether it was written.
  bool update_checkpoint(const Search &search);
  /// Adds the places where the files end now, for resume().
  void save(SafeTensors &state) const;
  /// Replaces PREFIX.training, the state of a training that is not finished.
  void write_training(const SafeTensors &state) const;
  /// The content of PREFIX.training, nothing when there is none. Throws when it cannot be read.
  std::optional<SafeTensors> read_training() const;
  /// Removes PREFIX.training; there may be none.
  void remove_training() const;
  /// Removes the journals of all worlds, those of earlier runs included.
  void remove_journals() const;
  /// Waits until all candidates are on the disk. Until then (the end of a stage) they survive a kill
  /// of the process but not a power failure; so do the records of a journal until its own sync().
  void sync();

  /// Seconds that all runs of this search have taken, saved with it.
  double elapsed() const { return elapsed_; }
  void set_elapsed(double seconds) { elapsed_ = seconds; }

  const std::string &prefix() const { return options_.prefix; }
  /// The names of all files of this run, for messages.
  std::vector<std::string> names() const;

private:
  RunFiles(const RunFileOptions &options, const System &system);

  RunFileOptions options_;
  System system_;
  std::optional<CsvLog> csv_;
  std::optional<ExtxyzWriter> xyz_;
  double elapsed_ = 0.0;
  std::int64_t in_checkpoint_ = 0;  // bytes of the archive when it was last written
};

/// The template of a saved search, exactly as it was [3*n_template], Angstrom from the corner.
std::vector<double> template_positions(const SafeTensors &state);

}  // namespace godiff
