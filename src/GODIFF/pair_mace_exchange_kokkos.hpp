// SPDX-License-Identifier: GPL-2.0-only
// What travels between ranks for pair style mace/kk, from and to the memory of the device.
#pragma once

#include <cstdint>

#include "kokkos_type.h"
#include "pointers.h"

#include "core/mace/model.hpp"
#include "pair_mace_edges_kokkos.hpp"

namespace LAMMPS_NS {

class Pair;

namespace GODiff {

/// As MaceRows, with rows on the device. KOKKOS decides whether they are packed there or on the host.
template <class DeviceType> class MaceRowsKokkos : public godiff::MaceExchange {
public:
  MaceRowsKokkos(LAMMPS *lmp, Pair *pair) : lmp_(lmp), pair_(pair) {}

  /// As MaceRows::find_owners(); one rank only.
  void find_owners(int n_owned, int n_atoms, Kokkos::View<int *, DeviceType> &owners);

  /// Whose nodes the next rows belong to; kept by reference.
  void set_edges(const MaceEdgesKokkos<DeviceType> &edges, int n_atoms);

  bool on_device() const override { return true; }
  void to_ghosts(float *rows, int width) override;
  void to_ghosts(double *rows, int width) override;
  void to_owners(float *rows, int width) override;
  void to_owners(double *rows, int width) override;

  // What the functions of the same name of the pair style do, on the device ...
  int pack_forward(int n, const DAT::tdual_int_1d &list, DAT::tdual_double_1d &buffer) const;
  void unpack_forward(int n, int first, DAT::tdual_double_1d &buffer);
  int pack_reverse(int n, int first, DAT::tdual_double_1d &buffer) const;
  void unpack_reverse(int n, const DAT::tdual_int_1d &list, DAT::tdual_double_1d &buffer);
  // ... and on the host.
  int pack_forward(int n, const int *list, double *buffer);
  void unpack_forward(int n, int first, const double *buffer);
  int pack_reverse(int n, int first, double *buffer);
  void unpack_reverse(int n, const int *list, const double *buffer);

  /// Seconds that rows have been on their way.
  double seconds() const { return seconds_; }
  bigint allocations() const { return allocations_; }
  double memory() const { return static_cast<double>(rows_.extent(0) * sizeof(double)); }

  // Steps of the above, public because kernels are made in them.
  template <class Real> void spread(Real *nodes, int width);
  template <class Real> void collect(Real *nodes, int width);
  template <class Real> void put(const Real *nodes, std::int64_t n_nodes);
  template <class Real> void get(Real *nodes, std::int64_t begin, std::int64_t end);
  void start(int n_atoms, int width, bool single_precision);

private:
  using Policy = Kokkos::RangePolicy<DeviceType, Kokkos::IndexType<std::int64_t>>;

  LAMMPS *lmp_;
  Pair *pair_;
  const MaceEdgesKokkos<DeviceType> *edges_ = nullptr;
  int n_atoms_ = 0;
  int slots_ = 1;              // doubles per atom
  int width_ = 1;              // numbers per atom
  bool single_ = false;        // they are floats, two in a double
  DAT::tdual_double_1d rows_;  // [n_atoms * slots]
  bigint allocations_ = 0;
  double seconds_ = 0.0;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
