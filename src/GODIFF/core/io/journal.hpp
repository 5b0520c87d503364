// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/geometry/system.hpp"
#include "core/io/owned_file.hpp"

namespace godiff {

/// One energy evaluation.
struct JournalRecord {
  std::int32_t stage = 0;      ///< from 0
  std::int64_t candidate = 0;  ///< index in the stage
  std::int32_t step = 0;       ///< of the relaxation of the candidate, from 0
  std::uint64_t digest = 0;    ///< of the positions that were evaluated
  double energy = 0.0;         ///< eV; may be nan
  std::vector<double> forces;  ///< eV/Angstrom as they were evaluated, or empty
};

/// 64 bits that tell positions apart by their bits.
std::uint64_t digest(const Positions &positions);

/// The file PREFIX.journal: the energies evaluated since the last checkpoint.
///
/// Each record reaches the operating system with one write as soon as it is appended: it survives a
/// kill of the process at any moment. It survives a power failure only after sync(). A file belongs
/// to the search whose `identity` it was created with, and one object at a time may write it.
/// Every failure throws godiff::Error with the path and the reason.
class Journal {
public:
  /// Begins an empty journal, replacing one of the same name.
  /// Throws when another run writes it, and when it is not a regular file.
  static Journal create(const std::string &path, std::uint64_t identity);
  /// Continues a journal behind its last whole record: what a killed process left of another one is
  /// cut off. Throws as create() and read() do.
  static Journal resume(const std::string &path, std::uint64_t identity);
  /// All whole records; what a killed process left of another one at the end is passed over. Throws
  /// when the file is missing, no journal, of another version or search, or damaged before its end.
  static std::vector<JournalRecord> read(const std::string &path, std::uint64_t identity);

  /// Adds a record. When it cannot be written (full disk), none of it stays in the file.
  void append(const JournalRecord &record);
  /// Removes all records: a checkpoint holds them.
  void clear();
  /// Waits until all records are on the disk.
  void sync();
  const std::string &path() const { return file_.path(); }

private:
  Journal(OwnedFile file, std::uint64_t identity, std::int64_t end);

  OwnedFile file_;
  std::uint64_t identity_ = 0;
  std::int64_t end_ = 0;  // of the last whole record (bytes)
  std::string bytes_;     // of one record, kept for its memory
};

/// Name of the journal that world `world` (from 0) of a run writes: PREFIX.journal, PREFIX.journal.1, ...
std::string journal_path(const std::string &prefix, int world);

/// The journals of this prefix that exist, that of world 0 first.
std::vector<std::string> journals_of(const std::string &prefix);

}  // namespace godiff
