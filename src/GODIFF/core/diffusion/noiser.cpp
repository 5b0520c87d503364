// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/noiser.hpp"

#include <ATen/Functions.h>

#include "kernels/diffusion.hpp"

namespace godiff {

at::Tensor draw_times(std::uint64_t seed, Purpose purpose, int stage, const at::Tensor &step,
                      std::int64_t count) {
  at::Tensor times = at::empty({count}, step.options().dtype(at::kDouble));
  draw_times(stream_key(seed, purpose, stage), step, times);
  return times;
}

Noised add_noise(const System &system, const Schedule &schedule, const at::Tensor &x0,
                 const at::Tensor &t, std::uint64_t seed, Purpose purpose, int stage,
                 const at::Tensor &step) {
  const at::Tensor clean = x0.to(at::kDouble).contiguous();
  Noised out{at::empty_like(clean), at::empty_like(clean)};
  add_noise(stream_key(seed, purpose, stage), step, schedule, {system.z_lo, system.z_hi}, clean, t,
            out.positions, out.noise);
  return out;
}

}  // namespace godiff
