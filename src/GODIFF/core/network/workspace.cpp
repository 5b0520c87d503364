// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/workspace.hpp"

#include <algorithm>

#include <ATen/Functions.h>

namespace godiff {

namespace {

constexpr std::int64_t ALIGNMENT = 32;  // elements: a cache line of floats, two of doubles
constexpr std::int64_t SMALLEST_BLOCK = 1 << 18;  // elements

std::int64_t padded(std::int64_t n) {
  return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

}  // namespace

at::Tensor Workspace::take(at::IntArrayRef sizes) {
  std::int64_t n = 1;
  for (std::int64_t size : sizes)
    n *= size;
  const std::int64_t wanted = padded(n);
  while (blocks_.empty() || used_ + wanted > blocks_[current_].numel()) {
    if (blocks_.empty() || current_ + 1 == blocks_.size()) {
      const std::int64_t last = blocks_.empty() ? SMALLEST_BLOCK : blocks_.back().numel();
      blocks_.push_back(at::empty({std::max(2 * last, wanted)}, options_));
      current_ = blocks_.size() - 1;
    } else {
      ++current_;
    }
    used_ = 0;
  }
  const at::Tensor view = blocks_[current_].narrow(0, used_, n).view(sizes);
  used_ += wanted;
  return view;
}

at::Tensor Workspace::zeros(at::IntArrayRef sizes) {
  at::Tensor view = take(sizes);
  view.zero_();
  return view;
}

void Workspace::release(const Mark &mark) {
  current_ = mark.block;
  used_ = mark.used;
}

void Workspace::clear() {
  if (blocks_.size() > 1) {
    std::int64_t total = 0;
    for (const at::Tensor &block : blocks_)
      total += block.numel();
    blocks_.clear();
    blocks_.push_back(at::empty({total}, options_));
  }
  current_ = 0;
  used_ = 0;
}

}  // namespace godiff
