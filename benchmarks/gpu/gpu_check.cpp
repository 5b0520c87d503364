// SPDX-License-Identifier: GPL-2.0-only
// Compares what a device computes with the CPU and times both, with the core library alone: no LAMMPS, no
// test framework. benchmarks/gpu_check builds and runs it.
//
//   gpu_check [--device cuda|cpu] [--model FILE] [--medium FILE] [--slabs N] [--systems S2,12x12x4-56]
//             [--seconds N] [--threads N] [--only check|time|nothing] [--kokkos yes|no]
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <sstream>
#include <string>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include "core/base/error.hpp"
#include "core/base/version.hpp"
#include "core/network/device.hpp"
#ifdef GODIFF_KOKKOS
#include "kokkos.hpp"
#endif
#include "report.hpp"
#include "work.hpp"

namespace {

using godiff_bench::CheckOptions;
using godiff_bench::Report;

struct Given {
  CheckOptions options;
  std::string device = "cuda";
  std::string only;
  int threads = 0;
  bool kokkos = true;  // where it is built in
};

double number(const std::string &name, const std::string &text) {
  try {
    std::size_t used = 0;
    const double value = std::stod(text, &used);
    if (used == text.size() && value > 0.0)
      return value;
  } catch (const std::exception &) {
  }
  throw godiff::Error(name + " takes a number above 0, got \"" + text + "\"");
}

Given read(int argc, char **argv) {
  Given given;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc)
      throw godiff::Error(name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--device") {
      given.device = value;
    } else if (name == "--model") {
      given.options.model = value;
    } else if (name == "--medium") {
      given.options.medium = value;
    } else if (name == "--slabs") {
      given.options.slabs = static_cast<std::int64_t>(std::max(1.0, number(name, value)));
    } else if (name == "--seconds") {
      given.options.seconds = number(name, value);
    } else if (name == "--threads") {
      given.threads = static_cast<int>(number(name, value));
    } else if (name == "--systems") {
      given.options.systems.clear();
      std::istringstream words(value);
      for (std::string word; std::getline(words, word, ',');)
        given.options.systems.push_back(word);
    } else if (name == "--only" && (value == "check" || value == "time" || value == "nothing")) {
      given.only = value;
    } else if (name == "--kokkos" && (value == "yes" || value == "no")) {
      given.kokkos = value == "yes";
    } else {
      throw godiff::Error("no option " + name + " " + value +
                          ": the first lines of benchmarks/gpu/gpu_check.cpp list them");
    }
  }
  return given;
}

int run(int argc, char **argv) {
  Given given = read(argc, argv);
  given.options.device = godiff::choose_device(given.device, godiff::cuda_devices());
  if (given.threads > 0)
    at::set_num_threads(given.threads);
  Report report;
  report.note("device: " + given.options.device.str());
  report.note("GODIFF: " + std::string(godiff::version()));
  report.note("LibTorch: " GODIFF_TORCH_VERSION);
#ifdef GODIFF_KOKKOS
  std::unique_ptr<godiff_bench::KokkosScope> kokkos;
  if (given.kokkos)
    kokkos = std::make_unique<godiff_bench::KokkosScope>(given.options.device);
  if (kokkos && (given.only.empty() || given.only == "check"))
    check_streams(given.options, report);
  report.note(std::string("Kokkos: ") + (kokkos ? "on" : "off"));
#else
  report.note("Kokkos: not built in");
#endif
  report.note("CPU threads: " + std::to_string(at::get_num_threads()));
  if (given.only.empty() || given.only == "check") {
    check_network(given.options, report);
    check_stages(given.options, report);
    check_mace(given.options, report);
  }
  if (given.only.empty() || given.only == "time") {
    time_network(given.options, report);
    time_stages(given.options, report);
    time_mace(given.options, report);
  }
  report.note("checks: " + std::to_string(report.checks()) +
              ", failed: " + std::to_string(report.failed()));
  return report.failed() > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const c10::Error &error) {
    std::fprintf(stderr, "gpu_check: %s\n", error.what_without_backtrace());
  } catch (const std::exception &error) {
    std::fprintf(stderr, "gpu_check: %s\n", error.what());
  }
  return 2;
}
