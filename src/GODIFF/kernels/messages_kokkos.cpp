// SPDX-License-Identifier: GPL-2.0-only
// The messages forward: one call of a functor adds up the messages into one lane of one receiver.
#include <ATen/Dispatch.h>

#include "kernels/graph_rows_kokkos.hpp"
#include "kernels/kokkos_kernels.hpp"

namespace godiff {
namespace kokkos {

namespace {

using kernels::EdgeRows;
using kernels::Received;

// The state of a template atom and of a mobile one before the first messages.
template <class T> struct FirstState {
  TemplatePointers edges;
  Table<const T> q, q_template, mu_template;
  GODIFF_MATH FoundRow<T> find(std::int32_t, std::int32_t, std::int32_t atom) const {
    if (atom < edges.n_atoms)
      return {q_template[atom], mu_template[atom]};
    return {q[edges.element[atom]], nullptr};
  }
};

// The state before the messages of a later block.
template <class T> struct LaterState {
  ChunkPointers graph;
  int depth;
  Table<const T> q, mu, q_base, mu_base;
  GODIFF_MATH FoundRow<T> find(std::int32_t g, std::int32_t slot, std::int32_t atom) const {
    if (slot >= graph.count(depth, g))
      return {q_base[atom], mu_base[atom]};
    const std::int64_t row = graph.offset(depth, g) + slot;
    return {q[row], mu[row]};
  }
};

template <class L>
GODIFF_MATH Received<L> load_state(const FoundRow<typename L::Scalar> &state, std::int64_t f,
                                   std::int64_t F) {
  Received<L> sum{L::load(state.first + f), {}, {}, {}};
  if (state.second) {
    sum.m0 = L::load(state.second + f);
    sum.m1 = L::load(state.second + F + f);
    sum.m2 = L::load(state.second + 2 * F + f);
  }
  return sum;
}

template <class L>
GODIFF_MATH void store_state(const Received<L> &sum, typename L::Scalar *q, typename L::Scalar *mu,
                             std::int64_t F) {
  L::store(q, sum.q);
  L::store(mu, sum.m0);
  L::store(mu + F, sum.m1);
  L::store(mu + 2 * F, sum.m2);
}

template <class Space, class T> struct ReceiveTemplate {
  TemplatePointers edges;
  EdgeRows<T> rows;
  ElementSenders<T> senders;
  Table<const T> embedding;
  Table<T> q, mu;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, F);
    const std::int64_t i = at.rest, f = at.f;
    Received<L> sum = load_state<L>({embedding[edges.element[i]], nullptr}, f, F);
    kernels::receive_edges<L, false>(rows, RowsAtLane<T, ElementSenders<T>>{senders, 0, f, F}, F, i,
                                     f, sum);
    store_state<L>(sum, q[i] + f, mu[i] + f, F);
  }
};

// Index: structure, slot, lane. Slots beyond the depth have nothing to do.
template <class Space, class T, bool HAS_MU, class Senders, class State> struct Receive {
  ChunkPointers graph;
  int depth;
  bool between_template;
  EdgeRows<T> of_template, of_mobile;
  Senders senders;
  State state;
  Table<T> q, mu;
  std::int64_t F;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    using L = typename LaneOf<Space, T>::type;
    const LaneIndex<L> at(index, F);
    const auto g = static_cast<std::int32_t>(at.rest / graph.n_atoms);
    const auto slot = static_cast<std::int32_t>(at.rest - std::int64_t{g} * graph.n_atoms);
    if (slot >= graph.count(depth, g))
      return;
    const std::int64_t f = at.f;
    const std::int32_t atom = graph.atom[at.rest];
    Received<L> sum = load_state<L>(state.find(g, slot, atom), f, F);
    const RowsAtLane<T, Senders> from{senders, g, f, F};
    if (between_template && atom < graph.n_template)
      kernels::receive_edges<L, HAS_MU>(of_template, from, F, atom, f, sum);
    if (slot < graph.count(1, g))
      kernels::receive_edges<L, HAS_MU>(of_mobile, from, F, graph.offset(1, g) + slot, f, sum);
    const std::int64_t row = graph.offset(depth, g) + slot;
    store_state<L>(sum, q[row] + f, mu[row] + f, F);
  }
};

using Space = Kokkos::DefaultExecutionSpace;

template <class T> std::int64_t lanes(std::int64_t columns) {
  return columns / LaneOf<Space, T>::type::WIDTH;
}

}  // namespace

void template_first_messages(const TemplateEdges &edges, const at::Tensor &filter,
                             FirstBlockRows &rows) {
  const std::int64_t F = rows.embedding.size(1);
  const TemplateOnDevice &there = on_device(edges, rows.x);
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::kokkos::template_first_messages", [&] {
    using T = scalar_t;
    const ReceiveTemplate<Space, T> functor{there.pointers,
                                            template_rows<T>(there, filter),
                                            {there.pointers.element, reading<T>(rows.x)},
                                            reading<T>(rows.embedding),
                                            writing<T>(rows.q_template),
                                            writing<T>(rows.mu_template),
                                            F};
    for_each<Space>("godiff::template_first_messages", rows.x, edges.n_atoms * lanes<T>(F),
                    functor);
  });
}

void first_messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                    const FirstBlockRows &rows, const at::Tensor &pair_filter, at::Tensor &q,
                    at::Tensor &mu) {
  const std::int64_t F = rows.embedding.size(1);
  const TemplateOnDevice &there = on_device(edges, rows.x);
  const ChunkOnDevice &chunk = on_device(graph, rows.x);
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::kokkos::first_messages", [&] {
    using T = scalar_t;
    const Receive<Space, T, false, ElementSenders<T>, FirstState<T>> functor{
        chunk.pointers,
        depth,
        false,
        {},
        mobile_rows<T>(chunk, pair_filter),
        {there.pointers.element, reading<T>(rows.x)},
        {there.pointers, reading<T>(rows.embedding), reading<T>(rows.q_template),
         reading<T>(rows.mu_template)},
        writing<T>(q),
        writing<T>(mu),
        F};
    for_each<Space>("godiff::first_messages", rows.x,
                    graph.n_structures * graph.n_atoms() * lanes<T>(F), functor);
  });
}

void messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in, int depth_out,
              const AtomRows &own, const AtomRows &base, const Filters &filters, at::Tensor &q,
              at::Tensor &mu) {
  const std::int64_t F = own.q.size(1);
  const TemplateOnDevice &there = on_device(edges, own.x);
  const ChunkOnDevice &chunk = on_device(graph, own.x);
  AT_DISPATCH_FLOATING_TYPES(own.x.scalar_type(), "godiff::kokkos::messages", [&] {
    using T = scalar_t;
    // With mobile receivers only there are no messages between template atoms.
    const Receive<Space, T, true, DepthSenders<T>, LaterState<T>> functor{
        chunk.pointers,
        depth_out,
        depth_out > 0,
        template_rows<T>(there, filters.of_template),
        mobile_rows<T>(chunk, filters.of_pairs),
        {chunk.pointers, depth_in, reading<T>(own.x), reading<T>(own.mu), reading<T>(base.x),
         reading<T>(base.mu)},
        {chunk.pointers, depth_in, reading<T>(own.q), reading<T>(own.mu), reading<T>(base.q),
         reading<T>(base.mu)},
        writing<T>(q),
        writing<T>(mu),
        F};
    for_each<Space>("godiff::messages", own.x, graph.n_structures * graph.n_atoms() * lanes<T>(F),
                    functor);
  });
}

}  // namespace kokkos
}  // namespace godiff
