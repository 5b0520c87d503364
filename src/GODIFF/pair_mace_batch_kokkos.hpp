// SPDX-License-Identifier: GPL-2.0-only
// Many structures in few calls of a MACE model, from and to the memory of the device.
#pragma once

#include <cstdint>
#include <vector>

#include "kokkos_type.h"

#include "core/mace/batch.hpp"
#include "pair_mace_batch.hpp"
#include "pair_mace_edges_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// What MaceBatch is on the host: neighbours are found among all pairs of atoms and their images.
template <class DeviceType> class MaceBatchKokkos : public MaceBatchOnDevice {
public:
  /// The model must outlive it.
  MaceBatchKokkos(godiff::MaceModel &model, const MaceServiceOptions &options);

  void check(const MaceBatchCall &call) override;
  void compute(const MaceBatchCall &call) override;

  // Steps of the above, public because kernels are made in them.
  std::int64_t first_bad_type(const MaceBatchCall &call) const;
  void find_bad_structures(const MaceBatchCall &call);
  void count_edges(const MaceBatchCall &call);
  void begin_results(const MaceBatchCall &call) const;
  template <class Real> void fill_edges(const MaceBatchCall &call, std::int64_t first_atom);
  void add_energies(const MaceBatchCall &call, std::int64_t begin, std::int64_t end,
                    const godiff::MaceDeviceResult &result) const;
  template <class Real>
  void add_edges(const MaceBatchCall &call, std::int64_t begin, std::int64_t end,
                 const godiff::MaceDeviceResult &result);

private:
  template <class Number> using View = Kokkos::View<Number *, DeviceType>;
  using Policy = Kokkos::RangePolicy<DeviceType, Kokkos::IndexType<std::int64_t>>;

  void upload(const MaceBatchCall &call);
  void evaluate(const MaceBatchCall &call, std::int64_t begin, std::int64_t end);

  godiff::MaceModel &model_;
  int n_types_;
  double unit_, cutoff_;
  godiff::MaceEdgeBudget budget_;
  MaceEdgesKokkos<DeviceType> edges_;

  View<std::int64_t> species_of_type_;    // [ntypes + 1]
  View<std::int64_t> first_atom_;         // [nsys + 1]
  View<double> geometry_;                 // [nsys] see upload()
  View<int> bad_;                         // [nsys] 1: cannot be evaluated
  View<std::int64_t> edges_of_;           // [nsys]
  View<int> counts_;                      // [n_atoms + 1] edges into an atom
  View<double> virials_;                  // [6 * n_nodes]
  std::vector<std::int64_t> first_node_;  // of the present call of the model
  bigint allocations_ = 0;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
