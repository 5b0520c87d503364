// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/recorded_step.hpp"

#include <stdexcept>
#include <string>
#include <utility>

#include <Kokkos_Core.hpp>
#ifdef KOKKOS_ENABLE_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/util/Exception.h>
#endif

#include "core/network/device_stream.hpp"

namespace godiff {

#ifdef KOKKOS_ENABLE_CUDA

struct RecordedStep::Graph {
  at::cuda::CUDAGraph graph;
};

void RecordedStep::run() {
  // LibTorch records in its current stream, and not in the default one of CUDA.
  const DeviceStream stream;
  if (graph_) {
    graph_->graph.replay();
    return;
  }
  // The first run lets LibTorch and Kokkos allocate and load what they need.
  if (!ran_ || !device_.is_cuda()) {
    work_();
    ran_ = true;
    return;
  }
  auto recording = std::make_unique<Graph>();
  std::string problem;
  // Other threads may use CUDA meanwhile.
  recording->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  try {
    work_();
  } catch (const c10::Error &e) {
    problem = e.what_without_backtrace();
  } catch (const std::exception &e) {
    problem = e.what();
  }
  try {
    recording->graph.capture_end();
  } catch (const c10::Error &e) {
    if (problem.empty())
      problem = e.what_without_backtrace();
  }
  if (!problem.empty())
    throw std::runtime_error(
        "a step cannot be recorded as a CUDA graph; set the environment variable "
        "GODIFF_RECORD=no to do without: " +
        problem);
  graph_ = std::move(recording);
  graph_->graph.replay();
}

#else

struct RecordedStep::Graph {};

void RecordedStep::run() {
  work_();
  ran_ = true;
}

#endif

RecordedStep::RecordedStep(c10::Device device, std::function<void()> work) :
    device_(device),
    work_(std::move(work)) {}
RecordedStep::~RecordedStep() = default;
RecordedStep::RecordedStep(RecordedStep &&) noexcept = default;

bool RecordedStep::recorded() const {
  return graph_ != nullptr;
}

}  // namespace godiff
