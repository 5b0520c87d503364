// SPDX-License-Identifier: GPL-2.0-only
// Time of one training step and of one reverse step on the two systems of the examples.
#include <cmath>

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include "core/diffusion/noiser.hpp"
#include "core/diffusion/sampler.hpp"
#include "core/search/trainer.hpp"

namespace {

using namespace godiff;

constexpr double LATTICE = 3.92;  // Angstrom, fcc Pt

System finish(System system, double c0, double c1) {
  double top = 0.0;
  for (std::size_t k = 2; k < system.template_positions.size(); k += 3)
    top = std::max(top, system.template_positions[k]);
  system.z_lo = top + c0;
  system.z_hi = top + c1;
  system.n_template = static_cast<std::int64_t>(system.template_positions.size() / 3);
  for (std::int64_t i = 0; i < system.n_atoms(); ++i) {
    system.atomic_numbers.push_back(78);
    system.ids.push_back(i + 1);
    system.types.push_back(1);
  }
  return system;
}

// Pt(111), n x n atoms in each of two layers (examples/godiff/heptamer has n = 6).
System pt111(int n, int n_mobile) {
  const double d = LATTICE / std::sqrt(2.0), row = d * std::sqrt(3.0) / 2.0;
  System system;
  system.cell =
      Cell({{{n * d, 0, 0}, {n * d / 2, n * row, 0}, {0, 0, 18.2632131}}}, {true, true, false});
  for (int layer = 0; layer < 2; ++layer)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < n; ++i) {
        const double shift = layer == 0 ? d / std::sqrt(3.0) : 0.0;
        for (double x : {i * d + j * d / 2, shift + j * row, layer * LATTICE / std::sqrt(3.0)})
          system.template_positions.push_back(x);
      }
  system.n_mobile = n_mobile;
  return finish(system, 1.0, 6.0);
}

// Stepped Pt(1,2,2) of examples/godiff/adatom: layer k of 10 rows, two atoms each.
System stepped() {
  System system;
  const Vec3 a{8.7653865, 0, 0}, b{1.7530773, 5.2592319, 0};
  system.cell = Cell({{a, b, {0, 0, 21.88}}}, {true, true, false});
  for (int k = 0; k < 10; ++k)
    for (int half = 0; half < 2; ++half) {
      const Vec3 r = system.cell.wrap(
          {-2.6296159 * k + 0.8765386 * half, -0.5843591 * k + 2.6296159 * half, 0.0});
      for (double x : {r[0], r[1], 5.88 * k / 9})
        system.template_positions.push_back(x);
    }
  system.n_mobile = 1;
  return finish(system, 0.0, 4.0);
}

void reverse_step(benchmark::State &state, const System &system) {
  at::NoGradGuard no_grad;
  Settings settings;
  const GraphBuilder graphs(system, settings.network.cutoff, at::kFloat);
  ScoreNetwork network(settings.network, at::kFloat);
  network.initialise(1);
  const Sampler sampler(system, settings);
  const SampleRequest request{0, 0, state.range(0), 0.0};
  const at::Tensor species = species_tensor(system), x = sampler.prior(request);
  for (auto _ : state) {
    const at::Tensor score =
        network.score(graphs.build(x), species, at::full({x.size(0)}, 0.5, at::kDouble));
    benchmark::DoNotOptimize(sampler.step(request, x, score.to(at::kDouble), 1).data_ptr());
  }
  state.counters["threads"] = at::get_num_threads();
}

void training_step(benchmark::State &state, const System &system) {
  Settings settings;
  const GraphBuilder graphs(system, settings.network.cutoff, at::kFloat);
  ScoreNetwork network(settings.network, at::kFloat);
  network.initialise(1);
  AdamW optimizer(network.parameters(), settings.learning_rate);
  const Schedule schedule = make_schedule(settings);
  const std::int64_t batch = state.range(0);
  const at::Tensor species = species_tensor(system),
                   x = Sampler(system, settings).prior({0, 0, batch, 0.0}),
                   weights = at::ones({batch}, at::kDouble);
  std::int64_t step = 0;
  for (auto _ : state) {
    const at::Tensor t = draw_times(1, Purpose::TRAINING_TIME, 0, step, batch);
    const Noised noised = add_noise(system, schedule, x, t, 1, Purpose::TRAINING_NOISE, 0, step++);
    const at::Tensor score = network.score(graphs.build(noised.positions), species, t);
    score_loss(schedule, settings.score_scale, score, noised.noise, t, weights, system.n_atoms())
        .backward();
    optimizer.step(network.parameters(), settings.clip);
  }
  state.counters["threads"] = at::get_num_threads();
}

void adatom_training(benchmark::State &state) {
  training_step(state, stepped());
}
void adatom_reverse(benchmark::State &state) {
  reverse_step(state, stepped());
}
void heptamer_training(benchmark::State &state) {
  training_step(state, pt111(6, 7));
}
void heptamer_reverse(benchmark::State &state) {
  reverse_step(state, pt111(6, 7));
}

BENCHMARK(adatom_training)->Arg(8)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(adatom_reverse)->Arg(32)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(heptamer_training)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(heptamer_reverse)->Arg(128)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
