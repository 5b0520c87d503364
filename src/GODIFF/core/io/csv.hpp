// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "core/io/append_file.hpp"
#include "core/search/archive.hpp"

namespace godiff {

/// One line of the .csv file. Energy and temperature are in the units of the run.
struct CsvLine {
  std::int64_t candidate = 0;   ///< counted from 1
  std::int64_t evaluation = 0;  ///< energy evaluations spent up to and including this candidate
  int stage = 0;                ///< counted from 1
  double temperature = 0.0;
  double energy = std::numeric_limits<double>::quiet_NaN();
  double weight = std::numeric_limits<double>::quiet_NaN();
  Status status = Status::FAILED;
  int structure_class = -1;
  std::int64_t offset = -1;  ///< of its frame in the .xyz file, -1 when there is none
};

/// The .csv file: one header line, then one line per candidate.
///
/// The energy is written so that it reads back exactly; temperature (10 digits) and weight (6) are
/// rounded. A failed candidate has energy and weight nan and class -1.
class CsvLog {
public:
  /// Opens a new file, replacing one of the same name, and writes the header line.
  static CsvLog create(const std::string &path);
  /// Continues a file at the byte `offset` that offset() gave when the checkpoint was written.
  /// What follows is cut off. Throws when the file is missing, shorter or another one.
  static CsvLog resume(const std::string &path, std::int64_t offset);
  /// As these two for a file that is open already.
  static CsvLog create(OwnedFile file);
  static CsvLog resume(OwnedFile file, std::int64_t offset);
  /// Throws when resume() would for this file.
  static void check_end(const OwnedFile &file, std::int64_t offset);

  void append(const CsvLine &line);
  /// Writes all lines to the file; throws godiff::Error when that fails (full disk).
  void flush() { file_.flush(); }
  /// As flush(), and waits until they are on the disk.
  void sync() { file_.sync(); }
  /// Where the next line will begin (bytes).
  std::int64_t offset() const { return file_.offset(); }

private:
  explicit CsvLog(AppendFile file) : file_(std::move(file)) {}

  AppendFile file_;
};

}  // namespace godiff
