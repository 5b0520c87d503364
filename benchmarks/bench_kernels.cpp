// SPDX-License-Identifier: GPL-2.0-only
// Time of each kernel on one chunk of structures and one thread, as the engine calls them. The
// instruction set is the best of the machine, or that of GODIFF_INSTRUCTION_SET.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "core/base/error.hpp"
#include "core/base/settings.hpp"
#include "core/geometry/structure_graphs.hpp"
#include "core/network/backbone.hpp"
#include "kernels/flat_buffers.hpp"
#include "kernels/implementation.hpp"
#include "kernels/instruction_set.hpp"
#include "kernels/messages.hpp"
#include "kernels/mixing.hpp"
#include "kokkos.hpp"
#include "options.hpp"
#include "systems.hpp"

namespace {

using godiff::AtomRows;
using godiff::ChunkGraph;
using godiff::Filters;
using godiff::FirstBlockRows;

at::Tensor random(at::IntArrayRef sizes) {
  return at::randn(sizes, at::kFloat);
}

// One chunk in the middle of a reverse chain, with random features in tables of the right shapes.
class Chunk {
public:
  Chunk(const std::string &name, std::int64_t count) :
      slab_(godiff_bench::make_slab(name)),
      graphs(slab_.system, settings.network.cutoff, at::kFloat),
      positions(godiff_bench::middle_of_chain(slab_, settings, count).positions) {
    build();
    pair_filter = random({graph.n_pairs(), 3 * n_feat()});
    template_filter = random({static_cast<std::int64_t>(edges().distance.size()), 3 * n_feat()});
  }

  std::int64_t n_feat() const { return settings.network.nfeat; }
  const godiff::TemplateEdges &edges() const { return graphs.template_edges(); }
  // With the hops of a gradient, the larger number.
  void build() {
    graphs.build(positions.const_data_ptr<double>(), positions.size(0),
                 godiff::ReceptiveField::hops_needed(settings.network.nblock, true), graph);
  }
  FirstBlockRows first_rows() const {
    const std::int64_t n = slab_.system.n_template;
    const std::int64_t elements =
        1 + *std::max_element(edges().element.begin(), edges().element.end());
    return {random({elements, 3 * n_feat()}), random({elements, n_feat()}), random({n, n_feat()}),
            random({n, 3, n_feat()})};
  }
  AtomRows atom_rows(std::int64_t n) const {
    return {random({n, 3 * n_feat()}), random({n, 3, n_feat()}), random({n, n_feat()})};
  }
  Filters filters() const { return {template_filter, pair_filter}; }

private:
  godiff_bench::Slab slab_;

public:
  godiff::Settings settings;
  godiff::StructureGraphs graphs;
  at::Tensor positions;
  ChunkGraph graph;
  at::Tensor pair_filter, template_filter;
};

void build_graphs(benchmark::State &state, Chunk &chunk) {
  for (auto _ : state) {
    chunk.build();
    benchmark::DoNotOptimize(chunk.graph.direction.in_single.data());
  }
}

void template_first(benchmark::State &state, Chunk &chunk) {
  FirstBlockRows rows = chunk.first_rows();
  for (auto _ : state)
    template_first_messages(chunk.edges(), chunk.template_filter, rows);
}

void template_first_backward(benchmark::State &state, Chunk &chunk) {
  const FirstBlockRows rows = chunk.first_rows();
  FirstBlockRows gradient = chunk.first_rows();
  at::Tensor filter_gradient = at::zeros_like(chunk.template_filter);
  for (auto _ : state)
    template_first_messages_backward(chunk.edges(), chunk.template_filter, rows, gradient,
                                     filter_gradient);
}

// The first block: from the state shared by all structures to the atoms within one hop.
void first(benchmark::State &state, Chunk &chunk) {
  const FirstBlockRows rows = chunk.first_rows();
  AtomRows out = chunk.atom_rows(chunk.graph.rows(1));
  for (auto _ : state)
    first_messages(chunk.edges(), chunk.graph, 1, rows, chunk.pair_filter, out.q, out.mu);
}

void first_backward(benchmark::State &state, Chunk &chunk) {
  const FirstBlockRows rows = chunk.first_rows();
  FirstBlockRows gradient = chunk.first_rows();
  const AtomRows out = chunk.atom_rows(chunk.graph.rows(1));
  at::Tensor filter_gradient = at::zeros_like(chunk.pair_filter);
  for (auto _ : state)
    first_messages_backward(chunk.edges(), chunk.graph, 1, rows, chunk.pair_filter, out.q, out.mu,
                            gradient, filter_gradient);
}

// A later block, from the atoms within depth_in hops to those within depth_out.
void later(benchmark::State &state, Chunk &chunk, int depth_in, int depth_out) {
  const AtomRows own = chunk.atom_rows(chunk.graph.rows(depth_in)),
                 base = chunk.atom_rows(chunk.graph.n_template);
  AtomRows out = chunk.atom_rows(chunk.graph.rows(depth_out));
  for (auto _ : state)
    messages(chunk.edges(), chunk.graph, depth_in, depth_out, own, base, chunk.filters(), out.q,
             out.mu);
}

void later_backward(benchmark::State &state, Chunk &chunk, int depth_in, int depth_out) {
  const AtomRows own = chunk.atom_rows(chunk.graph.rows(depth_in)),
                 base = chunk.atom_rows(chunk.graph.n_template),
                 out = chunk.atom_rows(chunk.graph.rows(depth_out));
  AtomRows own_gradient = chunk.atom_rows(chunk.graph.rows(depth_in)),
           base_gradient = chunk.atom_rows(chunk.graph.n_template);
  Filters gradients{at::zeros_like(chunk.template_filter), at::zeros_like(chunk.pair_filter)};
  for (auto _ : state)
    messages_backward(chunk.edges(), chunk.graph, depth_in, depth_out, own, base, chunk.filters(),
                      out.q, out.mu, own_gradient, base_gradient, gradients);
}

// The mixing kernels, on the atoms of the widest table.
struct MixingTables {
  explicit MixingTables(const Chunk &chunk) {
    const std::int64_t n = chunk.graph.rows(2), F = chunk.n_feat();
    joined = random({n, 2 * F});
    vu = random({n, 3, 2 * F});
    prs = random({n, 3 * F});
    q = random({n, F});
    mu = random({n, 3, F});
    mu_out = random({n, 3, F});
    g_joined = random({n, 2 * F});
    gvu = random({n, 3, 2 * F});
    gprs = random({n, 3 * F});
  }
  at::Tensor joined, vu, prs, q, mu, mu_out, g_joined, gvu, gprs;
};

void norm(benchmark::State &state, Chunk &chunk) {
  MixingTables t(chunk);
  for (auto _ : state)
    godiff::mixing_norm(t.vu, t.joined);
}

void gate(benchmark::State &state, Chunk &chunk) {
  MixingTables t(chunk);
  for (auto _ : state)
    godiff::mixing_gate(t.joined, t.mu, t.vu, t.prs, t.q, t.mu_out);
}

void gate_backward(benchmark::State &state, Chunk &chunk) {
  MixingTables t(chunk);
  for (auto _ : state)
    godiff::mixing_gate_backward(t.q, t.mu, t.vu, t.prs, t.gprs, t.gvu);
}

void norm_backward(benchmark::State &state, Chunk &chunk) {
  MixingTables t(chunk);
  godiff::mixing_norm(t.vu, t.joined);
  // It adds to what is there, so what is added is kept at zero and the numbers stay finite.
  t.g_joined.zero_();
  for (auto _ : state)
    godiff::mixing_norm_backward(t.vu, t.joined, t.g_joined, t.gvu, t.q);
}

void column_sums(benchmark::State &state, Chunk &chunk) {
  const at::Tensor values = at::zeros({chunk.graph.rows(2), 3 * chunk.n_feat()}, at::kFloat),
                   sums = at::zeros({3 * chunk.n_feat()}, at::kFloat);
  for (auto _ : state)
    godiff::add_column_sums(values, sums);
}

constexpr std::int64_t N_WEIGHTS = 231581;  // of the network with its default settings

void sum_gradients(benchmark::State &state) {
  std::vector<at::Tensor> parts;
  for (int k = 0; k < state.range(0); ++k)
    parts.push_back(random({N_WEIGHTS}));
  const at::Tensor total = at::empty({N_WEIGHTS}, at::kFloat);
  for (auto _ : state)
    benchmark::DoNotOptimize(godiff::sum_parts(parts, total));
}

void adamw(benchmark::State &state) {
  const godiff::AdamWBuffers buffers{random({N_WEIGHTS}), random({N_WEIGHTS}), random({N_WEIGHTS}),
                                     random({N_WEIGHTS}).square()};
  for (auto _ : state)
    godiff::adamw_update({0.9, 0.999, 1e-8, 1.0 - 1e-6, 1e-4, 1.0, 1.0}, {{0, N_WEIGHTS}}, buffers);
}

void add_cases(const godiff_bench::Options &options) {
  using Kernel = void (*)(benchmark::State &, Chunk &);
  const std::vector<std::pair<const char *, Kernel>> kernels{
      {"graph", build_graphs},
      {"template_first_messages", template_first},
      {"template_first_messages_backward", template_first_backward},
      {"first_messages", first},
      {"first_messages_backward", first_backward},
      {"messages_1_to_2", [](auto &state, auto &chunk) { later(state, chunk, 1, 2); }},
      {"messages_2_to_1", [](auto &state, auto &chunk) { later(state, chunk, 2, 1); }},
      {"messages_1_to_0", [](auto &state, auto &chunk) { later(state, chunk, 1, 0); }},
      {"messages_1_to_2_backward",
       [](auto &state, auto &chunk) { later_backward(state, chunk, 1, 2); }},
      {"messages_2_to_1_backward",
       [](auto &state, auto &chunk) { later_backward(state, chunk, 2, 1); }},
      {"messages_1_to_0_backward",
       [](auto &state, auto &chunk) { later_backward(state, chunk, 1, 0); }},
      {"mixing_norm", norm},
      {"mixing_gate", gate},
      {"mixing_gate_backward", gate_backward},
      {"mixing_norm_backward", norm_backward},
      {"add_column_sums", column_sums}};
  for (const std::string &system : options.systems)
    for (const std::int64_t count : options.batches) {
      const auto chunk = std::make_shared<Chunk>(system, count);
      for (const auto &kernel : kernels) {
        const std::string name = system + "/" + kernel.first + "/" + std::to_string(count);
        benchmark::RegisterBenchmark(name.c_str(), [chunk, run = kernel.second](auto &state) {
          run(state, *chunk);
        })->Unit(benchmark::kMicrosecond);
      }
    }
  benchmark::RegisterBenchmark("sum_parts", sum_gradients)->Arg(8)->Unit(benchmark::kMicrosecond);
  benchmark::RegisterBenchmark("adamw_update", adamw)->Unit(benchmark::kMicrosecond);
}

int run(int argc, char **argv) {
  godiff_bench::Options defaults;
  defaults.systems = {"S2", "12x12x4-7", "12x12x4-56"};
  defaults.batches = {8};
  defaults.threads = 1;
  const godiff_bench::Options options = godiff_bench::read_options(argc, argv, defaults);
  if (!options.device.is_cpu() || !options.batch_file.empty())
    throw godiff::Error(
        "of the options of bench_steps this program takes --systems, --batches (the "
        "structures of a chunk) and --threads");
  at::set_num_threads(options.threads);
  const godiff_bench::Kokkos kokkos;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  benchmark::AddCustomContext(
      "kernels", godiff::kernels::name(godiff::kernels::implementation(options.device)));
  benchmark::AddCustomContext("instruction_set",
                              godiff::kernels::name(godiff::kernels::active_instruction_set()));
  add_cases(options);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "bench_kernels: %s\n", error.what());
  }
  return 2;
}
