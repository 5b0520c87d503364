// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/optimizer.hpp"

#include <cmath>

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

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
    second_moment(at::zeros_like(parameters.flat())) {
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

void AdamW::step(Parameters &parameters, double clip) {
  at::NoGradGuard no_grad;
  const at::Tensor &gradient = parameters.flat_gradient();
  const double norm = gradient.norm().item<double>();
  const double scale = std::min(1.0, clip / (norm + CLIP_EPS));
  ++steps;
  const double correction1 = 1.0 - std::pow(BETA1, static_cast<double>(steps));
  const double correction2 = std::sqrt(1.0 - std::pow(BETA2, static_cast<double>(steps)));
  AT_DISPATCH_FLOATING_TYPES(gradient.scalar_type(), "godiff::adamw", [&] {
    auto *p = parameters.flat().data_ptr<scalar_t>();
    const auto *g = gradient.const_data_ptr<scalar_t>();
    auto *m = first_moment.data_ptr<scalar_t>();
    auto *v = second_moment.data_ptr<scalar_t>();
    const auto shrink = static_cast<scalar_t>(1.0 - learning_rate * DECAY);
    const auto rate = static_cast<scalar_t>(learning_rate / correction1);
    const auto root = static_cast<scalar_t>(1.0 / correction2);
    const auto b1 = static_cast<scalar_t>(BETA1), b2 = static_cast<scalar_t>(BETA2);
    const auto eps = static_cast<scalar_t>(EPS), clipped = static_cast<scalar_t>(scale);
    for (const auto &range : ranges_)
      for (std::int64_t k = range.first; k < range.second; ++k) {
        const scalar_t gk = g[k] * clipped;
        m[k] = b1 * m[k] + (1 - b1) * gk;
        v[k] = b2 * v[k] + (1 - b2) * gk * gk;
        p[k] = p[k] * shrink - rate * m[k] / (std::sqrt(v[k]) * root + eps);
      }
  });
  gradient.zero_();
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
