// SPDX-License-Identifier: GPL-2.0-only
// The arrays of the graphs in the memory of a device, as the functors of Kokkos read them.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>

#include "kernels/row_math.hpp"
#include "kernels/structure_graph.hpp"

namespace godiff {

/// TemplateEdges; the pointers are of the device.
struct TemplatePointers {
  std::int32_t n_atoms, n_filters, n_groups;
  const std::int32_t *element;    ///< [atoms] of all atoms, mobile ones too
  const std::int32_t *first;      ///< [n_atoms+1]
  const std::int32_t *receiver;   ///< [E]
  const std::int32_t *sender;     ///< [E]
  const std::int32_t *filter;     ///< [E]
  const std::int32_t *by_filter;  ///< [E] edges, sorted by filter row and then by receiver
  /// [n_groups+1] ranges of by_filter: a group has edges of one filter row, a few dozen at most.
  const std::int32_t *group;
  const std::int32_t *first_group;  ///< [n_filters+1] groups of a filter row
  const void *direction;            ///< [E,3]
};

/// ChunkGraph; the pointers are of the device. Arrays of edges and pairs may be longer than what is in
/// them: nothing reads edges behind the last one, and pairs that do not exist have pair_edge = -1.
struct ChunkPointers {
  std::int32_t n_structures, n_atoms, n_template, n_pairs;
  const std::int32_t *atom, *slot, *counts, *offsets;    ///< as in ChunkGraph
  const std::int32_t *first, *receiver, *sender, *pair;  ///< as in ChunkGraph
  const std::int32_t *pair_edge;       ///< [n_pairs] one of the two directed edges of a pair
  const std::int32_t *pair_structure;  ///< [n_pairs]
  const void *direction;               ///< [E,3]

  GODIFF_MATH std::int32_t count(int depth, std::int32_t g) const {
    return counts[depth * n_structures + g];
  }
  GODIFF_MATH std::int32_t offset(int depth, std::int32_t g) const {
    return offsets[depth * (n_structures + 1) + g];
  }
  GODIFF_MATH std::int32_t slot_of(std::int32_t g, std::int32_t i) const {
    return i < n_template ? slot[g * n_template + i] : i - n_template;
  }
};

/// A copy of TemplateEdges on a device.
struct TemplateOnDevice {
  at::Tensor memory;
  at::ScalarType dtype;  ///< of the directions
  TemplatePointers pointers;
};

/// A copy of a ChunkGraph on a device, or one that was made there.
struct ChunkOnDevice {
  at::Tensor memory;
  at::ScalarType dtype;  ///< of the directions and distances
  ChunkPointers pointers;
  at::Tensor distance;  ///< [n_pairs]
};

/// The copy on the device and in the type of `like`, made when it is first asked for.
const TemplateOnDevice &on_device(const TemplateEdges &edges, const at::Tensor &like);
/// The same; the whole chunk is one copy, which the host does not wait for.
const ChunkOnDevice &on_device(const ChunkGraph &graph, const at::Tensor &like);

}  // namespace godiff
