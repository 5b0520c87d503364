// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/comm.hpp"

namespace godiff {

/// Sums flat tensors of several ranks in the order of a list that deal() has dealt to them.
///
/// An allreduce would add the tensors in an order that depends on the number of ranks, and so would the
/// bits of the result. Here each rank owns a slice of the tensors: it is sent that slice of all of them,
/// adds them in the order of the list, and sends the sum to all. Each rank sends and receives what an
/// allreduce moves as long as it has one tensor; of several it sends each.
class OrderedSum {
public:
  /// Takes memory for `count` tensors [size] on all ranks together. What fails is said here, before
  /// the ranks depend on each other.
  OrderedSum(Comm &comm, std::int64_t count, std::int64_t size, const at::TensorOptions &options);

  /// total [size] = sum of all tensors; `mine` are those of this rank. With them travels one number for
  /// each: all_numbers [count] gets those of all, in order. Collective.
  void run(const std::vector<at::Tensor> &mine, const std::vector<double> &numbers,
           std::vector<double> &all_numbers, const at::Tensor &total);

private:
  Share slice(int rank) const;

  Comm &comm_;
  std::int64_t count_, size_;
  at::TensorOptions options_;
  std::int64_t element_;  // bytes
  std::vector<std::int64_t> send_bytes_, receive_bytes_, slice_bytes_;
  at::Tensor send_, receive_, sum_, gathered_;
};

}  // namespace godiff
