// SPDX-License-Identifier: GPL-2.0-only
// Which device a word of the input names, and what is said where there is none.
#include "core/network/device.hpp"

#include <string>

#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace {

using godiff::choose_device;
using godiff::CudaDevices;

std::string refusal(const std::string &word, const CudaDevices &cuda) {
  try {
    choose_device(word, cuda);
  } catch (const godiff::Error &e) {
    return e.what();
  }
  return "";
}

TEST(Device, CpuNeedsNothing) {
  for (const char *word : {"auto", "cpu"})
    for (const CudaDevices &cuda : {CudaDevices{false, 0}, {true, 0}, {true, 2}})
      EXPECT_EQ(choose_device(word, cuda), c10::Device(c10::kCPU));
}

TEST(Device, CudaByNumber) {
  EXPECT_EQ(choose_device("cuda", {true, 1}), c10::Device(c10::kCUDA, 0));
  EXPECT_EQ(choose_device("cuda:0", {true, 1}), c10::Device(c10::kCUDA, 0));
  EXPECT_EQ(choose_device("cuda:3", {true, 4}), c10::Device(c10::kCUDA, 3));
  EXPECT_EQ(choose_device("cuda:12", {true, 16}), c10::Device(c10::kCUDA, 12));
}

TEST(Device, SaysWhatIsMissing) {
  EXPECT_EQ(refusal("cuda", {false, 0}),
            "device cuda: GODIFF was built without CUDA: use device cpu, or build it with a CUDA "
            "version of LibTorch and -D GODIFF_TORCH_CUDA=ON");
  EXPECT_EQ(refusal("cuda:1", {true, 0}),
            "device cuda:1: LibTorch finds no CUDA device on the machine of the first rank: use "
            "device cpu, or see what nvidia-smi and CUDA_VISIBLE_DEVICES say");
  EXPECT_EQ(refusal("cuda:1", {true, 1}), "device cuda:1: the last CUDA device is cuda:0");
  EXPECT_EQ(refusal("cuda:99", {true, 4}), "device cuda:99: the last CUDA device is cuda:3");
}

TEST(Device, OtherWordsAreRefused) {
  for (const char *word : {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1x", "cuda: 1", "cuda:+1",
                           "cuda1", "cuda:100", "cuda:99999999999999999999", "cpu:0"})
    EXPECT_EQ(refusal(word, {true, 2}),
              std::string("device is '") + word + "' but must be auto, cpu, cuda or cuda:N");
}

TEST(Device, NoMoreDevicesThanLinked) {
  const CudaDevices found = godiff::cuda_devices();
  EXPECT_GE(found.count, 0);
  if (!found.linked) {
    EXPECT_EQ(found.count, 0);
  }
}

}  // namespace
