// SPDX-License-Identifier: GPL-2.0-only
#include "batches.hpp"

#include <cstdio>
#include <string>
#include <vector>

#include <ATen/Functions.h>

#include "core/base/settings.hpp"
#include "core/diffusion/schedule.hpp"
#include "core/io/number_text.hpp"
#include "core/io/safetensors.hpp"
#include "steps.hpp"
#include "systems.hpp"

namespace godiff_bench {

namespace {

using godiff::SafeTensors;
using godiff::Settings;

void put_system(SafeTensors &file, const std::string &prefix, const Slab &slab) {
  const godiff::System &system = slab.system;
  std::vector<double> cell;
  std::vector<std::int64_t> pbc;
  for (int axis = 0; axis < 3; ++axis) {
    cell.insert(cell.end(), system.cell.rows()[axis].begin(), system.cell.rows()[axis].end());
    pbc.push_back(system.cell.periodic(axis) ? 1 : 0);
  }
  const std::vector<std::int64_t> numbers(system.atomic_numbers.begin(),
                                          system.atomic_numbers.end());
  file.put(prefix + "cell", at::tensor(cell, at::kDouble).view({3, 3}));
  file.put(prefix + "pbc", at::tensor(pbc, at::kLong));
  file.put(prefix + "numbers", at::tensor(numbers, at::kLong));
  file.put(prefix + "template", at::tensor(system.template_positions, at::kDouble).view({-1, 3}));
}

void put_training(SafeTensors &file, const std::string &prefix, const Slab &slab,
                  std::int64_t batch, c10::Device device) {
  const Settings settings;
  const TrainingBatch drawn = training_batch(slab, settings, batch);
  TrainingStep step(slab, settings, batch, device);
  file.put(prefix + "positions", drawn.positions);
  file.put(prefix + "noise", drawn.noise);
  file.put(prefix + "times", drawn.times);
  file.put(prefix + "weights", drawn.weights);
  file.put(prefix + "loss", step.gradient().view({1}));
  file.put(prefix + "gradient_norm",
           step.network().parameters().flat_gradient().to(at::kDouble).norm().view({1}));
}

void put_reverse(SafeTensors &file, const std::string &prefix, const Slab &slab,
                 const ReverseBatch &batch, c10::Device device) {
  file.put(prefix + "positions", batch.positions);
  file.put(prefix + "time", at::full({1}, batch.time, at::kDouble));
  file.put(prefix + "score", ReverseStep(slab, Settings(), batch, device).score());
}

}  // namespace

void write_batches(const Options &options) {
  const Settings settings;
  const godiff::Schedule schedule = godiff::make_schedule(settings);
  SafeTensors file;
  file.put_metadata("format", "godiff-benchmark-batches-1");
  file.put_metadata("cutoff", godiff::exact_text(settings.network.cutoff));
  file.put_metadata("clip", godiff::exact_text(settings.clip));
  file.put_metadata("learning_rate", godiff::exact_text(settings.learning_rate));
  file.put_metadata("sigma_min", godiff::exact_text(schedule.sigma_min));
  file.put_metadata("sigma_max", godiff::exact_text(schedule.sigma_max));
  godiff::ScoreNetwork network = make_network(settings, c10::Device(c10::kCPU));
  for (const std::string &name : network.parameters().names())
    file.put("network/" + name, network.parameters()[name]);
  for (const std::string &name : options.systems) {
    const Slab slab = make_slab(name);
    put_system(file, name + "/", slab);
    for (const std::int64_t batch : options.batches) {
      const std::string tail = "/" + std::to_string(batch) + "/";
      if (options.has("training"))
        put_training(file, name + "/training" + tail, slab, batch, options.device);
      if (options.has("reverse"))
        put_reverse(file, name + "/reverse" + tail, slab, middle_of_chain(slab, settings, batch),
                    options.device);
      if (options.has("start"))
        put_reverse(file, name + "/start" + tail, slab, start_of_chain(slab, settings, batch),
                    options.device);
    }
  }
  file.write(options.batch_file);
}

}  // namespace godiff_bench
