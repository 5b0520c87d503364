// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/comm.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "core/network/ordered_sum.hpp"
#include "kernels/flat_buffers.hpp"
#include "temporary_folder.hpp"
#include "thread_comm.hpp"

namespace {

using godiff::agree;
using godiff::Comm;
using godiff::deal;
using godiff::Error;
using godiff_test::message_of;
using godiff_test::on_ranks;

TEST(Deal, GivesEverythingOnceInOrder) {
  for (std::int64_t count : {0, 1, 5, 16, 17, 1000})
    for (int size : {1, 2, 3, 5, 40}) {
      std::int64_t next = 0;
      for (int r = 0; r < size; ++r) {
        const godiff::Share share = deal(count, r, size);
        EXPECT_EQ(share.begin, next);
        EXPECT_LE(std::abs(share.count() * size - count), size);
        next = share.end;
      }
      EXPECT_EQ(next, count);
    }
}

TEST(SerialComm, MovesNothingAnywhere) {
  Comm &comm = godiff::serial_comm();
  EXPECT_EQ(comm.rank(), 0);
  EXPECT_EQ(comm.size(), 1);
  EXPECT_EQ(comm.first(1), &comm);
  const double mine = 3.5;
  double other = 0.0, third = 0.0;
  comm.all_gather(&mine, sizeof mine, &other);
  EXPECT_EQ(other, 3.5);
  comm.all_to_all_v(&mine, {sizeof mine}, &third, {sizeof third});
  EXPECT_EQ(third, 3.5);
  comm.broadcast(&third, sizeof third, 0);
  comm.await(&third, sizeof third);
  EXPECT_EQ(third, 3.5);
}

TEST(Agree, OnYesAndNo) {
  for (int size : {1, 2, 5})
    for (int no = 0; no <= size; ++no)  // no = size: all say yes
      on_ranks(size,
               [&](Comm &comm) { EXPECT_EQ(agree(comm, "", comm.rank() != no), no == size); });
}

TEST(Agree, AllThrowTheTextOfTheLowestRank) {
  for (int size : {1, 2, 5})
    for (int lowest = 0; lowest < size; ++lowest)
      on_ranks(size, [&](Comm &comm) {
        const std::string text = comm.rank() == lowest  ? "rank " + std::to_string(lowest)
                                 : comm.rank() > lowest ? "a higher rank with a longer text"
                                                        : "";
        EXPECT_EQ(message_of<Error>([&] { agree(comm, text); }), "rank " + std::to_string(lowest));
        EXPECT_TRUE(agree(comm, ""));
      });
}

TEST(Agree, OnEachCatchesEverything) {
  on_ranks(3, [&](Comm &comm) {
    const auto text = [&](const std::function<void()> &failure) {
      return message_of<Error>([&] {
        godiff::on_each(comm, [&] {
          if (comm.rank() == 1)
            failure();
        });
      });
    };
    EXPECT_EQ(text([] { throw Error("what"); }), "what");
    EXPECT_EQ(text([] { throw 7; }), "unknown failure");
    EXPECT_EQ(text([] { throw Error(""); }), "unknown failure");
    EXPECT_NE(text([] { throw std::bad_alloc(); }).find("not enough memory"), std::string::npos);
    EXPECT_NE(text([] { at::ones({2}).view({3}); }).find("LibTorch: "), std::string::npos);
    // Work that others do before they come to on_each().
    EXPECT_EQ(message_of<Error>([&] {
                godiff::before_on_each(comm, [&] {
                  if (comm.rank() == 2)
                    throw Error("early");
                });
                godiff::on_each(comm, [] {});
              }),
              "early");
  });
  EXPECT_EQ(message_of<std::logic_error>([] {
              godiff::on_each(godiff::serial_comm(), [] { throw std::logic_error("as it is"); });
            }),
            "as it is");
}

// Numbers whose sum depends on the order in the last bits.
at::Tensor part(std::int64_t k, std::int64_t size, at::ScalarType type) {
  godiff::RandomStream random(3, godiff::Purpose::PRIOR, 0, static_cast<std::uint32_t>(k));
  at::Tensor t = at::empty({size}, at::kDouble);
  for (std::int64_t i = 0; i < size; ++i)
    t.data_ptr<double>()[i] = std::exp(5.0 * random.normal()) * (random.uniform() - 0.5);
  return t.to(type);
}

TEST(OrderedSum, SameBitsAsOnOneRank) {
  for (at::ScalarType type : {at::kFloat, at::kDouble})
    for (std::int64_t size : {1, 40, 4099})
      for (std::int64_t count : {1, 4, 7}) {
        std::vector<at::Tensor> all;
        for (std::int64_t k = 0; k < count; ++k)
          all.push_back(part(k, size, type));
        const at::Tensor expected = at::empty({size}, type);
        godiff::sum_parts(all, expected);
        for (int ranks : {1, 2, 3, 5})
          on_ranks(ranks, [&](Comm &comm) {
            const godiff::Share share = deal(count, comm.rank(), ranks);
            std::vector<at::Tensor> mine(all.begin() + share.begin, all.begin() + share.end);
            std::vector<double> numbers, all_numbers(static_cast<std::size_t>(count));
            for (std::int64_t k = share.begin; k < share.end; ++k)
              numbers.push_back(0.5 + static_cast<double>(k));
            const at::Tensor total = at::empty({size}, type);
            godiff::OrderedSum sum(comm, count, size, total.options());
            sum.run(mine, numbers, all_numbers, total);
            EXPECT_TRUE(at::equal(total, expected)) << size << " " << count << " " << ranks;
            for (std::int64_t k = 0; k < count; ++k)
              EXPECT_EQ(all_numbers[static_cast<std::size_t>(k)], 0.5 + static_cast<double>(k));
          });
      }
  // The order matters for these numbers: an allreduce would not do.
  const at::Tensor forward = at::empty({4099}, at::kFloat),
                   backward = at::empty({4099}, at::kFloat);
  std::vector<at::Tensor> parts;
  for (int k = 0; k < 4; ++k)
    parts.push_back(part(k, 4099, at::kFloat));
  godiff::sum_parts(parts, forward);
  godiff::sum_parts({parts[3], parts[2], parts[1], parts[0]}, backward);
  EXPECT_FALSE(at::equal(forward, backward));
}

}  // namespace
