// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/device.hpp"

#include <limits>

#include <ATen/Context.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "core/base/error.hpp"

namespace godiff {

namespace {

// N of "cuda:N", 0 of "cuda", -1 of anything else.
int cuda_index(const std::string &word) {
  const std::string name = "cuda";
  if (word == name)
    return 0;
  constexpr std::size_t MAX_DIGITS = 2;
  static_assert(std::numeric_limits<c10::DeviceIndex>::max() >= 99, "two digits fit");
  const std::size_t colon = name.size();
  if (word.compare(0, colon + 1, name + ":") != 0 || word.size() == colon + 1 ||
      word.size() > colon + 1 + MAX_DIGITS ||
      word.find_first_not_of("0123456789", colon + 1) != std::string::npos)
    return -1;
  return std::stoi(word.substr(colon + 1));
}

}  // namespace

CudaDevices cuda_devices() {
  // The guard is registered when libc10_cuda is loaded, device or not.
  CudaDevices found;
  found.linked = c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA);
  if (found.linked && at::hasCUDA())
    found.count = static_cast<int>(at::getNumGPUs());
  return found;
}

c10::Device choose_device(const std::string &word, const CudaDevices &cuda) {
  if (word == "auto" || word == "cpu")
    return c10::Device(c10::kCPU);
  const int index = cuda_index(word);
  if (index < 0)
    throw Error("device is '" + word + "' but must be auto, cpu, cuda or cuda:N");
  const std::string what = "device " + word + ": ";
  if (!cuda.linked)
    throw Error(what + "GODIFF was built without CUDA: use device cpu, or build it with a CUDA "
                       "version of LibTorch and -D GODIFF_TORCH_CUDA=ON");
  if (cuda.count == 0)
    throw Error(what + "LibTorch finds no CUDA device on the machine of the first rank: use device "
                       "cpu, or see what nvidia-smi and CUDA_VISIBLE_DEVICES say");
  if (index >= cuda.count)
    throw Error(what + "the last CUDA device is cuda:" + std::to_string(cuda.count - 1));
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace godiff
