// SPDX-License-Identifier: GPL-2.0-only
// Deviations and times for gpu_check.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "report.hpp"
#include "work.hpp"

namespace godiff_bench {

/// max|value - expected| / max|expected|, wherever the tensors are; infinity when the shapes differ or
/// a value is not finite.
double deviation(const at::Tensor &value, const at::Tensor &expected);

/// Median milliseconds of a call of `work`, which must wait for its device itself. `warm_up` calls go before;
/// at least three are timed, and `seconds` long.
double median_time(const std::function<void()> &work, double seconds, int warm_up);

/// Reports milliseconds on a device, and the peak of its memory since forget_peak() where it is known.
void report_time(const std::string &name, c10::Device device, double milliseconds, Report &report);

/// Times what `make` returns for the device.
void time_case(const std::string &name, const CheckOptions &options, Report &report,
               const std::function<std::function<void()>(c10::Device)> &make);

/// Empties LibTorch's cache of a CUDA device and counts its peak anew.
void forget_peak(c10::Device device);
/// Gigabytes that tensors of a CUDA device have had at most since then; -1 on others and where this LibTorch
/// does not say.
double peak_gigabytes(c10::Device device);

}  // namespace godiff_bench
