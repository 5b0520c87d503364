// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/search.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.hpp"
#include "core/search/search_state.hpp"

namespace godiff {

namespace {

constexpr double SAME_ENERGY = 0.05;  // eV, best_distinct()

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Search::State::State(const System &given_system, const Settings &given_settings, c10::Device device,
                     Comm &comm) :
    settings(Learner::checked(given_settings)),
    system(given_system),
    learner(system, settings, device, comm),
    reference(std::numeric_limits<double>::quiet_NaN()),
    relaxation(system, settings.relax_steps, settings.relax_ftol) {
  if (system.n_mobile == 1 && settings.unique_tolerance > 0.0)
    throw Error("unique needs at least two mobile atoms: the fingerprint of one atom is always the "
                "same");
  current.kT = temperature(0);
}

Search::Search(const System &system, const Settings &settings, c10::Device device, Comm &comm) :
    state_(std::make_unique<State>(system, settings, device, comm)) {}

Search::~Search() = default;

void Search::set_log_weight(LogWeight log_weight) {
  state_->log_weight = std::move(log_weight);
}

void Search::set_reference(double energy) {
  if (!std::isfinite(energy))
    throw Error("the energy of the input structure is not finite");
  state_->reference = energy;
}

bool Search::has_reference() const {
  return std::isfinite(state_->reference);
}

double Search::reference() const {
  return state_->reference;
}

bool Search::finished() const {
  return state_->all_sampled();
}

bool Search::work_due() const {
  const State &s = *state_;
  return s.learning_due() || (!s.all_sampled() && !s.sampled);
}

bool Search::prepare(const Progress &progress) {
  State &s = *state_;
  if (s.learning_due() && !s.learn(progress))
    return false;
  if (!s.all_sampled() && !s.sampled && !s.sample(progress))
    return false;
  return true;
}

void Search::dismiss_helpers() {
  state_->learner.dismiss();
}

bool Search::training_under_way() const {
  return state_->learner.trainer().position().part != TrainingPosition::Part::NONE;
}

bool Search::has_request() const {
  // A stage that failed as a whole stays sampled with nothing left to ask for.
  return state_->sampled && state_->next < state_->queue.size();
}

const Positions &Search::request() const {
  State &s = *state_;
  if (!has_request())
    throw Error("there is no candidate to evaluate: call prepare() first");
  if (s.asked == std::chrono::steady_clock::time_point{})
    s.asked = std::chrono::steady_clock::now();
  return s.relaxing ? s.relaxation.positions() : s.queue[s.next];
}

ForceNeed Search::forces_needed() const {
  if (state_->settings.guided())
    return ForceNeed::ALL;
  return state_->settings.relax_steps > 0 ? ForceNeed::MOBILE : ForceNeed::NONE;
}

bool Search::report(double energy, const double *forces) {
  State &s = *state_;
  const Positions asked = request();
  ++s.totals.evaluations;
  ++s.current.evaluations;
  const double seconds = seconds_since(s.asked);
  s.asked = {};
  s.totals.seconds_evaluating += seconds;
  s.current.seconds_evaluating += seconds;

  const std::int64_t n = s.system.n_mobile, skip = 3 * s.system.n_template;
  bool valid = std::isfinite(energy);
  if (forces && forces_needed() != ForceNeed::NONE) {
    const std::int64_t begin = forces_needed() == ForceNeed::ALL ? 0 : skip;
    for (std::int64_t k = begin; k < skip + 3 * n; ++k)
      valid = valid && std::isfinite(forces[k]);
  } else if (forces_needed() != ForceNeed::NONE) {
    throw Error("this search needs forces with every energy");
  }
  if (s.settings.relax_steps > 0 && valid) {
    if (!s.relaxing) {
      s.relaxation.start(asked);
      s.relaxing = true;
    }
    if (!s.relaxation.advance(forces + skip))
      return false;
  }

  Record record;
  record.evaluation = s.totals.evaluations;
  record.stage = s.current.stage;
  record.kT = s.current.kT;
  record.positions = asked;
  if (valid) {
    record.energy = energy;
    if (s.settings.guided())
      record.forces.assign(forces, forces + skip + 3 * n);
    const double zero = s.settings.energy_absolute ? 0.0 : s.reference;
    if (std::isnan(zero))
      throw Error("the energy of the input structure is not known yet");
    record.status = !(energy - zero > s.settings.energy_lo)   ? Status::LOW
                    : !(energy - zero < s.settings.energy_hi) ? Status::HIGH
                                                              : Status::OK;
    record.structure_class = s.classes.classify(fingerprint(s.system, asked));
    const double best = std::min(s.archive.best_energy(), energy);
    record.weight = std::exp(-(energy - best) / record.kT);
  }
  const Status status = record.status;
  s.archive.append(std::move(record));
  if (status == Status::FAILED) {
    ++s.totals.failed;
    ++s.current.failed;
  } else if (status != Status::OK) {
    ++s.totals.outside;
    ++s.current.outside;
  } else {
    // Running mean and minimum of the stage.
    StageSummary &c = s.current;
    const std::int64_t seen = static_cast<std::int64_t>(s.archive.size()) - s.stage_begin;
    const auto count = static_cast<double>(seen - c.failed - c.outside);
    c.lowest = count > 1.0 ? std::min(c.lowest, energy) : energy;
    c.mean = count > 1.0 ? c.mean + (energy - c.mean) / count : energy;
  }
  s.current.best = s.archive.best_energy();
  s.relaxing = false;
  if (++s.next == s.queue.size())
    s.close_stage();
  return true;
}

const System &Search::system() const {
  return state_->system;
}
const Settings &Search::settings() const {
  return state_->settings;
}
const Archive &Search::archive() const {
  return state_->archive;
}
const Totals &Search::totals() const {
  return state_->totals;
}
const StageSummary &Search::current_stage() const {
  return state_->current;
}
const std::vector<StageSummary> &Search::stages() const {
  return state_->finished;
}
c10::Device Search::device() const {
  return state_->learner.network().device();
}
int Search::learned_stages() const {
  return state_->learned;
}

void Search::set_last_offset(std::int64_t offset) {
  state_->archive.back().offset = offset;
}

std::int64_t Search::parameter_count() const {
  return state_->learner.network().parameters().size();
}

std::int64_t Search::edges_of_template() const {
  return state_->learner.engine().template_edges();
}

std::vector<std::int64_t> Search::best_distinct(int count) const {
  const Archive &archive = state_->archive;
  // A heap with the lowest energy on top, of equals the first: only few of many are ever taken.
  std::vector<std::int64_t> heap;
  for (std::size_t i = 0; i < archive.size(); ++i)
    if (archive[i].status == Status::OK)
      heap.push_back(static_cast<std::int64_t>(i));
  const auto later = [&](std::int64_t a, std::int64_t b) {
    const double difference = archive[a].energy - archive[b].energy;
    return difference > 0.0 || (difference == 0.0 && a > b);
  };
  std::make_heap(heap.begin(), heap.end(), later);
  std::vector<std::int64_t> best;
  while (!heap.empty() && static_cast<int>(best.size()) < count) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const std::int64_t i = heap.back();
    heap.pop_back();
    const bool seen = std::any_of(best.begin(), best.end(), [&](std::int64_t b) {
      return archive[b].structure_class == archive[i].structure_class &&
             std::abs(archive[b].energy - archive[i].energy) < SAME_ENERGY;
    });
    if (!seen)
      best.push_back(i);
  }
  return best;
}

}  // namespace godiff
