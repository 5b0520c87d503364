// SPDX-License-Identifier: GPL-2.0-only
// One fault of one rank, read from a text PHASE:RANK:KIND[:N], for the hooks of core/base/fault.hpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <signal.h>
#include <unistd.h>

#include "core/base/fault.hpp"

namespace godiff::testing {

/// What goes wrong, where and when; one at a time in a process.
class Fault {
public:
  static constexpr int EXIT_STATUS = 87;  ///< of kind exit: no other end of lmp has it

  /// Reads PHASE:RANK:KIND[:N] and sets the hooks. RANK is compared with what `rank` returns. KIND:
  ///   throw          std::runtime_error("fault at PHASE") from a fault point
  ///   abort, exit    std::abort(), std::exit(EXIT_STATUS) at a fault point
  ///   kill           SIGKILL to the process group at a fault point
  ///   term           SIGTERM to this process at a fault point
  ///   sleep=SECONDS  waits at a fault point
  ///   nan            a fault value becomes NaN
  ///   overflow       memory is written behind its end, for the test of the address sanitizer
  /// N: on the Nth passage of that rank (default 1), and only then; 0: on every passage. Fault points and
  /// fault values of the same phase are counted apart. Throws std::invalid_argument for any other text.
  static void set(const std::string &text, int (*rank)()) {
    Fault fault;
    const auto words = split(text);
    if (words.size() < 3 || words.size() > 4 || words[0].empty())
      throw std::invalid_argument("a fault is PHASE:RANK:KIND[:N], not '" + text + "'");
    fault.phase_ = words[0];
    fault.rank_ = static_cast<int>(number(words[1], text));
    fault.kind_ = words[2];
    if (words[2].rfind("sleep=", 0) == 0) {
      fault.kind_ = "sleep";
      fault.seconds_ = number(words[2].substr(6), text);
    } else if (words[2] != "throw" && words[2] != "abort" && words[2] != "exit" &&
               words[2] != "kill" && words[2] != "term" && words[2] != "nan" &&
               words[2] != "overflow") {
      throw std::invalid_argument(
          "throw, abort, exit, kill, term, sleep=SECONDS, nan or overflow, not '" + words[2] +
          "' in '" + text + "'");
    }
    if (words.size() == 4)
      fault.passage_ = static_cast<long>(number(words[3], text));
    fault.rank_now_ = rank;
    current() = fault;
    passages() = 0;
    const bool value = fault.kind_ == "nan";
    set_fault_hook(value ? nullptr : &Fault::at);
    set_fault_value_hook(value ? &Fault::replace : nullptr);
  }

  /// Takes the hooks away.
  static void clear() {
    set_fault_hook(nullptr);
    set_fault_value_hook(nullptr);
  }

private:
  static Fault &current() {
    static Fault fault;
    return fault;
  }

  static std::atomic<long> &passages() {
    static std::atomic<long> count{0};
    return count;
  }

  static std::vector<std::string> split(const std::string &text) {
    std::vector<std::string> words;
    std::istringstream in(text);
    for (std::string word; std::getline(in, word, ':');)
      words.push_back(word);
    return words;
  }

  static double number(const std::string &word, const std::string &text) {
    char *end = nullptr;
    const double value = std::strtod(word.c_str(), &end);
    if (word.empty() || *end != '\0' || !(value >= 0.0))
      throw std::invalid_argument("'" + word + "' is not a number in '" + text + "'");
    return value;
  }

  // Whether this passage is the one; says so, for the test to see that the fault was met.
  static bool due(const char *phase) {
    const Fault &fault = current();
    if (fault.phase_ != phase || fault.rank_ != fault.rank_now_())
      return false;
    if (++passages() != fault.passage_ && fault.passage_ > 0)
      return false;
    std::fprintf(stderr, "FAULT %s at %s on rank %d, passage %ld\n", fault.kind_.c_str(), phase,
                 fault.rank_, fault.passage_);
    return true;
  }

  static void at(const char *phase) {
    if (!due(phase))
      return;
    const std::string &kind = current().kind_;
    if (kind == "throw")
      throw std::runtime_error(std::string("fault at ") + phase);
    if (kind == "abort")
      std::abort();
    if (kind == "exit")
      std::exit(EXIT_STATUS);
    if (kind == "kill" || kind == "term") {
      ::kill(kind == "kill" ? 0 : getpid(), kind == "kill" ? SIGKILL : SIGTERM);
      return;
    }
    if (kind == "overflow") {
      volatile std::size_t size = 1000;                 // the compiler must not know
      volatile char *volatile memory = new char[size];  // nor what the size says of the memory
      memory[size] = 1;
      delete[] memory;
      return;
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(current().seconds_));
  }

  static double replace(const char *phase, double value) {
    return due(phase) ? std::numeric_limits<double>::quiet_NaN() : value;
  }

  std::string phase_, kind_;
  int rank_ = 0;
  long passage_ = 1;
  double seconds_ = 0.0;
  int (*rank_now_)() = nullptr;
};

}  // namespace godiff::testing
