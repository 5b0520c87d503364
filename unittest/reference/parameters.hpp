// SPDX-License-Identifier: GPL-2.0-only
// Part of the reference network: its weights as autograd leaves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"

namespace godiff {
namespace reference {

/// Name and shape of a tensor of weights.
struct TensorShape {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// All tensors of a network in the order of the checkpoint: backbone, score head and, if asked for,
/// force head (method sections 8 to 10).
std::vector<TensorShape> tensors_of(const NetworkSettings &settings);

/// The weights as differentiable views into one flat tensor, laid out as in the product.
class Parameters {
public:
  /// All weights are zero; dtype is at::kFloat or at::kDouble.
  Parameters(const NetworkSettings &settings, at::ScalarType dtype);

  /// One tensor, a leaf; throws std::runtime_error for an unknown name.
  const at::Tensor &operator[](const std::string &name) const { return views_[index(name)]; }
  bool has(const std::string &name) const;
  const std::vector<std::string> &names() const { return names_; }
  const std::vector<std::int64_t> &shape(const std::string &name) const;
  /// First element of the tensor in flat().
  std::int64_t offset(const std::string &name) const;

  /// All weights, [size()], without autograd history; writing to it changes the network.
  const at::Tensor &flat() const { return flat_; }
  /// All gradients, [size()]: backward() adds here.
  const at::Tensor &flat_gradient() const { return gradient_; }
  /// The part of flat_gradient() that belongs to one tensor, in its shape.
  at::Tensor gradient(const std::string &name) const { return (*this)[name].grad(); }
  std::int64_t size() const { return flat_.numel(); }

private:
  std::size_t index(const std::string &name) const;

  std::vector<std::string> names_;
  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<std::int64_t> offsets_;
  std::vector<at::Tensor> views_;
  at::Tensor flat_, gradient_;
};

}  // namespace reference
}  // namespace godiff
