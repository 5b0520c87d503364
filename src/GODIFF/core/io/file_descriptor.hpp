// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace godiff {

/// Owner of a POSIX file descriptor: closes it when it goes out of scope.
class FileDescriptor {
public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor &&other) noexcept;
  FileDescriptor &operator=(FileDescriptor &&other) noexcept;
  FileDescriptor(const FileDescriptor &) = delete;
  FileDescriptor &operator=(const FileDescriptor &) = delete;
  ~FileDescriptor();

  bool is_open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }
  /// Closes now; false (with errno) when the system reports an error.
  bool close();

private:
  int descriptor_ = -1;
};

/// Writes all bytes at the current position, in as many system calls as it takes.
/// Returns the number of bytes written: all, or fewer with the reason in errno.
std::size_t write_all(int descriptor, std::string_view bytes);

/// Reads `count` bytes at `offset`, in as many system calls as it takes. Returns the number of bytes
/// read: all, or fewer at the end of the file (errno is 0) or with the reason in errno.
std::size_t read_at(int descriptor, std::int64_t offset, char *bytes, std::size_t count);

/// Waits until the content is on the disk; false with the reason in errno. True on file systems that
/// cannot wait (FUSE): the bytes are as safe there as they can be.
bool sync_data(int descriptor);

}  // namespace godiff
