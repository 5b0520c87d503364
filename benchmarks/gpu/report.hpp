// SPDX-License-Identifier: GPL-2.0-only
// What gpu_check writes: lines of words between tabs, for benchmarks/gpu_check to read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>

namespace godiff_bench {

/// Writes "check", "time" and "note" lines to the standard output and counts the checks that failed.
class Report {
public:
  /// A number that must not exceed its limit; NaN fails.
  void check(const std::string &name, double deviation, double limit) {
    const bool fine = deviation <= limit;
    ++checks_;
    failed_ += fine ? 0 : 1;
    std::printf("check\t%s\t%.3e\t%.3e\t%s\n", name.c_str(), deviation, limit,
                fine ? "ok" : "FAILED");
    std::fflush(stdout);
  }
  /// Median milliseconds on a device ("cpu", "cuda"); gigabytes at the peak on it, where they are known.
  void time(const std::string &name, const std::string &device, double milliseconds,
            std::optional<double> gigabytes) {
    std::printf("time\t%s\t%s\t%.4f\t%s\n", name.c_str(), device.c_str(), milliseconds,
                gigabytes ? std::to_string(*gigabytes).c_str() : "");
    std::fflush(stdout);
  }
  void note(const std::string &text) {
    std::printf("note\t%s\n", text.c_str());
    std::fflush(stdout);
  }
  /// Runs one case; an exception fails that case alone.
  void attempt(const std::string &name, const std::function<void()> &run);

  int checks() const { return checks_; }
  int failed() const { return failed_; }

private:
  int checks_ = 0;
  int failed_ = 0;
};

}  // namespace godiff_bench
