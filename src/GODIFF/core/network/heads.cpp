// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/heads.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace godiff {

VectorHead::VectorHead(const std::string &name, int n_scalar, int n_vector,
                       Parameters &parameters) :
    name_(name) {
  // 66,64 -> 33,32 -> 16,16 -> 1,1 with hidden widths 66, 33, 16 for the score head of 64 features.
  blocks_[0] = {n_scalar, n_vector, n_scalar / 2, n_vector / 2, n_scalar, {}, {}, {}, {}, {}};
  blocks_[1] = {n_scalar / 2, n_vector / 2, n_scalar / 4, n_vector / 4, n_scalar / 2,
                {},           {},           {},           {},           {}};
  blocks_[2] = {n_scalar / 4, n_vector / 4, 1, 1, n_scalar / 4, {}, {}, {}, {}, {}};
  for (int b = 0; b < 3; ++b) {
    const Block &block = blocks_[b];
    const std::string prefix = name_ + "." + std::to_string(b);
    parameters.declare(prefix + ".mix.weight", {2 * block.vector_out, block.vector_in});
    parameters.declare(prefix + ".0.weight", {block.hidden, block.scalar_in + block.vector_out});
    parameters.declare(prefix + ".0.bias", {block.hidden});
    parameters.declare(prefix + ".1.weight", {block.scalar_out + block.vector_out, block.hidden});
    parameters.declare(prefix + ".1.bias", {block.scalar_out + block.vector_out});
  }
}

void VectorHead::bind(const Parameters &parameters) {
  for (int b = 0; b < 3; ++b) {
    Block &block = blocks_[b];
    const std::string prefix = name_ + "." + std::to_string(b);
    block.mix = parameters[prefix + ".mix.weight"];
    block.weight0 = parameters[prefix + ".0.weight"];
    block.bias0 = parameters[prefix + ".0.bias"];
    block.weight1 = parameters[prefix + ".1.weight"];
    block.bias1 = parameters[prefix + ".1.bias"];
  }
}

at::Tensor VectorHead::forward(const at::Tensor &scalars, const at::Tensor &vectors) const {
  at::Tensor s = scalars, v = vectors;
  for (int b = 0; b < 3; ++b) {
    const Block &block = blocks_[b];
    const auto mixed = at::linear(v, block.mix).split(block.vector_out, 2);
    // The 2-norm has gradient 0 where the vector is 0 (LibTorch's convention).
    const at::Tensor norm = at::linalg_vector_norm(mixed[0], 2, {1});
    const at::Tensor x =
        at::linear(at::silu(at::linear(at::cat({s, norm}, 1), block.weight0, block.bias0)),
                   block.weight1, block.bias1);
    const auto split = x.split_with_sizes({block.scalar_out, block.vector_out}, 1);
    s = b < 2 ? at::silu(split[0]) : split[0];
    v = split[1].unsqueeze(1) * mixed[1];
  }
  return v.squeeze(2);
}

}  // namespace godiff
