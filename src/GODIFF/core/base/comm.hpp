// SPDX-License-Identifier: GPL-2.0-only
// How ranks work together in the core, which has no MPI.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace godiff {

/// The ranks that learn together. All of them call the same functions in the same order (collective);
/// what is sent are bytes. An exception out of one of these functions leaves the ranks apart.
class Comm {
public:
  Comm() = default;
  Comm(const Comm &) = delete;
  Comm &operator=(const Comm &) = delete;
  virtual ~Comm() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// `data` of rank `root` replaces that of all ranks.
  virtual void broadcast(void *data, std::int64_t bytes, int root = 0) = 0;
  /// The same from rank 0, which may be long in coming: the others may sleep meanwhile.
  virtual void await(void *data, std::int64_t bytes) = 0;
  /// `mine` of all ranks, equally long, one behind the other in `all` [size * bytes].
  virtual void all_gather(const void *mine, std::int64_t bytes, void *all) = 0;
  /// The same with bytes[r] of rank r.
  virtual void all_gather_v(const void *mine, const std::vector<std::int64_t> &bytes,
                            void *all) = 0;
  /// `send` has send_bytes[r] for rank r, one behind the other; `receive` gets receive_bytes[r] of it.
  virtual void all_to_all_v(const void *send, const std::vector<std::int64_t> &send_bytes,
                            void *receive, const std::vector<std::int64_t> &receive_bytes) = 0;
  /// The first n ranks (1 <= n <= size) among themselves; nullptr on the others. Collective over all
  /// ranks of this object, which owns the result and gives the same one for the same n.
  virtual Comm *first(int n) = 0;
};

/// One rank alone.
class SerialComm : public Comm {
public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void broadcast(void *, std::int64_t, int) override {}
  void await(void *, std::int64_t) override {}
  void all_gather(const void *mine, std::int64_t bytes, void *all) override;
  void all_gather_v(const void *mine, const std::vector<std::int64_t> &bytes, void *all) override;
  void all_to_all_v(const void *send, const std::vector<std::int64_t> &send_bytes, void *receive,
                    const std::vector<std::int64_t> &receive_bytes) override;
  Comm *first(int) override { return this; }
};

/// The one rank that is alone: what a learner without helpers works with.
Comm &serial_comm();

/// Ends a part of the work that each rank did by itself: true when `mine` is true on all ranks. If
/// `failure` is not empty on any rank, all throw godiff::Error with the text of the lowest such rank.
/// Collective.
bool agree(Comm &comm, const std::string &failure, bool mine = true);

/// What is wrong, by the exception that is being handled; never empty.
std::string failure_text();

/// Runs `work`, which returns a bool, on each rank by itself and agrees on it. A rank that is alone does
/// without, so that exceptions pass as they are. Collective.
template <class Work> bool true_on_each(Comm &comm, Work &&work) {
  if (comm.size() == 1)
    return work();
  bool mine = false;
  std::string failure;
  try {
    mine = work();
  } catch (...) {
    failure = failure_text();
  }
  return agree(comm, failure, mine);
}

/// The same for work that returns nothing.
template <class Work> void on_each(Comm &comm, Work &&work) {
  true_on_each(comm, [&] {
    work();
    return true;
  });
}

/// Runs `work` where the ranks next come to on_each(): if it fails, this rank meets the others there.
template <class Work> auto before_on_each(Comm &comm, Work &&work) {
  if (comm.size() == 1)
    return work();
  try {
    return work();
  } catch (...) {
    agree(comm, failure_text());
    throw;  // not reached: agree() throws
  }
}

/// A range of things in order.
struct Share {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

/// The part of `count` things that rank `rank` of `size` gets: about equal parts in the order of ranks.
Share deal(std::int64_t count, int rank, int size);

}  // namespace godiff
