// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/diffusion.hpp"

#include "kernels/diffusion_functors.hpp"
#include "kernels/kokkos_space.hpp"

namespace godiff {
namespace kokkos {

namespace {

using Space = Kokkos::DefaultExecutionSpace;

}  // namespace

void draw_times(const StreamKey &key, const at::Tensor &step, const at::Tensor &t) {
  for_each<Space>("godiff::draw_times", t, t.size(0), DrawTime(key, step, t));
}

void add_noise(const StreamKey &key, const at::Tensor &step, const Schedule &schedule,
               const Window &window, const at::Tensor &clean, const at::Tensor &t,
               const at::Tensor &positions, const at::Tensor &noise) {
  for_each<Space>("godiff::add_noise", t, clean.size(0) * clean.size(1),
                  AddNoise(key, step, schedule, window, clean, t, positions, noise));
}

void reverse_move(const ReverseChain &chain, const at::Tensor &i, const at::Tensor &score,
                  const at::Tensor &x) {
  for_each<Space>("godiff::reverse_move", x, x.size(0) * x.size(1),
                  ReverseMove(chain, i, score, x));
}

void wrap_positions(const CellMath &cell, const at::Tensor &x) {
  for_each<Space>("godiff::wrap_positions", x, x.size(0) * x.size(1), Wrap(cell, x));
}

}  // namespace kokkos
}  // namespace godiff
