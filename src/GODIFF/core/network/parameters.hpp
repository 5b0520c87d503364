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
  explicit Parameters(const at::TensorOptions &options) : options_(options) {}

  /// Declares a tensor before allocate(); names are those of the checkpoint.
  void declare(const std::string &name, std::vector<std::int64_t> shape);
  /// Allocates all declared tensors, zero.
  void allocate();

  /// The view of one tensor; throws godiff::Error for an unknown name. Call touch() after writing.
  at::Tensor operator[](const std::string &name) const { return view(flat_, name); }
  at::Tensor gradient(const std::string &name) const { return view(gradient_, name); }
  /// The part of another flat tensor of this layout that belongs to one name.
  at::Tensor view(const at::Tensor &flat, const std::string &name) const;
  bool has(const std::string &name) const;
  const std::vector<std::string> &names() const { return names_; }
  const std::vector<std::int64_t> &shape(const std::string &name) const;

  /// All weights, [size()]. Call touch() after writing.
  const at::Tensor &flat() const { return flat_; }
  /// All gradients, [size()].
  const at::Tensor &flat_gradient() const { return gradient_; }
  std::int64_t size() const { return flat_.numel(); }
  /// First element of the tensor in flat().
  std::int64_t offset(const std::string &name) const;

  /// Replaces all weights.
  void copy_from(const at::Tensor &flat);
  /// Says that weights have changed: what was computed from them is computed anew.
  void touch() { ++version_; }
  std::int64_t version() const { return version_; }

private:
  std::size_t index(const std::string &name) const;

  at::TensorOptions options_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<std::int64_t> offsets_;
  at::Tensor flat_, gradient_;
  std::int64_t version_ = 0;
};

}  // namespace godiff
