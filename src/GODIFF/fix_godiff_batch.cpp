// SPDX-License-Identifier: GPL-2.0-only
// A whole stage in one step: all candidates get their energies before the step, which then computes the
// one with the lowest energy once more, as LAMMPS does. So thermo and dump show it, and a term that the
// batch does not know of cannot stay unnoticed.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "comm.h"
#include "error.h"
#include "force.h"
#include "modify.h"
#include "pair.h"
#include "timer.h"

#include "core/base/comm.hpp"
#include "core/base/error.hpp"
#include "core/base/fault.hpp"
#include "godiff_batch.h"

using namespace LAMMPS_NS;

namespace {

// Atoms of one call, for each rank. Energies are safe in the journal after each call; far more atoms make
// no potential faster.
constexpr std::int64_t ATOMS_AT_ONCE = 20000;
constexpr std::int64_t STACKED_ATOMS = 100000;  // of all ranks

// How much the energy of LAMMPS may differ from that of a batch: rounding of single precision, which is
// less than any term that matters. Of the energy, and eV for each atom.
constexpr double RELATIVE = 1e-6, PER_ATOM = 1e-6;

// The batch service of the pair style, nullptr when it has none.
godiff_batch_v1 *service_of(Force *force) {
  int dim = 0;
  return force->pair ? static_cast<godiff_batch_v1 *>(force->pair->extract("godiff_batch", dim))
                     : nullptr;
}

}  // namespace

/* ----------------------------------------------------------------------
   which way candidates are evaluated; called before every run, because
   the pair style may be another one now
------------------------------------------------------------------------- */

void FixGODiff::init_batch() {
  using GODiff::Evaluate;
  const Evaluate wanted = impl->options.evaluate;
  if (wanted == Evaluate::STEP)
    return;
  const std::string direct = why_not_direct(), stacked = why_not_stacked();
  if (wanted == Evaluate::AUTO && !direct.empty() && !stacked.empty())
    error->all(FLERR,
               "Fix godiff: evaluate batch is not possible, neither direct ({}) nor stacked ({}): "
               "use evaluate step",
               direct, stacked);
  if (wanted == Evaluate::DIRECT && !direct.empty())
    error->all(FLERR, "Fix godiff: evaluate batch direct is not possible, {}: use {}evaluate step",
               direct, stacked.empty() ? "evaluate batch stacked or " : "");
  if (wanted == Evaluate::STACKED && !stacked.empty())
    error->all(FLERR, "Fix godiff: evaluate batch stacked is not possible, {}: use {}evaluate step",
               stacked, direct.empty() ? "evaluate batch direct or " : "");
  if (!impl->batch)
    impl->batch = std::make_unique<Batch>();
  impl->batch->direct = wanted != Evaluate::STACKED && direct.empty();
}

/* ----------------------------------------------------------------------
   what contributes to the energy beside the pair style, empty for nothing
------------------------------------------------------------------------- */

std::string FixGODiff::beyond_pair() {
  if (!force->pair)
    return "there is no pair style";
  const std::string unknown = " contributes to the energy as well as the pair style";
  if (force->kspace)
    return fmt::format("kspace_style {}{}", force->kspace_style, unknown);
  if (force->bond || force->angle || force->dihedral || force->improper)
    return "a bond, angle, dihedral or improper style" + unknown;
  if (force->pair->tail_flag)
    return "the tail correction of pair_modify" + unknown;
  for (Fix *other : modify->get_fix_list())
    if (other->energy_global_flag && other->thermo_energy)
      return fmt::format("fix {} (style {}){}", other->id, other->style, unknown);
  return "";
}

/* ---------------------------------------------------------------------- */

std::string FixGODiff::why_not_direct() {
  const std::string more = beyond_pair();
  if (!more.empty())
    return more;
  // Its extract() would answer for one of its styles and leave out the others.
  if (strncmp(force->pair_style, "hybrid", 6) == 0)
    return fmt::format("pair_style {} has several styles and a batch service is of one",
                       force->pair_style);
  const godiff_batch_v1 *service = service_of(force);
  if (!service)
    return fmt::format("pair_style {} has no batch service", force->pair_style);
  if (service->abi != GODIFF_BATCH_ABI || service->size < GODIFF_BATCH_SMALLEST)
    return fmt::format("the batch service of pair_style {} has version {} and {} bytes, needed are "
                       "version {} and {} bytes",
                       force->pair_style, service->abi, service->size, int(GODIFF_BATCH_ABI),
                       GODIFF_BATCH_SMALLEST);
  return "";
}

/* ----------------------------------------------------------------------
   roots: begins with the candidates that this world evaluates next: all
   of the stage, or a block of what the worlds share out. False when there
   are none. What an interrupted run has evaluated is taken over.
------------------------------------------------------------------------- */

bool FixGODiff::next_block() {
  Batch &batch = *impl->batch;
  if (!batch.idle())
    return true;  // of a run that has ended within a stage
  int stage = impl->stage;
  const auto start = [&](std::int64_t candidate, const godiff::Positions &positions) {
    batch.open.emplace_back(impl->system, impl->settings);
    batch.open.back().start(candidate, positions);
  };
  if (!impl->shared) {
    const godiff::Search &search = *impl->search;
    if (!search.has_request())
      return false;
    stage = search.current_stage().stage;
    impl->dealt_at = platform::walltime();
    const auto count = static_cast<std::int64_t>(search.candidates().size());
    for (std::int64_t k = search.next_candidate(); k < count; ++k)
      start(k, search.candidates()[static_cast<std::size_t>(k)]);
  } else {
    // Large blocks first: fewer calls, and at the end nobody waits long for the others.
    const auto count = static_cast<std::int64_t>(impl->dealt.size());
    const std::int64_t rest = count > 0 ? count - impl->deal->next(0) : 0;
    if (rest <= 0)
      return false;
    const std::int64_t shares = 2 * static_cast<std::int64_t>(impl->roots->size());
    const std::int64_t block = (rest + shares - 1) / shares;
    const std::int64_t first = impl->deal->next(block);
    for (std::int64_t k = first; k < std::min(first + block, count); ++k) {
      const std::int64_t candidate = impl->dealt[static_cast<std::size_t>(k)];
      start(candidate, impl->candidates[static_cast<std::size_t>(candidate)]);
    }
  }
  for (auto e = batch.open.begin(); e != batch.open.end();) {
    if (impl->replay.report(stage, *e)) {
      batch.done.push_back(e->result());
      e = batch.open.erase(e);
    } else {
      ++e;
    }
  }
  return !batch.idle();
}

/* ----------------------------------------------------------------------
   all ranks of the world: evaluates all that this world can get of the
   stage and chooses the structure to show. False when that was
   interrupted: this step then changes nothing.
------------------------------------------------------------------------- */

bool FixGODiff::evaluate_stage() {
  Batch &batch = *impl->batch;
  for (int more = 1; more;) {
    if (!evaluate_open())
      return false;
    more = 0;
    if (impl->root && impl->shared)
      in_trouble_if([&] {
        std::vector<godiff::Evaluated> before;
        before.swap(batch.done);
        more = next_block();
        batch.done.insert(batch.done.begin(), before.begin(), before.end());
      });
    MPI_Bcast(&more, 1, MPI_INT, 0, world);
  }
  if (!impl->root)
    return true;
  batch.shown = batch.done.size() - 1;
  const double zero = impl->settings.energy_absolute ? 0.0
                      : impl->search                 ? impl->search->reference()
                                                     : impl->reference;
  double lowest = HUGE_VAL;
  for (std::size_t k = 0; k < batch.done.size(); ++k) {
    const godiff::Evaluated &e = batch.done[k];
    if (e.valid && e.energy < lowest &&
        godiff::status_of(e.energy - zero, impl->settings.energy_lo, impl->settings.energy_hi) ==
            godiff::Status::OK) {
      lowest = e.energy;
      batch.shown = k;
    }
  }
  impl->set_mobile(batch.done[batch.shown].positions);
  return true;
}

/* ----------------------------------------------------------------------
   all ranks of the world: evaluates the open candidates. With relaxation
   in passes: each evaluates all that are still open.
------------------------------------------------------------------------- */

bool FixGODiff::evaluate_open() {
  Batch &batch = *impl->batch;
  const std::int64_t width = 3 * impl->system.n_mobile, all_atoms = 3 * impl->system.n_atoms();
  const bool forces = godiff::forces_needed(impl->settings) != godiff::ForceNeed::NONE;
  std::int64_t at_once = STACKED_ATOMS;
  if (batch.direct) {
    godiff_batch_v1 *service = service_of(force);
    const std::int64_t most =
        service->max_atoms ? service->max_atoms(service->self, forces ? GODIFF_BATCH_FORCES : 0)
                           : 0;
    at_once = (most > 0 ? most : ATOMS_AT_ONCE) * comm->nprocs;
  }
  at_once = std::max<std::int64_t>(1, at_once / impl->system.n_atoms());
  MPI_Bcast(&at_once, 1, MPI_INT64_T, 0, world);
  while (true) {
    auto left = static_cast<std::int64_t>(batch.open.size());
    MPI_Bcast(&left, 1, MPI_INT64_T, 0, world);
    if (left == 0)
      return true;
    while (left > 0) {
      // Those of the same stack, or as many atoms.
      std::vector<std::int64_t> slots;
      std::vector<double> mobile;
      for (const godiff::Evaluation &e : batch.open) {
        if (static_cast<std::int64_t>(slots.size()) == left ||
            e.candidate() / at_once != batch.open.front().candidate() / at_once)
          break;
        slots.push_back(e.candidate() % at_once);
        mobile.insert(mobile.end(), e.positions().begin(), e.positions().end());
      }
      auto count = static_cast<std::int64_t>(slots.size());
      MPI_Bcast(&count, 1, MPI_INT64_T, 0, world);
      left -= count;
      slots.resize(static_cast<std::size_t>(count));
      mobile.resize(static_cast<std::size_t>(count * width));
      MPI_Bcast(slots.data(), static_cast<int>(count), MPI_INT64_T, 0, world);
      MPI_Bcast(mobile.data(), static_cast<int>(mobile.size()), MPI_DOUBLE, 0, world);
      std::vector<double> energies(static_cast<std::size_t>(count));
      std::vector<double> f(static_cast<std::size_t>(forces ? count * all_atoms : 0));
      in_trouble_if([] { godiff::fault_point("batch"); });
      if (batch.direct)
        compute_direct(count, mobile.data(), energies.data(), forces ? f.data() : nullptr);
      else
        compute_stacked(slots, std::min<std::int64_t>(at_once, impl->settings.samples),
                        mobile.data(), energies.data(), forces ? f.data() : nullptr);
      int failed = !impl->trouble.empty();
      MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, world);
      if (impl->root && !failed)
        in_trouble_if([&] { take_energies(count, energies.data(), f.data()); });
      if (interrupted())
        return false;
    }
  }
}

/* ----------------------------------------------------------------------
   energies of `count` structures by the pair style, spread over the ranks;
   root gets all of them, in units of the run
------------------------------------------------------------------------- */

void FixGODiff::compute_direct(std::int64_t count, const double *mobile, double *energies,
                               double *forces) {
  const godiff::System &system = impl->system;
  const auto width = static_cast<std::size_t>(3 * system.n_mobile);
  const auto n = static_cast<std::size_t>(system.n_atoms());
  const godiff::Share mine = godiff::deal(count, comm->me, comm->nprocs);
  in_trouble_if([&] {
    std::vector<std::int64_t> first{0};
    std::vector<int> types;
    std::vector<double> x, cells;
    std::vector<std::uint8_t> periodic;
    for (std::int64_t k = mine.begin; k < mine.end; ++k) {
      const double *here = mobile + static_cast<std::size_t>(k) * width;
      x.insert(x.end(), system.template_positions.begin(), system.template_positions.end());
      x.insert(x.end(), here, here + width);
      types.insert(types.end(), system.types.begin(), system.types.end());
      first.push_back(static_cast<std::int64_t>(types.size()));
      for (const godiff::Vec3 &row : system.cell.rows())
        cells.insert(cells.end(), row.begin(), row.end());
      for (int d = 0; d < 3; ++d)
        periodic.push_back(system.cell.periodic(d));
    }
    if (mine.count() == 0)
      return;
    godiff_batch_v1 *service = service_of(force);
    const int status = service->compute(
        service->self, mine.count(), first.data(), types.data(), x.data(), cells.data(),
        periodic.data(), forces ? GODIFF_BATCH_FORCES : 0, energies + mine.begin,
        forces ? forces + 3 * n * static_cast<std::size_t>(mine.begin) : nullptr, nullptr, nullptr);
    if (status != GODIFF_BATCH_OK)
      throw godiff::Error(fmt::format("pair_style {} could not evaluate {} structures: {}",
                                      force->pair_style, mine.count(),
                                      service->last_error(service->self)));
  });
  // The others have zeros where one rank has its structures.
  GODiff::sum_on_root(lmp, energies, static_cast<std::size_t>(count));
  if (forces)
    GODiff::sum_on_root(lmp, forces, 3 * n * static_cast<std::size_t>(count));
}

/* ----------------------------------------------------------------------
   root: energies (and forces) of the first `count` open candidates; those
   that have to go on go to the end of the list
------------------------------------------------------------------------- */

void FixGODiff::take_energies(std::int64_t count, const double *energies, const double *forces) {
  Batch &batch = *impl->batch;
  const int stage = impl->shared ? impl->stage : impl->search->current_stage().stage;
  const bool with_forces = godiff::forces_needed(impl->settings) != godiff::ForceNeed::NONE;
  std::vector<double> f;
  for (std::int64_t k = 0; k < count; ++k) {
    const double energy = godiff::fault_value("batch", energies[k]) * impl->units.energy;
    if (with_forces) {
      const double *from = forces + static_cast<std::size_t>(k) * impl->positions.size();
      f.assign(from, from + impl->positions.size());
      for (double &component : f)
        component *= impl->units.energy;
    }
    const auto e = batch.open.begin();
    note_energy(stage, e->candidate(), e->step(), e->positions(), energy, f.data());
    if (e->report(energy, with_forces ? f.data() : nullptr)) {
      batch.done.push_back(e->result());
      batch.open.erase(e);
    } else {
      batch.open.splice(batch.open.end(), batch.open, e);
    }
  }
}

/* ----------------------------------------------------------------------
   all ranks of the world: true when the stage cannot go on: for a failure,
   which ends the search, or for a signal or the wall time limit, after
   which the next run goes on with the candidates that are still open
------------------------------------------------------------------------- */

bool FixGODiff::interrupted() {
  enum { FAILED, ASKED, LATE, LEFT, FLAGS };
  int flags[FLAGS] = {!impl->trouble.empty(), GODiff::TerminationWatch::asked(),
                      timer->has_timeout() && timer->get_timeout_remain() <= 0.0,
                      impl->root && !impl->batch->open.empty()};
  MPI_Allreduce(MPI_IN_PLACE, flags, FLAGS, MPI_INT, MPI_MAX, world);
  if (flags[FAILED]) {
    if (impl->deal)
      impl->deal->end();  // the other worlds come as soon as they have their energies
    meet(false);
    return true;
  }
  if (!flags[LEFT] || !(flags[ASKED] || flags[LATE]))
    return false;
  if (flags[ASKED]) {
    impl->terminated = true;
  } else {
    impl->out_of_time = true;
    if (comm->me == 0)
      error->warning(FLERR, "Fix godiff: wall time limit reached within a stage: nothing is lost, "
                            "use keyword resume yes to go on");
  }
  stop_run();
  return true;
}

/* ----------------------------------------------------------------------
   roots: the energy (eV) that LAMMPS has for the structure shown. Only if
   it is that of the batch the stage goes on record.
------------------------------------------------------------------------- */

void FixGODiff::take_batch(double energy) {
  Batch &batch = *impl->batch;
  const godiff::Evaluated &shown = batch.done[batch.shown];
  const double tolerance =
      RELATIVE * std::abs(shown.energy) + PER_ATOM * static_cast<double>(impl->n_atoms());
  if (shown.valid && !impl->lost && !(std::abs(energy - shown.energy) <= tolerance)) {
    const double expected = shown.energy;
    batch.done.clear();
    impl->journal->clear();  // nobody shall take over what is wrong
    throw godiff::Error(fmt::format(
        "LAMMPS has the energy {:.12g} for a structure that has {:.12g} in a batch: something "
        "beside the pair style contributes to it: use evaluate step",
        impl->run_energy(energy), impl->run_energy(expected)));
  }
  for (godiff::Evaluated &e : batch.done)
    if (impl->shared)
      impl->results.push_back(std::move(e));
    else
      impl->ahead[e.candidate] = std::move(e);
  batch.done.clear();
  if (!impl->shared)
    take_results();
}
