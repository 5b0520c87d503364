// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/network/block.hpp"
#include "core/network/weights.hpp"
#include "core/network/workspace.hpp"
#include "kernels/messages.hpp"

namespace godiff {

/// Gradients of what SharedTemplate holds, views into one flat buffer so that parts can be summed.
struct SharedGradient {
  FirstBlockRows first;
  at::Tensor filters;            ///< [D, nblock*3F]
  std::vector<AtomRows> levels;  ///< after block 1, 2, ...; x is that of the next block
};

/// What all structures of a system have in common: computed once for each set of weights.
///
/// - filters of the template's distinct distances;
/// - the first block's x per element, and its messages between template atoms;
/// - features of the template without any mobile atom after the first blocks, for atoms that no mobile
///   atom has reached yet (performance: exact structure sharing).
class SharedTemplate {
public:
  /// elements: atomic number of each row of edges.element. n_levels: blocks after which the lone template
  /// is needed. The edges must outlive it.
  SharedTemplate(const TemplateEdges &edges, const std::vector<std::int64_t> &elements,
                 const NetworkSettings &settings, int n_levels, const at::TensorOptions &options);

  /// Recomputes everything from the weights.
  void update(const NetworkWeights &weights);
  /// From `gradient` (which it uses up) adds to the gradients of the weights.
  void backward(const NetworkWeights &weights, SharedGradient &gradient,
                const NetworkWeights &weight_gradient);

  const FirstBlockRows &first() const { return first_; }
  /// Filters of block l (from 0) of the template edges, [D,3F].
  at::Tensor filters(int l) const;
  /// Features of the lone template after block l (from 0); undefined tensors if not kept.
  AtomRows level(int l) const;

  /// Length of the flat buffer of a SharedGradient, and its views.
  std::int64_t gradient_size() const;
  SharedGradient view_gradient(const at::Tensor &flat) const;

private:
  struct Level {
    MixingTape mixing;
    ContextTape context;
    AtomRows rows;
  };

  const TemplateEdges &edges_;
  NetworkSettings settings_;
  int n_levels_;
  ChunkGraph lone_;           // the template as a structure without mobile atoms
  at::Tensor element_index_;  // rows of the embedding table
  at::Tensor basis_;          // of the distinct distances
  at::Tensor filters_;        // [D, nblock*3F]
  at::Tensor no_pairs_;       // filters of the pairs with mobile atoms of `lone_`: none
  Workspace work_, backward_work_;
  ContextTape first_context_;
  FirstBlockRows first_;
  std::vector<Level> levels_;
};

}  // namespace godiff
