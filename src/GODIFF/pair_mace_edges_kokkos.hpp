// SPDX-License-Identifier: GPL-2.0-only
// The graph of a MACE model in the memory of the device that Kokkos computes on.
#pragma once

#include <cstdint>

#include "kokkos_type.h"

#include "core/mace/model.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// Nodes and edges as MaceDeviceGraph has them, and what finds the edges of a node from both ends. Edges
/// are in the order of their receivers. Everything that reads it may run on the device.
template <class DeviceType> struct MaceEdgesKokkos {
  template <class Number> using View = Kokkos::View<Number *, DeviceType>;
  using Policy = Kokkos::RangePolicy<DeviceType, Kokkos::IndexType<std::int64_t>>;

  explicit MaceEdgesKokkos(bool single_precision) : single(single_precision) {}

  bool single;                   ///< vectors are floats
  std::int64_t n_owned = 0;      ///< nodes whose energy counts, the first ones
  std::int64_t n_receivers = 0;  ///< nodes that edges end at are among these first ones
  std::int64_t n_nodes = 0;
  std::int64_t n_edges = 0;
  std::int64_t stride = 0;  ///< receivers begin here in `ends`

  View<int> atoms;               ///< [n_nodes] atom of a node
  View<std::int64_t> species;    ///< [n_nodes]
  View<unsigned char> counted;   ///< [n_nodes] 1: its energy counts
  View<std::int64_t> first_in;   ///< [n_nodes + 1] where the edges into a node begin
  View<std::int64_t> ends;       ///< [2 * stride] senders, receivers
  View<double> vectors;          ///< [3 * n_edges] as `single` says
  View<std::int64_t> first_out;  ///< [n_nodes + 1] where the edges out of a node begin in `out`
  View<std::int64_t> out;  ///< [n_edges] edges in the order of their senders, then of themselves
  View<std::int64_t> next_out;  ///< [n_nodes] scratch
  bigint allocations = 0;       ///< how often memory was taken

  /// Room for so many nodes; what was there is lost.
  void reserve_nodes(std::int64_t size);
  /// Room for so many edges; what was there is lost.
  void reserve_edges(std::int64_t size);

  /// Turns numbers of edges [n_nodes + 1] into where the edges of each node begin, in `first_in`; returns
  /// how many edges there are.
  std::int64_t number_edges(const View<int> &counts);
  /// Finds the edges out of each node, from `ends`.
  void sort_by_sender();

  /// One graph, valid as long as nothing here is changed. Waits for what is still being written.
  godiff::MaceDeviceGraph graph() const;
  double memory() const;  ///< bytes
};

/// What a kernel needs to go through the edges of a node.
template <class Real> struct MaceEdgePointers {
  const std::int64_t *first_in, *first_out, *out;
  const Real *vectors, *gradients;
  std::int64_t gradient_strides[2];
};

template <class Real, class DeviceType>
MaceEdgePointers<Real> edge_pointers(const MaceEdgesKokkos<DeviceType> &edges,
                                     const godiff::MaceDeviceResult &result) {
  return {edges.first_in.data(),
          edges.first_out.data(),
          edges.out.data(),
          reinterpret_cast<const Real *>(edges.vectors.data()),
          static_cast<const Real *>(result.edge_gradients),
          {result.gradient_strides[0], result.gradient_strides[1]}};
}

/// What the edges of a node add up to, in eV and Angstrom. Tensors of vector and force on the receiver:
/// xx yy zz xy xz yz yx zx zy.
struct MaceNodeSums {
  double force[3];  ///< on the node
  double in[9];     ///< of edges into it
  double out[9];    ///< of edges out of it
};

/// Sums over the edges of a node; the tensors only where they are wanted.
template <bool TENSORS, class Real>
KOKKOS_INLINE_FUNCTION MaceNodeSums node_sums(const MaceEdgePointers<Real> &edges, std::int64_t n) {
  MaceNodeSums sums = {};
  const auto add = [&](std::int64_t e, double sign, double *tensor) {
    double push[3];  // on the receiver
    for (int k = 0; k < 3; ++k) {
      push[k] = -static_cast<double>(
          edges.gradients[e * edges.gradient_strides[0] + k * edges.gradient_strides[1]]);
      sums.force[k] += sign * push[k];
    }
    if (!TENSORS)
      return;
    const double x = edges.vectors[3 * e], y = edges.vectors[3 * e + 1],
                 z = edges.vectors[3 * e + 2];
    tensor[0] += x * push[0];
    tensor[1] += y * push[1];
    tensor[2] += z * push[2];
    tensor[3] += x * push[1];
    tensor[4] += x * push[2];
    tensor[5] += y * push[2];
    tensor[6] += y * push[0];
    tensor[7] += z * push[0];
    tensor[8] += z * push[1];
  };
  for (std::int64_t e = edges.first_in[n]; e < edges.first_in[n + 1]; ++e)
    add(e, 1.0, sums.in);
  for (std::int64_t k = edges.first_out[n]; k < edges.first_out[n + 1]; ++k)
    add(edges.out[k], -1.0, sums.out);
  return sums;
}

/// Component k of the symmetric part of a tensor of MaceNodeSums, xx yy zz xy xz yz.
KOKKOS_INLINE_FUNCTION double symmetric(const double *tensor, int k) {
  return k < 3 ? tensor[k] : 0.5 * (tensor[k] + tensor[k + 3]);
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
