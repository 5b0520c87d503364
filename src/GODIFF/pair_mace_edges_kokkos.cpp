// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_edges_kokkos.hpp"

#include "pair_mace_views_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

template <class DeviceType> void MaceEdgesKokkos<DeviceType>::reserve_nodes(std::int64_t size) {
  reserve(atoms, "mace:atoms", size, allocations);
  reserve(species, "mace:species", size, allocations);
  reserve(counted, "mace:counted", size, allocations);
  reserve(first_in, "mace:first_in", size + 1, allocations);
  reserve(first_out, "mace:first_out", size + 1, allocations);
  reserve(next_out, "mace:next_out", size + 1, allocations);
}

template <class DeviceType> void MaceEdgesKokkos<DeviceType>::reserve_edges(std::int64_t size) {
  reserve(ends, "mace:ends", 2 * size, allocations);
  reserve(vectors, "mace:vectors", single ? (3 * size + 1) / 2 : 3 * size, allocations);
  reserve(out, "mace:out", size, allocations);
  stride = size;
}

template <class DeviceType>
std::int64_t MaceEdgesKokkos<DeviceType>::number_edges(const View<int> &counts) {
  const auto first = first_in;
  const std::int64_t receivers = n_receivers;
  std::int64_t total = 0;
  Kokkos::parallel_scan(
      "mace:number_edges", Policy(0, n_nodes + 1),
      KOKKOS_LAMBDA(const std::int64_t n, std::int64_t &sum, const bool last) {
        if (last)
          first(n) = sum;
        sum += n < receivers ? counts(n) : 0;
      },
      total);
  return total;
}

// The order in which threads put edges down is lost again by sorting: the sums over them are the same
// each time.
template <class DeviceType> void MaceEdgesKokkos<DeviceType>::sort_by_sender() {
  const auto senders = ends;
  const auto first = first_out, next = next_out, sorted = out;
  Kokkos::parallel_for(
      "mace:no_edges", Policy(0, n_nodes + 1),
      KOKKOS_LAMBDA(const std::int64_t n) { next(n) = 0; });
  Kokkos::parallel_for(
      "mace:count_senders", Policy(0, n_edges),
      KOKKOS_LAMBDA(const std::int64_t e) { Kokkos::atomic_inc(&next(senders(e))); });
  Kokkos::parallel_scan(
      "mace:number_senders", Policy(0, n_nodes + 1),
      KOKKOS_LAMBDA(const std::int64_t n, std::int64_t &sum, const bool last) {
        const std::int64_t count = next(n);
        if (last) {
          first(n) = sum;
          next(n) = sum;
        }
        sum += count;
      });
  Kokkos::parallel_for(
      "mace:fill_senders", Policy(0, n_edges), KOKKOS_LAMBDA(const std::int64_t e) {
        sorted(Kokkos::atomic_fetch_add(&next(senders(e)), std::int64_t(1))) = e;
      });
  Kokkos::parallel_for(
      "mace:sort_senders", Policy(0, n_nodes), KOKKOS_LAMBDA(const std::int64_t n) {
        sort(sorted.data() + first(n), first(n + 1) - first(n));
      });
}

template <class DeviceType> godiff::MaceDeviceGraph MaceEdgesKokkos<DeviceType>::graph() const {
  DeviceType().fence();
  godiff::MaceDeviceGraph graph;
  graph.n_graphs = 1;
  graph.n_nodes = n_nodes;
  graph.n_edges = n_edges;
  graph.species = species.data();
  graph.counted = n_owned < n_nodes ? counted.data() : nullptr;
  graph.ends = ends.data();
  graph.ends_stride = stride;
  graph.vectors = vectors.data();
  return graph;
}

template <class DeviceType> double MaceEdgesKokkos<DeviceType>::memory() const {
  const auto bytes = [](const auto &view) {
    return static_cast<double>(view.extent(0) * sizeof(view.data()[0]));
  };
  return bytes(atoms) + bytes(species) + bytes(counted) + bytes(first_in) + bytes(ends) +
         bytes(vectors) + bytes(first_out) + bytes(out) + bytes(next_out);
}

template struct MaceEdgesKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template struct MaceEdgesKokkos<LMPHostType>;
#endif

}  // namespace GODiff
}  // namespace LAMMPS_NS
