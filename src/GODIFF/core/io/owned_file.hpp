// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/io/file_descriptor.hpp"

namespace godiff {

/// Throws godiff::Error when there is something under the name `path` that a file of a run cannot
/// replace: a folder, a pipe, a device, a socket, or a link to a file that does not exist.
void check_replaceable(const std::string &path);

/// A regular file open for reading and writing that nobody else has open in this way.
///
/// The lock (flock) belongs to the open file, so that it also keeps others in the same process out,
/// and ends with the process, however that ends. A file system without locks does without.
/// Every failure throws godiff::Error with the path and the system's reason.
class OwnedFile {
public:
  enum class Missing { CREATE, REFUSE };

  /// Opens the file and changes nothing in it; `verb` ("create", "continue") is for messages.
  /// Throws when somebody else has it, and as check_replaceable() does.
  static OwnedFile open(const std::string &path, Missing missing, const char *verb);

  const std::string &path() const { return path_; }
  /// Whether others are kept out: false on a file system without locks.
  bool locked() const { return locked_; }
  bool is_open() const { return file_.is_open(); }
  int descriptor() const { return file_.get(); }
  /// Its size in bytes.
  std::int64_t size() const;
  /// Reads `count` bytes at `offset`, or less at the end of the file; returns how many.
  std::size_t read_at(std::int64_t offset, char *bytes, std::size_t count) const;
  /// Cuts the file at `size` bytes and goes there.
  void cut(std::int64_t size);
  /// As cut() after a failed write: silent, and leaves errno as it was. Also where the file cannot be
  /// cut the next bytes go to `size`, over what is there.
  void cut_back(std::int64_t size) noexcept;
  /// Writes where the last write, cut() or cut_back() ended; returns the number of bytes written: all,
  /// or fewer with the reason in errno.
  std::size_t write(std::string_view bytes) { return write_all(file_.get(), bytes); }
  /// Waits until the content is on the disk.
  void sync();
  /// Throws the Error "cannot VERB PATH: REASON", the reason from errno.
  [[noreturn]] void fail(const char *verb) const;

private:
  std::string path_;
  FileDescriptor file_;
  bool locked_ = false;
};

}  // namespace godiff
