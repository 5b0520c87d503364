// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/file_descriptor.hpp"

#include <cerrno>
#include <utility>

#include <unistd.h>

namespace godiff {

FileDescriptor::FileDescriptor(FileDescriptor &&other) noexcept :
    descriptor_(std::exchange(other.descriptor_, -1)) {}

FileDescriptor &FileDescriptor::operator=(FileDescriptor &&other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  close();
}

bool FileDescriptor::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  return descriptor < 0 || ::close(descriptor) == 0;
}

std::size_t write_all(int descriptor, std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(descriptor, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return done;
    if (n == 0) {
      errno = EIO;
      return done;
    }
    done += static_cast<std::size_t>(n);
  }
  return done;
}

std::size_t read_at(int descriptor, std::int64_t offset, char *bytes, std::size_t count) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t n =
        ::pread(descriptor, bytes + done, count - done, offset + static_cast<std::int64_t>(done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return done;
    if (n == 0)
      break;
    done += static_cast<std::size_t>(n);
  }
  errno = 0;
  return done;
}

bool sync_data(int descriptor) {
  while (fdatasync(descriptor) != 0)
    if (errno != EINTR)
      return errno == EINVAL || errno == ENOSYS || errno == ENOTSUP;
  return true;
}

}  // namespace godiff
