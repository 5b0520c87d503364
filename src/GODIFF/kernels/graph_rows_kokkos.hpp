// SPDX-License-Identifier: GPL-2.0-only
// How the functors of the messages find rows in tables: find(g, i) is what atom i of structure g sends or
// receives, first = nullptr if nothing. For messages*_kokkos.cpp only.
#pragma once

#include <cstdint>

#include "kernels/device_graph.hpp"
#include "kernels/kokkos_space.hpp"

namespace godiff {
namespace kokkos {
namespace {

using kernels::FoundRow;

/// Senders of a later block: rows of depth `depth`, and further out those of the lone template.
template <class T> struct DepthSenders {
  ChunkPointers graph;
  int depth;
  Table<const T> x, mu, x_base, mu_base;

  GODIFF_MATH FoundRow<T> find(std::int32_t g, std::int32_t i) const {
    const std::int32_t slot = graph.slot_of(g, i);
    if (slot < graph.count(depth, g)) {
      const std::int64_t row = graph.offset(depth, g) + slot;
      return {x[row], mu[row]};
    }
    if (x_base)
      return {x_base[i], mu_base[i]};
    return {nullptr, nullptr};
  }
};

/// Senders of the first block, in whose messages mu has no part.
template <class T> struct ElementSenders {
  const std::int32_t *element;
  Table<const T> x;
  GODIFF_MATH FoundRow<T> find(std::int32_t, std::int32_t i) const {
    const T *row = x[element[i]];
    return {row, row};
  }
};

/// Receivers: rows of depth `depth` of the gradients of q and mu.
template <class T> struct DepthReceivers {
  ChunkPointers graph;
  int depth;
  Table<const T> gq, gmu;

  GODIFF_MATH FoundRow<T> find(std::int32_t g, std::int32_t i) const {
    const std::int32_t slot = graph.slot_of(g, i);
    if (slot >= graph.count(depth, g))
      return {nullptr, nullptr};
    const std::int64_t row = graph.offset(depth, g) + slot;
    return {gq[row], gmu[row]};
  }
};

/// Receivers where the template is the only structure.
template <class T> struct TemplateReceivers {
  Table<const T> gq, gmu;
  GODIFF_MATH FoundRow<T> find(std::int32_t, std::int32_t i) const { return {gq[i], gmu[i]}; }
};

/// The rows of one structure, at a lane of features.
template <class T, class Rows> struct RowsAtLane {
  static constexpr bool COMPLETE = false;
  const Rows &rows;
  std::int32_t g;
  std::int64_t f, step;
  GODIFF_MATH FoundRow<T> find(std::int32_t i) const {
    const FoundRow<T> row = rows.find(g, i);
    return row.first ? FoundRow<T>{row.first + f, row.second + f} : row;
  }
};

/// Splits the index of a functor into the lane of features and what is left of it.
template <class L> struct LaneIndex {
  std::int64_t rest, f;
  GODIFF_MATH LaneIndex(std::int64_t i, std::int64_t columns) {
    const std::int64_t lanes = columns / L::WIDTH;
    rest = i / lanes;
    f = (i - rest * lanes) * L::WIDTH;
  }
};

template <class T>
kernels::EdgeRows<T> template_rows(const TemplateOnDevice &edges, const at::Tensor &filters) {
  const auto w = reading<T>(filters);
  const TemplatePointers &p = edges.pointers;
  return {p.first, p.sender, p.filter, static_cast<const T *>(p.direction),
          w.data,  w.stride, nullptr,  0};
}

/// Row of slot s of structure g: its row of depth 1.
template <class T>
kernels::EdgeRows<T> mobile_rows(const ChunkOnDevice &graph, const at::Tensor &filters) {
  const auto w = reading<T>(filters);
  const ChunkPointers &p = graph.pointers;
  return {p.first, p.sender, p.pair,  static_cast<const T *>(p.direction),
          w.data,  w.stride, nullptr, 0};
}

}  // namespace
}  // namespace kokkos
}  // namespace godiff
