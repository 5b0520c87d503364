// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/atomic_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.hpp"
#include "core/io/file_descriptor.hpp"
#include "core/io/prefix_files.hpp"

namespace godiff {

namespace {

const std::string TEMPORARY = ".tmp.";  // between the name of a file and two numbers
constexpr int NAME_TRIES = 100;
constexpr std::size_t PROBE_BYTES = 4096;  // one block: enough to meet a full disk

// A name no other process writes to, so that two runs with one prefix never mix their bytes.
FileDescriptor open_temporary(const std::string &path, std::string &name) {
  for (int k = 0;; ++k) {
    name = path + TEMPORARY + std::to_string(getpid()) + "." + std::to_string(k);
    FileDescriptor file(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.is_open() || errno != EEXIST || k == NAME_TRIES)
      return file;
  }
}

// Makes the new directory entry survive a power failure. Some file systems cannot sync a folder;
// the file itself is safe there, so that is no failure.
void sync_folder(const std::string &path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  FileDescriptor handle(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.is_open())
    fsync(handle.get());
}

}  // namespace

void write_atomically(const std::string &path, std::string_view bytes) {
  write_atomically(path, std::vector<std::string_view>{bytes});
}

void write_atomically(const std::string &path, const std::vector<std::string_view> &pieces) {
  std::string name;
  FileDescriptor file = open_temporary(path, name);
  if (!file.is_open())
    throw Error("cannot create " + path + ": " + std::strerror(errno));
  const bool written = std::all_of(pieces.begin(), pieces.end(),
                                   [&](std::string_view piece) {
                                     return write_all(file.get(), piece) == piece.size();
                                   }) &&
                       sync_data(file.get());
  // close() reports what a network file system found out late.
  if (!written || !file.close() || std::rename(name.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    unlink(name.c_str());
    throw Error("cannot write " + path + ": " + std::strerror(reason));
  }
  sync_folder(path);
}

void check_writable(const std::string &prefix) {
  std::string name;
  FileDescriptor file = open_temporary(prefix, name);
  if (!file.is_open())
    throw Error("cannot create files that begin with '" + prefix + "': " + std::strerror(errno));
  const std::string probe(PROBE_BYTES, '\n');
  const bool written = write_all(file.get(), probe) == probe.size() && sync_data(file.get());
  const bool kept = written && file.close();
  const int reason = errno;
  unlink(name.c_str());
  if (!kept)
    throw Error("cannot write files that begin with '" + prefix + "': " + std::strerror(reason));
}

void remove_temporaries(const std::string &prefix, const std::vector<std::string> &endings) {
  for (const std::string &name : endings_of(prefix)) {
    const auto mark = name.rfind(TEMPORARY);
    if (mark == std::string::npos)
      continue;
    const std::string ending = name.substr(0, mark), numbers = name.substr(mark + TEMPORARY.size());
    const auto dot = numbers.find('.');
    if (dot == std::string::npos || !is_number(numbers.substr(0, dot)) ||
        !is_number(numbers.substr(dot + 1)))
      continue;
    struct stat status;
    const std::string path = prefix + name;
    if ((ending.empty() || std::count(endings.begin(), endings.end(), ending) > 0) &&
        lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode))
      unlink(path.c_str());
  }
}

std::string read_file(const std::string &path) {
  // O_NONBLOCK: a pipe is refused below instead of waited for.
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open())
    throw Error("cannot open " + path + ": " + std::strerror(errno));
  struct stat status;
  if (fstat(file.get(), &status) != 0)
    throw Error("cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    throw Error("cannot read " + path + ": not a regular file");
  std::string bytes;
  try {
    bytes.resize(static_cast<std::size_t>(status.st_size));
  } catch (const std::exception &) {
    throw Error("cannot read " + path + ": its " + std::to_string(status.st_size) +
                " bytes do not fit into memory");
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(file.get(), &bytes[done], bytes.size() - done);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      throw Error("cannot read " + path + ": " + std::strerror(errno));
    if (n == 0)
      break;  // cut while we read it: what is there is returned
    done += static_cast<std::size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace godiff
