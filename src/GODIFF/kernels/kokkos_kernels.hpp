// SPDX-License-Identifier: GPL-2.0-only
// The kernels as functors of Kokkos, for tensors on its device: messages.hpp, mixing.hpp and
// flat_buffers.hpp with the same arguments and results. Each does the same sums in the same order for
// any number of threads, without atomics; the host waits for none of them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/flat_buffers.hpp"
#include "kernels/messages.hpp"

namespace godiff {
namespace kokkos {

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

void mixing_norm(const at::Tensor &vu, at::Tensor &joined);
void mixing_gate(const at::Tensor &joined, const at::Tensor &mu, const at::Tensor &vu,
                 const at::Tensor &prs, at::Tensor &q, at::Tensor &mu_out);
void mixing_gate_backward(const at::Tensor &gq, const at::Tensor &gmu, const at::Tensor &vu,
                          const at::Tensor &prs, at::Tensor &gprs, at::Tensor &gvu);
void mixing_norm_backward(const at::Tensor &vu, const at::Tensor &joined,
                          const at::Tensor &g_joined, at::Tensor &gvu, at::Tensor &gq);
void add_column_sums(const at::Tensor &values, const at::Tensor &sums);

at::Tensor sum_parts(const std::vector<at::Tensor> &parts, const at::Tensor &total);
void adamw_update(const kernels::AdamWStep &step, const at::Tensor &numbers,
                  const at::Tensor &accept,
                  const std::vector<std::pair<std::int64_t, std::int64_t>> &ranges,
                  const AdamWBuffers &buffers);

}  // namespace kokkos
}  // namespace godiff
