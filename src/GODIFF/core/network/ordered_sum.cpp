// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/ordered_sum.hpp"

#include <cstring>
#include <numeric>

#include <ATen/Functions.h>

#include "kernels/flat_buffers.hpp"

namespace godiff {

namespace {

constexpr std::int64_t ALIGNED = 16;  // elements: slices begin at cache lines

std::int64_t sum_of(const std::vector<std::int64_t> &values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

at::Tensor bytes(std::int64_t count) {
  return at::empty({count}, at::kByte);
}

}  // namespace

OrderedSum::OrderedSum(Comm &comm, std::int64_t count, std::int64_t size,
                       const at::TensorOptions &options) :
    comm_(comm),
    count_(count),
    size_(size),
    options_(options),
    element_(static_cast<std::int64_t>(options.dtype().itemsize())) {
  const int P = comm_.size(), me = comm_.rank();
  const auto number = static_cast<std::int64_t>(sizeof(double));
  for (int r = 0; r < P; ++r) {
    slice_bytes_.push_back(slice(r).count() * element_);
    send_bytes_.push_back(deal(count_, me, P).count() * (slice_bytes_[r] + number));
  }
  for (int r = 0; r < P; ++r)
    receive_bytes_.push_back(deal(count_, r, P).count() * (slice_bytes_[me] + number));
  send_ = bytes(sum_of(send_bytes_));
  receive_ = bytes(sum_of(receive_bytes_));
  sum_ = at::empty({slice(me).count()}, options_);
  if (!options_.device().is_cpu())
    gathered_ = at::empty({size_}, options_.device(at::kCPU));
}

Share OrderedSum::slice(int rank) const {
  const auto begin = [&](int r) {
    return r == comm_.size() ? size_ : deal(size_ / ALIGNED, r, comm_.size()).begin * ALIGNED;
  };
  return {begin(rank), begin(rank + 1)};
}

void OrderedSum::run(const std::vector<at::Tensor> &mine, const std::vector<double> &numbers,
                     std::vector<double> &all_numbers, const at::Tensor &total) {
  const int P = comm_.size(), me = comm_.rank();
  const at::TensorOptions host = options_.device(at::kCPU);
  const std::int64_t number_bytes = static_cast<std::int64_t>(numbers.size() * sizeof(double));
  auto *to = send_.data_ptr<std::uint8_t>();
  for (int r = 0; r < P; ++r) {
    const Share part = slice(r);
    for (const at::Tensor &flat : mine) {
      at::from_blob(to, {part.count()}, host).copy_(flat.narrow(0, part.begin, part.count()));
      to += slice_bytes_[r];
    }
    if (number_bytes > 0)
      std::memcpy(to, numbers.data(), static_cast<std::size_t>(number_bytes));
    to += number_bytes;
  }
  comm_.all_to_all_v(send_.const_data_ptr(), send_bytes_, receive_.data_ptr(), receive_bytes_);

  std::vector<at::Tensor> parts;
  auto *from = receive_.data_ptr<std::uint8_t>();
  for (int r = 0; r < P; ++r) {
    const Share theirs = deal(count_, r, P);
    for (std::int64_t k = theirs.begin; k < theirs.end; ++k, from += slice_bytes_[me])
      parts.push_back(at::from_blob(from, {sum_.numel()}, host).to(options_.device()));
    if (theirs.count() > 0)
      std::memcpy(&all_numbers[static_cast<std::size_t>(theirs.begin)], from,
                  static_cast<std::size_t>(theirs.count()) * sizeof(double));
    from += theirs.count() * static_cast<std::int64_t>(sizeof(double));
  }
  sum_parts(parts, sum_);
  const at::Tensor slice_sum = sum_.to(at::kCPU);
  const at::Tensor &all = gathered_.defined() ? gathered_ : total;
  comm_.all_gather_v(slice_sum.const_data_ptr(), slice_bytes_, all.data_ptr());
  if (gathered_.defined())
    total.copy_(gathered_);
}

}  // namespace godiff
