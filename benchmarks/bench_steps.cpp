// SPDX-License-Identifier: GPL-2.0-only
// Time of whole training and reverse steps, and the file of the same batches for the peer.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/util/Exception.h>

#include "batches.hpp"
#include "core/base/error.hpp"
#include "core/base/settings.hpp"
#include "core/base/version.hpp"
#include "kernels/implementation.hpp"
#include "kokkos.hpp"
#include "options.hpp"
#include "steps.hpp"
#include "systems.hpp"

namespace {

using godiff_bench::Options;
using godiff_bench::ReverseBatch;
using godiff_bench::ReverseStep;
using godiff_bench::Slab;
using godiff_bench::TrainingStep;

void training(benchmark::State &state, const Slab &slab, std::int64_t batch, c10::Device device) {
  TrainingStep step(slab, godiff::Settings(), batch, device);
  for (auto _ : state)
    benchmark::DoNotOptimize(step.run());
}

void reverse(benchmark::State &state, const Slab &slab, const ReverseBatch &batch,
             c10::Device device) {
  ReverseStep step(slab, godiff::Settings(), batch, device);
  for (auto _ : state)
    benchmark::DoNotOptimize(step.run().data_ptr());
}

template <class Case> void add(const std::string &name, Case run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMillisecond);
}

void add_cases(const Options &options) {
  const godiff::Settings settings;
  for (const std::string &name : options.systems) {
    const auto slab = std::make_shared<Slab>(godiff_bench::make_slab(name));
    for (const std::int64_t batch : options.batches) {
      const std::string tail = "/" + std::to_string(batch);
      if (options.has("training"))
        add(name + "/training" + tail, [slab, batch, device = options.device](auto &state) {
          training(state, *slab, batch, device);
        });
      if (options.has("reverse"))
        add(name + "/reverse" + tail, [=, device = options.device](auto &state) {
          reverse(state, *slab, godiff_bench::middle_of_chain(*slab, settings, batch), device);
        });
      if (options.has("start"))
        add(name + "/start" + tail, [=, device = options.device](auto &state) {
          reverse(state, *slab, godiff_bench::start_of_chain(*slab, settings, batch), device);
        });
    }
  }
}

int run(int argc, char **argv) {
  const Options options = godiff_bench::read_options(argc, argv);
  if (options.device.is_cuda() && !at::hasCUDA())
    throw godiff::Error("--device cuda: LibTorch sees no CUDA device (was GODIFF built with "
                        "-D GODIFF_TORCH_CUDA=ON?)");
  if (options.threads > 0)
    at::set_num_threads(options.threads);
  if (!options.batch_file.empty()) {
    godiff_bench::write_batches(options);
    return 0;
  }
  const godiff_bench::Kokkos kokkos;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  benchmark::AddCustomContext("godiff", godiff::version());
  benchmark::AddCustomContext("libtorch", GODIFF_TORCH_VERSION);
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::AddCustomContext("device", options.device.str());
  benchmark::AddCustomContext(
      "kernels", godiff::kernels::name(godiff::kernels::implementation(options.device)));
  add_cases(options);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const c10::Error &error) {
    std::fprintf(stderr, "bench_steps: %s\n", error.what_without_backtrace());
  } catch (const std::exception &error) {
    std::fprintf(stderr, "bench_steps: %s\n", error.what());
  }
  return 2;
}
