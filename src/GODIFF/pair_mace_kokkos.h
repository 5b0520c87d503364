// SPDX-License-Identifier: GPL-2.0-only
#ifdef PAIR_CLASS
// clang-format off
PairStyle(mace/kk,PairMACEKokkos<LMPDeviceType>);
PairStyle(mace/kk/device,PairMACEKokkos<LMPDeviceType>);
PairStyle(mace/kk/host,PairMACEKokkos<LMPHostType>);
// clang-format on
#else

#ifndef LMP_PAIR_MACE_KOKKOS_H
#define LMP_PAIR_MACE_KOKKOS_H

#include <memory>

#include "kokkos_base.h"
#include "kokkos_type.h"
#include "pair_mace.h"

#include "pair_mace_exchange_kokkos.hpp"
#include "pair_mace_graph_kokkos.hpp"
#include "pair_mace_tally_kokkos.hpp"

namespace LAMMPS_NS {

/// Pair style mace where KOKKOS computes: neighbor lists, edges, model and forces stay in the memory of its
/// device.
template <class DeviceType> class PairMACEKokkos : public PairMACE, public KokkosBase {
public:
  typedef DeviceType device_type;
  typedef ArrayTypes<DeviceType> AT;

  PairMACEKokkos(class LAMMPS *);
  ~PairMACEKokkos() override;

  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  void finish() override;
  double memory_usage() override;
  void *extract(const char *, int &) override;

  int pack_forward_comm_kokkos(int, DAT::tdual_int_1d, DAT::tdual_double_1d &, int, int *) override;
  void unpack_forward_comm_kokkos(int, int, DAT::tdual_double_1d &) override;
  int pack_reverse_comm_kokkos(int, int, DAT::tdual_double_1d &) override;
  void unpack_reverse_comm_kokkos(int, DAT::tdual_int_1d, DAT::tdual_double_1d &) override;
  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

protected:
  int default_threads() override;

private:
  void make_room_for_atoms();
  void build();
  void evaluate_on_device();
  void check_on_device();
  void tally_on_device();
  bigint count_allocations();

  GODiff::MaceRowsKokkos<DeviceType> rows;
  GODiff::MaceTallyKokkos<DeviceType> tallies;
  std::unique_ptr<GODiff::MaceDomainKokkos<DeviceType>> domain;  // in the precision of the model
  Kokkos::View<std::int64_t *, DeviceType> species;              // [ntypes + 1]
  Kokkos::View<int *, DeviceType> owners;                        // [nlocal + nghost]
  godiff::MaceDeviceResult result;
  bigint allocations;      // as extract("mace_allocations") gives it
  bigint last_allocation;  // in which call of a run it grew

  DAT::ttransform_kkacc_1d k_eatom;
  DAT::ttransform_kkacc_1d_6 k_vatom;
  DAT::ttransform_kkacc_1d_9 k_cvatom;
};

}  // namespace LAMMPS_NS

#endif
#endif
