// SPDX-License-Identifier: GPL-2.0-only
// The messages of a PaiNN block (method section 8), the one place where edges are visited:
//   (a,b,c) = W_ij * x_j,  q_i += sum_j a,  mu_i += sum_j ( u_ij (x) b + c * mu_j ).
//
// The row kernels run each structure by itself and in a fixed order of summation, the functors of Kokkos
// (kokkos_kernels.hpp) all of them at once, the plain twins (messages_plain.hpp) on any device; see
// implementation.hpp for which one works on which tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/structure_graph.hpp"

namespace godiff {

/// Features of the atoms that send: x [rows,3F], mu [rows,3,F], q [rows,F] (kept by the receiver).
struct AtomRows {
  at::Tensor x, mu, q;
};

/// Filters, or their gradients: of the template's distinct distances [D,3F] and of the pairs with a
/// mobile atom [pairs,3F]; rows may be strided, columns are contiguous.
struct Filters {
  at::Tensor of_template, of_pairs;
};

/// What the first block starts from. All atoms of an element have the same q and mu = 0, so x and q
/// have one row per element; q_template [n_template,F] and mu_template [n_template,3,F] are the state of
/// a template atom after the messages of its template neighbours, the same in every structure.
struct FirstBlockRows {
  at::Tensor x;            ///< [elements,3F]
  at::Tensor embedding;    ///< [elements,F]
  at::Tensor q_template;   ///< [n_template,F]
  at::Tensor mu_template;  ///< [n_template,3,F]
};

/// Distances of the pairs of a chunk [pairs], on the device and in the type of `like`.
at::Tensor pair_distances(const ChunkGraph &graph, const at::Tensor &like);

/// Block 1 of the template alone: writes q_template and mu_template of `rows`.
void template_first_messages(const TemplateEdges &edges, const at::Tensor &filter,
                             FirstBlockRows &rows);

/// Its gradient: from those of q_template and mu_template in `gradient` adds to x and embedding there
/// and to filter_gradient.
void template_first_messages_backward(const TemplateEdges &edges, const at::Tensor &filter,
                                      const FirstBlockRows &rows, FirstBlockRows &gradient,
                                      at::Tensor &filter_gradient);

/// Block 1 of structures: writes q (rows may be strided) and mu of the atoms within `depth` hops.
void first_messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                    const FirstBlockRows &rows, const at::Tensor &pair_filter, at::Tensor &q,
                    at::Tensor &mu);

/// Its gradient: adds to all of `gradient` and to pair_filter_gradient.
void first_messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                             const FirstBlockRows &rows, const at::Tensor &pair_filter,
                             const at::Tensor &gq, const at::Tensor &gmu, FirstBlockRows &gradient,
                             at::Tensor &pair_filter_gradient);

/// A later block: from the rows `own` within depth_in hops, and `base` (by template atom) for atoms
/// further out, writes q and mu within depth_out hops. base may be undefined where no sender is further out.
void messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in, int depth_out,
              const AtomRows &own, const AtomRows &base, const Filters &filters, at::Tensor &q,
              at::Tensor &mu);

/// Its gradient: writes own_gradient, adds to base_gradient and filter_gradients. The graph must know
/// the atoms within depth_out + 1 hops where base is defined.
void messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in,
                       int depth_out, const AtomRows &own, const AtomRows &base,
                       const Filters &filters, const at::Tensor &gq, const at::Tensor &gmu,
                       AtomRows &own_gradient, AtomRows &base_gradient, Filters &filter_gradients);

}  // namespace godiff
