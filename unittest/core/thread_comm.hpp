// SPDX-License-Identifier: GPL-2.0-only
// Ranks that are threads of one process.
//
// A collective that the ranks enter with different functions or sizes fails the test, and so does one that
// not all of them come to: nothing waits forever.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/comm.hpp"

namespace godiff_test {

class ThreadComm : public godiff::Comm {
public:
  using Bytes = std::vector<std::int64_t>;

  /// What all ranks share.
  struct World {
    explicit World(int ranks) : size(ranks), calls(static_cast<std::size_t>(ranks)) {}
    struct Call {
      std::string what;
      const void *data = nullptr;
      const Bytes *bytes = nullptr;
    };
    const int size;
    std::vector<Call> calls;
    std::mutex mutex;
    std::condition_variable moved;
    int waiting = 0;
    std::int64_t turn = 0;
    bool broken = false;
    std::map<int, std::shared_ptr<World>> first;
  };

  ThreadComm(std::shared_ptr<World> world, int rank) : world_(std::move(world)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return world_->size; }

  void broadcast(void *data, std::int64_t bytes, int root) override {
    enter("broadcast " + std::to_string(bytes) + " from " + std::to_string(root), data);
    if (rank_ != root)
      copy(call(root).data, 0, bytes, data);
    else
      sent_ += bytes * (size() - 1);
    leave();
  }
  void await(void *data, std::int64_t bytes) override { broadcast(data, bytes, 0); }
  void all_gather(const void *mine, std::int64_t bytes, void *all) override {
    all_gather_v(mine, Bytes(static_cast<std::size_t>(size()), bytes), all);
  }
  void all_gather_v(const void *mine, const Bytes &bytes, void *all) override {
    std::string what = "all_gather_v";
    for (std::int64_t b : bytes)
      what += " " + std::to_string(b);
    enter(what, mine);
    auto *to = static_cast<char *>(all);
    for (int r = 0; r < size(); ++r) {
      copy(call(r).data, 0, bytes[r], to);
      to += bytes[r];
    }
    sent_ += bytes[rank_] * (size() - 1);
    leave();
  }
  void all_to_all_v(const void *send, const Bytes &send_bytes, void *receive,
                    const Bytes &receive_bytes) override {
    enter("all_to_all_v", send, &send_bytes);
    auto *to = static_cast<char *>(receive);
    for (int r = 0; r < size(); ++r) {
      std::int64_t begin = 0;
      for (int k = 0; k < rank_; ++k)
        begin += (*call(r).bytes)[k];
      EXPECT_EQ((*call(r).bytes)[rank_], receive_bytes[r]) << "from " << r << " to " << rank_;
      copy(call(r).data, begin, receive_bytes[r], to);
      to += receive_bytes[r];
      if (r != rank_)
        sent_ += send_bytes[r];
    }
    leave();
  }
  Comm *first(int n) override {
    enter("first " + std::to_string(n), nullptr);
    {
      const std::lock_guard<std::mutex> lock(world_->mutex);
      std::shared_ptr<World> &child = world_->first[n];
      if (!child)
        child = std::make_shared<World>(n);
      if (rank_ < n && !first_[n])
        first_[n] = std::make_unique<ThreadComm>(child, rank_);
    }
    leave();
    return rank_ < n ? first_[n].get() : nullptr;
  }

  /// Bytes that this rank has sent to others, those of its first() included.
  std::int64_t sent() const {
    std::int64_t all = sent_;
    for (const auto &[n, comm] : first_)
      if (comm)
        all += comm->sent();
    return all;
  }

private:
  const World::Call &call(int rank) const { return world_->calls[static_cast<std::size_t>(rank)]; }

  static void copy(const void *from, std::int64_t begin, std::int64_t bytes, void *to) {
    if (bytes > 0)
      std::memcpy(to, static_cast<const char *>(from) + begin, static_cast<std::size_t>(bytes));
  }

  void enter(const std::string &what, const void *data, const Bytes *bytes = nullptr) {
    world_->calls[static_cast<std::size_t>(rank_)] = {what, data, bytes};
    meet();
    if (call(0).what != what) {
      const std::lock_guard<std::mutex> lock(world_->mutex);
      world_->broken = true;
      throw std::logic_error("rank 0 is in " + call(0).what + ", rank " + std::to_string(rank_) +
                             " in " + what);
    }
  }
  void leave() { meet(); }

  void meet() {
    constexpr auto LONGEST = std::chrono::seconds(60);
    std::unique_lock<std::mutex> lock(world_->mutex);
    const std::int64_t turn = world_->turn;
    if (++world_->waiting == world_->size) {
      world_->waiting = 0;
      ++world_->turn;
      world_->moved.notify_all();
    } else if (!world_->moved.wait_for(lock, LONGEST,
                                       [&] { return world_->turn != turn || world_->broken; })) {
      world_->broken = true;
      world_->moved.notify_all();
    }
    if (world_->broken)
      throw std::logic_error("rank " + std::to_string(rank_) + " waits in " + call(rank_).what +
                             " for ranks that are elsewhere");
  }

  std::shared_ptr<World> world_;
  int rank_;
  std::map<int, std::unique_ptr<ThreadComm>> first_;
  std::int64_t sent_ = 0;
};

/// Runs `work` on each of `size` ranks; any exception that leaves it fails the test. Returns the bytes
/// that each rank has sent.
inline std::vector<std::int64_t> on_ranks(int size,
                                          const std::function<void(godiff::Comm &)> &work) {
  const auto world = std::make_shared<ThreadComm::World>(size);
  std::vector<std::int64_t> sent(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      ThreadComm comm(world, r);
      try {
        work(comm);
      } catch (const std::exception &e) {
        ADD_FAILURE() << "rank " << r << ": " << e.what();
        const std::lock_guard<std::mutex> lock(world->mutex);
        world->broken = true;
        world->moved.notify_all();
      }
      sent[static_cast<std::size_t>(r)] = comm.sent();
    });
  for (std::thread &thread : threads)
    thread.join();
  return sent;
}

}  // namespace godiff_test
