// SPDX-License-Identifier: GPL-2.0-only
// The plain twins of messages.hpp: gather, multiply, index_add in LibTorch, gradients by autograd. They
// run on any device, without a host synchronisation, and are what the tests compare the kernels with.
#pragma once

#include "kernels/messages.hpp"

namespace godiff {
namespace plain {

// Same arguments and results as the functions of these names in messages.hpp.

void template_first_messages(const TemplateEdges &edges, const at::Tensor &filter,
                             FirstBlockRows &rows);
void template_first_messages_backward(const TemplateEdges &edges, const at::Tensor &filter,
                                      const FirstBlockRows &rows, FirstBlockRows &gradient,
                                      at::Tensor &filter_gradient);
void first_messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                    const FirstBlockRows &rows, const at::Tensor &pair_filter, at::Tensor &q,
                    at::Tensor &mu);
void first_messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                             const FirstBlockRows &rows, const at::Tensor &pair_filter,
                             const at::Tensor &gq, const at::Tensor &gmu, FirstBlockRows &gradient,
                             at::Tensor &pair_filter_gradient);
void messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in, int depth_out,
              const AtomRows &own, const AtomRows &base, const Filters &filters, at::Tensor &q,
              at::Tensor &mu);
void messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in,
                       int depth_out, const AtomRows &own, const AtomRows &base,
                       const Filters &filters, const at::Tensor &gq, const at::Tensor &gmu,
                       AtomRows &own_gradient, AtomRows &base_gradient, Filters &filter_gradients);

}  // namespace plain
}  // namespace godiff
