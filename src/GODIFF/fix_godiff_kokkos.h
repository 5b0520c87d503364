// SPDX-License-Identifier: GPL-2.0-only
#ifdef FIX_CLASS
// clang-format off
FixStyle(godiff/kk,FixGODiffKokkos<LMPDeviceType>);
FixStyle(godiff/kk/device,FixGODiffKokkos<LMPDeviceType>);
FixStyle(godiff/kk/host,FixGODiffKokkos<LMPHostType>);
// clang-format on
#else

#ifndef LMP_FIX_GODIFF_KOKKOS_H
#define LMP_FIX_GODIFF_KOKKOS_H

#include "fix_godiff.h"

#include "kokkos_base.h"
#include "kokkos_type.h"

namespace LAMMPS_NS {

/// The search with the atoms where KOKKOS computes: structures are put into them, and forces taken from
/// them, by the device. On one rank nothing of an atom goes to the host in a step but the forces, and
/// these only for relaxation and guidance.
template <class DeviceType> class FixGODiffKokkos : public FixGODiff, public KokkosBase {
public:
  FixGODiffKokkos(class LAMMPS *, int, char **);
  ~FixGODiffKokkos() override;

  void setup(int) override;

  void grow_arrays(int) override;
  void copy_arrays(int, int, int) override;
  void set_arrays(int) override;
  int pack_exchange(int, double *) override;
  int unpack_exchange(int, double *) override;
  int pack_exchange_kokkos(const int &, DAT::tdual_double_2d_lr &, DAT::tdual_int_1d,
                           DAT::tdual_int_1d, ExecutionSpace) override;
  void unpack_exchange_kokkos(DAT::tdual_double_2d_lr &, DAT::tdual_int_1d &, int, int, int,
                              ExecutionSpace) override;
  void sort_kokkos(Kokkos::BinSort<KeyViewType, BinOp> &) override;

protected:
  void place_atoms() override;
  void migrate() override;
  void gather_forces(double *) override;
  std::string network_device(const std::string &) override;
  void compute_stacked(const std::vector<std::int64_t> &, std::int64_t, const double *, double *,
                       double *) override;

private:
  class AtomKokkos *atomKK;

  // Of the structure; see FixGODiff::Structure.
  DAT::tdual_tagint_1d k_sorted_ids;
  DAT::tdual_int_1d k_sorted_index;
  DAT::tdual_imageint_1d k_images;
  DAT::tdual_double_1d_3_lr k_template, k_mobile;
  DAT::tdual_double_1d_3_lr k_forces;

  DAT::tdual_double_1d_3_lr k_destination;

  void upload_structure();
  void upload_mobile();
  void keep_positions();
  void restore_positions();
  int clamp_leaving();
  void order_by_id();
  bool ordered();
};

}  // namespace LAMMPS_NS

#endif
#endif
