// SPDX-License-Identifier: GPL-2.0-only
// Functors for the gradients of filters: each row is added up by its own, without atomics. For
// messages_backward_kokkos.cpp only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/graph_rows_kokkos.hpp"

namespace godiff {
namespace kokkos {
namespace {

// Enough work for a GPU: calls for a lane that the template's filters are cut into, if there is as much.
constexpr std::int64_t FILTER_PARTS = 4096;

/// Filters of the pairs: both directed edges of a pair. Index: pair, lane.
template <class Space, class T, bool HAS_MU, class Senders, class Receivers> struct PairFilters {
  using L = typename LaneOf<Space, T>::type;
  ChunkPointers graph;
  Senders senders;
  Receivers receivers;
  Table<T> gradient;
  std::int64_t F;

  GODIFF_MATH void add_edge(std::int32_t g, std::int32_t from, std::int32_t to, const T *u,
                            std::int64_t f, kernels::FilterGradient<L> &sum) const {
    const FoundRow<T> sender = RowsAtLane<T, Senders>{senders, g, f, F}.find(from),
                      receiver = RowsAtLane<T, Receivers>{receivers, g, f, F}.find(to);
    if (!sender.first || !receiver.first)
      return;
    kernels::ReturnedRun<L, HAS_MU> run;
    run.add_edge(receiver, F, u);
    sum += kernels::SenderRow<L, HAS_MU>(sender.first, sender.second, F).filter_gradient(run);
  }

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    const LaneIndex<L> at(index, F);
    const std::int32_t e = graph.pair_edge[at.rest];
    if (e < 0)
      return;
    const std::int32_t g = graph.pair_structure[at.rest], i = graph.sender[e],
                       j = graph.atom[std::int64_t{g} * graph.n_atoms + graph.receiver[e]];
    const T *u = static_cast<const T *>(graph.direction) + 3 * std::int64_t{e};
    const T opposite[3] = {-u[0], -u[1], -u[2]};
    kernels::FilterGradient<L> sum{{}, {}, {}};
    add_edge(g, j, i, u, at.f, sum);
    add_edge(g, i, j, opposite, at.f, sum);
    sum.template add_to<HAS_MU>(gradient[at.rest] + at.f, F);
  }
};

/// Filters of the template, first step: a group of edges in a range of structures. Index: group, range, lane.
template <class Space, class T, bool HAS_MU, class Senders, class Receivers>
struct TemplateFilterParts {
  using L = typename LaneOf<Space, T>::type;
  TemplatePointers edges;
  std::int32_t n_structures, n_ranges;
  Senders senders;
  Receivers receivers;
  Table<T> parts;  // a row per group and range
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    const LaneIndex<L> at(index, F);
    const std::int64_t group = at.rest / n_ranges, range = at.rest - group * n_ranges, f = at.f;
    const auto begin = static_cast<std::int32_t>(range * n_structures / n_ranges),
               end = static_cast<std::int32_t>((range + 1) * n_structures / n_ranges);
    const T *direction = static_cast<const T *>(edges.direction);
    kernels::FilterGradient<L> sum{{}, {}, {}};
    for (std::int32_t g = begin; g < end; ++g) {
      const RowsAtLane<T, Senders> from{senders, g, f, F};
      const RowsAtLane<T, Receivers> to{receivers, g, f, F};
      // Edges of a group are sorted by the atom that sends: its row is read once.
      std::int32_t k = edges.group[group];
      const std::int32_t last = edges.group[group + 1];
      while (k < last) {
        const std::int32_t i = edges.receiver[edges.by_filter[k]];
        kernels::ReturnedRun<L, HAS_MU> run;
        bool any = false;
        for (; k < last && edges.receiver[edges.by_filter[k]] == i; ++k) {
          const std::int64_t e = edges.by_filter[k];
          const FoundRow<T> receiver = to.find(edges.sender[e]);
          if (!receiver.first)
            continue;
          run.add_edge(receiver, F, direction + 3 * e);
          any = true;
        }
        if (!any)
          continue;
        const FoundRow<T> sender = from.find(i);
        if (sender.first)
          sum += kernels::SenderRow<L, HAS_MU>(sender.first, sender.second, F).filter_gradient(run);
      }
    }
    T *part = parts[at.rest] + f;
    L::store(part, sum.a);
    L::store(part + F, sum.b);
    L::store(part + 2 * F, sum.c);
  }
};

/// Second step: adds up the parts of a filter. Index: filter, lane of all three parts of it.
template <class Space, class T> struct TemplateFilterSums {
  TemplatePointers edges;
  std::int32_t n_ranges;
  Table<const T> parts;
  Table<T> gradient;
  std::int64_t columns;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, columns);
    const std::int64_t begin = std::int64_t{edges.first_group[at.rest]} * n_ranges,
                       end = std::int64_t{edges.first_group[at.rest + 1]} * n_ranges;
    typename L::Vector sum{};
    for (std::int64_t k = begin; k < end; ++k)
      sum += L::load(parts[k] + at.f);
    kernels::add<L>(gradient[at.rest] + at.f, sum);
  }
};

/// Adds to the gradient of the pairs' filters.
template <class Space, class T, bool HAS_MU, class Senders, class Receivers>
void add_pair_filters(const ChunkOnDevice &chunk, const Senders &senders,
                      const Receivers &receivers, const at::Tensor &gradient, std::int64_t F) {
  const PairFilters<Space, T, HAS_MU, Senders, Receivers> functor{
      chunk.pointers, senders, receivers, writing<T>(gradient), F};
  for_each<Space>("godiff::pair_filters", gradient,
                  chunk.pointers.n_pairs * (F / LaneOf<Space, T>::type::WIDTH), functor);
}

/// Adds to the gradient of the template's filters what the edges in n_structures structures give.
template <class Space, class T, bool HAS_MU, class Senders, class Receivers>
void add_template_filters(const TemplateOnDevice &edges, std::int64_t n_structures,
                          const Senders &senders, const Receivers &receivers,
                          const at::Tensor &gradient, std::int64_t F) {
  const std::int64_t groups = edges.pointers.n_groups, width = LaneOf<Space, T>::type::WIDTH;
  if (groups == 0)
    return;
  const std::int64_t ranges = std::min(n_structures, (FILTER_PARTS + groups - 1) / groups);
  const at::Tensor parts = at::empty({groups * ranges, 3 * F}, gradient.options());
  const TemplateFilterParts<Space, T, HAS_MU, Senders, Receivers> first{
      edges.pointers,
      static_cast<std::int32_t>(n_structures),
      static_cast<std::int32_t>(ranges),
      senders,
      receivers,
      writing<T>(parts),
      F};
  for_each<Space>("godiff::template_filter_parts", gradient, groups * ranges * (F / width), first);
  const std::int64_t columns = HAS_MU ? 3 * F : 2 * F;
  const TemplateFilterSums<Space, T> second{edges.pointers, static_cast<std::int32_t>(ranges),
                                            reading<T>(parts), writing<T>(gradient), columns};
  for_each<Space>("godiff::template_filter_sums", gradient,
                  edges.pointers.n_filters * (columns / width), second);
}

}  // namespace
}  // namespace kokkos
}  // namespace godiff
