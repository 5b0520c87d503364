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
    evaluation(system, settings) {
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
  return s.learning_due() || s.stage_failed() || (!s.all_sampled() && !s.sampled);
}

bool Search::prepare(const Progress &progress) {
  State &s = *state_;
  if (s.stage_failed())
    State::refuse_failed(s.queue.size(), s.current.stage);
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
  return state_->sampled && !state_->stage_failed();
}

const Positions &Search::request() const {
  State &s = *state_;
  if (!has_request())
    throw Error("there is no candidate to evaluate: call prepare() first");
  if (s.asked == std::chrono::steady_clock::time_point{})
    s.asked = std::chrono::steady_clock::now();
  if (!s.evaluation.open())
    s.evaluation.start(static_cast<std::int64_t>(s.next), s.queue[s.next]);
  return s.evaluation.positions();
}

ForceNeed Search::forces_needed() const {
  return godiff::forces_needed(state_->settings);
}

std::int64_t Search::request_step() const {
  return state_->evaluation.open() ? state_->evaluation.step() : 0;
}

const std::vector<Positions> &Search::candidates() const {
  return state_->queue;
}

std::int64_t Search::next_candidate() const {
  return static_cast<std::int64_t>(state_->next);
}

bool Search::report(double energy, const double *forces) {
  State &s = *state_;
  request();
  const bool done = s.evaluation.report(energy, forces);
  add_evaluation_time(seconds_since(s.asked));
  s.asked = {};
  ++s.totals.evaluations;
  ++s.current.evaluations;
  if (done)
    s.record(s.evaluation.result());
  return done;
}

void Search::take(const Evaluated &result) {
  State &s = *state_;
  if (!has_request() || result.candidate != next_candidate())
    throw Error("the result of candidate " + std::to_string(result.candidate) +
                " does not follow the last one on record");
  s.totals.evaluations += result.evaluations;
  s.current.evaluations += result.evaluations;
  s.record(result);
}

void Search::restart_candidate() {
  State &s = *state_;
  s.totals.evaluations -= request_step();
  s.current.evaluations -= request_step();
  s.evaluation.drop();
}

void Search::add_evaluation_time(double seconds) {
  state_->totals.seconds_evaluating += seconds;
  state_->current.seconds_evaluating += seconds;
}

void Search::State::record(const Evaluated &result) {
  Record record;
  record.evaluation = totals.evaluations;
  record.stage = current.stage;
  record.kT = current.kT;
  record.positions = result.positions;
  if (result.valid) {
    record.energy = result.energy;
    record.forces = result.forces;
    const double zero = settings.energy_absolute ? 0.0 : reference;
    if (std::isnan(zero))
      throw Error("the energy of the input structure is not known yet");
    record.status = status_of(record.energy - zero, settings.energy_lo, settings.energy_hi);
    record.structure_class = classes.classify(fingerprint(system, record.positions));
    const double best = std::min(archive.best_energy(), record.energy);
    record.weight = std::exp(-(record.energy - best) / record.kT);
  }
  const Status status = record.status;
  archive.append(std::move(record));
  if (status == Status::FAILED) {
    ++totals.failed;
    ++current.failed;
  } else if (status != Status::OK) {
    ++totals.outside;
    ++current.outside;
  } else {
    // Running mean and minimum of the stage.
    const std::int64_t seen = static_cast<std::int64_t>(archive.size()) - stage_begin;
    const auto count = static_cast<double>(seen - current.failed - current.outside);
    const double energy = result.energy;
    current.lowest = count > 1.0 ? std::min(current.lowest, energy) : energy;
    current.mean = count > 1.0 ? current.mean + (energy - current.mean) / count : energy;
  }
  current.best = archive.best_energy();
  if (++next == queue.size())
    close_stage();
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
