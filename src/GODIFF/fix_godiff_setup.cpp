// SPDX-License-Identifier: GPL-2.0-only
// Before the first candidate: checks, the system that is searched, the search itself.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "group.h"
#include "modify.h"
#include "neighbor.h"
#include "update.h"

#include "core/base/elements.hpp"
#include "core/base/error.hpp"
#include "core/base/random.hpp"

using namespace LAMMPS_NS;

namespace {

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

  if (strcmp(update->integrate_style, "verlet") != 0 &&
      !GODiff::begins_with(update->integrate_style, {"verlet/kk"}))
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
  init_batch();
}

/* ---------------------------------------------------------------------- */

void FixGODiff::check_other_fixes() {
  bool before = true;
  for (Fix *other : modify->get_fix_list()) {
    if (other == this) {
      before = false;
      continue;
    }
    if (GODiff::begins_with(other->style, {"godiff"}))
      error->all(FLERR, "Fix godiff: fix {} is a second search: unfix it first", other->id);
    const int mine = overlap(atom, groupbit, other->groupbit) ? 1 : 0;
    int shared = 0;
    MPI_Allreduce(&mine, &shared, 1, MPI_INT, MPI_MAX, world);
    if (shared && (other->rigid_flag ||
                   GODiff::begins_with(other->style, {"rigid", "shake", "rattle", "poems"})))
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
        GODiff::begins_with(other->style, {"setforce", "freeze", "aveforce"}))
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
