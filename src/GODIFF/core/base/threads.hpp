// SPDX-License-Identifier: GPL-2.0-only
#pragma once

namespace godiff {

/// Gives LibTorch a number of threads and takes them back: others in the process rely on the number they
/// have set.
class ThreadScope {
public:
  explicit ThreadScope(int threads);
  ~ThreadScope();
  ThreadScope(const ThreadScope &) = delete;
  ThreadScope &operator=(const ThreadScope &) = delete;

private:
  int before_;
};

}  // namespace godiff
