// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/parameters.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include <ATen/Functions.h>

#include "core/base/error.hpp"

namespace godiff {

void Parameters::declare(const std::string &name, std::vector<std::int64_t> shape) {
  if (flat_.defined())
    throw Error("parameters are already allocated: cannot add " + name);
  names_.push_back(name);
  shapes_.push_back(std::move(shape));
}

void Parameters::allocate() {
  std::int64_t total = 0;
  offsets_.clear();
  for (const auto &shape : shapes_) {
    offsets_.push_back(total);
    total += std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  }
  flat_ = at::zeros({total}, options_);
  gradient_ = at::zeros_like(flat_);
}

std::size_t Parameters::index(const std::string &name) const {
  const auto it = std::find(names_.begin(), names_.end(), name);
  if (it == names_.end())
    throw Error("the network has no tensor named " + name);
  return static_cast<std::size_t>(it - names_.begin());
}

at::Tensor Parameters::view(const at::Tensor &flat, const std::string &name) const {
  const std::size_t i = index(name);
  const std::int64_t end = i + 1 < names_.size() ? offsets_[i + 1] : flat_.numel();
  return flat.narrow(0, offsets_[i], end - offsets_[i]).view(shapes_[i]);
}

void Parameters::copy_from(const at::Tensor &flat) {
  flat_.copy_(flat);
  touch();
}

bool Parameters::has(const std::string &name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

const std::vector<std::int64_t> &Parameters::shape(const std::string &name) const {
  return shapes_[index(name)];
}

std::int64_t Parameters::offset(const std::string &name) const {
  return offsets_[index(name)];
}

}  // namespace godiff
