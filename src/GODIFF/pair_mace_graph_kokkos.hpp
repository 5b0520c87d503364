// SPDX-License-Identifier: GPL-2.0-only
// The graph of the atoms of a rank, made on the device from the neighbor list of KOKKOS.
#pragma once

#include <optional>

#include "kokkos_type.h"

#include "core/mace/neighbours.hpp"
#include "pair_mace_edges_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// What a graph is made of, in the memory of the device.
template <class DeviceType> struct MaceNeighboursKokkos {
  using AT = ArrayTypes<DeviceType>;
  int n_atoms = 0;                                   ///< owned ones and ghosts
  int n_owned = 0;                                   ///< atoms whose energy counts
  typename AT::t_int_1d owned;                       ///< [n_owned] these atoms
  typename AT::t_int_1d counts;                      ///< [atom] length of its list
  typename AT::t_neighbors_2d lists;                 ///< [atom] its neighbours
  typename AT::t_kkfloat_1d_3_lr positions;          ///< [atom][3] Angstrom
  typename AT::t_int_1d types;                       ///< [atom]
  Kokkos::View<std::int64_t *, DeviceType> species;  ///< [type]
  Kokkos::View<int *, DeviceType> owners;  ///< [atom] see MaceNeighbours; without memory: none
};

/// What MaceDomain is on the host: the same nodes and edges, those of a receiver in the order of atoms.
template <class DeviceType> class MaceDomainKokkos {
public:
  explicit MaceDomainKokkos(bool single_precision) : edges_(single_precision) {}

  /// As MaceDomain::build().
  std::optional<godiff::MaceContact> build(const MaceNeighboursKokkos<DeviceType> &neighbours,
                                           double cutoff, int layers);

  const MaceEdgesKokkos<DeviceType> &edges() const { return edges_; }
  bigint allocations() const { return edges_.allocations + allocations_; }
  double memory() const;  ///< bytes

  // Steps of build(), public because kernels are made in them.
  void take_owned(const MaceNeighboursKokkos<DeviceType> &neighbours);
  bool count_edges(const MaceNeighboursKokkos<DeviceType> &neighbours, double cutoff,
                   std::int64_t begin, std::int64_t end);
  void take_senders(const MaceNeighboursKokkos<DeviceType> &neighbours);
  template <class Real>
  void fill_edges(const MaceNeighboursKokkos<DeviceType> &neighbours, double cutoff);
  godiff::MaceContact first_contact(const MaceNeighboursKokkos<DeviceType> &neighbours);

private:
  template <class Number> using View = Kokkos::View<Number *, DeviceType>;
  using Policy = Kokkos::RangePolicy<DeviceType, Kokkos::IndexType<std::int64_t>>;

  MaceEdgesKokkos<DeviceType> edges_;
  View<int> node_of_atom_;    // of the owner where there are owners
  View<int> counts_;          // [n_receivers] edges into a node
  View<int> edge_neighbour_;  // [n_edges] atom at the other end, a ghost too
  View<double> contact_;      // [2] neighbour, distance
  bigint allocations_ = 0;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
