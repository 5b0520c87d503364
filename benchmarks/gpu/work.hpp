// SPDX-License-Identifier: GPL-2.0-only
// What gpu_check compares and times: the network and a MACE model on a device and on the CPU.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include "report.hpp"

namespace godiff_bench {

struct CheckOptions {
  c10::Device device{c10::kCUDA, 0};
  std::string model;         ///< file of a MACE model for platinum; empty: left out
  std::string medium;        ///< medium_shape.pt, which gets random weights; empty: left out
  std::int64_t slabs = 128;  ///< in a call of a MACE model
  double seconds = 2.0;      ///< that a case is timed at least
  std::vector<std::string> systems{"S2", "12x12x4-56"};  ///< that are timed
};

/// Scores, forces, losses, gradients and steps of AdamW of small and large slabs, in float64 and float32.
void check_network(const CheckOptions &options, Report &report);
/// Training steps and reverse steps of a stage of a search on S2, in float64.
void check_stages(const CheckOptions &options, Report &report);
/// Energies, forces, virials and energies per atom of slabs with the models, in float64 and float32.
void check_mace(const CheckOptions &options, Report &report);

/// A training step of 16 and a reverse step of 128 structures of each of the systems.
void time_network(const CheckOptions &options, Report &report);
/// The same in a stage of a search, where they may stay on the device and be replayed.
void time_stages(const CheckOptions &options, Report &report);
/// Energies and forces of slabs with the models.
void time_mace(const CheckOptions &options, Report &report);

}  // namespace godiff_bench
