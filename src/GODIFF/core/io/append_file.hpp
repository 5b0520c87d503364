// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/owned_file.hpp"

namespace godiff {

/// A text file that only grows, record by record: the base of the .csv and .xyz files.
///
/// Records are collected and written by flush(). Only whole records stay in the file when a write
/// fails. Every failure throws godiff::Error with the path and the system's reason.
class AppendFile {
public:
  /// Begins an empty file, replacing one of the same name. Throws as OwnedFile::open() does.
  static AppendFile create(const std::string &path);
  /// The same for a file that is open already.
  static AppendFile create(OwnedFile file);
  /// Opens an existing file and cuts it at `offset`, where the next record goes.
  /// Throws as OwnedFile::open() does, and when it is missing, and as check_end() does.
  static AppendFile resume(const std::string &path, std::int64_t offset);
  /// The same for a file that is open already.
  static AppendFile resume(OwnedFile file, std::int64_t offset);
  /// Throws when the file is shorter than `offset` or has no end of line there.
  static void check_end(const OwnedFile &file, std::int64_t offset);

  AppendFile(AppendFile &&) = default;
  AppendFile &operator=(AppendFile &&other) noexcept;
  /// Writes what is left; a failure is silent here, call flush() to hear of it.
  ~AppendFile();

  /// Adds one record; returns the byte offset where it begins in the file.
  std::int64_t append(std::string_view record);
  /// Hands all records to the operating system: they survive a kill of this process.
  void flush();
  /// As flush(), and waits until they are on the disk: they survive a power failure.
  void sync();
  /// Where the next record will begin.
  std::int64_t offset() const { return written_ + static_cast<std::int64_t>(pending_.size()); }
  const std::string &path() const { return file_.path(); }

private:
  AppendFile(OwnedFile file, std::int64_t written);

  OwnedFile file_;
  std::int64_t written_ = 0;       // bytes in the file
  std::string pending_;            // records not yet written
  std::vector<std::size_t> ends_;  // where each of them ends
};

}  // namespace godiff
