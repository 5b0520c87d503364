// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

#include <c10/core/Device.h>

namespace godiff {

/// Devices that LibTorch can use: CUDA linked or not, and how many it finds.
struct CudaDevices {
  bool linked = false;
  int count = 0;
};
CudaDevices cuda_devices();

/// The device that a word of the input names: auto and cpu (the CPU), cuda (the first) or cuda:N.
/// Throws godiff::Error for other words, and saying what is missing where there is no such device.
c10::Device choose_device(const std::string &word, const CudaDevices &cuda);

}  // namespace godiff
