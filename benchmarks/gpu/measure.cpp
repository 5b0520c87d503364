// SPDX-License-Identifier: GPL-2.0-only
#include "measure.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#ifdef GODIFF_DEVICE_ALLOCATOR
#include <c10/core/CachingDeviceAllocator.h>
#endif

namespace godiff_bench {

double deviation(const at::Tensor &value, const at::Tensor &expected) {
  if (value.sizes() != expected.sizes())
    return std::numeric_limits<double>::infinity();
  const at::Tensor a = value.to(at::kCPU, at::kDouble), b = expected.to(at::kCPU, at::kDouble);
  if (!a.isfinite().all().item<bool>())
    return std::numeric_limits<double>::infinity();
  const double scale = b.abs().max().item<double>();
  const double difference = (a - b).abs().max().item<double>();
  return scale > 0.0 ? difference / scale : difference;
}

double median_time(const std::function<void()> &work, double seconds, int warm_up) {
  constexpr std::size_t FEWEST = 3;
  using Clock = std::chrono::steady_clock;
  for (int i = 0; i < warm_up; ++i)
    work();
  std::vector<double> times;
  const auto begin = Clock::now();
  for (auto last = begin;
       times.size() < FEWEST || last - begin < std::chrono::duration<double>(seconds);) {
    work();
    const auto now = Clock::now();
    times.push_back(std::chrono::duration<double, std::milli>(now - last).count());
    last = now;
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void report_time(const std::string &name, c10::Device device, double milliseconds, Report &report) {
  const double peak = peak_gigabytes(device);
  report.time(name, c10::DeviceTypeName(device.type(), true), milliseconds,
              peak >= 0.0 ? std::optional<double>(peak) : std::nullopt);
}

void time_case(const std::string &name, const CheckOptions &options, Report &report,
               const std::function<std::function<void()>(c10::Device)> &make) {
  report.attempt(name, [&] {
    // On a GPU the first calls load kernels, take memory and choose algorithms.
    const int warm_up = options.device.is_cpu() ? 1 : 5;
    forget_peak(options.device);
    report_time(name, options.device, median_time(make(options.device), options.seconds, warm_up),
                report);
  });
}

#ifdef GODIFF_DEVICE_ALLOCATOR

void forget_peak(c10::Device device) {
  if (!device.is_cuda())
    return;
  c10::DeviceAllocator *memory = c10::getDeviceAllocator(device.type());
  if (!memory->initialized())
    return;
  memory->emptyCache();
  memory->resetPeakStats(device.index());
}

double peak_gigabytes(c10::Device device) {
  if (!device.is_cuda())
    return -1.0;
  constexpr std::size_t ALL = 0;  // of the kinds of memory that are counted
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return static_cast<double>(stats.allocated_bytes[ALL].peak) / 1e9;
}

#else

void forget_peak(c10::Device) {}

double peak_gigabytes(c10::Device) {
  return -1.0;
}

#endif

}  // namespace godiff_bench
