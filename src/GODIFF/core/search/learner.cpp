// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/learner.hpp"

#include <algorithm>

#include <ATen/Functions.h>

#include "core/base/error.hpp"
#include "core/base/fault.hpp"

namespace godiff {

namespace {

enum class Kind : std::int64_t { DISMISS, SAMPLE, SCORE, FORCES };

void broadcast(Comm &comm, at::Tensor &tensor) {
  const auto bytes = static_cast<std::int64_t>(tensor.nbytes());
  if (tensor.device().is_cpu()) {
    comm.broadcast(tensor.data_ptr(), bytes);
    return;
  }
  const at::Tensor on_host = tensor.to(at::kCPU);
  comm.broadcast(on_host.data_ptr(), bytes);
  tensor.copy_(on_host);
}

void broadcast(Comm &comm, Trainer::Optimiser &optimiser) {
  for (at::Tensor *part : {&optimiser.adamw.first_moment, &optimiser.adamw.second_moment,
                           &optimiser.adamw.learning_rate, &optimiser.adamw.steps,
                           &optimiser.plateau.best, &optimiser.plateau.bad})
    broadcast(comm, *part);
}

}  // namespace

// What rank 0 asks for, as it is sent.
struct Learner::Command {
  Kind kind = Kind::DISMISS;
  std::int64_t stage = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;  // candidates, or structures to train on
  double guide = 0.0;
};

Settings Learner::checked(Settings settings) {
  validate(settings);
  settings.network.force_head = settings.guided();
  return settings;
}

Learner::Learner(const System &system, const Settings &settings, c10::Device device, Comm &comm) :
    settings_(checked(settings)),
    system_(system),
    comm_(comm),
    network_(settings_.network, settings_.double_precision ? at::kDouble : at::kFloat, device),
    engine_(system_, network_),
    sampler_(system_, settings_),
    trainer_(system_, settings_, network_, engine_, comm) {
  network_.initialise(settings_.seed);
}

void Learner::call(Command &command) {
  if (comm_.size() > 1)
    comm_.await(&command, sizeof command);
}

void Learner::dismiss() {
  Command command;
  call(command);
}

// What a command needs beside itself goes to all ranks every time: what they have may be old.
void Learner::share_weights() {
  if (comm_.size() == 1)
    return;
  at::Tensor flat = network_.parameters().flat();
  broadcast(comm_, flat);
  if (comm_.rank() != 0)
    network_.parameters().touch();
}

void Learner::share_training(at::Tensor &positions, at::Tensor &targets) {
  if (comm_.size() == 1)
    return;
  broadcast(comm_, positions);
  broadcast(comm_, targets);
  share_weights();
  broadcast(comm_, trainer_.score_optimiser());
  broadcast(comm_, trainer_.force_optimiser());
  TrainingPosition position = trainer_.position();
  comm_.broadcast(&position, sizeof position);
  on_each(comm_, [&] {
    if (comm_.rank() != 0)
      trainer_.set_position(position);
  });
}

at::Tensor Learner::run_sample(const SampleRequest &request, const Tick &tick) {
  share_weights();
  const std::int64_t count = request.count;
  Comm *group = comm_.first(
      static_cast<int>(std::min<std::int64_t>(comm_.size(), engine_.most_ranks(count, false))));
  if (!group)
    return {};
  const auto share_of = [&](int rank) { return engine_.share(count, rank, group->size()); };
  SampleRequest mine = request;
  mine.first += share_of(group->rank()).begin;
  mine.count = share_of(group->rank()).count();
  const ScoreFunction score = [&](const at::Tensor &x, double t) {
    fault_point("sample");
    return engine_.score(x, at::full({x.size(0)}, t, at::kDouble), count);
  };
  const ForceFunction forces = [&](const at::Tensor &x) {
    return engine_.forces(x, !settings_.ffg_all_atoms, count);
  };
  std::int64_t counters[2] = {-sampler_.network_calls(), -sampler_.non_finite_scores()};
  // Guidance minimises on the host.
  const std::shared_ptr<ScoreEngine::DeviceBatch> batch =
      group->size() == 1 && !(request.guide > 0.0)
          ? engine_.device_batch(count, system_.z_lo, system_.z_hi)
          : nullptr;
  at::Tensor drawn;
  if (batch) {
    const auto device_score = [&](const at::Tensor &x, const at::Tensor &t) {
      return engine_.score(*batch, x, t);
    };
    const auto device_tick = [&](std::int64_t done, std::int64_t total) {
      fault_point("sample");
      return !tick || tick(done, total);
    };
    drawn = sampler_.reverse_on_device(mine, network_.parameters().flat().device(), device_score,
                                       device_tick);
    ScoreEngine::check(*batch);
  } else {
    drawn = sampler_.reverse(mine, score, forces, tick, *group);
  }
  if (!drawn.defined())
    return {};
  counters[0] += sampler_.network_calls();
  counters[1] += sampler_.non_finite_scores();

  at::Tensor all = drawn;
  std::vector<std::int64_t> bytes;
  std::vector<std::int64_t> all_counters(2 * static_cast<std::size_t>(group->size()));
  on_each(*group, [&] {
    if (group->size() == 1)
      return;
    all = at::empty({count, drawn.size(1), 3}, at::kDouble);
    for (int r = 0; r < group->size(); ++r)
      bytes.push_back(share_of(r).count() * drawn.size(1) * 3 *
                      static_cast<std::int64_t>(sizeof(double)));
  });
  if (group->size() > 1)
    group->all_gather_v(drawn.const_data_ptr(), bytes, all.data_ptr());
  group->all_gather(counters, sizeof counters, all_counters.data());
  for (std::size_t k = 0; k < all_counters.size(); k += 2) {
    network_calls_ += all_counters[k];
    non_finite_scores_ += all_counters[k + 1];
  }
  return all;
}

TrainingReport Learner::run_training(const Command &command, at::Tensor positions,
                                     at::Tensor targets, const Tick &tick) {
  const bool forces = command.kind == Kind::FORCES;
  on_each(comm_, [&] {
    if (comm_.rank() == 0)
      return;
    positions = at::empty({command.count, system_.n_mobile, 3}, at::kDouble);
    targets = forces ? at::empty({command.count, system_.n_atoms(), 3}, at::kFloat)
                     : at::empty({command.count}, at::kDouble);
  });
  share_training(positions, targets);
  const int stage = static_cast<int>(command.stage);
  if (forces)
    return trainer_.train_forces(positions, targets, stage, tick);
  const auto *w = targets.const_data_ptr<double>();
  return trainer_.train_score(positions, {w, w + command.count}, stage, tick);
}

at::Tensor Learner::sample(const SampleRequest &request, const Tick &tick) {
  if (settings_.sample == SampleKind::PRIOR)
    return sampler_.prior(request);  // nothing to share
  Command command{Kind::SAMPLE, request.stage, request.first, request.count, request.guide};
  call(command);
  return run_sample(request, tick);
}

TrainingReport Learner::train_score(const at::Tensor &positions, const std::vector<double> &weights,
                                    int stage, const Tick &tick) {
  Command command{Kind::SCORE, stage, 0, positions.size(0), 0.0};
  const at::Tensor targets = at::tensor(weights, at::kDouble);
  if (targets.numel() != command.count)
    throw Error("training needs one weight for each structure");
  call(command);
  return run_training(command, positions.contiguous(), targets, tick);
}

TrainingReport Learner::train_forces(const at::Tensor &positions, const at::Tensor &forces,
                                     int stage, const Tick &tick) {
  Command command{Kind::FORCES, stage, 0, positions.size(0), 0.0};
  if (forces.sizes() != at::IntArrayRef({command.count, system_.n_atoms(), 3}) ||
      forces.scalar_type() != at::kFloat)
    throw Error("training needs the forces of all atoms of each structure in float32");
  call(command);
  return run_training(command, positions.contiguous(), forces.contiguous(), tick);
}

void Learner::serve(const Tick &tick) {
  while (true) {
    Command command;
    call(command);
    if (command.kind == Kind::DISMISS)
      return;
    try {
      if (command.kind == Kind::SAMPLE)
        run_sample({static_cast<int>(command.stage), command.first, command.count, command.guide},
                   tick);
      else
        run_training(command, {}, {}, tick);
    } catch (...) {
      // Agreed on with rank 0, which throws it.
    }
  }
}

}  // namespace godiff
