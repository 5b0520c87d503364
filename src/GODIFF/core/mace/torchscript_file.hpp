// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <vector>

#include <torch/script.h>

#include "core/mace/model.hpp"

namespace godiff {

/// A model file after loading: evaluated by its inner module, which gives the energies of atoms.
struct TorchScriptFile {
  torch::jit::Module model;  ///< the inner one
  c10::ScalarType dtype = c10::kDouble;
  c10::Device device = c10::kCPU;
  MaceInfo info;
  std::vector<std::string> inputs;  ///< what else the model must be told: total_charge, total_spin
};

/// Reads a file, checks that it is a model for LAMMPS, and brings it to the precision and onto the
/// device of the options. Throws godiff::Error.
TorchScriptFile read_torchscript(const std::string &bytes, const std::string &name,
                                 const MaceOptions &options);

}  // namespace godiff
