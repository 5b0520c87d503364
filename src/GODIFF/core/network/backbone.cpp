// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/backbone.hpp"

#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace godiff {

int ReceptiveField::hops(int l) const {
  return std::min(l, n_blocks - l);
}

int ReceptiveField::depth(int l, const ChunkGraph &graph) const {
  return wanted == Wanted::ALL ? graph.all() : hops(l);
}

int ReceptiveField::lone_levels(int n_blocks) {
  return (n_blocks - 1) / 2;  // l < n_blocks - l
}

int ReceptiveField::hops_needed(int n_blocks, bool gradient) {
  // The gradient also visits the lone template's senders, one hop beyond the receivers.
  return std::max(1, n_blocks / 2 + (gradient ? 1 : 0));
}

BackbonePass backbone(const NetworkSettings &settings, const NetworkWeights &weights,
                      const at::Tensor &filters, const SharedTemplate &shared,
                      const TemplateEdges &edges, const ChunkGraph &graph, Wanted wanted, bool keep,
                      Workspace &work) {
  const ReceptiveField field{settings.nblock, wanted};
  const std::int64_t F = settings.nfeat;
  BackbonePass pass;
  pass.basis = work.take({graph.n_pairs(), basis_columns(settings)});
  radial_basis(pair_distances(graph, filters), settings, pass.basis);

  for (int l = 1; l <= settings.nblock; ++l) {
    const int depth = field.depth(l, graph);
    const std::int64_t rows = graph.rows(depth);
    at::Tensor q = work.take({rows, F}), mu = work.take({rows, 3, F});
    const Workspace::Mark mark = work.mark();

    BackbonePass::Block block;
    block.pair_filter = work.take({graph.n_pairs(), 3 * F});
    at::mm_out(block.pair_filter, pass.basis, filters.narrow(0, (l - 1) * 3 * F, 3 * F).t());
    block.mixing.prepare(rows, F, work);
    at::Tensor q_in = block.mixing.q();
    if (l == 1) {
      first_messages(edges, graph, depth, shared.first(), block.pair_filter, q_in, block.mixing.mu);
    } else {
      block.rows = {context(weights.blocks[l - 1], pass.q, work, block.context), pass.mu, pass.q};
      const AtomRows lone = wanted == Wanted::ALL ? AtomRows() : shared.level(l - 2);
      messages(edges, graph, field.depth(l - 1, graph), depth, block.rows, lone,
               {shared.filters(l - 1), block.pair_filter}, q_in, block.mixing.mu);
    }
    mixing(weights.blocks[l - 1], block.mixing, q, mu, work);
    pass.q = q;
    pass.mu = mu;
    if (keep)
      pass.blocks.push_back(block);
    else
      work.release(mark);
  }
  return pass;
}

void backbone_backward(const NetworkSettings &settings, const NetworkWeights &weights,
                       const SharedTemplate &shared, const TemplateEdges &edges,
                       const ChunkGraph &graph, Wanted wanted, const BackbonePass &pass,
                       at::Tensor gq, at::Tensor gmu, const NetworkWeights &weight_gradient,
                       SharedGradient &shared_gradient, Workspace &work) {
  const ReceptiveField field{settings.nblock, wanted};
  const std::int64_t F = settings.nfeat;
  at::Tensor filter_gradient = work.take({settings.nblock * 3 * F, pass.basis.size(1)});
  for (int l = settings.nblock; l >= 1; --l) {
    const BackbonePass::Block &block = pass.blocks[l - 1];
    at::Tensor gq_in, gmu_in;
    if (l > 1) {
      gq_in = work.take(block.rows.q.sizes());
      gmu_in = work.take(block.rows.mu.sizes());
    }
    const Workspace::Mark mark = work.mark();
    mixing_backward(weights.blocks[l - 1], block.mixing, weight_gradient.blocks[l - 1], gq, gmu,
                    work);
    at::Tensor g_pairs = work.zeros(block.pair_filter.sizes());
    const int depth = field.depth(l, graph);
    if (l == 1) {
      first_messages_backward(edges, graph, depth, shared.first(), block.pair_filter, gq, gmu,
                              shared_gradient.first, g_pairs);
    } else {
      AtomRows own{work.take(block.rows.x.sizes()), gmu_in, gq_in};
      const AtomRows lone = wanted == Wanted::ALL ? AtomRows() : shared.level(l - 2);
      AtomRows lone_gradient = lone.x.defined() ? shared_gradient.levels[l - 2] : AtomRows();
      Filters gradients{shared_gradient.filters.narrow(1, (l - 1) * 3 * F, 3 * F), g_pairs};
      messages_backward(edges, graph, field.depth(l - 1, graph), depth, block.rows, lone,
                        {shared.filters(l - 1), block.pair_filter}, gq, gmu, own, lone_gradient,
                        gradients);
      context_backward(weights.blocks[l - 1], block.context, own.x, weight_gradient.blocks[l - 1],
                       gq_in, work);
    }
    at::Tensor g_matrix = filter_gradient.narrow(0, (l - 1) * 3 * F, 3 * F);
    at::mm_out(g_matrix, g_pairs.t(), pass.basis);
    gq = gq_in;
    gmu = gmu_in;
    work.release(mark);
  }
  add_filter_gradient(filter_gradient, weight_gradient.filter);
}

}  // namespace godiff
