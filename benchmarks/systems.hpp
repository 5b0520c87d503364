// SPDX-License-Identifier: GPL-2.0-only
// What the benchmarks are run on: slabs by name, and the batches of a training and a reverse step.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "core/geometry/system.hpp"

namespace godiff_bench {

/// A slab and one clean arrangement of its mobile atoms: a compact island on hollow sites.
struct Slab {
  std::string name;
  godiff::System system;
  at::Tensor island;  ///< [n_mobile, 3] float64, Angstrom
};

/// The slab of a name: "S1" is the stepped Pt of examples/godiff/adatom, "S2" its heptamer
/// (6x6x2-7), "NxNxL-M" is Pt(111) with N x N atoms in each of L layers and M mobile atoms, at most
/// as many as there are hollow sites (N*N). Throws godiff::Error for any other name.
Slab make_slab(const std::string &name);

/// The batch of a training step: islands noised at uniform times, as the trainer draws them.
struct TrainingBatch {
  at::Tensor clean;      ///< [B, n_mobile, 3] float64: the island, B times
  at::Tensor times;      ///< [B] float64
  at::Tensor positions;  ///< [B, n_mobile, 3] float64
  at::Tensor noise;      ///< [B, n_mobile, 3] float64
  at::Tensor weights;    ///< [B] float64, mean 1
};
/// The same for every call: stage 0, step 0 of the streams of `settings.seed`.
TrainingBatch training_batch(const Slab &slab, const godiff::Settings &settings,
                             std::int64_t batch);

/// What a reverse chain holds at one of its steps.
struct ReverseBatch {
  int step = 0;          ///< of the chain
  double time = 1.0;     ///< of that step
  at::Tensor positions;  ///< [B, n_mobile, 3] float64, inside the cell along periodic axes
};
/// Half way through the chain: the island noised to that time and wrapped.
ReverseBatch middle_of_chain(const Slab &slab, const godiff::Settings &settings,
                             std::int64_t batch);
/// The first step: atoms anywhere in the confinement window (uniform), so the fewest mobile edges.
ReverseBatch start_of_chain(const Slab &slab, const godiff::Settings &settings, std::int64_t batch);

/// Maps all atoms into the cell along periodic axes, in place, as the sampler does after each step.
void wrap(const godiff::System &system, at::Tensor &positions);

}  // namespace godiff_bench
