// SPDX-License-Identifier: GPL-2.0-only
#include "systems.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "core/diffusion/noiser.hpp"
#include "core/diffusion/sampler.hpp"

namespace godiff_bench {

namespace {

using godiff::Cell;
using godiff::Settings;
using godiff::System;
using godiff::Vec3;

constexpr double LATTICE = 3.92;  // Angstrom, fcc Pt
constexpr double VACUUM = 16.0;   // Angstrom
constexpr int PLATINUM = 78;
constexpr int MAX_SIZE = 100;  // atoms along an edge, layers: more would be a mistyped name

// The confinement window [c0, c1] above the highest template atom, and arrays per atom.
Slab finish(std::string name, System system, const std::vector<double> &island, double c0,
            double c1) {
  double top = 0.0;
  for (std::size_t k = 2; k < system.template_positions.size(); k += 3)
    top = std::max(top, system.template_positions[k]);
  system.z_lo = top + c0;
  system.z_hi = top + c1;
  system.n_template = static_cast<std::int64_t>(system.template_positions.size() / 3);
  system.n_mobile = static_cast<std::int64_t>(island.size() / 3);
  for (std::int64_t i = 0; i < system.n_atoms(); ++i) {
    system.atomic_numbers.push_back(PLATINUM);
    system.ids.push_back(i + 1);
    system.types.push_back(1);
  }
  return {std::move(name), std::move(system),
          at::tensor(island, at::kDouble).view({system.n_mobile, 3})};
}

// The `count` hollow sites nearest to the middle one; equally near ones by their number.
std::vector<double> hollow_island(const Cell &cell, int size, int count, double d, double z) {
  std::vector<Vec3> sites;
  for (int j = 0; j < size; ++j)
    for (int i = 0; i < size; ++i)
      sites.push_back(
          {i * d + j * d / 2 + d / 2, j * d * std::sqrt(3.0) / 2 + d / std::sqrt(12.0), z});
  const Vec3 middle = sites[(size / 2) * size + size / 2];
  std::vector<std::pair<double, int>> order;
  for (int k = 0; k < size * size; ++k) {
    const Vec3 r = cell.minimum_image(
        {sites[k][0] - middle[0], sites[k][1] - middle[1], sites[k][2] - middle[2]});
    // Rounded, so that sites at the same distance are ordered by number and not by rounding.
    order.emplace_back(std::round(godiff::dot(r, r) * 1e6), k);
  }
  std::sort(order.begin(), order.end());
  std::vector<double> island;
  for (int k = 0; k < count; ++k)
    island.insert(island.end(), sites[order[k].second].begin(), sites[order[k].second].end());
  return island;
}

Slab pt111(const std::string &name, int size, int layers, int mobile) {
  const double d = LATTICE / std::sqrt(2.0), row = d * std::sqrt(3.0) / 2.0,
               spacing = LATTICE / std::sqrt(3.0), top = (layers - 1) * spacing;
  System system;
  system.cell = Cell({{{size * d, 0, 0}, {size * d / 2, size * row, 0}, {0, 0, VACUUM + top}}},
                     {true, true, false});
  for (int layer = 0; layer < layers; ++layer)
    for (int j = 0; j < size; ++j)
      for (int i = 0; i < size; ++i) {
        // fcc: every layer below the top one is one hollow site further along y.
        const double shift = (layers - 1 - layer) * d / std::sqrt(3.0);
        for (double x : {i * d + j * d / 2, shift + j * row, layer * spacing})
          system.template_positions.push_back(x);
      }
  const std::vector<double> island = hollow_island(system.cell, size, mobile, d, top + spacing);
  return finish(name, std::move(system), island, 1.0, 6.0);
}

// Stepped Pt(1,2,2) of examples/godiff/adatom: layer k of 10 rows, two atoms each.
Slab stepped(const std::string &name) {
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
  return finish(name, std::move(system), {2.68, 2.03, 6.42}, 0.0, 4.0);
}

at::Tensor repeated(const at::Tensor &island, std::int64_t batch) {
  return island.unsqueeze(0).repeat({batch, 1, 1});
}

}  // namespace

Slab make_slab(const std::string &name) {
  if (name == "S1")
    return stepped(name);
  if (name == "S2")
    return pt111(name, 6, 2, 7);
  int n = 0, m = 0, layers = 0, mobile = 0, end = 0;
  const bool read = std::sscanf(name.c_str(), "%dx%dx%d-%d%n", &n, &m, &layers, &mobile, &end) == 4;
  if (!read || static_cast<std::size_t>(end) != name.size() || n != m || n < 1 || n > MAX_SIZE ||
      layers < 1 || layers > MAX_SIZE || mobile < 1 || mobile > n * n)
    throw godiff::Error("no benchmark system \"" + name +
                        "\": type S1, S2 or NxNxL-M with at most N*N mobile atoms, 12x12x4-7 for "
                        "instance");
  return pt111(name, n, layers, mobile);
}

TrainingBatch training_batch(const Slab &slab, const Settings &settings, std::int64_t batch) {
  TrainingBatch out;
  out.clean = repeated(slab.island, batch);
  const at::Tensor first_step = at::zeros({}, at::kLong);
  out.times =
      godiff::draw_times(settings.seed, godiff::Purpose::TRAINING_TIME, 0, first_step, batch);
  const godiff::Noised noised =
      godiff::add_noise(slab.system, godiff::make_schedule(settings), out.clean, out.times,
                        settings.seed, godiff::Purpose::TRAINING_NOISE, 0, first_step);
  out.positions = noised.positions;
  out.noise = noised.noise;
  // Unequal weights: a peer that forgot them would give another loss.
  out.weights = at::arange(1, batch + 1, at::kDouble) * (2.0 / static_cast<double>(batch + 1));
  return out;
}

ReverseBatch middle_of_chain(const Slab &slab, const Settings &settings, std::int64_t batch) {
  ReverseBatch out;
  out.step = settings.sample_steps / 2;
  out.time = godiff::reverse_times(settings.sample_steps, settings.sample_eps)[out.step];
  out.positions =
      godiff::add_noise(slab.system, godiff::make_schedule(settings), repeated(slab.island, batch),
                        at::full({batch}, out.time, at::kDouble), settings.seed,
                        godiff::Purpose::VALIDATION_NOISE, 0, at::zeros({}, at::kLong))
          .positions;
  wrap(slab.system, out.positions);
  return out;
}

ReverseBatch start_of_chain(const Slab &slab, const Settings &settings, std::int64_t batch) {
  ReverseBatch out;
  out.positions = godiff::Sampler(slab.system, settings).prior({0, 0, batch, 0.0});
  return out;
}

void wrap(const System &system, at::Tensor &positions) {
  double *p = positions.data_ptr<double>();
  for (std::int64_t k = 0; k < positions.numel(); k += 3) {
    const Vec3 r = system.cell.wrap({p[k], p[k + 1], p[k + 2]});
    std::copy(r.begin(), r.end(), p + k);
  }
}

}  // namespace godiff_bench
