// SPDX-License-Identifier: GPL-2.0-only
#include "reference/parameters.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>

#include <ATen/Functions.h>

namespace godiff {
namespace reference {

namespace {

constexpr int MAX_ELEMENTS = 100;
constexpr int TIME_FEATURES = 2;

void add_dense(std::vector<TensorShape> &tensors, const std::string &name, std::int64_t in,
               std::int64_t out) {
  tensors.push_back({name + ".weight", {out, in}});
  tensors.push_back({name + ".bias", {out}});
}

// 66,64 -> 33,32 -> 16,16 -> 1,1 with hidden widths 66, 33, 16 for the score head of 64 features.
void add_head(std::vector<TensorShape> &tensors, const std::string &head, std::int64_t n_scalar,
              std::int64_t n_vector) {
  for (int b = 0; b < 3; ++b) {
    const std::string block = head + "." + std::to_string(b);
    const std::int64_t scalar_out = b < 2 ? n_scalar / 2 : 1, vector_out = b < 2 ? n_vector / 2 : 1;
    tensors.push_back({block + ".mix.weight", {2 * vector_out, n_vector}});
    add_dense(tensors, block + ".0", n_scalar + vector_out, n_scalar);
    add_dense(tensors, block + ".1", n_scalar, scalar_out + vector_out);
    n_scalar = scalar_out;
    n_vector = vector_out;
  }
}

}  // namespace

std::vector<TensorShape> tensors_of(const NetworkSettings &settings) {
  const std::int64_t F = settings.nfeat;
  std::vector<TensorShape> tensors;
  tensors.push_back({"painn.embedding.weight", {MAX_ELEMENTS, F}});
  add_dense(tensors, "painn.filter", settings.nrbf, settings.nblock * 3 * F);
  for (int l = 0; l < settings.nblock; ++l) {
    const std::string message = "painn.message." + std::to_string(l);
    add_dense(tensors, message + ".0", F, F);
    add_dense(tensors, message + ".1", F, 3 * F);
    const std::string mixing = "painn.mixing." + std::to_string(l);
    tensors.push_back({mixing + ".mix.weight", {2 * F, F}});
    add_dense(tensors, mixing + ".0", 2 * F, F);
    add_dense(tensors, mixing + ".1", F, 3 * F);
  }
  add_head(tensors, "score", F + TIME_FEATURES, F);
  if (settings.force_head)
    add_head(tensors, "force", F, F);
  return tensors;
}

Parameters::Parameters(const NetworkSettings &settings, at::ScalarType dtype) {
  std::int64_t total = 0;
  for (TensorShape &tensor : tensors_of(settings)) {
    names_.push_back(tensor.name);
    offsets_.push_back(total);
    total += std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1},
                             std::multiplies<>());
    shapes_.push_back(std::move(tensor.shape));
  }
  flat_ = at::zeros({total}, at::TensorOptions().dtype(dtype));
  gradient_ = at::zeros_like(flat_);
  for (std::size_t k = 0; k < names_.size(); ++k) {
    const std::int64_t end = k + 1 < names_.size() ? offsets_[k + 1] : total;
    at::Tensor view = flat_.slice(0, offsets_[k], end).view(shapes_[k]).detach();
    view.set_requires_grad(true);
    // A gradient that exists is added to in place, so it stays a view of the flat tensor.
    view.mutable_grad() = gradient_.slice(0, offsets_[k], end).view(shapes_[k]);
    views_.push_back(view);
  }
}

std::size_t Parameters::index(const std::string &name) const {
  const auto it = std::find(names_.begin(), names_.end(), name);
  if (it == names_.end())
    throw std::runtime_error("the reference network has no tensor named " + name);
  return static_cast<std::size_t>(it - names_.begin());
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

}  // namespace reference
}  // namespace godiff
