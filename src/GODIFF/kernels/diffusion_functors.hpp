// SPDX-License-Identifier: GPL-2.0-only
// diffusion.hpp for one structure or one atom. For diffusion*.cpp only.
#pragma once

#include <cstdint>

#include "kernels/diffusion.hpp"

namespace godiff {
namespace {

/// Index: structure.
struct DrawTime {
  StreamKey key;
  const std::int64_t *step;
  double *t;

  DrawTime(const StreamKey &given_key, const at::Tensor &given_step, const at::Tensor &times) :
      key(given_key),
      step(given_step.const_data_ptr<std::int64_t>()),
      t(times.data_ptr<double>()) {}

  GODIFF_MATH void operator()(std::int64_t g) const {
    RandomNumbers random(key, static_cast<std::uint32_t>(*step), static_cast<std::uint32_t>(g));
    t[g] = training_time(random.uniform());
  }
};

/// Index: structure, mobile atom.
struct AddNoise {
  StreamKey key;
  const std::int64_t *step;
  Schedule schedule;
  Window window;
  std::int64_t n;
  const double *clean, *t;
  double *positions, *noise;

  AddNoise(const StreamKey &given_key, const at::Tensor &given_step, const Schedule &given_schedule,
           const Window &given_window, const at::Tensor &from, const at::Tensor &times,
           const at::Tensor &to, const at::Tensor &w) :
      key(given_key),
      step(given_step.const_data_ptr<std::int64_t>()),
      schedule(given_schedule),
      window(given_window),
      n(from.size(1)),
      clean(from.const_data_ptr<double>()),
      t(times.const_data_ptr<double>()),
      positions(to.data_ptr<double>()),
      noise(w.data_ptr<double>()) {}

  GODIFF_MATH void operator()(std::int64_t index) const {
    const std::int64_t g = index / n, i = index - g * n;
    RandomNumbers random(key, static_cast<std::uint32_t>(*step), static_cast<std::uint32_t>(g),
                         static_cast<std::uint32_t>(UNIFORMS_OF_AN_ATOM * i));
    noise_atom(clean + 3 * index, schedule.std(t[g]), window, random, positions + 3 * index,
               noise + 3 * index);
  }
};

/// Index: candidate, mobile atom.
struct ReverseMove {
  StreamKey key;
  std::uint32_t first;
  Window window;
  std::int64_t n, steps;
  const double *drift, *sigma;
  const std::int64_t *step;
  const double *score;
  double *x;

  ReverseMove(const ReverseChain &chain, const at::Tensor &i, const at::Tensor &s,
              const at::Tensor &positions) :
      key(chain.key),
      first(chain.first),
      window(chain.window),
      n(positions.size(1)),
      steps(chain.drift.size(0)),
      drift(chain.drift.const_data_ptr<double>()),
      sigma(chain.sigma.const_data_ptr<double>()),
      step(i.const_data_ptr<std::int64_t>()),
      score(s.const_data_ptr<double>()),
      x(positions.data_ptr<double>()) {}

  GODIFF_MATH void operator()(std::int64_t index) const {
    const std::int64_t c = index / n, i = index - c * n;
    RandomNumbers random(key, first + static_cast<std::uint32_t>(c),
                         static_cast<std::uint32_t>(*step),
                         static_cast<std::uint32_t>(UNIFORMS_OF_AN_ATOM * i));
    reverse_atom({drift[*step], sigma[*step], *step + 1 == steps}, x + 3 * index, score + 3 * index,
                 window, random, x + 3 * index);
  }
};

/// Index: structure, mobile atom.
struct Wrap {
  CellMath cell;
  double *x;

  Wrap(const CellMath &given_cell, const at::Tensor &positions) :
      cell(given_cell),
      x(positions.data_ptr<double>()) {}

  GODIFF_MATH void operator()(std::int64_t index) const { cell.wrap(x + 3 * index); }
};

}  // namespace
}  // namespace godiff
