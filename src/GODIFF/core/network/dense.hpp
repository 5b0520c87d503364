// SPDX-License-Identifier: GPL-2.0-only
// The pieces that every small network is made of, with their results in a workspace.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/network/weights.hpp"
#include "core/network/workspace.hpp"

namespace godiff {

/// y = x weight^T + bias: [rows,in] -> [rows,out].
at::Tensor apply(const Dense &dense, const at::Tensor &x, Workspace &work);

/// x sigmoid(x), elementwise.
at::Tensor silu(const at::Tensor &x, Workspace &work);

}  // namespace godiff
