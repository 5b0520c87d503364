// SPDX-License-Identifier: GPL-2.0-only
// Before the first candidate: checks, the system that is searched, the search itself.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "group.h"
#include "modify.h"
#include "neighbor.h"
#include "universe.h"
#include "update.h"

#include "core/base/digest.hpp"
#include "core/base/elements.hpp"
#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "core/io/safetensors.hpp"
#include "core/network/device.hpp"

using namespace LAMMPS_NS;

namespace {

constexpr bigint MAX_ATOMS = 100000;  // the graph of one structure has some hundred edges an atom
constexpr double PI = 3.14159265358979323846;
constexpr double MOVED = 1e-6;  // Angstrom; conversion to lamda coordinates stays far below
constexpr double SMALL_WINDOW = 1e-6;

struct AtomRow {
  tagint id;
  imageint image;
  int type;
  int mobile;
  double x[3];
};

bool begins_with_any(const std::string &text, std::initializer_list<const char *> beginnings) {
  for (const char *beginning : beginnings)
    if (text.compare(0, strlen(beginning), beginning) == 0)
      return true;
  return false;
}

// True when some owned atom is in both groups.
bool overlap(const Atom *atom, int bit, int other) {
  for (int i = 0; i < atom->nlocal; ++i)
    if ((atom->mask[i] & bit) && (atom->mask[i] & other))
      return true;
  return false;
}

}  // namespace

/* ----------------------------------------------------------------------
   called by every command that initializes LAMMPS; this fix takes part in
   runs only
------------------------------------------------------------------------- */

void FixGODiff::init() {
  impl->pe = modify->get_compute_by_id("thermo_pe");
  if (!impl->pe)
    error->all(FLERR, "Fix godiff needs compute thermo_pe, which LAMMPS defines at start");
  if (update->whichflag != 1)
    return;

  if (lmp->kokkos)
    error->all(FLERR, "Fix godiff is not available with KOKKOS in this version: run without -k on");
  if (strcmp(update->integrate_style, "verlet") != 0)
    error->all(FLERR, "Fix godiff needs run_style verlet, not {}: every step is one evaluation",
               update->integrate_style);
  if (neighbor->build_once)
    error->all(FLERR,
               "Fix godiff cannot work with neigh_modify once yes: candidates are far apart");
  if (!domain->xperiodic || !domain->yperiodic)
    error->all(FLERR, "Fix godiff needs periodic x and y: use boundary p p f or p p p");
  if (!domain->zperiodic && (domain->boundary[2][0] != 1 || domain->boundary[2][1] != 1))
    error->all(FLERR, "Fix godiff needs z periodic or fixed: use boundary p p f or p p p");
  check_other_fixes();
}

/* ---------------------------------------------------------------------- */

void FixGODiff::check_other_fixes() {
  bool before = true;
  for (Fix *other : modify->get_fix_list()) {
    if (other == this) {
      before = false;
      continue;
    }
    if (begins_with_any(other->style, {"godiff"}))
      error->all(FLERR, "Fix godiff: fix {} is a second search: unfix it first", other->id);
    const int mine = overlap(atom, groupbit, other->groupbit) ? 1 : 0;
    int shared = 0;
    MPI_Allreduce(&mine, &shared, 1, MPI_INT, MPI_MAX, world);
    if (shared &&
        (other->rigid_flag || begins_with_any(other->style, {"rigid", "shake", "rattle", "poems"})))
      error->all(FLERR,
                 "Fix godiff cannot move atoms that fix {} (style {}) holds together: "
                 "leave them out of one of the groups",
                 other->id, other->style);
    if (other->time_integrate)
      error->all(FLERR,
                 "Fix godiff: fix {} (style {}) moves atoms as well: unfix it, the search "
                 "places all atoms itself",
                 other->id, other->style);
    if (other->box_change)
      error->all(FLERR, "Fix godiff: fix {} (style {}) changes the box: unfix it", other->id,
                 other->style);
    if (before && impl->settings.guided() && comm->me == 0 &&
        begins_with_any(other->style, {"setforce", "freeze", "aveforce"}))
      error->warning(FLERR,
                     "Fix godiff learns forces after fix {} (style {}) has changed them: "
                     "define that fix after fix godiff",
                     other->id, other->style);
  }
}

/* ----------------------------------------------------------------------
   all atoms to all ranks, template first, each part sorted by ID
------------------------------------------------------------------------- */

void FixGODiff::gather_atoms() {
  std::vector<AtomRow> mine(atom->nlocal), all(static_cast<std::size_t>(atom->natoms));
  for (int i = 0; i < atom->nlocal; ++i) {
    mine[i] = {atom->tag[i], atom->image[i], atom->type[i], (atom->mask[i] & groupbit) ? 1 : 0, {}};
    std::copy_n(atom->x[i], 3, mine[i].x);
  }
  const int bytes = static_cast<int>(mine.size() * sizeof(AtomRow));
  std::vector<int> counts(comm->nprocs), offsets(comm->nprocs, 0);
  MPI_Allgather(&bytes, 1, MPI_INT, counts.data(), 1, MPI_INT, world);
  for (int p = 1; p < comm->nprocs; ++p)
    offsets[p] = offsets[p - 1] + counts[p - 1];
  if (static_cast<std::size_t>(offsets.back() + counts.back()) != all.size() * sizeof(AtomRow))
    error->all(FLERR, "Fix godiff: atoms have been lost before the search began");
  MPI_Allgatherv(mine.data(), bytes, MPI_BYTE, all.data(), counts.data(), offsets.data(), MPI_BYTE,
                 world);
  std::sort(all.begin(), all.end(), [](const AtomRow &a, const AtomRow &b) {
    return a.mobile != b.mobile ? a.mobile < b.mobile : a.id < b.id;
  });

  godiff::System &system = impl->system;
  system = godiff::System();
  impl->positions.clear();
  impl->images.clear();
  for (const AtomRow &row : all) {
    ++(row.mobile ? system.n_mobile : system.n_template);
    system.ids.push_back(row.id);
    system.types.push_back(row.type);
    impl->positions.insert(impl->positions.end(), row.x, row.x + 3);
    impl->images.push_back(row.image);
  }
  std::vector<int> &order = impl->sorted_index;
  order.resize(all.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    order[i] = static_cast<int>(i);
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return system.ids[a] < system.ids[b]; });
  impl->sorted_ids.clear();
  for (int i : order)
    impl->sorted_ids.push_back(static_cast<tagint>(system.ids[i]));
  if (std::adjacent_find(impl->sorted_ids.begin(), impl->sorted_ids.end()) !=
      impl->sorted_ids.end())
    error->all(FLERR, "Fix godiff needs a different ID for every atom: use reset_atoms id");
}

/* ----------------------------------------------------------------------
   cell, elements and confinement window of the gathered atoms
------------------------------------------------------------------------- */

void FixGODiff::build_system() {
  godiff::System &system = impl->system;
  std::copy_n(domain->boxlo, 3, system.origin.begin());
  system.cell =
      godiff::Cell({{{domain->xprd, 0.0, 0.0},
                     {domain->xy, domain->yprd, 0.0},
                     {domain->xz, domain->yz, domain->zprd}}},
                   {domain->xperiodic != 0, domain->yperiodic != 0, domain->zperiodic != 0});

  const std::vector<int> numbers = GODiff::elements_of_types(lmp, impl->options);
  for (int type : system.types) {
    if (numbers[type] == 0)
      error->all(FLERR,
                 "Fix godiff: the element of atom type {} is not known: use keyword elements "
                 "with a symbol for each type, or a labelmap with element symbols",
                 type);
    system.atomic_numbers.push_back(numbers[type]);
  }

  for (int i = 0; i < 3 * impl->n_template(); ++i)
    system.template_positions.push_back(impl->positions[i] - system.origin[i % 3]);
  place_window();
  if (system.z_lo < 0.0 || system.z_hi >= domain->zprd)
    error->all(FLERR,
               "Fix godiff: the confinement window z {:.6g} to {:.6g} is not inside the box, "
               "z {:.6g} to {:.6g}: change confine or make the box higher",
               system.z_lo + system.origin[2], system.z_hi + system.origin[2], domain->boxlo[2],
               domain->boxhi[2]);

  if (comm->me == 0) {
    int outside = 0;
    for (int i = impl->n_template(); i < impl->n_atoms(); ++i) {
      const double z = impl->positions[3 * i + 2] - system.origin[2];
      if (z < system.z_lo - SMALL_WINDOW || z > system.z_hi + SMALL_WINDOW)
        ++outside;
    }
    if (outside)
      error->warning(FLERR,
                     "Fix godiff: {} of {} mobile atoms of the input structure are outside "
                     "the confinement window z {:.6g} to {:.6g}",
                     outside, system.n_mobile, system.z_lo + system.origin[2],
                     system.z_hi + system.origin[2]);
  }
}

/* ----------------------------------------------------------------------
   the highest template atom is found in unwrapped coordinates: the lowest
   ones may lie just below the box and be wrapped to its top
------------------------------------------------------------------------- */

void FixGODiff::place_window() {
  godiff::System &system = impl->system;
  const GODiff::FixOptions &options = impl->options;
  double zero = -system.origin[2];
  if (options.confine_above) {
    zero = -HUGE_VAL;
    for (int i = 0; i < impl->n_template(); ++i) {
      const auto image = static_cast<double>((impl->images[i] >> IMG2BITS) - IMGMAX);
      zero = std::max(zero, system.template_positions[3 * i + 2] + image * domain->zprd);
    }
  }
  system.z_lo = zero + options.confine_lo;
  system.z_hi = zero + options.confine_hi;
}

/* ----------------------------------------------------------------------
   leader: edges are counted with 32 bits and take about 1 kB each, for all
   structures that go through the network together
------------------------------------------------------------------------- */

void FixGODiff::check_graph_size() {
  constexpr double BATCH = 64.0, MAX_EDGES = 2147483647.0;
  const godiff::System &system = impl->system;
  const double cutoff = impl->settings.network.cutoff;
  double bottom = system.z_lo;
  for (std::size_t i = 2; i < system.template_positions.size(); i += 3)
    bottom = std::min(bottom, system.template_positions[i]);
  const double height = domain->zperiodic ? domain->zprd : system.z_hi - bottom;
  const double n = static_cast<double>(system.n_atoms());
  double sphere = 4.0 / 3.0 * PI * cutoff * cutoff * cutoff;
  if (!domain->zperiodic)
    sphere = std::min(sphere, PI * cutoff * cutoff * height);
  const double edges = n * n * sphere / (domain->xprd * domain->yprd * height);
  if (BATCH * edges > MAX_EDGES)
    throw godiff::Error(fmt::format("{} atoms with a network cutoff of {} have about {:.2g} edges, "
                                    "too many for a batch of 64 structures: use a smaller template "
                                    "or a shorter cutoff",
                                    system.n_atoms(), cutoff, edges));
}

/* ----------------------------------------------------------------------
   leader: how much of the window is left by mindist to the template?
------------------------------------------------------------------------- */

void FixGODiff::check_room() {
  constexpr int DRAWS = 2000;
  constexpr double LITTLE = 0.05;
  const godiff::System &system = impl->system;
  const double mindist = impl->settings.mindist;
  if (mindist <= 0.0)
    return;
  godiff::System single = system;  // one atom in the window of the mobile ones
  single.n_mobile = 1;
  godiff::RandomStream random(1, godiff::Purpose::PRIOR);
  int free = 0;
  for (int k = 0; k < DRAWS; ++k) {
    godiff::Positions x(3);
    const godiff::Vec3 in_plane = system.cell.cartesian({random.uniform(), random.uniform(), 0.0});
    x[0] = in_plane[0];
    x[1] = in_plane[1];
    x[2] = system.z_lo + random.uniform() * (system.z_hi - system.z_lo);
    if (!godiff::too_close(single, x, mindist, impl->settings.mindist_image))
      ++free;
  }
  const double z_lo = system.z_lo + system.origin[2], z_hi = system.z_hi + system.origin[2];
  if (free == 0)
    throw godiff::Error(fmt::format("no place in the confinement window z {:.6g} to {:.6g} is {} "
                                    "away from all template atoms: widen confine or lower mindist",
                                    z_lo, z_hi, mindist));
  if (free < LITTLE * DRAWS)
    error->warning(FLERR,
                   "Fix godiff: only {:.1f} % of the confinement window z {:.6g} to {:.6g} is "
                   "{} away from all template atoms: most candidates will be drawn again",
                   100.0 * free / DRAWS, z_lo, z_hi, mindist);
}

/* ----------------------------------------------------------------------
   who searches together
------------------------------------------------------------------------- */

void FixGODiff::gather_ranks() {
  impl->shared = impl->options.shared && universe->nworlds > 1;
  impl->root = comm->me == 0;
  impl->everyone = std::make_unique<GODiff::MpiComm>(impl->shared ? universe->uworld : world);
  impl->leader = impl->everyone->rank() == 0;
  impl->threads = GODiff::count_threads(impl->everyone->get());
  if (!impl->shared)
    return;
  MPI_Comm roots;
  MPI_Comm_split(impl->everyone->get(), impl->root ? 0 : MPI_UNDEFINED, impl->everyone->rank(),
                 &roots);
  if (impl->root) {
    impl->roots = std::make_unique<GODiff::MpiComm>(roots);
    MPI_Comm_free(&roots);
  }
}

/* ----------------------------------------------------------------------
   worlds that share a search must have the same structure and settings;
   input scripts can make them differ
------------------------------------------------------------------------- */

void FixGODiff::compare_worlds() {
  const godiff::System &system = impl->system;
  std::string failure;
  if (impl->root) {
    const std::uint64_t mine =
        godiff::Digest()
            .add(godiff::describe(impl->settings))
            .add(system.ids)
            .add(system.types)
            .add(system.atomic_numbers)
            .add(system.n_mobile)
            .value();
    std::vector<double> numbers(impl->box, impl->box + 9);
    numbers.insert(numbers.end(), {system.z_lo, system.z_hi});
    numbers.insert(numbers.end(), system.template_positions.begin(),
                   system.template_positions.end());
    std::uint64_t leaders = mine;
    impl->roots->broadcast(&leaders, sizeof(leaders), 0);
    // With another digest the lengths may differ as well.
    bool same = leaders == mine, all_same = true;
    std::vector<char> each(static_cast<std::size_t>(impl->roots->size()));
    impl->roots->all_gather(&same, 1, each.data());
    for (char one : each)
      all_same = all_same && one;
    if (all_same) {
      std::vector<double> theirs = numbers;
      impl->roots->broadcast(theirs.data(),
                             static_cast<std::int64_t>(theirs.size() * sizeof(double)), 0);
      for (std::size_t k = 0; k < numbers.size(); ++k)
        same = same && std::abs(theirs[k] - numbers[k]) <= MOVED;
    }
    if (!same)
      failure = fmt::format("world {} has another structure or other settings than world 1: worlds "
                            "that share a search must agree, or use replica independent",
                            universe->iworld + 1);
  }
  agree(failure);
}

/* ----------------------------------------------------------------------
   the other ranks get the network, too
------------------------------------------------------------------------- */

void FixGODiff::start_helpers() {
  std::int64_t alone = impl->leader && impl->alone;
  impl->everyone->broadcast(&alone, sizeof(alone), 0);
  impl->alone = alone != 0;
  std::string failure;
  if (!impl->leader && !impl->alone) {
    try {
      impl->helper = std::make_unique<godiff::Learner>(impl->system, impl->settings,
                                                       c10::Device(c10::kCPU), *impl->everyone);
    } catch (...) {
      failure = GODiff::caught_message();
    }
  }
  agree(failure);
}

/* ----------------------------------------------------------------------
   every root keeps a journal of the energies of its world
------------------------------------------------------------------------- */

void FixGODiff::start_journals() {
  std::uint64_t identity = impl->leader ? impl->search->identity() : 0;
  std::int64_t resumed = impl->leader && impl->resumed;
  impl->everyone->broadcast(&identity, sizeof(identity), 0);
  impl->everyone->broadcast(&resumed, sizeof(resumed), 0);
  std::string failure;
  const auto careful = [&failure](const auto &work) {
    try {
      work();
    } catch (...) {
      failure = GODiff::caught_message();
    }
  };
  if (impl->root) {
    impl->raw_forces.assign(impl->positions.size(), 0.0);
    if (impl->shared)
      impl->evaluation.emplace(impl->system, impl->settings);
    careful([&] {
      if (!resumed)
        return;
      std::vector<godiff::JournalRecord> records;
      for (const std::string &path : godiff::journals_of(impl->options.prefix))
        for (godiff::JournalRecord &record : godiff::Journal::read(path, identity))
          records.push_back(std::move(record));
      impl->replay = godiff::Replay(records);
    });
  }
  agree(failure);
  if (impl->leader && !resumed)
    careful([&] { impl->files->remove_journals(); });
  agree(failure);  // nobody writes before all have read
  if (impl->root)
    careful([&] {
      const std::string path =
          godiff::journal_path(impl->options.prefix, impl->shared ? universe->iworld : 0);
      impl->journal.emplace(resumed && platform::file_is_readable(path)
                                ? godiff::Journal::resume(path, identity)
                                : godiff::Journal::create(path, identity));
    });
  agree(failure);
}

/* ----------------------------------------------------------------------
   set up the first run after the fix command
------------------------------------------------------------------------- */

void FixGODiff::begin() {
  gather_ranks();
  if (atom->natoms > MAX_ATOMS)
    error->all(FLERR,
               "Fix godiff: {} atoms are more than the network is made for ({}): use a "
               "smaller template",
               atom->natoms, MAX_ATOMS);
  gather_atoms();
  if (impl->system.n_mobile == 0)
    error->all(FLERR, "Fix godiff: there is no atom in group {}", group->names[igroup]);
  if (impl->system.n_template == 0)
    error->all(FLERR, "Fix godiff: group {} contains all atoms: leave the template out",
               group->names[igroup]);
  build_system();
  const double box[9] = {domain->boxlo[0], domain->boxlo[1], domain->boxlo[2],
                         domain->xprd,     domain->yprd,     domain->zprd,
                         domain->xy,       domain->xz,       domain->yz};
  std::copy_n(box, 9, impl->box);
  if (impl->shared)
    compare_worlds();
  std::string failure;
  if (impl->leader) {
    try {
      start_search();
    } catch (...) {
      failure = GODiff::caught_message();
    }
  }
  agree(failure);
  // A restored search has its template exactly where it was: all ranks need the same numbers.
  const auto share = [this](auto &numbers) {
    impl->everyone->broadcast(numbers.data(),
                              static_cast<std::int64_t>(numbers.size() * sizeof(numbers[0])), 0);
  };
  share(impl->positions);
  share(impl->images);
  share(impl->system.template_positions);
  place_window();
  start_helpers();
  start_journals();
  impl->begun = true;
  impl->saved = std::string();  // gives the memory back
}

/* ----------------------------------------------------------------------
   leader: template atoms go bit for bit where the search left them, if
   they are there to rounding
------------------------------------------------------------------------- */

void FixGODiff::restore_template(const godiff::SafeTensors &state) {
  godiff::System &system = impl->system;
  const std::vector<double> kept = godiff::template_positions(state);
  if (kept.size() != system.template_positions.size())
    throw godiff::Error(fmt::format("the restart file was written by a search with {} template "
                                    "atoms, here are {}",
                                    kept.size() / 3, system.n_template));
  for (int i = 0; i < impl->n_template(); ++i) {
    godiff::Vec3 difference;
    for (int d = 0; d < 3; ++d)
      difference[d] = system.template_positions[3 * i + d] - kept[3 * i + d];
    const godiff::Vec3 nearest = system.cell.minimum_image(difference);
    if (std::sqrt(godiff::dot(nearest, nearest)) > MOVED)
      throw godiff::Error(fmt::format("atom {} is not where the search in the restart file had it: "
                                      "template atoms must not be moved",
                                      system.ids[i]));
    // At a face of the box it may have been wrapped in between.
    const godiff::Vec3 shift = system.cell.fractional(difference);
    imageint flags[3] = {impl->images[i] & IMGMASK, impl->images[i] >> IMGBITS & IMGMASK,
                         impl->images[i] >> IMG2BITS};
    for (int d = 0; d < 3; ++d)
      flags[d] = (flags[d] + static_cast<imageint>(std::lround(shift[d]))) & IMGMASK;
    impl->images[i] = flags[2] << IMG2BITS | flags[1] << IMGBITS | flags[0];
  }
  system.template_positions = kept;
  for (std::size_t i = 0; i < kept.size(); ++i)
    impl->positions[i] = kept[i] + system.origin[i % 3];
  place_window();
}

/* ---------------------------------------------------------------------- */

/* ----------------------------------------------------------------------
   leader: the state to go on from, the latest of that in the restart file
   and that in PREFIX.ckpt; nothing for a new search
------------------------------------------------------------------------- */

std::optional<godiff::SafeTensors> FixGODiff::find_state() {
  const GODiff::FixOptions &options = impl->options;
  std::optional<godiff::SafeTensors> state;
  if (!impl->saved.empty())
    state = godiff::SafeTensors::from_bytes(impl->saved, "the state in the restart file");
  if (!options.resume && !(state && godiff::RunFiles::belongs_to(*state, options.prefix)))
    return state;
  std::optional<godiff::SafeTensors> file = godiff::RunFiles::read_checkpoint(options.prefix);
  if (!file)
    return state;
  if (!state || godiff::Search::goes_on_from(*file, *state))
    return file;
  if (!godiff::Search::goes_on_from(*state, *file))
    throw godiff::Error(fmt::format(
        "{}.ckpt is not of the search in the restart file: put the one that belongs to it back, or "
        "use another prefix (keyword save)",
        options.prefix));
  return state;
}

/* ---------------------------------------------------------------------- */

void FixGODiff::start_search() {
  godiff::System &system = impl->system;
  const GODiff::FixOptions &options = impl->options;
  const std::optional<godiff::SafeTensors> state = find_state();
  impl->resumed = state.has_value();
  if (state)
    restore_template(*state);

  check_room();
  check_graph_size();
  const c10::Device device = godiff::choose_device(options.device, godiff::cuda_devices());
  // Ranks would have to share a device, or each have one: neither is tried.
  impl->alone = impl->everyone->size() == 1 || !device.is_cpu();
  impl->search = std::make_unique<godiff::Search>(
      system, impl->settings, device,
      impl->alone ? godiff::serial_comm() : static_cast<godiff::Comm &>(*impl->everyone));
  godiff::RunFileOptions files;
  files.prefix = options.prefix;
  files.best = options.best;
  files.dump_all = options.dump_all;
  files.triclinic = domain->triclinic != 0;
  files.energy_unit = impl->units.energy;
  files.temperature_unit = impl->units.temperature;
  if (state) {
    impl->search->restore(*state);
    impl->files =
        std::make_unique<godiff::RunFiles>(godiff::RunFiles::resume(files, system, *state));
    impl->training = impl->files->read_training();
  } else {
    if (!options.load.empty()) {
      const godiff::SafeTensors old = godiff::SafeTensors::read(options.load);
      impl->search->load_network(old);
      if (options.load_archive)
        impl->search->load_archive(old);
    }
    const std::vector<std::string> old = godiff::RunFiles::existing(files.prefix);
    impl->files = std::make_unique<godiff::RunFiles>(godiff::RunFiles::create(files, system));
    if (!old.empty())
      announce(fmt::format("Fix godiff replaces the files of an earlier search: {}\n",
                           utils::join_words(old, " ")));
    impl->files->remove_training();
    // From the first energy on there is something to resume.
    impl->files->write_checkpoint(*impl->search);
  }
  impl->printed = impl->saved_stages = impl->complete_stages();
}

/* ----------------------------------------------------------------------
   before every later run
------------------------------------------------------------------------- */

void FixGODiff::check_unchanged() {
  const double now[9] = {domain->boxlo[0], domain->boxlo[1], domain->boxlo[2],
                         domain->xprd,     domain->yprd,     domain->zprd,
                         domain->xy,       domain->xz,       domain->yz};
  for (int k = 0; k < 9; ++k)
    if (std::abs(now[k] - impl->box[k]) > MOVED)
      error->all(FLERR, "Fix godiff: the box has changed since the search began: unfix and define "
                        "the fix again");
  if (atom->natoms != impl->n_atoms())
    error->all(FLERR,
               "Fix godiff: there are {} atoms, {} when the search began: unfix and define "
               "the fix again",
               atom->natoms, impl->n_atoms());
  int mine[2] = {0, 0}, all[2];  // other atoms; moved template atoms
  for (int i = 0; i < atom->nlocal; ++i) {
    const int k = impl->index_of(atom->tag[i]);
    const bool mobile = atom->mask[i] & groupbit;
    if (k < 0 || atom->type[i] != impl->system.types[k] || mobile != (k >= impl->n_template())) {
      mine[0] = 1;
      continue;
    }
    if (mobile)
      continue;
    godiff::Vec3 difference;
    for (int d = 0; d < 3; ++d)
      difference[d] = atom->x[i][d] - impl->positions[3 * k + d];
    difference = impl->system.cell.minimum_image(difference);
    if (std::sqrt(godiff::dot(difference, difference)) > MOVED)
      ++mine[1];
  }
  MPI_Allreduce(mine, all, 2, MPI_INT, MPI_SUM, world);
  if (all[0])
    error->all(FLERR, "Fix godiff: atom IDs, types or the group have changed since the search "
                      "began: unfix and define the fix again");
  if (all[1] && comm->me == 0)
    error->warning(FLERR,
                   "Fix godiff: {} template atoms have been moved since the search began and "
                   "go back to their places",
                   all[1]);
}
