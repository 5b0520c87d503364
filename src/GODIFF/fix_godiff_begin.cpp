// SPDX-License-Identifier: GPL-2.0-only
// The beginning of a search, new or continued: who takes part, where it stands, its files.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "group.h"
#include "universe.h"

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/fault.hpp"
#include "core/io/safetensors.hpp"
#include "core/network/device.hpp"

using namespace LAMMPS_NS;

namespace {

constexpr bigint MAX_ATOMS = 100000;  // the graph of one structure has some hundred edges an atom
constexpr double MOVED = 1e-6;        // Angstrom; conversion to lamda coordinates stays far below

}  // namespace

/* ----------------------------------------------------------------------
   who searches together
------------------------------------------------------------------------- */

void FixGODiff::gather_ranks() {
  impl->shared = impl->options.shared && universe->nworlds > 1;
  impl->root = comm->me == 0;
  impl->everyone = std::make_unique<GODiff::MpiComm>(impl->shared ? universe->uworld : world);
  impl->leader = impl->everyone->rank() == 0;
  impl->threads = GODiff::kokkos_threads(lmp);
  if (impl->threads == 0)
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
    const std::uint64_t mine = godiff::Digest()
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
  try {
    godiff::fault_point("setup");
    if (!impl->leader && !impl->alone)
      impl->helper = std::make_unique<godiff::Learner>(impl->system, impl->settings,
                                                       c10::Device(c10::kCPU), *impl->everyone);
  } catch (...) {
    failure = GODiff::caught_message();
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
      impl->replay = godiff::Replay(records, impl->settings, impl->system);
    });
  }
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

/* ----------------------------------------------------------------------
   leader: PREFIX.training only saves time
------------------------------------------------------------------------- */

void FixGODiff::warn_of_training(const char *why) {
  error->warning(FLERR, "Fix godiff: {}.training is of no use, the training begins anew: {}",
                 impl->options.prefix, why);
}

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
  if (!state || godiff::Search::goes_on_from(*file, *state)) {
    impl->ahead_of_atoms = true;
    return file;
  }
  if (!godiff::Search::goes_on_from(*state, *file))
    throw godiff::Error(fmt::format(
        "{}.ckpt is not of the search in the restart file: put the one that belongs to it back, or "
        "use another prefix (keyword save)",
        options.prefix));
  return state;
}

/* ----------------------------------------------------------------------
   leader: the device for the word of the input
------------------------------------------------------------------------- */

std::string FixGODiff::network_device(const std::string &word) {
  return word;
}

/* ---------------------------------------------------------------------- */

void FixGODiff::start_search() {
  godiff::System &system = impl->system;
  const GODiff::FixOptions &options = impl->options;
  const std::optional<godiff::SafeTensors> state = find_state();
  impl->resumed = state && godiff::RunFiles::belongs_to(*state, options.prefix);
  if (state)
    restore_template(*state);

  check_room();
  check_graph_size();
  const c10::Device device =
      godiff::choose_device(network_device(options.device), godiff::cuda_devices());
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
    if (impl->shared || impl->options.evaluate != GODiff::Evaluate::STEP)
      impl->search->restart_candidate();
    impl->files =
        std::make_unique<godiff::RunFiles>(godiff::RunFiles::resume(files, system, *state));
    try {
      impl->training = impl->files->read_training();
    } catch (const godiff::Error &e) {
      warn_of_training(e.what());
    }
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
  }
  impl->printed = impl->saved_stages = impl->complete_stages();
}
