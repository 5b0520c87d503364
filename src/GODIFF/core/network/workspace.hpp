// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace godiff {

/// Memory for the tensors of one pass through the network: taken in order, given back all at once or
/// back to a mark. After the first pass nothing is allocated any more.
class Workspace {
public:
  explicit Workspace(const at::TensorOptions &options) : options_(options) {}

  /// An uninitialised contiguous tensor, valid until its memory is given back.
  at::Tensor take(at::IntArrayRef sizes);
  /// The same, filled with zeros.
  at::Tensor zeros(at::IntArrayRef sizes);

  /// What has been taken so far; release(mark) gives back everything taken since.
  struct Mark {
    std::size_t block;
    std::int64_t used;
  };
  Mark mark() const { return {current_, used_}; }
  void release(const Mark &mark);
  /// Gives everything back; several blocks become one.
  void clear();

private:
  at::TensorOptions options_;
  std::vector<at::Tensor> blocks_;
  std::size_t current_ = 0;
  std::int64_t used_ = 0;  // of the current block
};

}  // namespace godiff
