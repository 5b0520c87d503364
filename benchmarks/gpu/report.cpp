// SPDX-License-Identifier: GPL-2.0-only
#include "report.hpp"

#include <exception>

#include <c10/util/Exception.h>

namespace godiff_bench {

void Report::attempt(const std::string &name, const std::function<void()> &run) {
  std::string why;
  try {
    run();
    return;
  } catch (const c10::Error &error) {
    why = error.what_without_backtrace();
  } catch (const std::exception &error) {
    why = error.what();
  }
  ++checks_;
  ++failed_;
  std::replace_if(
      why.begin(), why.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  std::printf("check\t%s\tnan\t0\tFAILED: %s\n", name.c_str(), why.c_str());
  std::fflush(stdout);
}

}  // namespace godiff_bench
