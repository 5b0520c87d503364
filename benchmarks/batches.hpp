// SPDX-License-Identifier: GPL-2.0-only
// The file that hands the batches of the benchmarks, and what GODIFF makes of them, to the peer.
#pragma once

#include "options.hpp"

namespace godiff_bench {

/// Writes options.batch_file (safetensors): for every system and batch size the positions and all
/// draws, the weights of the network, and GODIFF's loss, gradient norm and scores, to be compared.
/// benchmarks/README.md lists the tensors.
void write_batches(const Options &options);

}  // namespace godiff_bench
