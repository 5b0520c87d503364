// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/noiser.hpp"

#include <ATen/Functions.h>

#include "kernels/diffusion_math.hpp"

namespace godiff {

namespace {

RandomStream stream(std::uint64_t seed, Purpose purpose, int stage, std::int64_t step,
                    std::int64_t structure) {
  return {seed, purpose, static_cast<std::uint32_t>(stage), static_cast<std::uint32_t>(step),
          static_cast<std::uint32_t>(structure)};
}

}  // namespace

at::Tensor draw_times(std::uint64_t seed, Purpose purpose, int stage, std::int64_t step,
                      std::int64_t count) {
  at::Tensor times = at::empty({count}, at::kDouble);
  double *t = times.data_ptr<double>();
  for (std::int64_t g = 0; g < count; ++g)
    t[g] = training_time(stream(seed, purpose, stage, step, g).uniform());
  return times;
}

Noised add_noise(const System &system, const Schedule &schedule, const at::Tensor &x0,
                 const at::Tensor &t, std::uint64_t seed, Purpose purpose, int stage,
                 std::int64_t step) {
  const at::Tensor clean = x0.to(at::kDouble).contiguous();
  Noised out{at::empty_like(clean), at::empty_like(clean)};
  const std::int64_t n = clean.size(1);
  const Window window{system.z_lo, system.z_hi};
  const double *x = clean.const_data_ptr<double>();
  const double *time = t.const_data_ptr<double>();
  double *xt = out.positions.data_ptr<double>();
  double *w = out.noise.data_ptr<double>();
  for (std::int64_t g = 0; g < clean.size(0); ++g) {
    RandomStream random = stream(seed, purpose, stage, step, g);
    const double s = schedule.std(time[g]);
    for (std::int64_t i = 3 * n * g; i < 3 * n * (g + 1); i += 3)
      noise_atom(x + i, s, window, random, xt + i, w + i);
  }
  return out;
}

}  // namespace godiff
