// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/score_network.hpp"

#include <cmath>

#include <ATen/Functions.h>

#include "core/base/random.hpp"
#include "core/network/weights.hpp"

namespace godiff {

ScoreNetwork::ScoreNetwork(const NetworkSettings &settings, at::ScalarType dtype,
                           at::Device device) :
    settings_(settings),
    parameters_(at::TensorOptions().dtype(dtype).device(device)) {
  declare_network(settings_, parameters_);
  parameters_.allocate();
}

void ScoreNetwork::initialise(std::uint64_t seed) {
  const at::Tensor flat = at::zeros({parameters_.size()}, at::kDouble);
  double *w = flat.data_ptr<double>();
  std::uint32_t item = 0;
  for (const std::string &name : parameters_.names()) {
    const auto &shape = parameters_.shape(name);
    double *p = w + parameters_.offset(name);
    const std::uint32_t tensor = item++;
    if (shape.size() < 2)
      continue;  // biases stay 0
    const bool embedding = name == "painn.embedding.weight";
    const double bound = std::sqrt(6.0 / static_cast<double>(shape[0] + shape[1]));
    for (std::int64_t row = embedding ? 1 : 0; row < shape[0]; ++row) {
      RandomStream random(seed, Purpose::INIT, 0, tensor, static_cast<std::uint32_t>(row));
      for (std::int64_t k = 0; k < shape[1]; ++k)
        p[row * shape[1] + k] =
            embedding ? random.normal() : bound * (2.0 * random.uniform() - 1.0);
    }
  }
  parameters_.copy_from(flat);
}

}  // namespace godiff
