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
#include "memory.h"
#include "timer.h"
#include "update.h"

#include "core/base/error.hpp"
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

static constexpr double TICK = 1.0;  // seconds between two progress lines on a terminal
static constexpr char MAGIC[8] = {'G', 'O', 'D', 'I', 'F', 'F', '0', '1'};

/* ---------------------------------------------------------------------- */

FixGODiff::FixGODiff(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg),
    impl(new Impl),
    destination(nullptr) {
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
  impl->threads = GODiff::count_threads(lmp);
  start_run();
  const bool first = !impl->begun;
  if (first)
    begin();
  else
    check_unchanged();
  GODiff::on_root(lmp, [this] { update_outputs(); });
  share_outputs();
  if (first && comm->me == 0)
    print_plan();
  impl->pe->addstep(update->ntimestep + 1);

  if (impl->finished) {
    if (!impl->warned && comm->me == 0 && !impl->search->work_due())
      error->warning(FLERR, "Fix godiff: the search is complete, nothing is evaluated any more: "
                            "unfix it or start another one");
    impl->warned = true;
    stop_run();
  }
}

/* ---------------------------------------------------------------------- */

void FixGODiff::start_run() {
  impl->running = true;
  impl->active = impl->stopped = impl->out_of_time = false;
  impl->evaluated = 0;
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
   put the next structure into the atoms; trains and samples when due
------------------------------------------------------------------------- */

void FixGODiff::initial_integrate(int /*vflag*/) {
  if (!impl->running)
    start_run();  // "pre no": no setup
  impl->active = false;
  // A structure waits for its energy, forces needed, out of time, outputs have changed.
  int state[4] = {0, 0, 0, 0};
  if (impl->stopped)
    return;
  if (!impl->referenced)
    set_reference();
  GODiff::on_root(lmp, [&] {
    state[3] = impl->search->work_due();
    state[2] = !work("before the next candidate");
    state[0] = state[2] == 0 && impl->search->has_request();
    if (state[0])
      impl->set_mobile(impl->search->request());
    state[1] = static_cast<int>(impl->search->forces_needed());
    if (state[3])
      update_outputs();
  });
  MPI_Bcast(state, 4, MPI_INT, 0, world);
  if (state[3])
    share_outputs();
  impl->out_of_time = state[2] != 0;
  if (!state[0]) {
    stop_run();  // this step changes nothing
    return;
  }
  impl->active = true;
  impl->forces = state[1];
  hand_out();
  place_atoms();
  next_reneighbor = update->ntimestep;
}

/* ----------------------------------------------------------------------
   the energies in LAMMPS are still those of the setup. In setup() itself
   later fixes have not added theirs yet.
------------------------------------------------------------------------- */

void FixGODiff::set_reference() {
  const double energy = impl->pe->compute_scalar() * impl->units.energy;
  GODiff::on_root(lmp, [&] {
    // Only a relative energy window needs it.
    if (!impl->search->has_reference() &&
        (!impl->settings.energy_absolute || std::isfinite(energy)))
      impl->search->set_reference(energy);
  });
  impl->referenced = true;
}

/* ----------------------------------------------------------------------
   rank 0: learn and sample as far as due; false when the time is up
------------------------------------------------------------------------- */

bool FixGODiff::work(const char *when) {
  if (!impl->search->work_due())
    return true;
  impl->last_tick = platform::walltime();
  const GODiff::ThreadScope threads(impl->threads);
  const bool done =
      impl->search->prepare([this](const char *what, std::int64_t part, std::int64_t whole) {
        return progress(what, part, whole);
      });
  if (impl->tick_shown) {
    utils::print(screen, "\r{:70}\r", "");
    impl->tick_shown = false;
  }
  print_stages();
  if (impl->search->learned_stages() != impl->saved_stages) {
    impl->files->update_checkpoint(*impl->search);
    impl->saved_stages = impl->search->learned_stages();
  }
  if (!done)
    error->warning(FLERR,
                   "Fix godiff: wall time limit reached {}: nothing is lost, write_restart "
                   "now and go on from there",
                   when);
  return done;
}

/* ----------------------------------------------------------------------
   rank 0: called often during long work; false asks to stop
------------------------------------------------------------------------- */

bool FixGODiff::progress(const char *what, bigint part, bigint whole) {
  const double now = platform::walltime();
  if (now - impl->last_tick > TICK && screen && platform::is_console(screen)) {
    const bool sampling = strcmp(what, "sampling") == 0;
    const int stage =
        sampling ? impl->search->current_stage().stage : impl->search->learned_stages();
    utils::print(screen, "\r{:70}\r{} for stage {}: {:.0f} %", "", what, stage + 1,
                 100.0 * part / whole);
    fflush(screen);
    impl->last_tick = now;
    impl->tick_shown = true;
  }
  return !(timer->has_timeout() && timer->get_timeout_remain() <= 0.0);
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
  if (impl->active)
    migrate();
}

/* ----------------------------------------------------------------------
   keep the raw forces: fixes defined later (setforce) change them
------------------------------------------------------------------------- */

void FixGODiff::post_force(int /*vflag*/) {
  if (!impl->active || impl->forces == static_cast<int>(godiff::ForceNeed::NONE))
    return;
  std::vector<double> mine(impl->positions.size(), 0.0);
  for (int i = 0; i < atom->nlocal; ++i) {
    const int k = impl->index_of(atom->tag[i]);
    for (int d = 0; d < 3; ++d)
      mine[3 * k + d] = atom->f[i][d] * impl->units.energy;
  }
  // Every atom has one owner: the sum only adds zeros.
  MPI_Reduce(mine.data(), impl->raw_forces.data(), static_cast<int>(mine.size()), MPI_DOUBLE,
             MPI_SUM, 0, world);
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
  const double energy = impl->pe->compute_scalar();
  impl->active = false;
  ++impl->evaluated;
  GODiff::on_root(lmp, [&] {
    godiff::Search &search = *impl->search;
    const std::size_t candidates = search.archive().size();
    const std::size_t stages = search.stages().size();
    impl->energy = energy;
    try {
      search.report(energy * impl->units.energy, impl->raw_forces.data());
    } catch (...) {
      // A failed stage ends the run, but its last candidate is on record.
      if (search.archive().size() > candidates)
        impl->files->record(search);
      throw;
    }
    if (search.archive().size() > candidates)
      impl->files->record(search);
    if (search.stages().size() > stages) {
      impl->files->sync();
      impl->files->write_best(search);
      print_stages();
    }
    update_outputs();
  });
  share_outputs();
  if (impl->finished)
    stop_run();
}

/* ----------------------------------------------------------------------
   learn from the last stage, leave the best structure in the atoms
------------------------------------------------------------------------- */

void FixGODiff::post_run() {
  if (!impl->running)
    return;  // of a minimization
  if (impl->stopped && !impl->out_of_time)
    timer->reset_timeout();
  impl->running = impl->active = impl->stopped = false;

  int placed = 0;
  GODiff::on_root(lmp, [&] {
    godiff::Search &search = *impl->search;
    const bool learned = search.finished() && search.work_due();
    if (learned)
      work("before the last stage was learned");
    const godiff::Archive &archive = search.archive();
    std::int64_t chosen = static_cast<std::int64_t>(archive.size()) - 1;
    if (impl->options.final_best && archive.best() >= 0)
      chosen = archive.best();
    // A run without evaluations leaves what the user may have made of the atoms since the last one.
    placed = impl->evaluated > 0 && chosen >= 0;
    if (placed)
      impl->set_mobile(archive[static_cast<std::size_t>(chosen)].positions);
    if (impl->evaluated > 0 || learned) {
      impl->files->write_best(search);
      impl->files->write_checkpoint(search);
      impl->files->sync();
    }
    impl->seconds += platform::walltime() - impl->run_start;
    impl->run_start = platform::walltime();
    update_outputs();
    if (impl->evaluated > 0 || learned)
      print_summary();
  });
  share_outputs();
  MPI_Bcast(&placed, 1, MPI_INT, 0, world);
  if (!placed)
    return;
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
   the whole search goes into the binary restart file: number of bytes,
   then a mark, the length and a safetensors file
------------------------------------------------------------------------- */

void FixGODiff::write_restart(FILE *fp) {
  if (comm->me != 0)
    return;
  std::string failure;
  try {
    // Read but not used yet, or nothing.
    std::vector<std::string_view> pieces{impl->saved};
    std::string header;
    godiff::SafeTensors state;
    if (impl->search) {
      impl->files->sync();
      state = impl->search->save();
      impl->files->save(state);
      state.put_metadata("run.seconds", std::to_string(impl->seconds));
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
