// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <functional>
#include <memory>

#include <c10/core/Device.h>

namespace godiff {

/// A step that is done many times. Where Kokkos computes on CUDA it is done once as it is, then recorded as a
/// CUDA graph and from then on replayed, which spares the host its hundreds of calls. Elsewhere every run
/// is a call.
///
/// The work must read and write the device only, at the same addresses every time, and wait for nothing: what
/// changes from step to step lies in tensors on the device. What it does to variables of the host is done in the
/// first two runs only.
class RecordedStep {
public:
  /// `device` is where the tensors of the work lie.
  RecordedStep(c10::Device device, std::function<void()> work);
  ~RecordedStep();
  RecordedStep(RecordedStep &&) noexcept;

  /// Does the work once; the host does not wait. Throws std::runtime_error when it cannot be recorded.
  void run();
  /// Whether the last run was a replay.
  bool recorded() const;

private:
  struct Graph;
  c10::Device device_;
  std::function<void()> work_;
  bool ran_ = false;
  std::unique_ptr<Graph> graph_;
};

}  // namespace godiff
