// SPDX-License-Identifier: GPL-2.0-only
// Sums over the nodes and edges of pair style mace/kk, on the device.
#pragma once

#include <cstdint>

#include "kokkos_type.h"

#include "core/mace/model.hpp"
#include "pair_mace_edges_kokkos.hpp"
#include "pair_mace_views_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// Where forces and numbers of atoms go, in the memory of the device; views without memory: not wanted.
template <class DeviceType> struct MaceAtomsKokkos {
  using AT = ArrayTypes<DeviceType>;
  typename AT::t_kkacc_1d_3 forces;
  typename AT::t_kkacc_1d energies;
  typename AT::t_kkacc_1d_6 virials;
  typename AT::t_kkacc_1d_9 centroid_virials;
};

/// What a model says of edges becomes forces and virials. All sums have an order that depends on the
/// graph alone.
template <class DeviceType> class MaceTallyKokkos {
public:
  /// The first owned node whose energy, or the first edge whose gradient, is not a finite number; -1:
  /// there is none.
  std::int64_t bad_energy(const MaceEdgesKokkos<DeviceType> &edges,
                          const godiff::MaceDeviceResult &result);
  std::int64_t bad_gradient(const MaceEdgesKokkos<DeviceType> &edges,
                            const godiff::MaceDeviceResult &result);

  /// Adds the torque of all edges, sum v x dE/dv, and the sum of |v| |dE/dv|: sum[4].
  void add_torque(const MaceEdgesKokkos<DeviceType> &edges, const godiff::MaceDeviceResult &result,
                  double *sum);

  /// Adds forces, energies and virials to atoms, `unit` being energy units of the run per eV. Energy and
  /// virial xx yy zz xy xz yz of all go to `total` [7], unless that is null, the virial only if wanted.
  void add(const MaceEdgesKokkos<DeviceType> &edges, const godiff::MaceDeviceResult &result,
           double unit, bool virial, const MaceAtomsKokkos<DeviceType> &atoms, double *total);

  bigint allocations() const;
  double memory() const;  ///< bytes

  // The same for a precision, public because kernels are made in them.
  template <class Real>
  std::int64_t bad_gradient_of(const MaceEdgesKokkos<DeviceType> &edges,
                               const godiff::MaceDeviceResult &result);
  template <class Real>
  void torque_of(const MaceEdgesKokkos<DeviceType> &edges, const godiff::MaceDeviceResult &result,
                 double *sum);
  template <bool TENSORS, class Real>
  void add_edges(const MaceEdgesKokkos<DeviceType> &edges, const godiff::MaceDeviceResult &result,
                 double unit, const MaceAtomsKokkos<DeviceType> &atoms);
  void add_energies(const MaceEdgesKokkos<DeviceType> &edges,
                    const godiff::MaceDeviceResult &result, double unit,
                    const MaceAtomsKokkos<DeviceType> &atoms);
  void sum_up(const MaceEdgesKokkos<DeviceType> &edges, const godiff::MaceDeviceResult &result,
              double unit, bool virial, double *total);

private:
  using Policy = Kokkos::RangePolicy<DeviceType, Kokkos::IndexType<std::int64_t>>;

  Kokkos::View<double *, DeviceType> virials_;  // [6 * n_nodes] of the edges into a node
  BlockSum<DeviceType, 7> totals_;
  BlockSum<DeviceType, 4> torques_;
  bigint allocations_ = 0;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
