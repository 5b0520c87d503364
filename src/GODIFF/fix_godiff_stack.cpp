// SPDX-License-Identifier: GPL-2.0-only
// Candidates above each other in one tall box, further apart than any two atoms feel each other: one call
// of the pair style for all of them. The atoms of the run are the lowest structure, the others are copies
// that exist during the call only.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "library.h"
#include "modify.h"
#include "neighbor.h"
#include "pair.h"

using namespace LAMMPS_NS;

namespace {

constexpr double SPARE = 1.0;  // Angstrom between two structures beyond the cutoff
// Of the sum of the sizes of all atomic energies: rounding of single precision.
constexpr double RELATIVE = 1e-6;

}  // namespace

/* ---------------------------------------------------------------------- */

std::string FixGODiff::why_not_stacked() {
  const std::string more = beyond_pair();
  if (!more.empty())
    return more;
  if (domain->zperiodic)
    return "z is periodic, with boundary p p f it would be";
  if (!GODiff::begins_with(atom->atom_style, {"atomic", "charge"}) ||
      atom->molecular != Atom::ATOMIC)
    return fmt::format("atom_style {} has properties that copies of atoms do not get, atomic and "
                       "charge have not",
                       atom->atom_style);
  if (GODiff::begins_with(force->pair_style, {"reax", "comb"}))
    return fmt::format("pair_style {} changes the charges of atoms", force->pair_style);
  for (Fix *other : modify->get_fix_list())
    if (GODiff::begins_with(other->style, {"qeq", "acks2", "property/atom", "electrode"}))
      return fmt::format("fix {} (style {}) keeps properties that copies of atoms do not get",
                         other->id, other->style);
#ifndef GODIFF_KOKKOS
  // Nobody here could tell KOKKOS that a style of it has worked on atoms that were made on the host.
  if (lammps_extract_setting(lmp, "kokkos_ngpus") > 0)
    return "KOKKOS computes on a GPU and this GODIFF was built without styles of KOKKOS";
#endif
  return "";
}

/* ----------------------------------------------------------------------
   energies (and forces) of some candidates of a stage; root gets them, in
   units of the run. `slots` says how high above the atoms of the run each
   is: always the same, and in the same box, so that its energy has the
   same bits whatever is evaluated together with it. Afterwards box and
   atoms are as they were, but for the order of the atoms and neighbor
   lists, which the step that follows makes anew.
------------------------------------------------------------------------- */

void FixGODiff::compute_stacked(const std::vector<std::int64_t> &slots, std::int64_t most_slots,
                                const double *mobile, double *energies, double *forces) {
  const godiff::System &system = impl->system;
  const auto n = static_cast<std::size_t>(system.n_atoms());
  const auto fixed = 3 * static_cast<std::size_t>(system.n_template);
  const auto width = 3 * static_cast<std::size_t>(system.n_mobile);
  const std::size_t copies = slots.size() * n;
  const tagint max_id = impl->sorted_ids.back();
  if (static_cast<double>(max_id) + static_cast<double>(copies) > MAXTAGINT)
    error->all(FLERR, "Fix godiff: atom IDs up to {} leave none for {} copies: use reset_atoms id",
               max_id, copies);

  // Mobile atoms of candidates are in the window; atoms of the run are anywhere in the box.
  double low = system.z_lo, high = system.z_hi;
  for (std::size_t k = 2; k < fixed; k += 3) {
    low = std::min(low, system.template_positions[k]);
    high = std::max(high, system.template_positions[k]);
  }
  const double gap = neighbor->cutneighmax + SPARE;
  const double lowest = domain->zprd - low + gap, pitch = high - low + gap;

  // Properties that atoms keep, for their copies.
  std::vector<int> masks(n, 0);
  std::vector<double> charges(n, 0.0);
  for (int i = 0; i < atom->nlocal; ++i) {
    const int k = impl->index_of(atom->tag[i]);
    if (k < 0)
      unknown_atom(atom->tag[i]);
    masks[k] = atom->mask[i];
    if (atom->q_flag)
      charges[k] = atom->q[i];
  }
  MPI_Allreduce(MPI_IN_PLACE, masks.data(), static_cast<int>(n), MPI_INT, MPI_SUM, world);
  MPI_Allreduce(MPI_IN_PLACE, charges.data(), static_cast<int>(n), MPI_DOUBLE, MPI_SUM, world);

  // The tall box. The atoms of the run stay at its bottom.
  const auto set_height = [this](double top) {
    domain->boxhi[2] = top;
    domain->set_global_box();
    domain->set_local_box();
    comm->setup();
    neighbor->setup_bins();
  };
  const auto clear_map = [this] {
    if (atom->map_style != Atom::MAP_NONE)
      atom->map_clear();
    atom->nghost = 0;
  };
  const double top = domain->boxhi[2];
  clear_map();
  set_height(top + lowest + pitch * static_cast<double>(most_slots - 1));
  migrate();

  // The structures above them, each atom on the rank that owns its place.
  const int kept = atom->nlocal;
  std::vector<tagint> ids(copies);
  std::vector<int> types(copies);
  std::vector<double> x(3 * copies);
  for (std::size_t c = 0; c < copies; ++c) {
    const std::size_t s = c / n, k = c % n;
    ids[c] = max_id + 1 + static_cast<tagint>(c);
    types[c] = system.types[k];
    const double *from =
        3 * k < fixed ? &system.template_positions[3 * k] : mobile + s * width + (3 * k - fixed);
    for (std::size_t d = 0; d < 3; ++d)
      x[3 * c + d] = from[d] + system.origin[d];
    x[3 * c + 2] += lowest + pitch * static_cast<double>(slots[s]);
  }
  clear_map();
  lammps_create_atoms(lmp, static_cast<int>(copies), ids.data(), types.data(), x.data(), nullptr,
                      nullptr, 0);
  if (atom->natoms != static_cast<bigint>(n + copies))
    error->all(FLERR, "Fix godiff: {} of {} copies of atoms have found no place in the tall box",
               static_cast<bigint>(n + copies) - atom->natoms, copies);
  for (int i = kept; i < atom->nlocal; ++i) {
    const std::size_t k = static_cast<std::size_t>(atom->tag[i] - max_id - 1) % n;
    atom->mask[i] = masks[k];
    if (atom->q_flag)
      atom->q[i] = charges[k];
  }

  // As in a step with new neighbor lists.
  if (domain->triclinic)
    domain->x2lamda(atom->nlocal);
  domain->pbc();
  comm->borders();
  if (domain->triclinic)
    domain->lamda2x(atom->nlocal + atom->nghost);
  neighbor->build(1);
  const int all = atom->nlocal + (force->newton ? atom->nghost : 0);
  if (all > 0)
    std::fill_n(&atom->f[0][0], 3 * static_cast<std::size_t>(all), 0.0);
  Pair *pair = force->pair;
#ifdef GODIFF_KOKKOS
  if (lmp->kokkos)
    GODiff::compute_pair_kokkos(lmp, ENERGY_GLOBAL | ENERGY_ATOM, VIRIAL_NONE);
  else
#endif
    pair->compute(ENERGY_GLOBAL | ENERGY_ATOM, VIRIAL_NONE);

  // What the ghosts have got belongs to the same structure, so nothing needs to travel before the sum.
  double totals[3] = {pair->eng_vdwl + pair->eng_coul, 0.0, 0.0};  // energy, atoms, sizes of atoms
  std::fill_n(energies, slots.size(), 0.0);
  if (!pair->eatom && all > 0)
    error->one(FLERR,
               "Fix godiff: pair_style {} has no energies of single atoms: use evaluate step",
               force->pair_style);
  for (int i = 0; i < all; ++i) {
    totals[1] += pair->eatom[i];
    totals[2] += std::abs(pair->eatom[i]);
    if (atom->tag[i] <= max_id)
      continue;
    const auto place = static_cast<std::size_t>(atom->tag[i] - max_id - 1);
    energies[place / n] += pair->eatom[i];
    for (std::size_t d = 0; forces && d < 3; ++d)
      forces[3 * place + d] += atom->f[i][d];
  }
  MPI_Allreduce(MPI_IN_PLACE, totals, 3, MPI_DOUBLE, MPI_SUM, world);
  GODiff::sum_on_root(lmp, energies, slots.size());
  if (forces)
    GODiff::sum_on_root(lmp, forces, 3 * copies);

  // The copies are behind the atoms of the run.
  clear_map();
  atom->nlocal = kept;
  atom->natoms = static_cast<bigint>(n);
  set_height(top);
  place_atoms();
  migrate();
  atom->setup();
  if (atom->map_style != Atom::MAP_NONE) {
    atom->map_init();
    atom->map_set();
  }

  // A structure with atoms on each other has no finite energy, which tells nothing about the style.
  if (std::isfinite(totals[0]) && std::isfinite(totals[1]) &&
      !(std::abs(totals[0] - totals[1]) <= RELATIVE * std::max(totals[2], std::abs(totals[0]))))
    error->all(FLERR,
               "Fix godiff: pair_style {} does not give the energies of single atoms, their sum is "
               "{:.10g} and the energy {:.10g}: use evaluate step",
               force->pair_style, totals[1], totals[0]);
}
