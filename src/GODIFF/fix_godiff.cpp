// SPDX-License-Identifier: GPL-2.0-only
// The fix in the run loop: candidate -> atoms -> energy -> search.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "atom.h"
#include "citeme.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "group.h"
#include "input.h"
#include "memory.h"
#include "timer.h"
#include "universe.h"
#include "update.h"

#include "core/base/error.hpp"
#include "core/base/fault.hpp"
#include "core/io/safetensors.hpp"

using namespace LAMMPS_NS;
using namespace FixConst;

static const char cite_godiff[] =
    "fix godiff command: doi:10.48550/arXiv.2510.13448\n\n"
    "@Article{Ronne2025,\n"
    " author =  {Nikolaj R{\\o}nne and Tejs Vegge and Arghya Bhowmik},\n"
    " title =   {{GO}-Diff: Data-Free and Amortized Global Structure Optimization},\n"
    " journal = {arXiv preprint arXiv:2510.13448},\n"
    " year =    2025\n"
    "}\n\n"
    "@InProceedings{Schutt2021,\n"
    " author =    {Kristof Sch{\\\"u}tt and Oliver Unke and Michael Gastegger},\n"
    " title =     {Equivariant Message Passing for the Prediction of Tensorial Properties and\n"
    "              Molecular Spectra},\n"
    " booktitle = {Proceedings of the 38th International Conference on Machine Learning},\n"
    " pages =     {9377--9388},\n"
    " year =      2021\n"
    "}\n\n";

static constexpr char MAGIC[8] = {'G', 'O', 'D', 'I', 'F', 'F', '0', '1'};

/* ---------------------------------------------------------------------- */

FixGODiff::FixGODiff(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg),
    destination(nullptr),
    impl(new Impl) {
  std::unique_ptr<Impl> owner(impl);  // an error below leaves without the destructor
  if (lmp->citeme)
    lmp->citeme->add(cite_godiff);

  time_integrate = 1;
  force_reneighbor = 1;
  next_reneighbor = -1;
  pre_exchange_migrate = 1;
  maxexchange = 3;
  restart_global = 1;
  nevery = 1;
  scalar_flag = vector_flag = array_flag = 1;
  size_vector = Impl::VECTOR;
  size_array_cols = Impl::COLUMNS;
  global_freq = 1;
  extscalar = extvector = extarray = 0;

  if (domain->dimension != 3)
    error->all(FLERR, "Fix godiff needs dimension 3");
  if (!atom->tag_enable)
    error->all(FLERR, "Fix godiff needs atom IDs: use atom_modify id yes");
  impl->units = GODiff::find_units(lmp);
  GODiff::parse(lmp, narg, arg, impl->units, impl->settings, impl->options);
  if (impl->settings.train && impl->settings.sample == godiff::SampleKind::PRIOR && comm->me == 0)
    error->warning(FLERR,
                   "Fix godiff: with sample prior no candidate comes from the network, which "
                   "mode search trains all the same: add mode sample, or use sample em");
  const bigint mobile = group->count(igroup);
  if (mobile == 0)
    error->all(FLERR, 1, "Fix godiff: there is no atom in group {}", arg[1]);
  if (mobile == atom->natoms)
    error->all(FLERR, 1, "Fix godiff: group {} contains all atoms: leave the template out", arg[1]);

  size_array_rows = impl->settings.stages;
  impl->array.assign(static_cast<std::size_t>(size_array_rows) * Impl::COLUMNS, 0.0);
  update_outputs();

  FixGODiff::grow_arrays(atom->nmax);
  atom->add_callback(Atom::GROW);
  owner.release();
}

FixGODiff::~FixGODiff() {
  if (copymode)
    return;
  atom->delete_callback(id, Atom::GROW);
  memory->destroy(destination);
  delete impl;
}

int FixGODiff::setmask() {
  return INITIAL_INTEGRATE | PRE_EXCHANGE | POST_FORCE | END_OF_STEP | POST_RUN;
}

/* ----------------------------------------------------------------------
   forces of the structure in the atoms have just been computed
------------------------------------------------------------------------- */

void FixGODiff::setup(int /*vflag*/) {
  const bool first = !impl->begun;
  if (first)
    begin();
  else if (!impl->lost)
    check_unchanged();
  start_run();
  if (impl->leader)
    update_outputs();
  share_outputs();
  if (first && impl->leader)
    print_plan();
  impl->pe->addstep(update->ntimestep + 1);

  if (impl->finished) {
    if (!impl->warned && impl->leader && !impl->search->work_due())
      error->warning(FLERR, "Fix godiff: the search is complete, nothing is evaluated any more: "
                            "unfix it or start another one");
    impl->warned = true;
    // With KOKKOS the run loop would remember this timeout as the one that was set, for all later runs.
    if (lmp->kokkos)
      impl->stop_at_step = true;
    else
      stop_run();
  }
}

/* ---------------------------------------------------------------------- */

void FixGODiff::start_run() {
  impl->running = true;
  impl->stop_at_step = false;
  impl->active = impl->stopped = impl->out_of_time = impl->terminated = impl->worked = false;
  impl->termination.emplace();
  impl->dealt.clear();  // every run begins with a meeting
  if (impl->leader)
    impl->records_before = impl->search->archive().size();
  impl->run_start = platform::walltime();
}

/* ----------------------------------------------------------------------
   end the run loop before its next step
------------------------------------------------------------------------- */

void FixGODiff::stop_run() {
  impl->stopped = true;
  timer->force_timeout();
}

/* ----------------------------------------------------------------------
   put the next structure into the atoms. When there is none, the ranks
   that search together meet: they learn, sample and get new ones.
------------------------------------------------------------------------- */

void FixGODiff::initial_integrate(int /*vflag*/) {
  if (!impl->running)
    start_run();  // "pre no": no setup
  impl->active = false;
  if (impl->stop_at_step && !impl->stopped)
    stop_run();  // this step changes nothing
  if (impl->stopped)
    return;
  if (!impl->referenced)
    set_reference();
  while (true) {
    int mine[3] = {0, GODiff::TerminationWatch::asked(), 0}, all[3];
    if (impl->root && !impl->lost)
      in_trouble_if([&] { mine[0] = impl->batch ? next_block() : next_structure(); });
    mine[2] = !impl->trouble.empty();
    MPI_Allreduce(mine, all, 3, MPI_INT, MPI_MAX, world);
    if (all[1]) {
      impl->terminated = true;
      stop_run();  // this step changes nothing
      return;
    }
    if (all[0] && !all[2])
      break;
    if (all[2] && impl->deal)
      impl->deal->end();  // the other worlds come as soon as they have their energy
    meet(false);
    if (impl->stopped)
      return;
  }
  if (impl->batch && !evaluate_stage())
    return;
  impl->active = true;
  hand_out();
  place_atoms();
  next_reneighbor = update->ntimestep;
}

/* ----------------------------------------------------------------------
   roots: the next structure to evaluate in this world becomes the one to
   place; false when there is none. What an interrupted run has evaluated
   is taken over from its journal.
------------------------------------------------------------------------- */

bool FixGODiff::next_structure() {
  if (!impl->shared) {
    godiff::Search &search = *impl->search;
    while (search.has_request()) {
      const godiff::JournalRecord *known =
          impl->replay.find(search.current_stage().stage, search.next_candidate(),
                            search.request_step(), search.request());
      if (!known) {
        impl->set_mobile(search.request());
        return true;
      }
      impl->raw_forces = known->forces;
      record_new([&] { search.report(known->energy, impl->raw_forces.data()); });
      impl->raw_forces.assign(impl->positions.size(), 0.0);
    }
    return false;
  }
  godiff::Evaluation &evaluation = *impl->evaluation;
  while (true) {
    if (!evaluation.open()) {
      if (impl->dealt.empty())
        return false;
      const std::int64_t k = impl->deal->next();
      if (k >= static_cast<std::int64_t>(impl->dealt.size()))
        return false;
      const std::int64_t candidate = impl->dealt[static_cast<std::size_t>(k)];
      evaluation.start(candidate, impl->candidates[static_cast<std::size_t>(candidate)]);
    }
    if (!impl->replay.report(impl->stage, evaluation)) {
      impl->set_mobile(evaluation.positions());
      return true;
    }
    impl->results.push_back(evaluation.result());
  }
}

/* ----------------------------------------------------------------------
   the energies in LAMMPS are still those of the setup. In setup() itself
   later fixes have not added theirs yet.
------------------------------------------------------------------------- */

void FixGODiff::set_reference() {
  const double energy = impl->pe->compute_scalar() * impl->units.energy;
  // Only a relative energy window needs it.
  if (impl->leader && !impl->search->has_reference() &&
      (!impl->settings.energy_absolute || std::isfinite(energy)))
    in_trouble_if([&] { impl->search->set_reference(energy); });
  // From the first energy on there is something to resume.
  if (impl->leader && !impl->resumed)
    in_trouble_if([&] { impl->files->write_checkpoint(*impl->search); });
  impl->referenced = true;
}

/* ----------------------------------------------------------------------
   all ranks learn the structure of rank 0
------------------------------------------------------------------------- */

void FixGODiff::hand_out() {
  const std::size_t begin = 3 * static_cast<std::size_t>(impl->n_template());
  MPI_Bcast(impl->positions.data() + begin, static_cast<int>(impl->positions.size() - begin),
            MPI_DOUBLE, 0, world);
  const imageint zero = (static_cast<imageint>(IMGMAX) << IMG2BITS) |
                        (static_cast<imageint>(IMGMAX) << IMGBITS) | IMGMAX;
  std::fill(impl->images.begin() + impl->n_template(), impl->images.end(), zero);
}

/* ---------------------------------------------------------------------- */

void FixGODiff::pre_exchange() {
  if (!impl->active)
    return;
  migrate();
  // LAMMPS would sort the atoms by place after this, every 1000 steps of whatever run this is.
  atom->nextsort = update->ntimestep + 1;
}

/* ----------------------------------------------------------------------
   keep the raw forces: fixes defined later (setforce) change them
------------------------------------------------------------------------- */

void FixGODiff::post_force(int /*vflag*/) {
  if (!impl->active || impl->batch || !forces_wanted())
    return;
  std::vector<double> mine(impl->positions.size(), 0.0);
  gather_forces(mine.data());
  for (double &component : mine)
    component *= impl->units.energy;
  // Every atom has one owner: the sum only adds zeros.
  MPI_Reduce(mine.data(), impl->raw_forces.data(), static_cast<int>(mine.size()), MPI_DOUBLE,
             MPI_SUM, 0, world);
}

bool FixGODiff::forces_wanted() const {
  return godiff::forces_needed(impl->settings) != godiff::ForceNeed::NONE;
}

/* ----------------------------------------------------------------------
   tell the search what the candidate has got
------------------------------------------------------------------------- */

void FixGODiff::end_of_step() {
  if (!impl->running)
    return;
  impl->pe->addstep(update->ntimestep + 1);
  if (!impl->active)
    return;
  const double energy = godiff::fault_value("evaluate", impl->pe->compute_scalar());
  impl->active = false;
  in_trouble_if([] { godiff::fault_point("evaluate"); });
  check_lost();
  if (impl->shared) {
    impl->vector[8] = energy;
    if (impl->root)
      in_trouble_if([&] { take_energy(energy); });
    // Without all of its atoms this world can evaluate nothing, but it goes on to learn.
    while (impl->lost && !impl->stopped)
      meet(false);
    return;
  }
  if (impl->root)
    in_trouble_if([&] {
      impl->energy = energy;
      take_energy(energy);
      update_outputs();
    });
  agree(impl->trouble);
  if (impl->lost)
    error->all(FLERR, "Fix godiff: atoms have been lost while a candidate was evaluated, which is "
                      "recorded as failed: check the pair style and the other fixes");
  share_outputs();
  if (impl->finished)
    stop_run();
}

/* ---------------------------------------------------------------------- */

void FixGODiff::check_lost() {
  const bigint mine = atom->nlocal;
  bigint all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_LMP_BIGINT, MPI_SUM, world);
  if (all >= impl->system.n_atoms())
    return;  // place_atoms() refuses new ones
  impl->lost = true;
  if (!impl->shared)
    return;
  // LAMMPS would end all worlds for it.
  input->one("thermo_modify lost ignore");
  if (impl->root)
    error->warning(FLERR, "Fix godiff: {} atoms have been lost: this world evaluates no more",
                   impl->system.n_atoms() - all);
}

/* ----------------------------------------------------------------------
   roots: an energy (eV) goes into the journal before anything is made of
   it: it is not lost when this process is killed
------------------------------------------------------------------------- */

void FixGODiff::note_energy(int stage, std::int64_t candidate, std::int64_t step,
                            const godiff::Positions &positions, double energy,
                            const double *forces) {
  godiff::JournalRecord record;
  record.stage = stage;
  record.candidate = candidate;
  record.step = static_cast<std::int32_t>(step);
  record.digest = godiff::digest(positions);
  record.energy = energy;
  if (godiff::forces_needed(impl->settings) != godiff::ForceNeed::NONE)
    record.forces.assign(forces, forces + impl->positions.size());
  godiff::fault_point("journal");
  impl->journal->append(record);
}

/* ----------------------------------------------------------------------
   roots: the energy of the structure in the atoms
------------------------------------------------------------------------- */

void FixGODiff::take_energy(double energy) {
  const double eV = energy * impl->units.energy;
  const double *forces = impl->raw_forces.data();
  if (impl->batch) {
    take_batch(eV);
    return;
  }
  if (impl->shared) {
    godiff::Evaluation &evaluation = *impl->evaluation;
    if (impl->lost) {
      evaluation.fail();
    } else {
      note_energy(impl->stage, evaluation.candidate(), evaluation.step(), evaluation.positions(),
                  eV, forces);
      if (!evaluation.report(eV, forces))
        return;
    }
    impl->results.push_back(evaluation.result());
    return;
  }
  godiff::Search &search = *impl->search;
  if (!impl->lost)
    note_energy(search.current_stage().stage, search.next_candidate(), search.request_step(),
                search.request(), eV, forces);
  record_new([&] { search.report(impl->lost ? NAN : eV, forces); });
}

/* ----------------------------------------------------------------------
   learn from the last stage, leave the best structure in the atoms
------------------------------------------------------------------------- */

void FixGODiff::post_run() {
  if (!impl->running)
    return;  // of a minimization
  if (impl->stopped && !impl->out_of_time)
    timer->reset_timeout();
  impl->active = impl->stopped = false;
  if (impl->deal)
    impl->deal->end();  // no other world begins with another candidate
  while (!meet(true)) {
  }
  impl->stopped = false;
  impl->termination.reset();
  impl->deal.reset();
  leave_run();
}

/* ---------------------------------------------------------------------- */

void FixGODiff::leave_run() {
  int placed = 0, saved = 0;
  std::string failure;
  if (impl->leader) {
    try {
      godiff::Search &search = *impl->search;
      const godiff::Archive &archive = search.archive();
      const bool evaluated = archive.size() > impl->records_before;
      std::int64_t chosen = static_cast<std::int64_t>(archive.size()) - 1;
      if (impl->options.final_best && archive.best() >= 0)
        chosen = archive.best();
      // A run without evaluations leaves what the user may have made of the atoms since the last one.
      placed = (evaluated || impl->ahead_of_atoms) && chosen >= 0;
      impl->ahead_of_atoms = false;
      if (placed)
        impl->set_mobile(archive[static_cast<std::size_t>(chosen)].positions);
      note_time();
      if (evaluated || impl->worked) {
        impl->files->sync();
        impl->files->write_best(search);
        impl->files->write_checkpoint(search);
        // Worlds that go on with a relaxation under way find its energies in the journal only.
        saved = impl->ahead.empty() && !impl->anything_open && search.request_step() == 0;
        // A training under way is in the checkpoint.
        impl->files->remove_training();
      }
      // Also what a run left that was killed just before it did this.
      if (search.finished() && !search.work_due()) {
        impl->files->remove_training();
        impl->files->remove_journals();
      }
      update_outputs();
      if (evaluated || impl->worked)
        print_summary();
    } catch (...) {
      failure = GODiff::caught_message();
    }
  }
  impl->running = false;
  agree(failure);
  share_outputs();
  impl->everyone->broadcast(&placed, sizeof(placed), 0);
  impl->everyone->broadcast(&saved, sizeof(saved), 0);
  if (saved && impl->root)
    in_trouble_if([&] { impl->journal->clear(); });
  if (impl->terminated)
    agree("ended by signal SIGTERM; everything is saved: run the same input with keyword resume "
          "yes to "
          "go on");
  if (!placed)
    return;
  const std::size_t begin = 3 * static_cast<std::size_t>(impl->n_template());
  impl->everyone->broadcast(
      impl->positions.data() + begin,
      static_cast<std::int64_t>((impl->positions.size() - begin) * sizeof(double)), 0);
  hand_out();
  place_atoms();
  migrate();
  // What follows (write_data, minimize) starts from owned atoms only.
  atom->nghost = 0;
  if (atom->map_style != Atom::MAP_NONE) {
    atom->map_init();
    atom->map_set();
  }
}

/* ----------------------------------------------------------------------
   leader: the time that the search has taken so far
------------------------------------------------------------------------- */

void FixGODiff::note_time() {
  const double now = platform::walltime();
  if (impl->running)
    impl->files->set_elapsed(impl->files->elapsed() + now - impl->run_start);
  impl->run_start = now;
}

/* ----------------------------------------------------------------------
   the whole search goes into the binary restart file: number of bytes,
   then a mark, the length and a safetensors file
------------------------------------------------------------------------- */

void FixGODiff::write_restart(FILE *fp) {
  if (comm->me != 0)
    return;
  std::string failure;
  try {
    // The leader has the search. Of the other worlds the fix has nothing to say. Read but not used yet, or nothing.
    std::vector<std::string_view> pieces{impl->saved};
    std::string header;
    godiff::SafeTensors state;
    godiff::fault_point("restart");
    if (impl->search) {
      note_time();
      impl->files->sync();
      state = impl->search->save();
      impl->files->save(state);
      pieces = state.pieces(header);
    }
    std::uint64_t length = 0;
    for (const std::string_view piece : pieces)
      length += piece.size();
    if (length > INT_MAX - sizeof(MAGIC) - sizeof(length))
      throw godiff::Error("the state of the search has more than 2 GB, which a restart file cannot "
                          "hold");
    const int size = static_cast<int>(sizeof(MAGIC) + sizeof(length) + length);
    fwrite(&size, sizeof(int), 1, fp);
    fwrite(MAGIC, 1, sizeof(MAGIC), fp);
    fwrite(&length, sizeof(length), 1, fp);
    for (const std::string_view piece : pieces)
      fwrite(piece.data(), 1, piece.size(), fp);
  } catch (...) {
    failure = GODiff::caught_message();
  }
  if (!failure.empty())
    error->one(FLERR, "Fix godiff: {}", failure);
}

/* ---------------------------------------------------------------------- */

void FixGODiff::restart(char *buf) {
  if (memcmp(buf, MAGIC, sizeof(MAGIC)) != 0)
    error->all(FLERR, "Fix godiff: the restart file was written by another version of this fix");
  std::uint64_t length;
  memcpy(&length, buf + sizeof(MAGIC), sizeof(length));
  if (comm->me == 0)
    impl->saved.assign(buf + sizeof(MAGIC) + sizeof(length), length);
}

double FixGODiff::memory_usage() {
  double bytes = 3.0 * atom->nmax * sizeof(double) + impl->positions.size() * sizeof(double);
  if (impl->search)
    bytes += static_cast<double>(impl->search->archive().bytes());
  return bytes;
}
