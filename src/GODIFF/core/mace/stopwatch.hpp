// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <chrono>

namespace godiff {

/// Adds the seconds of its life to a sum.
class Stopwatch {
public:
  explicit Stopwatch(double &seconds) : seconds_(seconds), start_(Clock::now()) {}
  Stopwatch(const Stopwatch &) = delete;
  Stopwatch &operator=(const Stopwatch &) = delete;
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }

private:
  using Clock = std::chrono::steady_clock;
  double &seconds_;
  Clock::time_point start_;
};

}  // namespace godiff
