// SPDX-License-Identifier: GPL-2.0-only
// From a list of positions to atoms on the ranks that own them, however far they have jumped.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cmath>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "memory.h"

using namespace LAMMPS_NS;

int FixGODiff::Impl::index_of(tagint id) const {
  const auto found = std::lower_bound(sorted_ids.begin(), sorted_ids.end(), id);
  if (found == sorted_ids.end() || *found != id)
    return -1;
  return sorted_index[found - sorted_ids.begin()];
}

void FixGODiff::Impl::set_mobile(const godiff::Positions &mobile) {
  double *x = &positions[3 * system.n_template];
  for (std::size_t i = 0; i < mobile.size(); ++i)
    x[i] = mobile[i] + system.origin[i % 3];
}

FixGODiff::Structure FixGODiff::structure() const {
  return {impl->n_atoms(),           impl->n_template(),     impl->sorted_ids.data(),
          impl->sorted_index.data(), impl->positions.data(), impl->images.data()};
}

void FixGODiff::unknown_atom(tagint id) {
  error->one(FLERR, "Fix godiff: atom {} was not there when the search began", id);
}

/* ----------------------------------------------------------------------
   owners write their atoms, the template included: converting to lamda
   coordinates and back at every step would let it drift bit by bit
------------------------------------------------------------------------- */

void FixGODiff::place_atoms() {
  double **x = atom->x, **v = atom->v;
  for (int i = 0; i < atom->nlocal; ++i) {
    const int k = impl->index_of(atom->tag[i]);
    if (k < 0)
      unknown_atom(atom->tag[i]);
    for (int d = 0; d < 3; ++d)
      x[i][d] = impl->positions[3 * k + d];
    atom->image[i] = impl->images[k];
    if (k >= impl->n_template())
      v[i][0] = v[i][1] = v[i][2] = 0.0;
  }
}

/* ----------------------------------------------------------------------
   forces on the atoms of this rank, in units of the run, zero for those of
   other ranks; atoms as in `Structure`
------------------------------------------------------------------------- */

void FixGODiff::gather_forces(double *forces) {
  for (int i = 0; i < atom->nlocal; ++i)
    std::copy_n(atom->f[i], 3, forces + 3 * impl->index_of(atom->tag[i]));
}

/* ----------------------------------------------------------------------
   Comm::exchange() reaches neighboring ranks only. Atoms that belong
   further away go there rank by rank: each is put just across the nearest
   face of the sub-box while its destination travels with it as the
   exchange data of this fix.
------------------------------------------------------------------------- */

void FixGODiff::migrate() {
  const bool triclinic = domain->triclinic != 0;
  if (triclinic)
    domain->x2lamda(atom->nlocal);
  domain->pbc();
  for (int i = 0; i < atom->nlocal; ++i)
    std::copy_n(atom->x[i], 3, destination[i]);

  // No atom has further to go than all ranks in all three directions.
  const int max_hops = 3 * comm->nprocs + 3;
  for (int hop = 0;; ++hop) {
    const int mine = clamp_leaving();
    int all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_SUM, world);
    if (all == 0)
      break;
    if (hop == max_hops)
      error->all(FLERR, "Fix godiff: {} atoms did not reach the rank that owns their place", all);
    comm->exchange();
    for (int i = 0; i < atom->nlocal; ++i)
      std::copy_n(destination[i], 3, atom->x[i]);
  }
  order_by_id();
  if (triclinic)
    domain->lamda2x(atom->nlocal);
}

/* ----------------------------------------------------------------------
   move atoms outside of my sub-box across one face, the first direction
   first; inside in the other two, so that the receiver is a neighbor and
   contains them. Returns how many there were.
------------------------------------------------------------------------- */

int FixGODiff::clamp_leaving() {
  const bool triclinic = domain->triclinic != 0;
  const double *lo = triclinic ? domain->sublo_lamda : domain->sublo;
  const double *hi = triclinic ? domain->subhi_lamda : domain->subhi;
  const double *box_lo = triclinic ? domain->boxlo_lamda : domain->boxlo;
  const double *box_hi = triclinic ? domain->boxhi_lamda : domain->boxhi;
  int leaving = 0;
  for (int i = 0; i < atom->nlocal; ++i) {
    double *x = atom->x[i];
    bool moved = false;
    for (int d = 0; d < 3; ++d) {
      const bool below = x[d] < lo[d], above = x[d] >= hi[d];
      if (!below && !above)
        continue;
      const double last_inside = std::nextafter(hi[d], lo[d]);
      if (moved) {  // later
        x[d] = below ? lo[d] : last_inside;
        continue;
      }
      const double period = box_hi[d] - box_lo[d];
      double up = x[d] - hi[d], down = lo[d] - x[d];  // distance to go in each direction
      if (domain->periodicity[d]) {
        if (up < 0.0)
          up += period;
        if (down < 0.0)
          down += period;
      } else if (above) {
        down = HUGE_VAL;
        if (hi[d] >= box_hi[d])
          continue;  // beyond a fixed face: LAMMPS reports it as lost
      } else {
        up = HUGE_VAL;
        if (lo[d] <= box_lo[d])
          continue;
      }
      if (up <= down)
        x[d] = hi[d] < box_hi[d] ? hi[d] : box_lo[d];
      else
        x[d] = std::nextafter(lo[d] > box_lo[d] ? lo[d] : box_hi[d], box_lo[d] - period);
      moved = true;
    }
    if (moved)
      ++leaving;
  }
  return leaving;
}

/* ----------------------------------------------------------------------
   Sums of energies and forces depend on the order of the atoms in their
   last bits, and the order on the history of the run. Sorted by ID, a
   candidate has the same energy bit for bit whether or not the run was
   interrupted before it. Atom::sort() moves all per-atom data, so it is
   made to see the atoms in one bin each, in the order of their IDs.
------------------------------------------------------------------------- */

void FixGODiff::order_by_id() {
  const int n = atom->nlocal;
  if (std::is_sorted(atom->tag, atom->tag + n))
    return;

  const Bins bins = bins_by_id(n);
  std::vector<int> order(n);
  for (int i = 0; i < n; ++i)
    order[i] = i;
  std::sort(order.begin(), order.end(),
            [this](int a, int b) { return atom->tag[a] < atom->tag[b]; });
  for (int k = 0; k < n; ++k) {
    const int cell[3] = {k % bins.n[0], k / bins.n[0] % bins.n[1], k / bins.n[0] / bins.n[1]};
    double *x = atom->x[order[k]];
    for (int d = 0; d < 3; ++d)
      x[d] = bins.lo[d] + (cell[d] + 0.5) * (bins.hi[d] - bins.lo[d]) / bins.n[d];
    if (domain->triclinic)
      domain->x2lamda(x, x);
  }
  sort_by_bins(bins);
  for (int i = 0; i < n; ++i)
    std::copy_n(destination[i], 3, atom->x[i]);
  if (!std::is_sorted(atom->tag, atom->tag + n))
    error->one(FLERR, "Fix godiff: the atoms could not be sorted by ID");
}

/* ----------------------------------------------------------------------
   at least n bins as Atom::setup_sort_bins() makes them from their size
------------------------------------------------------------------------- */

FixGODiff::Bins FixGODiff::bins_by_id(int n) const {
  Bins bins;
  if (domain->triclinic)
    domain->bbox(domain->sublo_lamda, domain->subhi_lamda, bins.lo, bins.hi);
  else {
    std::copy_n(domain->sublo, 3, bins.lo);
    std::copy_n(domain->subhi, 3, bins.hi);
  }
  bins.size = std::max({bins.hi[0] - bins.lo[0], bins.hi[1] - bins.lo[1], bins.hi[2] - bins.lo[2]});
  do {
    bins.size *= 0.5;
    for (int d = 0; d < 3; ++d)
      bins.n[d] = std::max(1, static_cast<int>((bins.hi[d] - bins.lo[d]) * (1.0 / bins.size)));
  } while (static_cast<double>(bins.n[0]) * bins.n[1] * bins.n[2] < n);
  return bins;
}

void FixGODiff::sort_by_bins(const Bins &bins) {
  const int sortfreq = atom->sortfreq;
  const bigint nextsort = atom->nextsort;
  const double userbinsize = atom->userbinsize;
  atom->sortfreq = 1;
  atom->userbinsize = bins.size;
  atom->setup();
  atom->sort();
  atom->sortfreq = sortfreq;
  atom->userbinsize = userbinsize;
  atom->setup();
  atom->nextsort = nextsort;
}

/* ----------------------------------------------------------------------
   per-atom data of this fix: where an atom really is
------------------------------------------------------------------------- */

void FixGODiff::grow_arrays(int nmax) {
  memory->grow(destination, nmax, 3, "godiff:destination");
}

void FixGODiff::copy_arrays(int i, int j, int /*delflag*/) {
  std::copy_n(destination[i], 3, destination[j]);
}

void FixGODiff::set_arrays(int i) {
  std::fill_n(destination[i], 3, 0.0);
}

int FixGODiff::pack_exchange(int i, double *buf) {
  std::copy_n(destination[i], 3, buf);
  return 3;
}

int FixGODiff::unpack_exchange(int nlocal, double *buf) {
  std::copy_n(buf, 3, destination[nlocal]);
  return 3;
}
