// SPDX-License-Identifier: GPL-2.0-only
// A file system of a few kilobytes of its own, where the rights of the process permit to mount one.
#pragma once

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include <sched.h>
#include <sys/mount.h>

namespace godiff_test {

/// Mounts a tmpfs of `bytes` (whole pages) at `folder`, for this process alone.
class SmallDisk {
public:
  SmallDisk(const std::string &folder, int bytes) : folder_(folder) {
    std::filesystem::create_directories(folder);
    const std::string size = "size=" + std::to_string(bytes);
    mounted_ = unshare(CLONE_NEWNS) == 0 &&
               mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               mount("none", folder.c_str(), "tmpfs", 0, size.c_str()) == 0;
    reason_ = mounted_ ? "" : std::string("a tmpfs cannot be mounted: ") + std::strerror(errno);
  }
  SmallDisk(const SmallDisk &) = delete;
  SmallDisk &operator=(const SmallDisk &) = delete;
  ~SmallDisk() {
    if (mounted_)
      umount2(folder_.c_str(), MNT_DETACH);
  }

  /// Makes it larger, or smaller where what it holds permits; false otherwise.
  bool resize(int bytes) {
    const std::string size = "size=" + std::to_string(bytes);
    return mount("none", folder_.c_str(), nullptr, MS_REMOUNT, size.c_str()) == 0;
  }
  /// From now on nothing on it can be changed; false where that is not permitted.
  bool make_read_only() {
    return mount("none", folder_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }
  /// Why it is not there, for GTEST_SKIP(); empty when it is.
  const std::string &why_not() const { return reason_; }

private:
  std::string folder_;
  std::string reason_;
  bool mounted_ = false;
};

}  // namespace godiff_test
