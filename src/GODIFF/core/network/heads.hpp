// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <array>
#include <string>

#include <ATen/core/Tensor.h>

#include "core/network/parameters.hpp"

namespace godiff {

/// Three gated equivariant blocks that turn scalars and vectors into one vector (method section 9).
class VectorHead {
public:
  /// Declares `NAME.b.*`; n_scalar inputs (F, or F + 2 with time features), n_vector = F inputs.
  VectorHead(const std::string &name, int n_scalar, int n_vector, Parameters &parameters);

  /// Fetches the views once the parameters are allocated.
  void bind(const Parameters &parameters);

  /// scalars [rows, n_scalar], vectors [rows, 3, n_vector] -> [rows, 3].
  at::Tensor forward(const at::Tensor &scalars, const at::Tensor &vectors) const;

private:
  struct Block {
    int scalar_in, vector_in, scalar_out, vector_out, hidden;
    at::Tensor mix, weight0, bias0, weight1, bias1;
  };
  std::string name_;
  std::array<Block, 3> blocks_;
};

}  // namespace godiff
