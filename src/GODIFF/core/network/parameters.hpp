// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace godiff {

/// The weights of a network as named views into one flat tensor, so that clipping, the optimiser and
/// (later) an allreduce touch one buffer. The gradients live in a second flat tensor the same way.
class Parameters {
public:
  explicit Parameters(at::ScalarType dtype) : dtype_(dtype) {}

  /// Declares a tensor before allocate(); names are those of the checkpoint.
  void declare(const std::string &name, std::vector<std::int64_t> shape);
  /// Allocates all declared tensors (zero) and makes them differentiable leaves.
  void allocate();

  /// The view of one tensor; throws godiff::Error for an unknown name.
  const at::Tensor &operator[](const std::string &name) const;
  bool has(const std::string &name) const;
  const std::vector<std::string> &names() const { return names_; }
  const std::vector<std::int64_t> &shape(const std::string &name) const;

  /// All weights, [size()], without autograd history; writing to it changes the network.
  const at::Tensor &flat() const { return flat_; }
  /// All gradients, [size()]: backward() adds here.
  const at::Tensor &flat_gradient() const { return gradient_; }
  std::int64_t size() const { return flat_.numel(); }
  /// First element of the tensor in flat().
  std::int64_t offset(const std::string &name) const;

private:
  std::size_t index(const std::string &name) const;

  at::ScalarType dtype_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<std::int64_t> offsets_;
  std::vector<at::Tensor> views_;
  at::Tensor flat_, gradient_;
};

}  // namespace godiff
