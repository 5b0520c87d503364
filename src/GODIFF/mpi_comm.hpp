// SPDX-License-Identifier: GPL-2.0-only
// MPI behind the interfaces of the core.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/base/comm.hpp"

namespace LAMMPS_NS {
namespace GODiff {

/// Returns when all ranks of `comm` have come, sleeping rather than turning in a busy loop meanwhile.
void patient_barrier(MPI_Comm comm);

/// The ranks of an MPI communicator, for the core.
class MpiComm : public godiff::Comm {
public:
  /// Duplicates `parent`: messages never mix with those of LAMMPS. Collective over `parent`.
  explicit MpiComm(MPI_Comm parent);
  ~MpiComm() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void broadcast(void *data, std::int64_t bytes, int root) override;
  void await(void *data, std::int64_t bytes) override;
  void all_gather(const void *mine, std::int64_t bytes, void *all) override;
  void all_gather_v(const void *mine, const std::vector<std::int64_t> &bytes, void *all) override;
  void all_to_all_v(const void *send, const std::vector<std::int64_t> &send_bytes, void *receive,
                    const std::vector<std::int64_t> &receive_bytes) override;
  godiff::Comm *first(int n) override;

  MPI_Comm get() const { return comm_; }

private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::map<int, std::unique_ptr<MpiComm>> first_;  // nullptr where this rank is not among them
};

/// Numbers 0, 1, 2, ... handed out to several ranks, each number once, to whoever asks first.
class Deal {
public:
  /// Collective over `comm`, whose rank 0 keeps the count.
  explicit Deal(MPI_Comm comm);
  /// Collective.
  ~Deal();
  Deal(const Deal &) = delete;
  Deal &operator=(const Deal &) = delete;

  /// Begins at 0 again. Rank 0 only, before the others are told to go on.
  void restart();
  /// The next number.
  std::int64_t next();
  /// The first of the next `count` numbers, all of which are taken.
  std::int64_t next(std::int64_t count);
  /// From now on next() is at least as large as any list.
  void end();

private:
  std::int64_t add(std::int64_t amount);

  MPI_Win window_ = MPI_WIN_NULL;
  std::int64_t *count_ = nullptr;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
