// SPDX-License-Identifier: GPL-2.0-only
// fix godiff where KOKKOS computes. What the kernels do is that of fix_godiff_migrate.cpp, which gives the
// reasons.
#include "fix_godiff_kokkos.h"

#include <algorithm>
#include <type_traits>

#include "atom_kokkos.h"
#include "atom_masks.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "kokkos.h"
#include "memory_kokkos.h"

#include "core/base/error.hpp"
#include "fix_godiff_kernels_kokkos.h"
#include "kokkos_styles.hpp"

using namespace LAMMPS_NS;

namespace {

LAMMPS *with_kokkos(LAMMPS *lmp) {
  if (!lmp->kokkos)
    lmp->error->all(FLERR,
                    "Fix godiff/kk needs KOKKOS switched on: start lmp with -k on, or use fix "
                    "godiff");
  return lmp;
}

}  // namespace

/* ---------------------------------------------------------------------- */

template <class DeviceType>
FixGODiffKokkos<DeviceType>::FixGODiffKokkos(LAMMPS *lmp, int narg, char **arg) :
    FixGODiff(with_kokkos(lmp), narg, arg),
    atomKK(static_cast<AtomKokkos *>(atom)) {
  kokkosable = 1;
  execution_space = ExecutionSpaceFromDevice<DeviceType>::space;
  // Every method says itself what it reads and writes.
  datamask_read = datamask_modify = EMPTY_MASK;
  exchange_comm_device = sort_device = 1;

  memory->destroy(destination);
  FixGODiffKokkos::grow_arrays(atom->nmax);
}

template <class DeviceType> FixGODiffKokkos<DeviceType>::~FixGODiffKokkos() {
  if (copymode)
    return;
  memoryKK->destroy_kokkos(k_destination, destination);
}

/* ----------------------------------------------------------------------
   the beginning of a run looks at the atoms on the host
------------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::setup(int vflag) {
  atomKK->sync(Host, X_MASK | TAG_MASK | TYPE_MASK | MASK_MASK | IMAGE_MASK);
  FixGODiff::setup(vflag);
}

/* ----------------------------------------------------------------------
   what stays the same during a search
------------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::upload_structure() {
  const Structure s = structure();
  const int n_mobile = s.n_atoms - s.n_template;
  k_sorted_ids = DAT::tdual_tagint_1d("godiff:sorted_ids", s.n_atoms);
  k_sorted_index = DAT::tdual_int_1d("godiff:sorted_index", s.n_atoms);
  k_images = DAT::tdual_imageint_1d("godiff:images", s.n_atoms);
  k_template = DAT::tdual_double_1d_3_lr("godiff:template", s.n_template);
  k_mobile = DAT::tdual_double_1d_3_lr("godiff:mobile", n_mobile);
  for (int i = 0; i < s.n_atoms; ++i) {
    k_sorted_ids.view_host()(i) = s.sorted_ids[i];
    k_sorted_index.view_host()(i) = s.sorted_index[i];
  }
  for (int i = 0; i < s.n_template; ++i)
    for (int d = 0; d < 3; ++d)
      k_template.view_host()(i, d) = s.positions[3 * i + d];
  k_sorted_ids.modify_host();
  k_sorted_index.modify_host();
  k_template.modify_host();
  k_sorted_ids.template sync<DeviceType>();
  k_sorted_index.template sync<DeviceType>();
  k_template.template sync<DeviceType>();
}

/* ----------------------------------------------------------------------
   the candidate; image flags of mobile atoms are those of the input until
   the first one is handed out
------------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::upload_mobile() {
  const Structure s = structure();
  const double *from = s.positions + 3 * static_cast<std::size_t>(s.n_template);
  for (int i = 0; i < s.n_atoms - s.n_template; ++i)
    for (int d = 0; d < 3; ++d)
      k_mobile.view_host()(i, d) = from[3 * i + d];
  k_mobile.modify_host();
  k_mobile.template sync<DeviceType>();
  if (std::equal(s.images, s.images + s.n_atoms, k_images.view_host().data()))
    return;
  std::copy_n(s.images, s.n_atoms, k_images.view_host().data());
  k_images.modify_host();
  k_images.template sync<DeviceType>();
}

/* ---------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::place_atoms() {
  if (k_sorted_ids.extent(0) == 0)
    upload_structure();
  upload_mobile();
  atomKK->sync(execution_space, X_MASK | V_MASK | IMAGE_MASK | TAG_MASK);
  GODiff::PlaceAtoms<DeviceType> place;
  place.find = {k_sorted_ids.template view<DeviceType>(),
                k_sorted_index.template view<DeviceType>()};
  place.template_x = k_template.template view<DeviceType>();
  place.mobile_x = k_mobile.template view<DeviceType>();
  place.images = k_images.template view<DeviceType>();
  place.tag = atomKK->k_tag.template view<DeviceType>();
  place.x = atomKK->k_x.template view<DeviceType>();
  place.v = atomKK->k_v.template view<DeviceType>();
  place.image = atomKK->k_image.template view<DeviceType>();
  tagint unknown = 0;
  Kokkos::parallel_reduce("godiff:place", Kokkos::RangePolicy<DeviceType>(0, atom->nlocal), place,
                          Kokkos::Max<tagint>(unknown));
  atomKK->modified(execution_space, X_MASK | V_MASK | IMAGE_MASK);
  if (unknown > 0)
    unknown_atom(unknown);
}

/* ---------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::migrate() {
  const bool triclinic = domain->triclinic != 0;
  if (triclinic)
    domain->x2lamda(atom->nlocal);
  domain->pbc();
  keep_positions();

  // One rank owns every place. No atom has further to go than all ranks in all three directions.
  const int max_hops = 3 * comm->nprocs + 3;
  for (int hop = 0; comm->nprocs > 1; ++hop) {
    const int mine = clamp_leaving();
    int all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_SUM, world);
    if (all == 0)
      break;
    if (hop == max_hops)
      error->all(FLERR, "Fix godiff: {} atoms did not reach the rank that owns their place", all);
    comm->exchange();
    restore_positions();
  }
  order_by_id();
  if (triclinic)
    domain->lamda2x(atom->nlocal);
}

/* ---------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::keep_positions() {
  atomKK->sync(execution_space, X_MASK);
  k_destination.clear_sync_state();  // all that matters is written
  Kokkos::parallel_for(
      "godiff:keep", Kokkos::RangePolicy<DeviceType>(0, atom->nlocal),
      GODiff::KeepPositions<DeviceType>{atomKK->k_x.template view<DeviceType>(),
                                        k_destination.template view<DeviceType>()});
  k_destination.template modify<DeviceType>();
}

template <class DeviceType> void FixGODiffKokkos<DeviceType>::restore_positions() {
  atomKK->sync(execution_space, X_MASK);
  k_destination.template sync<DeviceType>();
  Kokkos::parallel_for(
      "godiff:restore", Kokkos::RangePolicy<DeviceType>(0, atom->nlocal),
      GODiff::RestorePositions<DeviceType>{atomKK->k_x.template view<DeviceType>(),
                                           k_destination.template view<DeviceType>()});
  atomKK->modified(execution_space, X_MASK);
}

/* ---------------------------------------------------------------------- */

template <class DeviceType> int FixGODiffKokkos<DeviceType>::clamp_leaving() {
  const bool triclinic = domain->triclinic != 0;
  GODiff::ClampLeaving<DeviceType> clamp;
  for (int d = 0; d < 3; ++d) {
    clamp.lo[d] = triclinic ? domain->sublo_lamda[d] : domain->sublo[d];
    clamp.hi[d] = triclinic ? domain->subhi_lamda[d] : domain->subhi[d];
    clamp.box_lo[d] = triclinic ? domain->boxlo_lamda[d] : domain->boxlo[d];
    clamp.box_hi[d] = triclinic ? domain->boxhi_lamda[d] : domain->boxhi[d];
    clamp.periodic[d] = domain->periodicity[d];
  }
  atomKK->sync(execution_space, X_MASK);
  clamp.x = atomKK->k_x.template view<DeviceType>();
  int leaving = 0;
  Kokkos::parallel_reduce("godiff:clamp", Kokkos::RangePolicy<DeviceType>(0, atom->nlocal), clamp,
                          leaving);
  atomKK->modified(execution_space, X_MASK);
  return leaving;
}

/* ----------------------------------------------------------------------
   as the style of the host does, but each atom goes to the bin of its
   place among all IDs: so there is no need to sort those of this rank
------------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::order_by_id() {
  if (ordered())
    return;
  const Bins bins = bins_by_id(structure().n_atoms);
  GODiff::PlaceInBins<DeviceType> place;
  place.find = {k_sorted_ids.template view<DeviceType>(),
                k_sorted_index.template view<DeviceType>()};
  for (int d = 0; d < 3; ++d) {
    place.lo[d] = bins.lo[d];
    place.width[d] = (bins.hi[d] - bins.lo[d]) / bins.n[d];
    place.n[d] = bins.n[d];
    place.box_lo[d] = domain->boxlo[d];
  }
  place.triclinic = domain->triclinic;
  for (int k = 0; k < 6; ++k)
    place.h_inv[k] = domain->h_inv[k];
  atomKK->sync(execution_space, X_MASK | TAG_MASK);
  place.tag = atomKK->k_tag.template view<DeviceType>();
  place.x = atomKK->k_x.template view<DeviceType>();
  Kokkos::parallel_for("godiff:bins", Kokkos::RangePolicy<DeviceType>(0, atom->nlocal), place);
  atomKK->modified(execution_space, X_MASK);

  sort_by_bins(bins);
  restore_positions();
  if (!ordered())
    error->one(FLERR, "Fix godiff: the atoms could not be sorted by ID");
}

/* ---------------------------------------------------------------------- */

template <class DeviceType> bool FixGODiffKokkos<DeviceType>::ordered() {
  if (atom->nlocal < 2)
    return true;
  atomKK->sync(execution_space, TAG_MASK);
  int descents = 0;
  Kokkos::parallel_reduce(
      "godiff:ordered", Kokkos::RangePolicy<DeviceType>(1, atom->nlocal),
      GODiff::CountDescents<DeviceType>{atomKK->k_tag.template view<DeviceType>()}, descents);
  return descents == 0;
}

/* ---------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::gather_forces(double *forces) {
  const auto n = static_cast<std::size_t>(structure().n_atoms);
  if (k_forces.extent(0) != n)
    k_forces = DAT::tdual_double_1d_3_lr("godiff:forces", n);
  atomKK->sync(execution_space, F_MASK | TAG_MASK);
  k_forces.clear_sync_state();
  GODiff::GatherForces<DeviceType> gather;
  gather.find = {k_sorted_ids.template view<DeviceType>(),
                 k_sorted_index.template view<DeviceType>()};
  gather.tag = atomKK->k_tag.template view<DeviceType>();
  gather.f = atomKK->k_f.template view<DeviceType>();
  gather.forces = k_forces.template view<DeviceType>();
  Kokkos::deep_copy(gather.forces, 0.0);
  Kokkos::parallel_for("godiff:forces", Kokkos::RangePolicy<DeviceType>(0, atom->nlocal), gather);
  k_forces.template modify<DeviceType>();
  k_forces.sync_host();
  Kokkos::fence();  // where host and device are one there was no copy to wait for
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t d = 0; d < 3; ++d)
      forces[3 * i + d] = k_forces.view_host()(i, d);
}

/* ----------------------------------------------------------------------
   leader: the network runs where the atoms are, unless the CPU is asked for
------------------------------------------------------------------------- */

template <class DeviceType>
std::string FixGODiffKokkos<DeviceType>::network_device(const std::string &word) {
#ifdef KOKKOS_ENABLE_CUDA
  if (!std::is_same_v<DeviceType, Kokkos::Cuda> || word == "cpu")
    return word;
  const std::string mine = "cuda:" + std::to_string(Kokkos::device_id());
  if (word != "auto" && word != "cuda" && word != mine)
    error->one(
        FLERR,
        "Fix godiff/kk: device {} is not that of KOKKOS, which is {}: use device auto or cpu", word,
        mine);
  return mine;
#else
  return word;
#endif
}

/* ----------------------------------------------------------------------
   a stack is put together on the host; LAMMPS then brings all it computes
   with to where it does, and back
------------------------------------------------------------------------- */

template <class DeviceType>
void FixGODiffKokkos<DeviceType>::compute_stacked(const std::vector<std::int64_t> &slots,
                                                  std::int64_t most_slots, const double *mobile,
                                                  double *energies, double *forces) {
  if (k_sorted_ids.extent(0) == 0)
    upload_structure();
  atomKK->sync(Host, ALL_MASK);
  const int before = lmp->kokkos->auto_sync;
  lmp->kokkos->auto_sync = 1;
  FixGODiff::compute_stacked(slots, most_slots, mobile, energies, forces);
  lmp->kokkos->auto_sync = before;
  atomKK->modified(Host, ALL_MASK);
}

/* ----------------------------------------------------------------------
   per-atom data of this fix: where an atom really is
------------------------------------------------------------------------- */

template <class DeviceType> void FixGODiffKokkos<DeviceType>::grow_arrays(int nmax) {
  k_destination.sync_device();  // what is newer on the host is kept
  memoryKK->grow_kokkos(k_destination, destination, nmax, "godiff:destination");
}

template <class DeviceType>
void FixGODiffKokkos<DeviceType>::copy_arrays(int i, int j, int /*delflag*/) {
  k_destination.sync_host();
  for (int d = 0; d < 3; ++d)
    destination[j][d] = destination[i][d];
  k_destination.modify_host();
}

template <class DeviceType> void FixGODiffKokkos<DeviceType>::set_arrays(int i) {
  k_destination.sync_host();
  for (int d = 0; d < 3; ++d)
    destination[i][d] = 0.0;
  k_destination.modify_host();
}

template <class DeviceType> int FixGODiffKokkos<DeviceType>::pack_exchange(int i, double *buf) {
  k_destination.sync_host();
  return FixGODiff::pack_exchange(i, buf);
}

template <class DeviceType>
int FixGODiffKokkos<DeviceType>::unpack_exchange(int nlocal, double *buf) {
  k_destination.sync_host();
  const int n = FixGODiff::unpack_exchange(nlocal, buf);
  k_destination.modify_host();
  return n;
}

/* ----------------------------------------------------------------------
   the same with buffers in the memory of `space`, which with `comm host`
   is not that of the device
------------------------------------------------------------------------- */

template <class DeviceType>
int FixGODiffKokkos<DeviceType>::pack_exchange_kokkos(const int &nsend,
                                                      DAT::tdual_double_2d_lr &k_buf,
                                                      DAT::tdual_int_1d k_sendlist,
                                                      DAT::tdual_int_1d k_copylist,
                                                      ExecutionSpace space) {
  if (space == Device)
    GODiff::pack_destinations<LMPDeviceType>(nsend, k_buf, k_sendlist, k_copylist, k_destination);
  else
    GODiff::pack_destinations<LMPHostType>(nsend, k_buf, k_sendlist, k_copylist, k_destination);
  return 3 * nsend;
}

template <class DeviceType>
void FixGODiffKokkos<DeviceType>::unpack_exchange_kokkos(DAT::tdual_double_2d_lr &k_buf,
                                                         DAT::tdual_int_1d &k_indices, int nrecv,
                                                         int /*nrecv1*/, int /*nextrarecv1*/,
                                                         ExecutionSpace space) {
  // Every atom has three numbers: those of the second sender follow those of the first.
  if (space == Device)
    GODiff::unpack_destinations<LMPDeviceType>(nrecv, k_buf, k_indices, k_destination);
  else
    GODiff::unpack_destinations<LMPHostType>(nrecv, k_buf, k_indices, k_destination);
}

template <class DeviceType>
void FixGODiffKokkos<DeviceType>::sort_kokkos(Kokkos::BinSort<KeyViewType, BinOp> &sorter) {
  k_destination.sync_device();
  sorter.sort(LMPDeviceType(), k_destination.view_device());
  k_destination.modify_device();
}

namespace LAMMPS_NS {
template class FixGODiffKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class FixGODiffKokkos<LMPHostType>;
#endif

namespace GODiff {

void *create_fix_godiff_kk(void *lmp, int narg, char **arg) {
  return new FixGODiffKokkos<LMPDeviceType>(static_cast<LAMMPS *>(lmp), narg, arg);
}

void *create_fix_godiff_kk_host(void *lmp, int narg, char **arg) {
  return new FixGODiffKokkos<LMPHostType>(static_cast<LAMMPS *>(lmp), narg, arg);
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
