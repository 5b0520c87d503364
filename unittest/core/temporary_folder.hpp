// SPDX-License-Identifier: GPL-2.0-only
// A folder of its own for a test that writes files, and small helpers around files.
#pragma once

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

namespace godiff_test {

class TemporaryFolder {
public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "godiff-test-XXXXXX").string();
    path_ = mkdtemp(&pattern[0]);
  }
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_.string(); }
  std::string file(const std::string &name) const { return (path_ / name).string(); }
  /// Names of all files in the folder, sorted.
  std::vector<std::string> list() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path_))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

private:
  std::filesystem::path path_;
};

/// While it lives, no file can grow beyond `bytes`: stands for a full disk.
class FileSizeLimit {
public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &saved_);
    rlimit limit = saved_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit &) = delete;
  FileSizeLimit &operator=(const FileSizeLimit &) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &saved_);
    std::signal(SIGXFSZ, handler_);
  }

private:
  rlimit saved_;
  void (*handler_)(int);
};

/// Root may write anywhere: while it lives, the process has the rights of nobody.
class WithoutRights {
public:
  WithoutRights() : lowered_(geteuid() == 0 && seteuid(NOBODY) == 0) {}
  WithoutRights(const WithoutRights &) = delete;
  WithoutRights &operator=(const WithoutRights &) = delete;
  ~WithoutRights() {
    if (lowered_ && seteuid(0) != 0)
      abort();
  }

private:
  static constexpr uid_t NOBODY = 65534;
  bool lowered_;
};

inline std::string content(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void put_content(const std::string &path, const std::string &bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The message of the Error that `call` throws; "" when it throws none.
template <class ErrorType, class Call> std::string message_of(Call call) {
  try {
    call();
  } catch (const ErrorType &error) {
    return error.what();
  }
  return "";
}

}  // namespace godiff_test
