// SPDX-License-Identifier: GPL-2.0-only
// Builds without Kokkos; the others have recorded_step_kokkos.cpp.
#include "core/network/recorded_step.hpp"

#ifndef GODIFF_KOKKOS

#include <utility>

namespace godiff {

struct RecordedStep::Graph {};

RecordedStep::RecordedStep(c10::Device device, std::function<void()> work) :
    device_(device),
    work_(std::move(work)) {}
RecordedStep::~RecordedStep() = default;
RecordedStep::RecordedStep(RecordedStep &&) noexcept = default;

void RecordedStep::run() {
  work_();
  ran_ = true;
}

bool RecordedStep::recorded() const {
  return false;
}

}  // namespace godiff

#endif
