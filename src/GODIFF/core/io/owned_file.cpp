// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/owned_file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr int LOCK_TRIES = 10;  // each time somebody replaced the file in between

enum class Lock { TAKEN, BUSY, NONE };

Lock lock(const FileDescriptor &file) {
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR)
      continue;
    return errno == EWOULDBLOCK ? Lock::BUSY : Lock::NONE;
  }
  return Lock::TAKEN;
}

// A lock on a file that has been renamed or removed since it was opened keeps nobody out.
bool has_name(const FileDescriptor &file, const std::string &path) {
  struct stat open, named;
  return fstat(file.get(), &open) == 0 && stat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

[[noreturn]] void refuse(const std::string &path, const char *what) {
  throw Error("cannot write " + path + ": it is " + what +
              "; remove it or use another prefix (keyword save)");
}

}  // namespace

void check_replaceable(const std::string &path) {
  struct stat status;
  // What cannot be looked at is reported by those who open it.
  if (lstat(path.c_str(), &status) != 0)
    return;
  if (S_ISLNK(status.st_mode) && stat(path.c_str(), &status) != 0)
    refuse(path, "a link to a file that cannot be reached");
  if (S_ISDIR(status.st_mode))
    refuse(path, "a folder");
  if (!S_ISREG(status.st_mode))
    refuse(path, "not a regular file");
}

OwnedFile OwnedFile::open(const std::string &path, Missing missing, const char *verb) {
  OwnedFile result;
  result.path_ = path;
  // O_NONBLOCK: what became a pipe after the check must not make us wait for its other end.
  const int flags = O_RDWR | O_NONBLOCK | O_CLOEXEC | (missing == Missing::CREATE ? O_CREAT : 0);
  for (int k = 0; k < LOCK_TRIES; ++k) {
    check_replaceable(path);
    result.file_ = FileDescriptor(::open(path.c_str(), flags, 0666));
    if (!result.file_.is_open())
      result.fail(verb);
    const Lock state = lock(result.file_);
    if (state == Lock::BUSY)
      break;
    result.locked_ = state == Lock::TAKEN;
    struct stat status;
    if (fstat(result.file_.get(), &status) != 0)
      result.fail(verb);
    if (!S_ISREG(status.st_mode))
      refuse(path, "not a regular file");
    if (!result.locked_ || has_name(result.file_, path))
      return result;
  }
  throw Error(path + " is being written by another run: wait for it to end or use another prefix "
                     "(keyword save)");
}

std::int64_t OwnedFile::size() const {
  struct stat status;
  if (fstat(file_.get(), &status) != 0)
    fail("read");
  return status.st_size;
}

std::size_t OwnedFile::read_at(std::int64_t offset, char *bytes, std::size_t count) const {
  const std::size_t done = godiff::read_at(file_.get(), offset, bytes, count);
  if (done < count && errno != 0)
    fail("read");
  return done;
}

void OwnedFile::cut(std::int64_t size) {
  if (ftruncate(file_.get(), size) != 0 || lseek(file_.get(), size, SEEK_SET) != size)
    fail("write");
}

void OwnedFile::cut_back(std::int64_t size) noexcept {
  const int reason = errno;
  [[maybe_unused]] const bool cut = ftruncate(file_.get(), size) == 0;
  lseek(file_.get(), size, SEEK_SET);
  errno = reason;
}

void OwnedFile::sync() {
  if (!sync_data(file_.get()))
    fail("write");
}

void OwnedFile::fail(const char *verb) const {
  throw Error(std::string("cannot ") + verb + " " + path_ + ": " + std::strerror(errno));
}

}  // namespace godiff
