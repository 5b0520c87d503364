// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_exchange.hpp"

#include <climits>
#include <cstring>
#include <type_traits>

#include "comm.h"
#include "pair.h"
#include "platform.h"

#include "core/base/error.hpp"

namespace LAMMPS_NS {
namespace GODiff {

int slots_of(int width, bool single_precision) {
  return single_precision ? (width + 1) / 2 : width;
}

void MaceRows::find_owners(int n_owned, int n_atoms, std::vector<int> &owners) {
  n_atoms_ = n_atoms;
  slots_ = width_ = 1;
  single_ = false;
  rows_.assign(static_cast<std::size_t>(n_atoms), 0.0);
  for (int i = 0; i < n_owned; ++i)
    rows_[i] = i;
  lmp_->comm->forward_comm(pair_, 1);
  owners.resize(static_cast<std::size_t>(n_atoms));
  for (int i = 0; i < n_atoms; ++i)
    owners[i] = static_cast<int>(rows_[i]);
}

void MaceRows::set_domain(const godiff::MaceDomain &domain, int n_atoms) {
  domain_ = &domain;
  n_atoms_ = n_atoms;
}

void MaceRows::start(int width, bool single_precision) {
  single_ = single_precision;
  width_ = width;
  slots_ = slots_of(width, single_);
  // LAMMPS counts what it sends with int.
  if (static_cast<double>(n_atoms_) * slots_ > INT_MAX)
    throw godiff::Error(
        fmt::format("{} atoms and ghosts with {} features are more than one message can carry: use "
                    "more ranks",
                    n_atoms_, width));
  rows_.assign(static_cast<std::size_t>(n_atoms_) * static_cast<std::size_t>(slots_), 0.0);
}

template <typename T> void MaceRows::spread(T *nodes, int width) {
  const double begin = platform::walltime();
  start(width, std::is_same_v<T, float>);
  const std::vector<int> &atoms = domain_->atom_of_node();
  const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(width);
  const std::int64_t n_owned = domain_->n_owned(), n_nodes = domain_->graph().n_nodes();
  for (std::int64_t node = 0; node < n_owned; ++node)
    std::memcpy(row(atoms[node]), nodes + node * width, bytes);
  lmp_->comm->forward_comm(pair_, slots_);
  for (std::int64_t node = n_owned; node < n_nodes; ++node)
    std::memcpy(nodes + node * width, row(atoms[node]), bytes);
  seconds_ += platform::walltime() - begin;
}

template <typename T> void MaceRows::collect(T *nodes, int width) {
  const double begin = platform::walltime();
  start(width, std::is_same_v<T, float>);
  const std::vector<int> &atoms = domain_->atom_of_node();
  const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(width);
  const std::int64_t n_owned = domain_->n_owned(), n_nodes = domain_->graph().n_nodes();
  for (std::int64_t node = 0; node < n_nodes; ++node)
    std::memcpy(row(atoms[node]), nodes + node * width, bytes);
  lmp_->comm->reverse_comm(pair_, slots_);
  for (std::int64_t node = 0; node < n_owned; ++node)
    std::memcpy(nodes + node * width, row(atoms[node]), bytes);
  seconds_ += platform::walltime() - begin;
}

void MaceRows::to_ghosts(float *rows, int width) {
  spread(rows, width);
}

void MaceRows::to_ghosts(double *rows, int width) {
  spread(rows, width);
}

void MaceRows::to_owners(float *rows, int width) {
  collect(rows, width);
}

void MaceRows::to_owners(double *rows, int width) {
  collect(rows, width);
}

int MaceRows::pack_forward(int n, const int *list, double *buffer) const {
  for (int k = 0; k < n; ++k)
    std::memcpy(buffer + static_cast<std::int64_t>(k) * slots_, row(list[k]),
                sizeof(double) * slots_);
  return n * slots_;
}

void MaceRows::unpack_forward(int n, int first, const double *buffer) {
  std::memcpy(row(first), buffer, sizeof(double) * slots_ * static_cast<std::size_t>(n));
}

int MaceRows::pack_reverse(int n, int first, double *buffer) const {
  std::memcpy(buffer, row(first), sizeof(double) * slots_ * static_cast<std::size_t>(n));
  return n * slots_;
}

namespace {

template <typename T> void add(double *row, const double *slots, int width) {
  T number, more;
  char *const to = reinterpret_cast<char *>(row);
  const char *const from = reinterpret_cast<const char *>(slots);
  for (std::size_t k = 0; k < sizeof(T) * width; k += sizeof(T)) {
    std::memcpy(&number, to + k, sizeof(T));
    std::memcpy(&more, from + k, sizeof(T));
    number += more;
    std::memcpy(to + k, &number, sizeof(T));
  }
}

}  // namespace

void MaceRows::unpack_reverse(int n, const int *list, const double *buffer) {
  for (int k = 0; k < n; ++k) {
    const double *const slots = buffer + static_cast<std::int64_t>(k) * slots_;
    if (single_)
      add<float>(row(list[k]), slots, width_);
    else
      add<double>(row(list[k]), slots, width_);
  }
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
