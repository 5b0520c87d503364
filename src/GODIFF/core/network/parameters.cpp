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
  flat_ = at::zeros({total}, at::TensorOptions().dtype(dtype_));
  gradient_ = at::zeros_like(flat_);
  views_.clear();
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::int64_t end = i + 1 < names_.size() ? offsets_[i + 1] : total;
    at::Tensor view = flat_.narrow(0, offsets_[i], end - offsets_[i]).view(shapes_[i]).detach();
    view.set_requires_grad(true);
    // A gradient that exists is added to in place, so it stays a view of the flat buffer.
    view.mutable_grad() = gradient_.narrow(0, offsets_[i], end - offsets_[i]).view(shapes_[i]);
    views_.push_back(view);
  }
}

std::size_t Parameters::index(const std::string &name) const {
  const auto it = std::find(names_.begin(), names_.end(), name);
  if (it == names_.end())
    throw Error("the network has no tensor named " + name);
  return static_cast<std::size_t>(it - names_.begin());
}

const at::Tensor &Parameters::operator[](const std::string &name) const {
  return views_[index(name)];
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
