// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/diffusion.hpp"

#include "kernels/diffusion_functors.hpp"
#include "kernels/implementation.hpp"

#ifdef GODIFF_KOKKOS
#define GODIFF_RETURN_IF_KOKKOS(tensor, ...)                                         \
  if (kernels::implementation((tensor).device()) == kernels::Implementation::KOKKOS) \
    return kokkos::__VA_ARGS__;
#else
#define GODIFF_RETURN_IF_KOKKOS(tensor, ...)
#endif

namespace godiff {

namespace {

// A few microseconds for a batch: one thread does it.
template <class Functor>
void for_each(const at::Tensor &where, std::int64_t count, const Functor &functor) {
  TORCH_CHECK(where.device().is_cpu(), "without Kokkos the steps of the diffusion are for the CPU");
  for (std::int64_t i = 0; i < count; ++i)
    functor(i);
}

}  // namespace

void draw_times(const StreamKey &key, const at::Tensor &step, const at::Tensor &t) {
  GODIFF_RETURN_IF_KOKKOS(t, draw_times(key, step, t))
  for_each(t, t.size(0), DrawTime(key, step, t));
}

void add_noise(const StreamKey &key, const at::Tensor &step, const Schedule &schedule,
               const Window &window, const at::Tensor &clean, const at::Tensor &t,
               const at::Tensor &positions, const at::Tensor &noise) {
  GODIFF_RETURN_IF_KOKKOS(t, add_noise(key, step, schedule, window, clean, t, positions, noise))
  for_each(t, clean.size(0) * clean.size(1),
           AddNoise(key, step, schedule, window, clean, t, positions, noise));
}

void reverse_move(const ReverseChain &chain, const at::Tensor &i, const at::Tensor &score,
                  const at::Tensor &x) {
  GODIFF_RETURN_IF_KOKKOS(x, reverse_move(chain, i, score, x))
  for_each(x, x.size(0) * x.size(1), ReverseMove(chain, i, score, x));
}

void wrap_positions(const CellMath &cell, const at::Tensor &x) {
  GODIFF_RETURN_IF_KOKKOS(x, wrap_positions(cell, x))
  for_each(x, x.size(0) * x.size(1), Wrap(cell, x));
}

}  // namespace godiff
