// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/network/block.hpp"
#include "core/network/shared_template.hpp"
#include "core/network/weights.hpp"
#include "core/network/workspace.hpp"
#include "kernels/messages.hpp"

namespace godiff {

/// Which atoms the backbone is asked about.
enum class Wanted { MOBILE, ALL };

/// PaiNN (method section 8) on the atoms whose features differ from the template's and are needed.
///
/// Block l of L (from 1) is computed for the atoms within hops(l) of a mobile atom: further out nothing
/// has changed yet (hops <= l), or nobody asks any more (hops <= L - l). Exact, no approximation.
struct ReceptiveField {
  int n_blocks;
  Wanted wanted;

  /// Hops after block l, 1..n_blocks.
  int hops(int l) const;
  /// Depth of a ChunkGraph after block l.
  int depth(int l, const ChunkGraph &graph) const;
  /// Blocks after which atoms further out than hops(l) send to others: the lone template has them.
  static int lone_levels(int n_blocks);
  /// Hops that a graph must know about, with gradients or without.
  static int hops_needed(int n_blocks, bool gradient);
};

/// Features after the last block, one row per wanted atom, and what the gradient needs.
struct BackbonePass {
  struct Block {
    ContextTape context;
    AtomRows rows;           // what the block's messages are made of (from block 2 on)
    at::Tensor pair_filter;  // [pairs,3F]
    MixingTape mixing;
  };
  at::Tensor basis;  // of the pairs, [pairs, basis_columns]
  std::vector<Block> blocks;
  at::Tensor q, mu;
};

/// Runs the blocks on a graph. keep: hold on to what backbone_backward() needs.
BackbonePass backbone(const NetworkSettings &settings, const NetworkWeights &weights,
                      const at::Tensor &filters, const SharedTemplate &shared,
                      const TemplateEdges &edges, const ChunkGraph &graph, Wanted wanted, bool keep,
                      Workspace &work);

/// From gq and gmu of the results (used up) adds to the gradients of the weights and of the shared
/// template. filters as given to backbone(): filter_matrix() of the weights.
void backbone_backward(const NetworkSettings &settings, const NetworkWeights &weights,
                       const SharedTemplate &shared, const TemplateEdges &edges,
                       const ChunkGraph &graph, Wanted wanted, const BackbonePass &pass,
                       at::Tensor gq, at::Tensor gmu, const NetworkWeights &weight_gradient,
                       SharedGradient &shared_gradient, Workspace &work);

}  // namespace godiff
