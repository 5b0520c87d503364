// SPDX-License-Identifier: GPL-2.0-only
// The tensors of the network by their part in it, as views into a flat buffer: weights or gradients.
#pragma once

#include <array>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/settings.hpp"
#include "core/network/parameters.hpp"

namespace godiff {

/// y = x weight^T + bias; weight [out,in].
struct Dense {
  at::Tensor weight, bias;
};

/// One block of the backbone (method section 8).
struct BlockWeights {
  std::array<Dense, 2> context;  ///< x = W2 silu(W1 q + b1) + b2
  at::Tensor mix;                ///< [V | U] = M mu, [2F,F]
  std::array<Dense, 2> mixing;   ///< (p,r,s) = W2 silu(W1 [q;|V|] + b1) + b2
};

/// One gated equivariant block of a head (method section 9).
struct GatedWeights {
  at::Tensor mix;
  std::array<Dense, 2> dense;
};
using HeadWeights = std::array<GatedWeights, 3>;

struct NetworkWeights {
  at::Tensor embedding;  ///< [100,F]
  Dense filter;          ///< of all blocks, [nblock*3F, n_rbf]
  std::vector<BlockWeights> blocks;
  HeadWeights score;
  HeadWeights force;  ///< undefined tensors without a force head
};

/// Declares all tensors of a network, named as in the checkpoint.
void declare_network(const NetworkSettings &settings, Parameters &parameters);

/// Views of the tensors of `parameters` in a flat buffer of the same layout.
NetworkWeights view_weights(const NetworkSettings &settings, const Parameters &parameters,
                            const at::Tensor &flat);

}  // namespace godiff
