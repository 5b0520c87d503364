// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>

#include "core/geometry/system.hpp"
#include "core/io/append_file.hpp"
#include "core/io/atom_table.hpp"
#include "core/search/archive.hpp"

namespace godiff {

/// What the comment line of a frame says. Energy and temperature are in the units of the run.
struct FrameInfo {
  std::int64_t candidate = 0;   ///< counted from 1
  std::int64_t evaluation = 0;  ///< energy evaluations spent up to and including this candidate
  int stage = 0;                ///< counted from 1
  double temperature = 0.0;
  double energy = 0.0;  ///< written as nan when the candidate failed
  Status status = Status::OK;
};

/// The .xyz file: every candidate as an extended XYZ frame, read by ASE and OVITO.
///
/// A frame has all atoms sorted by ID: element, absolute position (the corner of the box is added
/// back; Angstrom, 10 decimals), ID and whether the atom is mobile.
class ExtxyzWriter {
public:
  /// Opens a new file, replacing one of the same name. The system must be valid.
  static ExtxyzWriter create(const std::string &path, const System &system);
  /// Continues a file at the byte `offset` that offset() gave when the checkpoint was written.
  /// What follows is cut off. Throws when the file is missing, shorter or another one.
  static ExtxyzWriter resume(const std::string &path, const System &system, std::int64_t offset);
  /// As these two for a file that is open already.
  static ExtxyzWriter create(OwnedFile file, const System &system);
  static ExtxyzWriter resume(OwnedFile file, const System &system, std::int64_t offset);
  /// Throws when resume() would for this file.
  static void check_end(const OwnedFile &file, const System &system, std::int64_t offset);

  /// Adds a frame; mobile [3*n_mobile] Angstrom. Returns the byte offset where it begins.
  std::int64_t append(const FrameInfo &info, const Positions &mobile);
  /// Writes all frames to the file; throws godiff::Error when that fails (full disk).
  void flush() { file_.flush(); }
  /// As flush(), and waits until they are on the disk.
  void sync() { file_.sync(); }
  /// Where the next frame will begin (bytes).
  std::int64_t offset() const { return file_.offset(); }

private:
  ExtxyzWriter(AppendFile file, const System &system);

  AppendFile file_;
  AtomTable atoms_;
  std::string head_;  // the part of the first lines that never changes
  std::string pbc_;
  std::string frame_;  // kept for its memory
};

}  // namespace godiff
