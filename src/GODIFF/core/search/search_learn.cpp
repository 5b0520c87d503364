// SPDX-License-Identifier: GPL-2.0-only
// The two long parts of a stage: drawing candidates and learning from them (method section 14).
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include <ATen/Functions.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "core/search/annealing.hpp"
#include "core/search/reservoir.hpp"
#include "core/search/search_state.hpp"

namespace godiff {

namespace {

constexpr std::int64_t SAMPLING_BATCH = 512;  // structures of one chain: bounds its memory
constexpr double MAX_OUTSIDE = 1e-4;  // Angstrom; the truncated kernel has no place further out
constexpr int MAX_ROUNDS = 100;       // of redrawing what mindist rejected

class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

at::Tensor positions_tensor(const Archive &archive, const std::vector<std::int64_t> &rows,
                            std::int64_t n_mobile) {
  const auto n = static_cast<std::int64_t>(rows.size());
  at::Tensor x = at::empty({n, n_mobile, 3}, at::kDouble);
  double *p = x.data_ptr<double>();
  for (std::int64_t row : rows)
    p = std::copy_n(archive[row].positions.begin(), 3 * n_mobile, p);
  return x;
}

}  // namespace

double Search::State::temperature(int stage) const {
  if (settings.annealing == Annealing::GEOMETRIC)
    return geometric_ladder(settings.kT_start, settings.kT_stop,
                            settings.stages)[std::min(stage, settings.stages - 1)];
  if (stage == 0)
    return settings.kT_start;
  if (stage + 1 >= settings.stages)
    return settings.kT_stop;  // always end cold
  std::vector<double> energies;
  for (const Record &record : archive.records())
    if (record.status == Status::OK)
      energies.push_back(record.energy);
  return adaptive_temperature(energies, finished.back().kT, settings.kT_stop,
                              settings.adaptive_ess);
}

bool Search::State::sample(const Progress &progress) {
  const Stopwatch watch;
  const int stage = current.stage;
  StageSummary summary;
  summary.stage = stage;
  summary.kT = current.kT;
  summary.best = archive.best_energy();

  const std::int64_t calls_before = learner.network_calls();
  const std::int64_t non_finite_before = learner.non_finite_scores();
  std::vector<Positions> accepted;
  const std::int64_t wanted = settings.samples, per = 3 * system.n_mobile;
  for (int round = 0; static_cast<std::int64_t>(accepted.size()) < wanted; ++round) {
    if (round == MAX_ROUNDS)
      throw Error("only " + std::to_string(accepted.size()) + " of " + std::to_string(wanted) +
                  " candidates of stage " + std::to_string(stage + 1) + " pass mindist " +
                  std::to_string(settings.mindist) + " after " + std::to_string(summary.drawn) +
                  " draws: widen confine or lower mindist");
    const std::int64_t missing = wanted - static_cast<std::int64_t>(accepted.size());
    for (std::int64_t begin = 0; begin < missing; begin += SAMPLING_BATCH) {
      SampleRequest request;
      request.stage = stage;
      request.first = summary.drawn;
      request.count = std::min(SAMPLING_BATCH, missing - begin);
      request.guide = stage == 0 ? 0.0 : settings.guide;  // the force head is untrained at first
      const at::Tensor drawn = learner.sample(request, [&](std::int64_t step, std::int64_t steps) {
        return !progress ||
               progress("sampling", begin * steps + request.count * step, missing * steps);
      });
      if (!drawn.defined())
        return false;
      summary.drawn += request.count;
      const double *p = drawn.const_data_ptr<double>();
      for (std::int64_t g = 0; g < request.count; ++g, p += per) {
        Positions x(p, p + per);
        if (too_close(system, x, settings.mindist, settings.mindist_image))
          ++summary.rejected;
        else
          accepted.push_back(std::move(x));
      }
    }
  }
  summary.seconds_sampling = watch.seconds();
  totals.drawn += summary.drawn;
  totals.rejected += summary.rejected;
  totals.network_calls += learner.network_calls() - calls_before;
  totals.non_finite_scores += learner.non_finite_scores() - non_finite_before;
  totals.seconds_sampling += summary.seconds_sampling;
  current = summary;
  queue = std::move(accepted);
  next = 0;
  stage_begin = static_cast<std::int64_t>(archive.size());
  sampled = true;
  return true;
}

void Search::State::refuse_failed(std::size_t candidates, int stage) {
  throw Error("the energy of all " + std::to_string(candidates) + " candidates of stage " +
              std::to_string(stage + 1) +
              " is not finite: check the pair style, mindist and confine");
}

void Search::State::close_stage() {
  const std::int64_t evaluated = static_cast<std::int64_t>(archive.size()) - stage_begin;
  if (current.failed == evaluated)
    refuse_failed(queue.size(), current.stage);
  finished.push_back(current);
  queue.clear();
  next = 0;
  sampled = false;
  const int stage = current.stage + 1;
  current = StageSummary();
  current.stage = stage;
  current.kT = temperature(std::min(stage, settings.stages - 1));
  current.best = archive.best_energy();
}

std::vector<std::int64_t> Search::State::select(int stage, double kT, std::vector<double> &weights,
                                                std::int64_t &duplicates) {
  std::vector<std::int64_t> candidates;
  std::vector<double> log_weights;
  duplicates = 0;
  for (std::size_t i = 0; i < archive.size(); ++i)
    if (archive[i].status == Status::OK &&
        outside_window(system, archive[i].positions) <= MAX_OUTSIDE)
      candidates.push_back(static_cast<std::int64_t>(i));
  if (settings.unique_tolerance > 0.0) {
    // Of structures with one fingerprint the lowest in energy stays.
    std::vector<std::int64_t> order = candidates;
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return archive[a].energy < archive[b].energy;
    });
    ClassRegistry seen(settings.unique_tolerance);
    std::vector<std::int64_t> kept;
    std::vector<char> met(static_cast<std::size_t>(classes.size()), 0);
    for (std::int64_t i : order) {
      const int c = archive[i].structure_class;
      if (std::exchange(met[c], 1))
        continue;  // a lower one of its class has been kept or was itself a duplicate
      const int before = seen.size();
      seen.classify(classes.representatives()[c]);
      if (seen.size() > before)
        kept.push_back(i);
    }
    duplicates = static_cast<std::int64_t>(candidates.size() - kept.size());
    std::sort(kept.begin(), kept.end());
    candidates = kept;
  }
  for (std::int64_t i : candidates)
    log_weights.push_back(log_weight(archive[i].positions, archive[i].energy, kT));

  const std::vector<double> all_weights = normalized_weights(log_weights);
  std::vector<double> uniforms;
  RandomStream random(settings.seed, Purpose::KEYS, static_cast<std::uint32_t>(stage));
  for (std::size_t k = 0; k < candidates.size(); ++k) {
    // One stream holds 2^17 numbers; a new one starts every 2^16 structures.
    if (k % 65536 == 0)
      random = RandomStream(settings.seed, Purpose::KEYS, static_cast<std::uint32_t>(stage),
                            static_cast<std::uint32_t>(k / 65536));
    uniforms.push_back(random.uniform());
  }
  const std::vector<std::int64_t> chosen = weighted_draw(all_weights, uniforms, settings.buffer);

  std::vector<std::int64_t> buffer;
  std::vector<double> chosen_logs, chosen_weights;
  for (std::int64_t k : chosen) {
    buffer.push_back(candidates[k]);
    chosen_logs.push_back(log_weights[k]);
    chosen_weights.push_back(all_weights[k]);
  }
  weights = settings.weights_all ? chosen_weights : normalized_weights(chosen_logs);
  return buffer;
}

bool Search::State::learn(const Progress &progress) {
  const Stopwatch watch;
  const int stage = learned;
  std::vector<double> weights;
  std::int64_t duplicates = 0;
  const std::vector<std::int64_t> buffer = select(stage, finished[stage].kT, weights, duplicates);

  const auto ticker = [&](const char *what) -> Trainer::Tick {
    if (!progress)
      return {};
    return [&progress, what](std::int64_t done, std::int64_t total) {
      return progress(what, done, total);
    };
  };
  // The training goes on with the next call.
  const auto interrupted = [&] {
    finished[stage].seconds_training += watch.seconds();
    totals.seconds_training += watch.seconds();
    return false;
  };

  Trainer &trainer = learner.trainer();
  TrainingReport report;
  TrainingPosition before_score;
  if (!buffer.empty()) {
    if (settings.guided() && trainer.position().part != TrainingPosition::Part::SCORE) {
      std::vector<std::int64_t> rows;  // all of D: valid and not a false minimum
      for (std::size_t i = 0; i < archive.size(); ++i)
        if (archive[i].status == Status::OK || archive[i].status == Status::HIGH)
          rows.push_back(static_cast<std::int64_t>(i));
      at::Tensor forces =
          at::empty({static_cast<std::int64_t>(rows.size()), system.n_atoms(), 3}, at::kFloat);
      float *p = forces.data_ptr<float>();
      for (std::int64_t row : rows)
        p = std::copy(archive[row].forces.begin(), archive[row].forces.end(), p);
      if (learner
              .train_forces(positions_tensor(archive, rows, system.n_mobile), forces, stage,
                            ticker("force training"))
              .interrupted)
        return interrupted();
    }
    before_score = trainer.position();
    report = learner.train_score(positions_tensor(archive, buffer, system.n_mobile),
                                 settings.loss_weights ? weights
                                                       : std::vector<double>(weights.size(), 1.0),
                                 stage, ticker("training"));
    if (report.interrupted)
      return interrupted();
  }
  StageSummary &summary = finished[stage];
  summary.buffer = static_cast<std::int64_t>(buffer.size());
  summary.ess = effective_sample_size(weights);
  summary.duplicates = duplicates;
  summary.score_loss = report.loss;
  summary.force_loss = before_score.force_loss;
  summary.seconds_training += watch.seconds();
  totals.seconds_training += watch.seconds();
  totals.duplicates = duplicates;
  totals.skipped_steps += report.skipped + before_score.force_skipped;
  ++learned;
  return true;
}

}  // namespace godiff
