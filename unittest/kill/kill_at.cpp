// SPDX-License-Identifier: GPL-2.0-only
// Preloaded into lmp by kill_loop.py: counts what a process does to the files of a search, and at a
// chosen count kills its process group, or waits until the files have been copied. Environment:
//   GODIFF_KILL_NAME    beginning of the names of the files; without it nothing is counted
//   GODIFF_KILL_TRACE   file that gets a line "COUNT CALL NAME BYTES" before each counted call
//   GODIFF_KILL_RANK    the rank that counts, default 0
//   GODIFF_KILL_AT      the count to kill at, default none
//   GODIFF_KILL_HALF    1: a write to kill at writes its first half before
//   GODIFF_KILL_PIPES   "IN OUT": before each call, and in the middle of a write, a line "COUNT HALF" goes
//                       to the descriptor OUT, and a byte from IN is waited for
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

template <class Function> Function next(const char *name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

void write_plainly(int descriptor, const char *bytes, std::size_t size) {
  while (size > 0) {
    const long done = syscall(SYS_write, descriptor, bytes, size);
    if (done <= 0)
      return;
    bytes += done;
    size -= static_cast<std::size_t>(done);
  }
}

const char *rank_of_process() {
  for (const char *name : {"PMI_RANK", "OMPI_COMM_WORLD_RANK"})
    if (const char *rank = getenv(name))
      return rank;
  return "0";
}

// Everything that a process does to the files of its search goes through here.
class Counter {
public:
  Counter() {
    const char *rank = getenv("GODIFF_KILL_RANK");
    prefix_ = getenv("GODIFF_KILL_NAME");
    if (!prefix_ || std::strcmp(rank ? rank : "0", rank_of_process()) != 0) {
      prefix_ = nullptr;
      return;
    }
    if (const char *at = getenv("GODIFF_KILL_AT"))
      at_ = std::atol(at);
    if (const char *half = getenv("GODIFF_KILL_HALF"))
      half_ = std::atol(half) != 0;
    if (const char *pipes = getenv("GODIFF_KILL_PIPES"))
      std::sscanf(pipes, "%d %d", &in_, &out_);
    if (const char *path = getenv("GODIFF_KILL_TRACE"))
      trace_ = static_cast<int>(
          syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  }

  // Before a call with a file; `bytes` and `descriptor` are those of a write.
  void call(const char *what, const char *path, int descriptor = -1, const char *bytes = nullptr,
            std::size_t size = 0) {
    const char *slash = path ? std::strrchr(path, '/') : nullptr;
    const char *name = slash ? slash + 1 : path;
    if (!prefix_ || !name || std::strncmp(name, prefix_, std::strlen(prefix_)) != 0)
      return;
    ++count_;
    if (trace_ >= 0) {
      char line[4096];
      const int length =
          std::snprintf(line, sizeof(line), "%ld %s %s %zu\n", count_, what, name, size);
      write_plainly(trace_, line, static_cast<std::size_t>(length));
    }
    meet(0);
    if (size > 1 && out_ >= 0) {
      const off_t place = lseek(descriptor, 0, SEEK_CUR);
      write_plainly(descriptor, bytes, size / 2);
      meet(1);
      lseek(descriptor, place, SEEK_SET);
    }
    if (count_ != at_)
      return;
    if (half_ && size > 1)
      write_plainly(descriptor, bytes, size / 2);
    kill(0, SIGKILL);
    pause();
  }

  void call(const char *what, int descriptor, const void *bytes = nullptr, std::size_t size = 0) {
    if (!prefix_)
      return;
    char link[64], path[4096];
    std::snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length <= 0)
      return;
    path[length] = '\0';
    call(what, path, descriptor, static_cast<const char *>(bytes), size);
  }

private:
  void meet(int half) {
    if (out_ < 0)
      return;
    char line[64];
    const int length = std::snprintf(line, sizeof(line), "%ld %d\n", count_, half);
    write_plainly(out_, line, static_cast<std::size_t>(length));
    char go;
    while (read(in_, &go, 1) < 0) {
    }
  }

  const char *prefix_ = nullptr;
  int trace_ = -1, in_ = -1, out_ = -1;
  long count_ = 0, at_ = -1;
  bool half_ = false;
};

Counter &counter() {
  static Counter one;
  return one;
}

}  // namespace

// What the C library has under these names.
#pragma GCC visibility push(default)
extern "C" {

ssize_t write(int descriptor, const void *bytes, size_t size) {
  counter().call("write", descriptor, bytes, size);
  return next<ssize_t (*)(int, const void *, size_t)>("write")(descriptor, bytes, size);
}

int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
  va_end(list);
  if (flags & O_CREAT)
    counter().call("create", path);
  return next<int (*)(const char *, int, ...)>("open")(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
  va_end(list);
  if (flags & O_CREAT)
    counter().call("create", path);
  return next<int (*)(const char *, int, ...)>("open64")(path, flags, mode);
}

int rename(const char *from, const char *to) {
  counter().call("rename", to);
  return next<int (*)(const char *, const char *)>("rename")(from, to);
}

int unlink(const char *path) {
  counter().call("unlink", path);
  return next<int (*)(const char *)>("unlink")(path);
}

int ftruncate(int descriptor, off_t size) {
  counter().call("cut", descriptor);
  return next<int (*)(int, off_t)>("ftruncate")(descriptor, size);
}

int ftruncate64(int descriptor, off_t size) {
  counter().call("cut", descriptor);
  return next<int (*)(int, off_t)>("ftruncate64")(descriptor, size);
}

int fdatasync(int descriptor) {
  counter().call("sync", descriptor);
  return next<int (*)(int)>("fdatasync")(descriptor);
}
}
#pragma GCC visibility pop
