// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_graph_kokkos.hpp"

#include <cmath>
#include <limits>

#include "pair_mace_views_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

constexpr double TOO_CLOSE = 1e-3;  // Angstrom
constexpr int NO_NODE = -1;
constexpr int NEXT = -2;  // becomes a node after this layer

// Neighbour k of an atom and what it is away: vector from it to the atom.
template <class DeviceType>
KOKKOS_INLINE_FUNCTION double squared_distance(const MaceNeighboursKokkos<DeviceType> &in, int i,
                                               int j, double *vector) {
  double squared = 0.0;
  for (int k = 0; k < 3; ++k) {
    vector[k] = static_cast<double>(in.positions(i, k)) - static_cast<double>(in.positions(j, k));
    squared += vector[k] * vector[k];
  }
  return squared;
}

}  // namespace

template <class DeviceType>
void MaceDomainKokkos<DeviceType>::take_owned(const MaceNeighboursKokkos<DeviceType> &in) {
  const auto node_of_atom = node_of_atom_;
  const auto atoms = edges_.atoms;
  const auto owned = in.owned;
  Kokkos::parallel_for(
      "mace:no_nodes", Policy(0, in.n_atoms),
      KOKKOS_LAMBDA(const std::int64_t i) { node_of_atom(i) = NO_NODE; });
  Kokkos::parallel_for(
      "mace:owned_nodes", Policy(0, in.n_owned), KOKKOS_LAMBDA(const std::int64_t n) {
        atoms(n) = owned(n);
        node_of_atom(owned(n)) = static_cast<int>(n);
      });
  edges_.n_owned = edges_.n_nodes = in.n_owned;
}

// Edges into the nodes from `begin` to `end`; atoms at their other ends that are no nodes yet are marked.
// Returns whether two atoms are too close.
template <class DeviceType>
bool MaceDomainKokkos<DeviceType>::count_edges(const MaceNeighboursKokkos<DeviceType> &in,
                                               double cutoff, std::int64_t begin,
                                               std::int64_t end) {
  const auto node_of_atom = node_of_atom_;
  const auto atoms = edges_.atoms;
  const auto counts = counts_;
  const bool images = in.owners.data() != nullptr;
  const double most = cutoff * cutoff;
  const MaceNeighboursKokkos<DeviceType> list = in;
  int contacts = 0;
  Kokkos::parallel_reduce(
      "mace:count_edges", Policy(begin, end),
      KOKKOS_LAMBDA(const std::int64_t n, int &close) {
        const int i = atoms(n);
        int count = 0;
        for (int k = 0; k < list.counts(i); ++k) {
          const int j = list.lists(i, k) & NEIGHMASK;
          double vector[3];
          const double squared = squared_distance(list, i, j, vector);
          // An edge as long as the cutoff adds nothing. NaN is kept, to be seen in the energy.
          if (squared >= most)
            continue;
          if (squared < TOO_CLOSE * TOO_CLOSE)
            ++close;
          ++count;
          // Many threads may write this, all of them the same.
          if (!images && Kokkos::atomic_load(&node_of_atom(j)) == NO_NODE)
            Kokkos::atomic_store(&node_of_atom(j), NEXT);
        }
        counts(n) = count;
      },
      contacts);
  return contacts > 0;
}

template <class DeviceType>
void MaceDomainKokkos<DeviceType>::take_senders(const MaceNeighboursKokkos<DeviceType> &in) {
  const auto node_of_atom = node_of_atom_;
  const auto atoms = edges_.atoms;
  const int before = static_cast<int>(edges_.n_nodes);
  int found = 0;
  Kokkos::parallel_scan(
      "mace:ghost_nodes", Policy(0, in.n_atoms),
      KOKKOS_LAMBDA(const std::int64_t i, int &sum, const bool last) {
        if (node_of_atom(i) != NEXT)
          return;
        if (last) {
          node_of_atom(i) = before + sum;
          atoms(before + sum) = static_cast<int>(i);
        }
        ++sum;
      },
      found);
  edges_.n_nodes += found;
}

template <class DeviceType>
template <class Real>
void MaceDomainKokkos<DeviceType>::fill_edges(const MaceNeighboursKokkos<DeviceType> &in,
                                              double cutoff) {
  const auto node_of_atom = node_of_atom_;
  const auto neighbour_of_edge = edge_neighbour_;
  const auto atoms = edges_.atoms;
  const auto first_in = edges_.first_in, ends = edges_.ends, species = edges_.species;
  const auto counted = edges_.counted;
  const std::int64_t stride = edges_.stride, n_owned = edges_.n_owned;
  const bool images = in.owners.data() != nullptr;
  const double most = cutoff * cutoff;
  Real *const vectors = reinterpret_cast<Real *>(edges_.vectors.data());
  const MaceNeighboursKokkos<DeviceType> list = in;
  Kokkos::parallel_for(
      "mace:nodes", Policy(0, edges_.n_nodes), KOKKOS_LAMBDA(const std::int64_t n) {
        species(n) = list.species(list.types(atoms(n)));
        counted(n) = n < n_owned;
      });
  Kokkos::parallel_for(
      "mace:edges", Policy(0, edges_.n_receivers), KOKKOS_LAMBDA(const std::int64_t n) {
        const int i = atoms(n);
        const std::int64_t begin = first_in(n), end = first_in(n + 1);
        double vector[3];
        std::int64_t e = begin;
        for (int k = 0; k < list.counts(i); ++k) {
          const int j = list.lists(i, k) & NEIGHMASK;
          if (!(squared_distance(list, i, j, vector) >= most))
            neighbour_of_edge(e++) = j;
        }
        // Threads have made the list in an order of their own.
        sort(neighbour_of_edge.data() + begin, end - begin);
        for (e = begin; e < end; ++e) {
          const int j = neighbour_of_edge(e);
          squared_distance(list, i, j, vector);
          for (int k = 0; k < 3; ++k)
            vectors[3 * e + k] = static_cast<Real>(vector[k]);
          ends(e) = node_of_atom(images ? list.owners(j) : j);
          ends(stride + e) = n;
        }
      });
}

template <class DeviceType>
godiff::MaceContact
MaceDomainKokkos<DeviceType>::first_contact(const MaceNeighboursKokkos<DeviceType> &in) {
  const auto atoms = edges_.atoms;
  const MaceNeighboursKokkos<DeviceType> list = in;
  std::int64_t first = 0;
  Kokkos::parallel_reduce(
      "mace:contact", Policy(0, edges_.n_nodes),
      KOKKOS_LAMBDA(const std::int64_t n, std::int64_t &least) {
        const int i = atoms(n);
        double vector[3];
        for (int k = 0; k < list.counts(i); ++k)
          if (squared_distance(list, i, list.lists(i, k) & NEIGHMASK, vector) <
                  TOO_CLOSE * TOO_CLOSE &&
              n < least)
            least = n;
      },
      Kokkos::Min<std::int64_t>(first));
  reserve(contact_, "mace:contact", 2, allocations_);
  const auto contact = contact_;
  Kokkos::parallel_for(
      "mace:closest", Policy(first, first + 1), KOKKOS_LAMBDA(const std::int64_t n) {
        const int i = atoms(n);
        double vector[3];
        contact(0) = -1.0;
        for (int k = 0; k < list.counts(i); ++k) {
          const int j = list.lists(i, k) & NEIGHMASK;
          const double squared = squared_distance(list, i, j, vector);
          if (squared < TOO_CLOSE * TOO_CLOSE && (contact(0) < 0.0 || squared < contact(1))) {
            contact(0) = j;
            contact(1) = squared;
          }
        }
      });
  return {one_of(atoms, first), static_cast<int>(one_of(contact_, 0)),
          std::sqrt(one_of(contact_, 1))};
}

template <class DeviceType>
std::optional<godiff::MaceContact>
MaceDomainKokkos<DeviceType>::build(const MaceNeighboursKokkos<DeviceType> &in, double cutoff,
                                    int layers) {
  reserve(node_of_atom_, "mace:node_of_atom", in.n_atoms, allocations_);
  reserve(counts_, "mace:counts", in.n_atoms + 1, allocations_);
  edges_.reserve_nodes(in.n_atoms);
  take_owned(in);
  edges_.n_receivers = 0;
  const bool images = in.owners.data() != nullptr;
  for (int layer = 0; layer < layers; ++layer) {
    const std::int64_t begin = edges_.n_receivers, end = edges_.n_nodes;
    edges_.n_receivers = end;
    if (count_edges(in, cutoff, begin, end))
      return first_contact(in);
    if (!images)
      take_senders(in);
  }
  edges_.n_edges = edges_.number_edges(counts_);
  edges_.reserve_edges(edges_.n_edges);
  reserve(edge_neighbour_, "mace:edge_neighbour", edges_.n_edges, allocations_);
  if (edges_.single)
    fill_edges<float>(in, cutoff);
  else
    fill_edges<double>(in, cutoff);
  edges_.sort_by_sender();
  return std::nullopt;
}

template <class DeviceType> double MaceDomainKokkos<DeviceType>::memory() const {
  return edges_.memory() + static_cast<double>(sizeof(int)) *
                               static_cast<double>(node_of_atom_.extent(0) + counts_.extent(0) +
                                                   edge_neighbour_.extent(0));
}

template class MaceDomainKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class MaceDomainKokkos<LMPHostType>;
#endif

}  // namespace GODiff
}  // namespace LAMMPS_NS
