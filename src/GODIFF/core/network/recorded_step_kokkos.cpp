// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/recorded_step.hpp"

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include <Kokkos_Core.hpp>
#ifdef KOKKOS_ENABLE_CUDA
#include <ATen/Functions.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/util/Exception.h>
#endif

#include "core/network/device_stream.hpp"

namespace godiff {

#ifdef KOKKOS_ENABLE_CUDA

struct RecordedStep::Graph {
  at::cuda::CUDAGraph graph;
};

namespace {

using Pool = decltype(at::cuda::graph_pool_handle());

void begin(at::cuda::CUDAGraph &graph, Pool pool) {
  // Other threads may use CUDA meanwhile.
  graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
}

// All recordings of a device take their memory from one pool, as they are replayed one after the other and each
// writes what it reads there; pools of their own would be kept by LibTorch and grow stage by stage. A pool lives as
// long as some graph of it: this one is never destroyed, since CUDA may be gone by then.
Pool pool_of(c10::Device device) {
  static std::map<c10::DeviceIndex, Pool> pools;
  const auto found = pools.find(device.index());
  if (found != pools.end())
    return found->second;
  const Pool pool = at::cuda::graph_pool_handle();
  auto *keeper = new at::cuda::CUDAGraph;
  const at::Tensor something = at::zeros({1}, at::TensorOptions(device));
  begin(*keeper, pool);
  something.zero_();
  keeper->capture_end();
  pools.emplace(device.index(), pool);
  return pool;
}

}  // namespace

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
  begin(recording->graph, pool_of(device_));
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
