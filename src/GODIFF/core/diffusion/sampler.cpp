// SPDX-License-Identifier: GPL-2.0-only
#include "core/diffusion/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/base/random.hpp"
#include "core/diffusion/guidance.hpp"
#include "core/network/recorded_step.hpp"
#include "kernels/diffusion_math.hpp"

namespace godiff {

namespace {

constexpr double EXTRA_STEP = 0.1;    // step of the relaxation after the last reverse step
constexpr double EXTRA_FORCE = 0.05;  // eV/Angstrom, its stop criterion

// max_i |F_i| over the mobile atoms of every structure.
std::vector<double> largest_forces(const at::Tensor &forces, std::int64_t n_mobile) {
  const at::Tensor mobile = forces.narrow(1, forces.size(1) - n_mobile, n_mobile);
  const at::Tensor largest =
      mobile.to(at::kCPU, at::kDouble).square().sum(2).sqrt().amax({1}).contiguous();
  const double *p = largest.const_data_ptr<double>();
  return {p, p + largest.numel()};
}

// The score in float64, 0 for atoms of which it is not finite; these are added to `count`, on its device.
at::Tensor without_non_finite(const at::Tensor &score, const at::Tensor &count) {
  const at::Tensor s = score.to(at::kDouble).contiguous();
  const at::Tensor bad = s.isfinite().all(2, /*keepdim=*/true).logical_not_();
  count.add_(bad.sum());
  return s.masked_fill(bad, 0.0);
}

}  // namespace

Schedule make_schedule(const Settings &settings) {
  Schedule schedule;
  schedule.g2_legacy = settings.g2_legacy;
  return schedule;
}

Sampler::Sampler(const System &system, const Settings &settings) :
    system_(system),
    settings_(settings),
    schedule_(make_schedule(settings)),
    times_(reverse_times(settings.sample_steps, settings.sample_eps)) {
  const double dt = times_[0] - times_[1];
  std::vector<double> drift, sigma;
  for (const double t : times_) {
    const double g2 = schedule_.g2(t);
    const double scale =
        settings_.score_scale == ScoreScale::RESCALED ? schedule_.std(t) : 1.0;  // section 5
    drift.push_back(dt * g2 * scale);
    sigma.push_back(std::sqrt(dt * g2));
  }
  drift_ = at::tensor(drift, at::kDouble);
  sigma_ = at::tensor(sigma, at::kDouble);
}

at::Tensor Sampler::prior(const SampleRequest &request) const {
  at::Tensor x = at::empty({request.count, system_.n_mobile, 3}, at::kDouble);
  double *p = x.data_ptr<double>();
  for (std::int64_t c = 0; c < request.count; ++c) {
    RandomStream random(settings_.seed, Purpose::PRIOR, static_cast<std::uint32_t>(request.stage),
                        static_cast<std::uint32_t>(request.first + c));
    for (std::int64_t i = 0; i < system_.n_mobile; ++i, p += 3) {
      const double f1 = random.uniform(), f2 = random.uniform(), f3 = random.uniform();
      const Vec3 r = system_.cell.cartesian({f1, f2, 0.0});
      p[0] = r[0];
      p[1] = r[1];
      p[2] = system_.z_lo + f3 * (system_.z_hi - system_.z_lo);
    }
  }
  return x;
}

at::Tensor Sampler::finite(const at::Tensor &score) {
  const at::Tensor count = at::zeros({}, at::kLong);
  const at::Tensor s = without_non_finite(score.to(at::kCPU), count);
  non_finite_ += count.item<std::int64_t>();
  return s;
}

ReverseChain Sampler::chain(const SampleRequest &request, c10::Device device) const {
  return {stream_key(settings_.seed, Purpose::REVERSE_NOISE, request.stage),
          static_cast<std::uint32_t>(request.first),
          {system_.z_lo, system_.z_hi},
          system_.cell.math(),
          drift_.to(device),
          sigma_.to(device)};
}

at::Tensor Sampler::step(const SampleRequest &request, const at::Tensor &x, const at::Tensor &score,
                         int i) const {
  at::Tensor next = x.clone(at::MemoryFormat::Contiguous);
  reverse_move(chain(request, at::kCPU), at::scalar_tensor(i, at::kLong), score.contiguous(), next);
  return next;
}

at::Tensor Sampler::reverse_on_device(const SampleRequest &request, c10::Device device,
                                      const DeviceScore &score,
                                      const std::function<bool(std::int64_t, std::int64_t)> &tick) {
  const auto steps = static_cast<std::int64_t>(times_.size());
  const at::TensorOptions there(device);
  const ReverseChain numbers = chain(request, device);
  const at::Tensor x = prior(request).to(device).contiguous();
  const at::Tensor times = at::tensor(times_, at::kDouble).to(device);
  const at::Tensor i = at::zeros({1}, there.dtype(at::kLong));
  const at::Tensor non_finite = at::zeros({}, there.dtype(at::kLong));
  RecordedStep step(device, [&] {
    const at::Tensor t = times.index_select(0, i).expand({request.count}).contiguous();
    const at::Tensor s = without_non_finite(score(x, t), non_finite);
    reverse_move(numbers, i, s, x);
    wrap_positions(numbers.cell, x);
    i.add_(1);
  });
  for (std::int64_t done = 1; done <= steps; ++done) {
    step.run();
    calls_ += request.count;
    if (tick && !tick(done, steps))
      return {};
  }
  const at::Tensor result = x.to(at::kCPU);
  non_finite_ += non_finite.item<std::int64_t>();
  return result;
}

at::Tensor Sampler::reverse(const SampleRequest &request, const ScoreFunction &score,
                            const ForceFunction &forces,
                            const std::function<bool(std::int64_t, std::int64_t)> &tick,
                            Comm &comm) {
  const bool guided = request.guide > 0.0;
  const int extra = guided ? settings_.guide_extra : 0;
  const auto steps = static_cast<std::int64_t>(times_.size());
  const double dt = times_[0] - times_[1];
  at::Tensor x;
  std::optional<Guidance> guidance;
  on_each(comm, [&] {
    x = prior(request);
    Settings guide_settings = settings_;
    guide_settings.guide = request.guide;
    guidance.emplace(system_, guide_settings, guided ? request.count : 0);
  });
  const auto go_on = [&](std::int64_t done) { return !tick || tick(done, steps + extra); };

  for (int i = 0; i < steps; ++i) {
    const bool all_go_on = true_on_each(comm, [&] {
      x = step(request, x, finite(score(x, times_[i])), i);
      calls_ += request.count;
      wrap_positions(system_.cell.math(), x);
      if (guided) {
        guidance->push(x, finite(forces(x)), guidance->coefficient(times_[i], dt));
        calls_ += request.count;
        wrap_positions(system_.cell.math(), x);
      }
      return go_on(i + 1);
    });
    if (!all_go_on)
      return {};
  }
  for (int i = 0; i < extra; ++i) {
    at::Tensor f;
    std::vector<bool> active;
    // A rank whose structures are all relaxed goes on as long as another has work: so did they in one
    // batch on one rank.
    const bool relaxed = true_on_each(comm, [&] {
      f = finite(forces(x));
      calls_ += request.count;
      for (double largest : largest_forces(f, system_.n_mobile))
        active.push_back(largest > EXTRA_FORCE);
      return std::find(active.begin(), active.end(), true) == active.end();
    });
    if (relaxed)
      break;
    const bool all_go_on = true_on_each(comm, [&] {
      guidance->push(x, f, EXTRA_STEP, active);
      wrap_positions(system_.cell.math(), x);
      return go_on(steps + i + 1);
    });
    if (!all_go_on)
      return {};
  }
  return x;
}

}  // namespace godiff
