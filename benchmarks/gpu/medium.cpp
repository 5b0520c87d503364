// SPDX-License-Identifier: GPL-2.0-only
#include "medium.hpp"

#include <cstdint>
#include <sstream>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/script.h>

#include "core/base/error.hpp"

namespace godiff_bench {

std::string with_random_weights(const std::string &path) {
  constexpr std::uint64_t SEED = 1;
  torch::jit::Module model;
  try {
    model = torch::jit::load(path, c10::Device(c10::kCPU));
  } catch (const c10::Error &error) {
    throw godiff::Error("cannot read the model \"" + path +
                        "\" (--medium): " + error.what_without_backtrace());
  }
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(SEED);
  const c10::InferenceMode no_gradients;
  // As mace-torch draws them: its layers divide by the square root of their width.
  for (at::Tensor weights : model.parameters())
    weights.normal_(0.0, 1.0, generator);
  std::ostringstream bytes;
  model.save(bytes);
  return bytes.str();
}

}  // namespace godiff_bench
