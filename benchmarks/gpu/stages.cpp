// SPDX-License-Identifier: GPL-2.0-only
// Whole stages of a search as fix godiff has them: with the functors of Kokkos they stay on the device, and on CUDA
// their steps are replayed.
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "../systems.hpp"
#include "core/network/device_stream.hpp"
#include "core/search/learner.hpp"
#include "measure.hpp"
#include "work.hpp"

namespace godiff_bench {

namespace {

using godiff::Learner;
using godiff::Settings;

constexpr std::int64_t STRUCTURES = 160;

Settings settings_of(bool double_precision, std::int64_t train_steps, int sample_steps) {
  Settings settings;
  settings.batch = 16;
  settings.val_fraction = 0.0;
  settings.double_precision = double_precision;
  settings.train_steps = static_cast<int>(train_steps);
  settings.sample_steps = sample_steps;
  return settings;
}

// The structures that a stage learns from: the island, shaken.
at::Tensor structures(const Slab &slab) {
  return training_batch(slab, Settings(), STRUCTURES).positions;
}

void train(Learner &learner, const at::Tensor &positions) {
  const godiff::DeviceStream stream;
  learner.train_score(positions, std::vector<double>(STRUCTURES, 1.0), 1, {});
}

at::Tensor sample(Learner &learner, std::int64_t count) {
  const godiff::DeviceStream stream;
  godiff::SampleRequest request;
  request.stage = 1;
  request.count = count;
  return learner.sample(request, {});
}

double seconds_of(const std::function<void()> &work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Milliseconds of one of many steps: what a stage of twice as many takes longer. Beginning and end of a stage, with
// which the host waits for the device, are in neither; the median of three.
double time_of_a_step(const std::function<double(std::int64_t)> &stage, double seconds) {
  constexpr std::int64_t FEWEST = 20, MOST = 100000;
  stage(FEWEST);
  const double once = stage(FEWEST) / static_cast<double>(FEWEST);
  const std::int64_t steps =
      std::clamp(static_cast<std::int64_t>(seconds / 3.0 / once), FEWEST, MOST);
  std::vector<double> times;
  for (int k = 0; k < 3; ++k)
    times.push_back((stage(2 * steps) - stage(steps)) / static_cast<double>(steps));
  std::sort(times.begin(), times.end());
  return 1000.0 * times[1];
}

}  // namespace

void check_stages(const CheckOptions &options, Report &report) {
  const Slab slab = make_slab("S2");
  const at::Tensor positions = structures(slab);
  report.attempt("stage S2", [&] {
    Learner here(slab.system, settings_of(true, 20, 10), c10::Device(c10::kCPU));
    Learner there(slab.system, settings_of(true, 20, 10), options.device);
    report.check("ten reverse steps of a stage S2/8 float64",
                 deviation(sample(there, 8), sample(here, 8)), 1e-8);
    const auto weights = [](Learner &learner) {
      return learner.network().parameters().flat().to(at::kCPU, at::kDouble, false, true);
    };
    const at::Tensor start = weights(here);
    train(here, positions);
    train(there, positions);
    // As for training steps, see network.cpp: the mean, of the way that the weights have gone.
    const double way = (weights(here) - start).abs().mean().item<double>();
    report.check("twenty training steps of a stage S2/16 float64",
                 (weights(there) - weights(here)).abs().mean().item<double>() / way, 1e-6);
  });
}

void time_stages(const CheckOptions &options, Report &report) {
  constexpr std::int64_t REVERSE = 128;
  for (const std::string &name : options.systems) {
    const Slab slab = make_slab(name);
    const at::Tensor positions = structures(slab);
    const auto time = [&](const std::string &what,
                          const std::function<double(c10::Device, std::int64_t)> &stage) {
      report.attempt(what, [&] {
        forget_peak(options.device);
        const double milliseconds = time_of_a_step(
            [&](std::int64_t steps) { return stage(options.device, steps); }, options.seconds);
        report_time(what, options.device, milliseconds, report);
      });
    };
    time("training step " + name + "/16 in a stage", [&](c10::Device device, std::int64_t steps) {
      Learner learner(slab.system, settings_of(false, steps, 2), device);
      return seconds_of([&] { train(learner, positions); });
    });
    time("reverse step " + name + "/" + std::to_string(REVERSE) + " in a stage",
         [&](c10::Device device, std::int64_t steps) {
           Learner learner(slab.system, settings_of(false, 1, static_cast<int>(steps)), device);
           return seconds_of([&] { sample(learner, REVERSE); });
         });
  }
}

}  // namespace godiff_bench
