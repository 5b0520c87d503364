// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

namespace godiff_bench {

/// The content of a TorchScript model file of which `path` is the shape: the same, with weights drawn at random,
/// always the same ones. Throws godiff::Error where the file cannot be read.
std::string with_random_weights(const std::string &path);

}  // namespace godiff_bench
