// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "kernels/flat_buffers.hpp"
#include "kernels/implementation.hpp"

namespace godiff {

namespace {

constexpr double BETA1 = 0.9, BETA2 = 0.999, EPS = 1e-8, DECAY = 0.01;
constexpr double CLIP_EPS = 1e-6;
constexpr double THRESHOLD = 1e-4;
constexpr double SMALLEST_CHANGE = 1e-8;

}  // namespace

AdamW::AdamW(const Parameters &parameters, double lr, const std::string &frozen) :
    learning_rate(lr),
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
  const bool by_rows = kernels::implementation(gradient.device()) == kernels::Implementation::ROWS;
  if (by_rows && !std::isfinite(judged.item<double>())) {
    skipped += 1;
    return;
  }
  ++steps;
  const double correction1 = 1.0 - std::pow(BETA1, static_cast<double>(steps));
  const double correction2 = std::sqrt(1.0 - std::pow(BETA2, static_cast<double>(steps)));
  kernels::AdamWStep step{BETA1,
                          BETA2,
                          EPS,
                          1.0 - learning_rate * DECAY,
                          learning_rate / correction1,
                          1.0 / correction2,
                          1.0};
  if (by_rows) {
    step.scale = std::min(1.0, clip / (std::sqrt(squares.item<double>()) + CLIP_EPS));
    adamw_update(step, ranges_, buffers);
  } else {
    const at::Tensor accept = judged.isfinite();
    const at::Tensor scale = (clip / (squares.sqrt() + CLIP_EPS)).clamp_max(1.0);
    adamw_update(step, scale.to(gradient.scalar_type()), accept, ranges_, buffers);
    skipped += accept.logical_not();
  }
  parameters.touch();
}

double Plateau::update(double loss, double learning_rate) {
  if (loss < best * (1.0 - THRESHOLD)) {
    best = loss;
    bad = 0;
  } else {
    ++bad;
  }
  if (bad <= patience)
    return learning_rate;
  bad = 0;
  const double reduced = learning_rate * factor;
  return learning_rate - reduced > SMALLEST_CHANGE ? reduced : learning_rate;
}

}  // namespace godiff
