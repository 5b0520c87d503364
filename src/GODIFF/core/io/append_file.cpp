// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/append_file.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr std::size_t FLUSH_BYTES = 1 << 20;  // bounds the memory of a stage with many candidates

[[noreturn]] void fail(const std::string &what, const std::string &path) {
  throw Error("cannot " + what + " " + path + ": " + std::strerror(errno));
}

}  // namespace

AppendFile::AppendFile(const std::string &path, FileDescriptor file, std::int64_t written) :
    path_(path),
    file_(std::move(file)),
    written_(written) {}

AppendFile AppendFile::create(const std::string &path) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file.is_open())
    fail("create", path);
  return AppendFile(path, std::move(file), 0);
}

AppendFile AppendFile::resume(const std::string &path, std::int64_t offset) {
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.is_open())
    fail("continue", path);
  struct stat status;
  if (fstat(file.get(), &status) != 0)
    fail("continue", path);
  if (offset < 0 || status.st_size < offset)
    throw Error("cannot continue " + path + ": it has " + std::to_string(status.st_size) +
                " bytes, the checkpoint was written at byte " + std::to_string(offset) +
                "; put the file that belongs to the checkpoint back");
  char last = '\n';
  if (offset > 0 && pread(file.get(), &last, 1, offset - 1) != 1)
    fail("continue", path);
  if (last != '\n')
    throw Error("cannot continue " + path + ": no line ends at byte " + std::to_string(offset) +
                ", where the checkpoint was written; put the file that belongs to it back");
  if (ftruncate(file.get(), offset) != 0 || lseek(file.get(), offset, SEEK_SET) != offset)
    fail("continue", path);
  return AppendFile(path, std::move(file), offset);
}

// By exchange: the destructor of `other` writes what this file still had to write.
AppendFile &AppendFile::operator=(AppendFile &&other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(written_, other.written_);
  std::swap(pending_, other.pending_);
  std::swap(ends_, other.ends_);
  return *this;
}

AppendFile::~AppendFile() {
  if (file_.is_open())
    write_all(file_.get(), pending_);
}

std::int64_t AppendFile::append(std::string_view record) {
  const std::int64_t begin = offset();
  pending_ += record;
  ends_.push_back(pending_.size());
  if (pending_.size() >= FLUSH_BYTES)
    flush();
  return begin;
}

void AppendFile::flush() {
  const std::size_t size = pending_.size(), done = write_all(file_.get(), pending_);
  const int reason = errno;
  // Keep the whole records that got through. They cannot be written again later: the disk is full.
  std::size_t whole = 0;
  for (const std::size_t end : ends_)
    if (end <= done)
      whole = end;
  written_ += static_cast<std::int64_t>(whole);
  pending_.clear();
  ends_.clear();
  if (done == size)
    return;
  if (whole < done && ftruncate(file_.get(), written_) == 0)
    lseek(file_.get(), written_, SEEK_SET);
  errno = reason;
  fail("write", path_);
}

void AppendFile::sync() {
  flush();
  if (fdatasync(file_.get()) != 0 && errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
    fail("write", path_);
}

}  // namespace godiff
