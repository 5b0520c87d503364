// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/append_file.hpp"

#include <cerrno>
#include <utility>

#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr std::size_t FLUSH_BYTES = 1 << 20;  // bounds the memory of a stage with many candidates

}  // namespace

AppendFile::AppendFile(OwnedFile file, std::int64_t written) :
    file_(std::move(file)),
    written_(written) {
  file_.cut(written);
}

AppendFile AppendFile::create(const std::string &path) {
  return create(OwnedFile::open(path, OwnedFile::Missing::CREATE, "create"));
}

AppendFile AppendFile::create(OwnedFile file) {
  return AppendFile(std::move(file), 0);
}

AppendFile AppendFile::resume(const std::string &path, std::int64_t offset) {
  return resume(OwnedFile::open(path, OwnedFile::Missing::REFUSE, "continue"), offset);
}

AppendFile AppendFile::resume(OwnedFile file, std::int64_t offset) {
  check_end(file, offset);
  return AppendFile(std::move(file), offset);
}

void AppendFile::check_end(const OwnedFile &file, std::int64_t offset) {
  if (offset < 0 || file.size() < offset)
    throw Error("cannot continue " + file.path() + ": it has " + std::to_string(file.size()) +
                " bytes, the checkpoint was written at byte " + std::to_string(offset) +
                "; put the file that belongs to the checkpoint back");
  char last = '\n';
  if (offset > 0)
    file.read_at(offset - 1, &last, 1);
  if (last != '\n')
    throw Error("cannot continue " + file.path() + ": no line ends at byte " +
                std::to_string(offset) +
                ", where the checkpoint was written; put the file that belongs to it back");
}

// By exchange: the destructor of `other` writes what this file still had to write.
AppendFile &AppendFile::operator=(AppendFile &&other) noexcept {
  std::swap(file_, other.file_);
  std::swap(written_, other.written_);
  std::swap(pending_, other.pending_);
  std::swap(ends_, other.ends_);
  return *this;
}

AppendFile::~AppendFile() {
  if (file_.is_open())
    file_.write(pending_);
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
  const std::size_t size = pending_.size(), done = file_.write(pending_);
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
  errno = reason;
  file_.cut_back(written_);
  file_.fail("write");
}

void AppendFile::sync() {
  flush();
  file_.sync();
}

}  // namespace godiff
