// SPDX-License-Identifier: GPL-2.0-only
#include "mpi_comm.hpp"

#include <algorithm>
#include <climits>
#include <numeric>
#include <string>

#include <time.h>

#include "core/base/error.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

constexpr std::int64_t MESSAGE = 1 << 30;  // bytes of one broadcast: MPI counts with int

// Turns until a request is done. Whoever waits long sleeps in proportion to the time waited, so that
// naps are never the cause of a long delay.
void wait_patiently(MPI_Request &request) {
  constexpr double EAGER = 2e-4;  // seconds of polling, enough for the work of a normal step
  constexpr double NAP_MIN = 20.0, NAP_MAX = 1000.0, SHARE = 0.1;  // microseconds
  const double start = MPI_Wtime();
  int done = 0;
  while (true) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done)
      return;
    const double waited = MPI_Wtime() - start;
    if (waited > EAGER) {
      const double nap = std::clamp(SHARE * 1e6 * waited, NAP_MIN, NAP_MAX);
      const timespec pause{0, static_cast<long>(1e3 * nap)};
      nanosleep(&pause, nullptr);
    }
  }
}

std::vector<int> counts(const std::vector<std::int64_t> &bytes) {
  if (std::accumulate(bytes.begin(), bytes.end(), std::int64_t(0)) > INT_MAX)
    throw godiff::Error("the ranks would have to exchange more than 2 GB at once: use a smaller "
                        "network or fewer atoms");
  return {bytes.begin(), bytes.end()};
}

std::vector<int> offsets(const std::vector<int> &counts) {
  std::vector<int> begin(counts.size(), 0);
  std::partial_sum(counts.begin(), counts.end() - 1, begin.begin() + 1);
  return begin;
}

bool mpi_has_ended() {
  int ended = 0;
  MPI_Finalized(&ended);
  return ended != 0;
}

}  // namespace

void patient_barrier(MPI_Comm comm) {
  MPI_Request request;
  MPI_Ibarrier(comm, &request);
  wait_patiently(request);
}

MpiComm::MpiComm(MPI_Comm parent) {
  MPI_Comm_dup(parent, &comm_);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
}

MpiComm::~MpiComm() {
  if (comm_ != MPI_COMM_NULL && !mpi_has_ended())
    MPI_Comm_free(&comm_);
}

void MpiComm::broadcast(void *data, std::int64_t bytes, int root) {
  auto *p = static_cast<char *>(data);
  for (std::int64_t begin = 0; begin < bytes; begin += MESSAGE)
    MPI_Bcast(p + begin, static_cast<int>(std::min(MESSAGE, bytes - begin)), MPI_BYTE, root, comm_);
}

void MpiComm::await(void *data, std::int64_t bytes) {
  auto *p = static_cast<char *>(data);
  for (std::int64_t begin = 0; begin < bytes; begin += MESSAGE) {
    MPI_Request request;
    MPI_Ibcast(p + begin, static_cast<int>(std::min(MESSAGE, bytes - begin)), MPI_BYTE, 0, comm_,
               &request);
    wait_patiently(request);
  }
}

void MpiComm::all_gather(const void *mine, std::int64_t bytes, void *all) {
  counts(std::vector<std::int64_t>(static_cast<std::size_t>(size_), bytes));
  MPI_Allgather(mine, static_cast<int>(bytes), MPI_BYTE, all, static_cast<int>(bytes), MPI_BYTE,
                comm_);
}

void MpiComm::all_gather_v(const void *mine, const std::vector<std::int64_t> &bytes, void *all) {
  const std::vector<int> count = counts(bytes), begin = offsets(count);
  MPI_Allgatherv(mine, count[rank_], MPI_BYTE, all, count.data(), begin.data(), MPI_BYTE, comm_);
}

void MpiComm::all_to_all_v(const void *send, const std::vector<std::int64_t> &send_bytes,
                           void *receive, const std::vector<std::int64_t> &receive_bytes) {
  const std::vector<int> out = counts(send_bytes), out_begin = offsets(out);
  const std::vector<int> in = counts(receive_bytes), in_begin = offsets(in);
  MPI_Alltoallv(send, out.data(), out_begin.data(), MPI_BYTE, receive, in.data(), in_begin.data(),
                MPI_BYTE, comm_);
}

godiff::Comm *MpiComm::first(int n) {
  if (n == size_)
    return this;
  const auto known = first_.find(n);
  if (known != first_.end())
    return known->second.get();
  MPI_Comm part = MPI_COMM_NULL;
  MPI_Comm_split(comm_, rank_ < n ? 0 : MPI_UNDEFINED, rank_, &part);
  std::unique_ptr<MpiComm> &made = first_[n];
  if (part != MPI_COMM_NULL) {
    made = std::make_unique<MpiComm>(part);
    MPI_Comm_free(&part);
  }
  return made.get();
}

Deal::Deal(MPI_Comm comm) {
  int me;
  MPI_Comm_rank(comm, &me);
  MPI_Win_allocate(me == 0 ? sizeof(*count_) : 0, sizeof(*count_), MPI_INFO_NULL, comm, &count_,
                   &window_);
  MPI_Win_lock_all(0, window_);
  if (me == 0)
    restart();
}

Deal::~Deal() {
  if (mpi_has_ended())
    return;
  MPI_Win_unlock_all(window_);
  MPI_Win_free(&window_);
}

void Deal::restart() {
  const std::int64_t zero = 0;
  std::int64_t before;
  MPI_Fetch_and_op(&zero, &before, MPI_INT64_T, 0, 0, MPI_REPLACE, window_);
  MPI_Win_flush(0, window_);
}

std::int64_t Deal::add(std::int64_t amount) {
  std::int64_t before;
  MPI_Fetch_and_op(&amount, &before, MPI_INT64_T, 0, 0, MPI_SUM, window_);
  MPI_Win_flush(0, window_);
  return before;
}

std::int64_t Deal::next() {
  return add(1);
}

std::int64_t Deal::next(std::int64_t count) {
  return add(count);
}

void Deal::end() {
  add(INT_MAX);
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
