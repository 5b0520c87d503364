// SPDX-License-Identifier: GPL-2.0-only
// The options of the benchmarks that google-benchmark does not know.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <c10/core/Device.h>

namespace godiff_bench {

struct Options {
  std::vector<std::string> systems{"S1", "S2", "12x12x4-7", "12x12x4-56"};
  std::vector<std::int64_t> batches{1, 16, 128};
  std::vector<std::string> work{"training", "reverse"};  ///< and "start"
  c10::Device device{c10::kCPU};
  int threads = 0;         ///< 0: as LibTorch finds them
  std::string batch_file;  ///< --write-batches

  bool has(const std::string &kind) const;
};

/// Takes the options it knows (--systems, --batches, --work, --device, --threads, --write-batches)
/// out of argc and argv, over the given ones; throws godiff::Error for a value it cannot read.
Options read_options(int &argc, char **argv, Options options = {});

}  // namespace godiff_bench
