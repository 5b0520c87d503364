// SPDX-License-Identifier: GPL-2.0-only
// The gradients of the messages. What many structures or atoms add to is added up in steps, each sum in a
// call of its own: first a table with a row per structure and atom, then the sums over its rows.
#include <ATen/Dispatch.h>

#include "kernels/filter_gradients_kokkos.hpp"
#include "kernels/kokkos_kernels.hpp"

namespace godiff {
namespace kokkos {

namespace {

using kernels::EdgeRows;
using kernels::Returned;
using kernels::SenderRow;

using Space = Kokkos::DefaultExecutionSpace;

template <class T> std::int64_t lanes(std::int64_t columns) {
  return columns / LaneOf<Space, T>::type::WIDTH;
}

constexpr std::int64_t BLOCK = 32;  // rows of a sum's first step

// Of the first block, in whose messages mu has no part, parts a and b come back alone.
template <class L>
GODIFF_MATH void store_first(const Returned<L, false> &sum, typename L::Scalar *gx,
                             std::int64_t F) {
  L::store(gx, sum.a);
  L::store(gx + F, sum.b);
}

// Block 1 of the template alone. Index: atom, lane. Writes gx [n_template,2F].
template <class Space, class T> struct TemplateSendBack {
  EdgeRows<T> edges;
  TemplateReceivers<T> receivers;
  ElementSenders<T> senders;
  Table<T> gx;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, F);
    const auto i = static_cast<std::int32_t>(at.rest);
    const T *x = senders.find(0, i).first + at.f;
    Returned<L, false> sum;
    kernels::send_back_edges<L, false, false>(
        edges, RowsAtLane<T, TemplateReceivers<T>>{receivers, 0, at.f, F}, F, i, at.f,
        SenderRow<L, false>(x, x, F), sum);
    store_first<L>(sum, gx[i] + at.f, F);
  }
};

// Block 1 of structures. Index: structure, slot, lane. Writes gx [B*N,2F] of the atoms that send.
template <class Space, class T> struct FirstSendBack {
  ChunkPointers graph;
  EdgeRows<T> edges;
  DepthReceivers<T> receivers;
  ElementSenders<T> senders;
  Table<T> gx;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, F);
    const auto g = static_cast<std::int32_t>(at.rest / graph.n_atoms);
    const auto slot = static_cast<std::int32_t>(at.rest - std::int64_t{g} * graph.n_atoms);
    if (slot >= graph.count(1, g))
      return;
    const T *x = senders.find(g, graph.atom[at.rest]).first + at.f;
    Returned<L, false> sum;
    kernels::send_back_edges<L, false, false>(
        edges, RowsAtLane<T, DepthReceivers<T>>{receivers, g, at.f, F}, F,
        graph.offset(1, g) + slot, at.f, SenderRow<L, false>(x, x, F), sum);
    store_first<L>(sum, gx[at.rest] + at.f, F);
  }
};

// What the rows of the first block add to their element: gx from the messages, gq from the state. Row
// by row, nullptr: nothing.
template <class T> struct ElementParts {
  std::int32_t element;
  const T *x, *q;
};

template <class T> struct TemplateParts {
  const std::int32_t *element;
  Table<const T> gx, gq;
  GODIFF_MATH ElementParts<T> find(std::int64_t i) const { return {element[i], gx[i], gq[i]}; }
};

template <class T> struct ChunkParts {
  ChunkPointers graph;
  int depth;
  const std::int32_t *element;
  Table<const T> gx, gq;
  GODIFF_MATH ElementParts<T> find(std::int64_t row) const {
    const auto g = static_cast<std::int32_t>(row / graph.n_atoms);
    const auto slot = static_cast<std::int32_t>(row - std::int64_t{g} * graph.n_atoms);
    const std::int32_t atom = graph.atom[row];
    // Template atoms start from rows of their own, see TemplateStateSums.
    const bool has_q = atom >= graph.n_template && slot < graph.count(depth, g);
    return {element[atom], slot < graph.count(1, g) ? gx[row] : nullptr,
            has_q ? gq[graph.offset(depth, g) + slot] : nullptr};
  }
};

// Index: block of rows, element, lane of [gx a | gx b | gq].
template <class Space, class T, class Parts> struct ElementBlocks {
  std::int64_t n_rows, n_elements;
  Parts parts;
  Table<T> sums;  // a row per block and element
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, 3 * F);
    const std::int64_t block = at.rest / n_elements, element = at.rest - block * n_elements;
    const std::int64_t end = n_rows < (block + 1) * BLOCK ? n_rows : (block + 1) * BLOCK;
    const bool of_x = at.f < 2 * F;
    typename L::Vector sum{};
    for (std::int64_t row = block * BLOCK; row < end; ++row) {
      const ElementParts<T> part = parts.find(row);
      if (part.element != element)
        continue;
      const T *from = of_x ? part.x : part.q;
      if (from)
        sum += L::load(from + (of_x ? at.f : at.f - 2 * F));
    }
    L::store(sums[at.rest] + at.f, sum);
  }
};

// Index: element, lane of [gx a | gx b | gq].
template <class Space, class T> struct ElementSums {
  std::int64_t n_blocks, n_elements;
  Table<const T> sums;
  Table<T> gx, gq;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, 3 * F);
    typename L::Vector sum{};
    for (std::int64_t block = 0; block < n_blocks; ++block)
      sum += L::load(sums[block * n_elements + at.rest] + at.f);
    T *to = at.f < 2 * F ? gx[at.rest] + at.f : gq[at.rest] + (at.f - 2 * F);
    kernels::add<L>(to, sum);
  }
};

template <class T, class Parts>
void add_element_sums(std::int64_t n_rows, const Parts &parts, const FirstBlockRows &gradient,
                      std::int64_t F) {
  const std::int64_t elements = gradient.x.size(0), blocks = (n_rows + BLOCK - 1) / BLOCK;
  const at::Tensor sums = at::empty({blocks * elements, 3 * F}, gradient.x.options());
  const ElementBlocks<Space, T, Parts> first{n_rows, elements, parts, writing<T>(sums), F};
  for_each<Space>("godiff::element_blocks", sums, blocks * elements * lanes<T>(3 * F), first);
  const ElementSums<Space, T> second{
      blocks, elements, reading<T>(sums), writing<T>(gradient.x), writing<T>(gradient.embedding),
      F};
  for_each<Space>("godiff::element_sums", sums, elements * lanes<T>(3 * F), second);
}

// The state that template atoms start from: sums over the structures. Index: atom, lane of [q | mu].
template <class Space, class T> struct TemplateStateSums {
  ChunkPointers graph;
  int depth;
  Table<const T> gq, gmu;
  Table<T> gq_template, gmu_template;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, 4 * F);
    const auto i = static_cast<std::int32_t>(at.rest);
    const bool of_q = at.f < F;
    const std::int64_t f = of_q ? at.f : at.f - F;
    typename L::Vector sum{};
    for (std::int32_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t slot = graph.slot[std::int64_t{g} * graph.n_template + i];
      if (slot >= graph.count(depth, g))
        continue;
      const std::int64_t row = graph.offset(depth, g) + slot;
      sum += L::load((of_q ? gq[row] : gmu[row]) + f);
    }
    kernels::add<L>((of_q ? gq_template[i] : gmu_template[i]) + f, sum);
  }
};

// A later block. Index: structure, slot, lane. Own rows get their gradients, rows of the lone template go
// to `further`, [B*n_template, 3F + 3F + F] of x, mu and q.
template <class Space, class T> struct LaterSendBack {
  ChunkPointers graph;
  int depth_in, depth_out;
  EdgeRows<T> of_template, of_mobile;
  DepthReceivers<T> receivers;
  DepthSenders<T> senders;
  Table<T> gx, gmu, gq, further;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, F);
    const auto g = static_cast<std::int32_t>(at.rest / graph.n_atoms);
    const auto slot = static_cast<std::int32_t>(at.rest - std::int64_t{g} * graph.n_atoms);
    const std::int64_t f = at.f;
    const std::int32_t atom = graph.atom[at.rest];
    T *to_x, *to_mu, *to_q;
    if (slot < graph.count(depth_in, g)) {
      const std::int64_t row = graph.offset(depth_in, g) + slot;
      to_x = gx[row] + f;
      to_mu = gmu[row] + f;
      to_q = gq[row] + f;
    } else if (further && slot < graph.count(depth_out + 1, g)) {
      // The receivers lie within depth_out hops, so whoever sends to them is one hop further at most.
      to_x = further[std::int64_t{g} * graph.n_template + atom] + f;
      to_mu = to_x + 3 * F;
      to_q = to_x + 6 * F;
    } else {
      return;
    }
    const RowsAtLane<T, DepthReceivers<T>> to{receivers, g, f, F};
    const FoundRow<T> state = to.find(atom);
    for (int k = 0; k < 3; ++k) {
      L::store(to_x + k * F, typename L::Vector{});
      L::store(to_mu + k * F, state.first ? L::load(state.second + k * F) : typename L::Vector{});
    }
    L::store(to_q, state.first ? L::load(state.first) : typename L::Vector{});
    const FoundRow<T> row = senders.find(g, atom);
    const SenderRow<L, true> from(row.first + f, row.second + f, F);
    Returned<L, true> sum;
    // With mobile receivers only, no message between template atoms has an effect.
    if (depth_out > 0 && atom < graph.n_template)
      kernels::send_back_edges<L, true, false>(of_template, to, F, atom, f, from, sum);
    if (slot < graph.count(1, g))
      kernels::send_back_edges<L, true, false>(of_mobile, to, F, graph.offset(1, g) + slot, f, from,
                                               sum);
    sum.add_to(from, to_x, to_mu, F);
  }
};

// The lone template: sums over the structures of `further`. Index: atom, lane of [x | mu | q].
template <class Space, class T> struct FurtherSums {
  ChunkPointers graph;
  int depth_in, depth_out;
  Table<const T> further;
  Table<T> gx, gmu, gq;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, 7 * F);
    const std::int64_t i = at.rest;
    typename L::Vector sum{};
    for (std::int32_t g = 0; g < graph.n_structures; ++g) {
      const std::int64_t row = std::int64_t{g} * graph.n_template + i;
      const std::int32_t slot = graph.slot[row];
      if (slot >= graph.count(depth_in, g) && slot < graph.count(depth_out + 1, g))
        sum += L::load(further[row] + at.f);
    }
    T *to = at.f < 3 * F   ? gx[i] + at.f
            : at.f < 6 * F ? gmu[i] + (at.f - 3 * F)
                           : gq[i] + (at.f - 6 * F);
    kernels::add<L>(to, sum);
  }
};

}  // namespace

void template_first_messages_backward(const TemplateEdges &edges, const at::Tensor &filter,
                                      const FirstBlockRows &rows, FirstBlockRows &gradient,
                                      at::Tensor &filter_gradient) {
  const std::int64_t F = rows.embedding.size(1), n = edges.n_atoms;
  const TemplateOnDevice &there = on_device(edges, rows.x);
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::kokkos::template_first_messages", [&] {
    using T = scalar_t;
    const at::Tensor gx = at::empty({n, 2 * F}, rows.x.options());
    const TemplateReceivers<T> receivers{reading<T>(gradient.q_template),
                                         reading<T>(gradient.mu_template)};
    const ElementSenders<T> senders{there.pointers.element, reading<T>(rows.x)};
    const TemplateSendBack<Space, T> send_back{template_rows<T>(there, filter), receivers, senders,
                                               writing<T>(gx), F};
    for_each<Space>("godiff::template_send_back", gx, n * lanes<T>(F), send_back);
    const TemplateParts<T> parts{there.pointers.element, reading<T>(gx),
                                 reading<T>(gradient.q_template)};
    add_element_sums<T>(n, parts, gradient, F);
    add_template_filters<Space, T, false>(there, 1, senders, receivers, filter_gradient, F);
  });
}

void first_messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                             const FirstBlockRows &rows, const at::Tensor &pair_filter,
                             const at::Tensor &gq, const at::Tensor &gmu, FirstBlockRows &gradient,
                             at::Tensor &pair_filter_gradient) {
  const std::int64_t F = rows.embedding.size(1), all = graph.n_structures * graph.n_atoms();
  const TemplateOnDevice &there = on_device(edges, rows.x);
  const ChunkOnDevice &chunk = on_device(graph, rows.x);
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::kokkos::first_messages", [&] {
    using T = scalar_t;
    const at::Tensor gx = at::empty({all, 2 * F}, rows.x.options());
    const DepthReceivers<T> receivers{chunk.pointers, depth, reading<T>(gq), reading<T>(gmu)};
    const ElementSenders<T> senders{there.pointers.element, reading<T>(rows.x)};
    const TemplateStateSums<Space, T> state{chunk.pointers,
                                            depth,
                                            receivers.gq,
                                            receivers.gmu,
                                            writing<T>(gradient.q_template),
                                            writing<T>(gradient.mu_template),
                                            F};
    for_each<Space>("godiff::template_state_sums", gx, graph.n_template * lanes<T>(4 * F), state);
    const FirstSendBack<Space, T> send_back{
        chunk.pointers, mobile_rows<T>(chunk, pair_filter), receivers, senders, writing<T>(gx), F};
    for_each<Space>("godiff::first_send_back", gx, all * lanes<T>(F), send_back);
    const ChunkParts<T> parts{chunk.pointers, depth, there.pointers.element, reading<T>(gx),
                              receivers.gq};
    add_element_sums<T>(all, parts, gradient, F);
    add_pair_filters<Space, T, false>(chunk, senders, receivers, pair_filter_gradient, F);
  });
}

void messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in,
                       int depth_out, const AtomRows &own, const AtomRows &base,
                       const Filters &filters, const at::Tensor &gq, const at::Tensor &gmu,
                       AtomRows &own_gradient, AtomRows &base_gradient, Filters &filter_gradients) {
  const std::int64_t F = own.q.size(1), all = graph.n_structures * graph.n_atoms();
  const TemplateOnDevice &there = on_device(edges, own.x);
  const ChunkOnDevice &chunk = on_device(graph, own.x);
  AT_DISPATCH_FLOATING_TYPES(own.x.scalar_type(), "godiff::kokkos::messages", [&] {
    using T = scalar_t;
    const bool has_base = base.x.defined() && depth_in <= depth_out;
    at::Tensor further;
    if (has_base)
      further = at::empty({graph.n_structures * graph.n_template, 7 * F}, own.x.options());
    const DepthReceivers<T> receivers{chunk.pointers, depth_out, reading<T>(gq), reading<T>(gmu)};
    const DepthSenders<T> senders{chunk.pointers,     depth_in,           reading<T>(own.x),
                                  reading<T>(own.mu), reading<T>(base.x), reading<T>(base.mu)};
    const LaterSendBack<Space, T> send_back{chunk.pointers,
                                            depth_in,
                                            depth_out,
                                            template_rows<T>(there, filters.of_template),
                                            mobile_rows<T>(chunk, filters.of_pairs),
                                            receivers,
                                            senders,
                                            writing<T>(own_gradient.x),
                                            writing<T>(own_gradient.mu),
                                            writing<T>(own_gradient.q),
                                            writing<T>(further),
                                            F};
    for_each<Space>("godiff::send_back", own.x, all * lanes<T>(F), send_back);
    if (has_base) {
      const FurtherSums<Space, T> sums{chunk.pointers,
                                       depth_in,
                                       depth_out,
                                       reading<T>(further),
                                       writing<T>(base_gradient.x),
                                       writing<T>(base_gradient.mu),
                                       writing<T>(base_gradient.q),
                                       F};
      for_each<Space>("godiff::further_sums", own.x, graph.n_template * lanes<T>(7 * F), sums);
    }
    if (depth_out > 0)
      add_template_filters<Space, T, true>(there, graph.n_structures, senders, receivers,
                                           filter_gradients.of_template, F);
    add_pair_filters<Space, T, true>(chunk, senders, receivers, filter_gradients.of_pairs, F);
  });
}

}  // namespace kokkos
}  // namespace godiff
