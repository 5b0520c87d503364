// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/optimizer.hpp"

#include <limits>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "kernels/flat_buffers.hpp"

namespace godiff {

namespace {

constexpr double BETA1 = 0.9, BETA2 = 0.999, EPS = 1e-8, DECAY = 0.01;
constexpr double CLIP_EPS = 1e-6;
constexpr double THRESHOLD = 1e-4;
constexpr double SMALLEST_CHANGE = 1e-8;

}  // namespace

AdamW::AdamW(const Parameters &parameters, double lr, const std::string &frozen) :
    learning_rate(at::full({}, lr, parameters.flat().options().dtype(at::kDouble))),
    steps(at::zeros({}, parameters.flat().options().dtype(at::kLong))),
    first_moment(at::zeros_like(parameters.flat())),
    second_moment(at::zeros_like(parameters.flat())),
    skipped(at::zeros({}, parameters.flat().options().dtype(at::kLong))) {
  for (const std::string &name : parameters.names()) {
    if (!frozen.empty() && name.compare(0, frozen.size(), frozen) == 0)
      continue;
    const std::int64_t begin = parameters.offset(name);
    const std::int64_t end = begin + parameters[name].numel();
    if (!ranges_.empty() && ranges_.back().second == begin)
      ranges_.back().second = end;
    else
      ranges_.emplace_back(begin, end);
  }
}

void AdamW::step(Parameters &parameters, double clip, const at::Tensor &loss) {
  const at::Tensor &gradient = parameters.flat_gradient();
  // |g|^2, by the kernel that also sums the parts of a gradient: here there is one part.
  const at::Tensor squares = sum_parts({gradient}, gradient);
  const at::Tensor judged = loss.defined() ? squares + loss : squares;
  const AdamWBuffers buffers{gradient, parameters.flat(), first_moment, second_moment};
  const at::Tensor accept = judged.isfinite();
  steps.add_(accept);
  skipped.add_(accept.logical_not());
  const at::Tensor k = steps.to(at::kDouble);
  const at::Tensor rate = learning_rate / at::rsub(at::pow(BETA1, k), 1.0);
  const at::Tensor root = at::rsub(at::pow(BETA2, k), 1.0).sqrt_().reciprocal_();
  const at::Tensor scale =
      (at::full_like(squares, clip) / (squares.sqrt() + CLIP_EPS)).clamp_max_(1.0);
  const at::Tensor numbers = at::stack({at::rsub(learning_rate * DECAY, 1.0), rate, root, scale});
  adamw_update({BETA1, BETA2, EPS, 1.0, 1.0, 1.0, 1.0}, numbers, accept, ranges_, buffers);
  parameters.touch();
}

Plateau::Plateau(double given_factor, int given_patience, c10::Device device) :
    factor(given_factor),
    patience(given_patience),
    best(at::full({}, std::numeric_limits<double>::infinity(),
                  at::TensorOptions(device).dtype(at::kDouble))),
    bad(at::zeros({}, at::TensorOptions(device).dtype(at::kLong))) {}

void Plateau::update(const at::Tensor &loss, const at::Tensor &learning_rate) {
  const at::Tensor better = loss < best * (1.0 - THRESHOLD);
  best.copy_(at::where(better, loss, best));
  bad.add_(1).mul_(better.logical_not());
  const at::Tensor reduce = bad > patience;
  bad.mul_(reduce.logical_not());
  const at::Tensor reduced = learning_rate * factor;
  const at::Tensor follow = reduce.logical_and(learning_rate - reduced > SMALLEST_CHANGE);
  learning_rate.copy_(at::where(follow, reduced, learning_rate));
}

}  // namespace godiff
