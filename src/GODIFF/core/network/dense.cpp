// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/dense.hpp"

#include <ATen/Functions.h>

namespace godiff {

at::Tensor apply(const Dense &dense, const at::Tensor &x, Workspace &work) {
  at::Tensor y = work.take({x.size(0), dense.weight.size(0)});
  at::addmm_out(y, dense.bias, x, dense.weight.t());
  return y;
}

at::Tensor silu(const at::Tensor &x, Workspace &work) {
  at::Tensor y = work.take(x.sizes());
  at::silu_out(y, x);
  return y;
}

}  // namespace godiff
