// SPDX-License-Identifier: GPL-2.0-only
// What a search tells: scalar, vector and array for thermo and variables; plan, stages and summary
// for the log.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>

#include "comm.h"
#include "error.h"
#include "force.h"
#include "universe.h"
#include "update.h"

#include "core/base/elements.hpp"

using namespace LAMMPS_NS;

namespace {

std::string clock_text(double seconds) {
  const auto s = static_cast<bigint>(seconds + 0.5);
  if (s < 3600)
    return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

double spent(const godiff::StageSummary &stage) {
  return stage.seconds_sampling + stage.seconds_training + stage.seconds_evaluating;
}

// "20 Pt, 4 O": what the atoms from begin to end are.
std::string composition(const std::vector<int> &numbers, int begin, int end) {
  int count[godiff::MAX_ATOMIC_NUMBER + 1] = {};
  for (int i = begin; i < end; ++i)
    ++count[numbers[i]];
  std::string text;
  for (int z = 1; z <= godiff::MAX_ATOMIC_NUMBER; ++z)
    if (count[z])
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count[z], godiff::symbol(z));
  return text;
}

}  // namespace

/* ----------------------------------------------------------------------
   global vector: totals of the search, except where a stage is named
    1 stage being worked on            10 lowest energy of the stage
    2 its temperature                  11 mean energy of the stage
    3 energy evaluations               12 effective sample size, last trained stage
    4 candidates drawn                 13 score loss, last trained stage
    5 rejected by mindist              14 force loss, last trained stage
    6 energy outside the window        15 seconds sampling
    7 duplicates in the last buffer    16 seconds training
    8 failed (energy not finite)       17 seconds evaluating
    9 energy of this candidate
   global array: one row per stage that has begun
    1 stage  2 temperature  3 evaluations  4 drawn  5 rejected  6 outside  7 duplicates  8 failed
    9 lowest  10 mean  11 best so far  12 effective sample size  13 buffer  14 score loss
    15 force loss  16-18 seconds sampling, training, evaluating
------------------------------------------------------------------------- */

void FixGODiff::update_outputs() {
  double *v = impl->vector;
  if (!impl->search) {
    impl->best = HUGE_VAL;
    v[0] = 1.0;
    v[1] = impl->run_temperature(impl->settings.kT_start);
    for (int k : {8, 9, 10, 12, 13})
      v[k] = NAN;
    return;
  }
  const godiff::Search &search = *impl->search;
  const auto &stages = search.stages();
  const godiff::Totals &totals = search.totals();
  // Between the last energy of a stage and the first of the next one, the finished stage is shown.
  const bool between = search.current_stage().evaluations == 0 && !stages.empty();
  const godiff::StageSummary &stage = between ? stages.back() : search.current_stage();
  const int learned = search.learned_stages();
  impl->finished = search.finished();
  impl->best = impl->run_energy(search.archive().best_energy());
  v[0] = stage.stage + 1;
  v[1] = impl->run_temperature(stage.kT);
  v[2] = static_cast<double>(totals.evaluations);
  v[3] = static_cast<double>(totals.drawn);
  v[4] = static_cast<double>(totals.rejected);
  v[5] = static_cast<double>(totals.outside);
  v[6] = static_cast<double>(totals.duplicates);
  v[7] = static_cast<double>(totals.failed);
  if (!impl->shared)
    v[8] = totals.evaluations > 0 ? impl->energy : NAN;
  v[9] = impl->run_energy(stage.lowest);
  v[10] = impl->run_energy(stage.mean);
  v[11] = learned > 0 ? stages[learned - 1].ess : 0.0;
  v[12] = learned > 0 ? stages[learned - 1].score_loss : NAN;
  v[13] = learned > 0 ? stages[learned - 1].force_loss : NAN;
  v[14] = totals.seconds_sampling;
  v[15] = totals.seconds_training;
  v[16] = totals.seconds_evaluating;

  const auto row = [this](const godiff::StageSummary &s) {
    double *a = &impl->array[static_cast<std::size_t>(s.stage) * Impl::COLUMNS];
    const double columns[Impl::COLUMNS] = {s.stage + 1.0,
                                           impl->run_temperature(s.kT),
                                           static_cast<double>(s.evaluations),
                                           static_cast<double>(s.drawn),
                                           static_cast<double>(s.rejected),
                                           static_cast<double>(s.outside),
                                           static_cast<double>(s.duplicates),
                                           static_cast<double>(s.failed),
                                           impl->run_energy(s.lowest),
                                           impl->run_energy(s.mean),
                                           impl->run_energy(s.best),
                                           s.ess,
                                           static_cast<double>(s.buffer),
                                           s.score_loss,
                                           s.force_loss,
                                           s.seconds_sampling,
                                           s.seconds_training,
                                           s.seconds_evaluating};
    std::copy_n(columns, Impl::COLUMNS, a);
  };
  // A row changes until the stage after it has begun.
  const std::size_t last = stages.size();
  for (std::size_t k = impl->array_shared && last > 2 ? last - 2 : 0; k < last; ++k)
    row(stages[k]);
  if (!search.finished())
    row(search.current_stage());
}

void FixGODiff::share_outputs() {
  godiff::Comm &everyone = *impl->everyone;
  const auto bytes = [](std::size_t numbers) {
    return static_cast<std::int64_t>(numbers * sizeof(double));
  };
  if (!impl->array_shared)
    everyone.broadcast(impl->array.data(), bytes(impl->array.size()));
  impl->array_shared = true;

  // In one message: only the rows of the present stage and its neighbors change.
  constexpr int ROWS = 3, TABLE = 2 + Impl::VECTOR;
  double numbers[TABLE + ROWS * Impl::COLUMNS] = {impl->best, impl->finished ? 1.0 : 0.0};
  std::copy_n(impl->vector, Impl::VECTOR, numbers + 2);
  const auto rows = [&](const auto &copy) {
    const int first = std::max(0, static_cast<int>(numbers[2]) - 2);
    const int count = std::min(ROWS, size_array_rows - first);
    copy(&impl->array[static_cast<std::size_t>(first) * Impl::COLUMNS], count * Impl::COLUMNS);
  };
  rows([&](const double *row, int count) { std::copy_n(row, count, numbers + TABLE); });
  everyone.broadcast(numbers, bytes(TABLE + ROWS * Impl::COLUMNS));
  impl->best = numbers[0];
  impl->finished = numbers[1] != 0.0;
  const double mine = impl->vector[8];
  std::copy_n(numbers + 2, Impl::VECTOR, impl->vector);
  if (impl->shared)
    impl->vector[8] = mine;  // the energy of this world's candidate
  rows([&](double *row, int count) { std::copy_n(numbers + TABLE, count, row); });
}

double FixGODiff::compute_scalar() {
  return impl->best;
}

double FixGODiff::compute_vector(int i) {
  return impl->vector[i];
}

double FixGODiff::compute_array(int i, int j) {
  return impl->array[static_cast<std::size_t>(i) * Impl::COLUMNS + static_cast<std::size_t>(j)];
}

/* ----------------------------------------------------------------------
   to screen and log of this world and, when worlds share a search, to
   those of the whole job
------------------------------------------------------------------------- */

void FixGODiff::announce(const std::string &text) {
  utils::logmesg(lmp, text);
  if (impl->shared)
    for (FILE *out : {universe->uscreen, universe->ulogfile})
      if (out)
        utils::print(out, "{}", text);
  utils::flush_buffers(lmp);
}

/* ----------------------------------------------------------------------
   where a progress line can be drawn, nullptr when nobody looks
------------------------------------------------------------------------- */

FILE *FixGODiff::terminal() {
  FILE *const out = impl->shared ? universe->uscreen : screen;
  return out && platform::is_console(out) ? out : nullptr;
}

/* ----------------------------------------------------------------------
   leader: what is going to happen
------------------------------------------------------------------------- */

void FixGODiff::print_plan() {
  const godiff::Settings &s = impl->settings;
  const godiff::System &system = impl->system;
  const int n_template = impl->n_template(), n = impl->n_atoms();
  const bigint budget = static_cast<bigint>(s.stages) * s.samples;
  const bool em = s.sample == godiff::SampleKind::EULER_MARUYAMA;
  std::string text = fmt::format("GODIFF search, fix {}\n", id);
  text += fmt::format("  atoms       {} mobile ({}), {} template ({})\n", system.n_mobile,
                      composition(system.atomic_numbers, n_template, n), system.n_template,
                      composition(system.atomic_numbers, 0, n_template));
  text += fmt::format("  window      z {:.6g} to {:.6g}, mindist {:.6g}\n",
                      system.z_lo + system.origin[2], system.z_hi + system.origin[2], s.mindist);
  if (std::isfinite(s.energy_lo) || std::isfinite(s.energy_hi))
    text += fmt::format("  energies    from {:.8g} to {:.8g}{}\n", impl->run_energy(s.energy_lo),
                        impl->run_energy(s.energy_hi),
                        s.energy_absolute ? "" : " above the input structure");
  text += fmt::format("  budget      {} stages x {} candidates = {} {}, seed {}\n", s.stages,
                      s.samples, budget, s.relax_steps > 0 ? "relaxations" : "evaluations", s.seed);
  if (impl->batch)
    text += fmt::format("  evaluation  {}, a stage in a step: {} steps\n",
                        impl->batch->direct ? fmt::format("by the batch service of pair_style {}",
                                                          force->pair_style)
                                            : "stacked",
                        s.stages);
  if (s.relax_steps > 0)
    text += fmt::format("  relaxation  up to {} steps each, until forces are below {:.6g}\n",
                        s.relax_steps, impl->run_energy(s.relax_ftol));
  text += fmt::format("  temperature {:.6g} to {:.6g} K, {} (kT {:.4g} to {:.4g} eV)\n",
                      impl->run_temperature(s.kT_start), impl->run_temperature(s.kT_stop),
                      s.annealing == godiff::Annealing::GEOMETRIC ? "geometric" : "adaptive",
                      s.kT_start, s.kT_stop);
  text += em ? fmt::format("  sampling    reverse diffusion, {} steps{}\n", s.sample_steps,
                           s.guided() ? fmt::format(", guide {:.6g}", s.guide) : "")
             : "  sampling    uniform draws\n";
  text += s.train
              ? fmt::format("  training    {} steps a stage, batches of {} from a buffer of {}\n",
                            s.train_steps, s.batch, s.buffer)
              : "  training    none\n";
  if (em || s.train)
    text += fmt::format("  network     cutoff {:.6g}, {} features, {} blocks: {} parameters{}\n",
                        s.network.cutoff, s.network.nfeat, s.network.nblock,
                        impl->search->parameter_count(),
                        impl->options.load.empty() ? "" : " from " + impl->options.load);
  const c10::Device device = impl->search->device();
  text +=
      fmt::format("  LibTorch    {} on {}, {} thread{}, {} precision\n", GODiff::libtorch_version(),
                  device.is_cpu() ? "CPU" : device.str(), impl->threads,
                  impl->threads == 1 ? "" : "s", s.double_precision ? "double" : "single");
  const int ranks = impl->alone ? 1 : impl->everyone->size();
  if (impl->shared)
    text += fmt::format("  worlds      {} evaluate, {} ranks sample and train\n", universe->nworlds,
                        ranks);
  else if (ranks > 1)
    text += fmt::format("  ranks       {} sample and train\n", ranks);
  text += fmt::format("  files       {}\n", utils::join_words(impl->files->names(), " "));
  if (impl->search->totals().evaluations > 0)
    text += fmt::format("  continues after {} evaluations in stage {}, best energy {:.8g}\n",
                        impl->search->totals().evaluations,
                        std::min(impl->search->current_stage().stage + 1, s.stages), impl->best);
  announce(text);
}

/* ----------------------------------------------------------------------
   leader: a line for every stage that is complete: learned, or evaluated
   when nothing is learned
------------------------------------------------------------------------- */

void FixGODiff::print_stages() {
  const godiff::Search &search = *impl->search;
  const auto &stages = search.stages();
  const int complete =
      impl->settings.train ? search.learned_stages() : static_cast<int>(stages.size());
  for (; impl->printed < complete; ++impl->printed) {
    if (!impl->options.log)
      continue;
    const godiff::StageSummary &s = stages[impl->printed];
    double total = 0.0;
    for (int k = 0; k <= impl->printed; ++k)
      total += spent(stages[k]);
    const int left = impl->settings.stages - impl->printed - 1;
    std::string text = fmt::format("Stage {}/{}  T {:.5g}  best {:.8g}  mean {:.8g}", s.stage + 1,
                                   impl->settings.stages, impl->run_temperature(s.kT),
                                   impl->run_energy(s.best), impl->run_energy(s.mean));
    if (impl->settings.train) {
      text += fmt::format("  ESS {:.1f}/{}  loss {:.4g}", s.ess, s.buffer, s.score_loss);
      if (impl->settings.guided())
        text += fmt::format("  force loss {:.4g}", s.force_loss);
    }
    text += fmt::format("  {:.1f} s  to go {}\n", spent(s),
                        clock_text(total / (impl->printed + 1) * left));
    if (impl->settings.train && s.buffer == 0)
      text += "  no structure with status ok so far: nothing was learned in this stage\n";
    announce(text);
  }
}

/* ----------------------------------------------------------------------
   leader: how far the search has come; in full once everything is done
------------------------------------------------------------------------- */

void FixGODiff::print_summary() {
  const godiff::Search &search = *impl->search;
  const godiff::Totals &totals = search.totals();
  const godiff::Archive &archive = search.archive();
  if (!search.finished()) {
    announce(fmt::format("GODIFF search: {} of {} candidates so far, best energy {:.10g}; the next "
                         "run goes on\n",
                         archive.size(),
                         static_cast<bigint>(impl->settings.stages) * impl->settings.samples,
                         impl->best));
    return;
  }
  if (impl->summarised || search.work_due())
    return;
  impl->summarised = true;
  std::string text = fmt::format("GODIFF search complete: {} candidates, {} evaluations\n",
                                 archive.size(), totals.evaluations);
  if (archive.best() >= 0) {
    const godiff::Record &best = archive[static_cast<std::size_t>(archive.best())];
    text += fmt::format("  best energy {:.10g} at evaluation {} (candidate {}, stage {})\n",
                        impl->run_energy(best.energy), best.evaluation, archive.best() + 1,
                        best.stage + 1);
  } else {
    text += "  no candidate has an energy inside the window\n";
  }
  text +=
      fmt::format("  {} drawn, {} rejected by mindist, {} outside the energy window, {} failed\n",
                  totals.drawn, totals.rejected, totals.outside, totals.failed);
  if (totals.non_finite_scores > 0 || totals.skipped_steps > 0)
    text +=
        fmt::format("  {} scores were not finite and taken as zero, {} training steps skipped\n",
                    totals.non_finite_scores, totals.skipped_steps);
  const double known =
      totals.seconds_sampling + totals.seconds_training + totals.seconds_evaluating;
  const double all = std::max(impl->files->elapsed(), known);
  const double percent = all > 0.0 ? 100.0 / all : 0.0;
  text += fmt::format("  time {:.1f} s: sampling {:.0f} %, training {:.0f} %, evaluation {:.0f} %, "
                      "other {:.0f} %\n",
                      all, percent * totals.seconds_sampling, percent * totals.seconds_training,
                      percent * totals.seconds_evaluating, percent * (all - known));
  announce(text);
}
