// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_exchange_kokkos.hpp"

#include <climits>
#include <type_traits>

#include "comm.h"
#include "pair.h"
#include "platform.h"

#include "core/base/error.hpp"
#include "pair_mace_exchange.hpp"
#include "pair_mace_views_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

struct TwoFloats {
  float one, other;
};

// How numbers lie in the doubles that travel: bits are moved, never converted.
template <class Real> struct Slots {
  static constexpr int NUMBERS = sizeof(double) / sizeof(Real);

  KOKKOS_INLINE_FUNCTION static double pack(const Real *row, int slot, int width) {
    if constexpr (NUMBERS == 1) {
      return row[slot];
    } else {
      const TwoFloats two = {row[2 * slot], 2 * slot + 1 < width ? row[2 * slot + 1] : 0.0f};
      return Kokkos::bit_cast<double>(two);
    }
  }
  KOKKOS_INLINE_FUNCTION static void unpack(double bits, Real *row, int slot, int width) {
    if constexpr (NUMBERS == 1) {
      row[slot] = bits;
    } else {
      const auto two = Kokkos::bit_cast<TwoFloats>(bits);
      row[2 * slot] = two.one;
      if (2 * slot + 1 < width)
        row[2 * slot + 1] = two.other;
    }
  }
  KOKKOS_INLINE_FUNCTION static double add(double bits, double more) {
    if constexpr (NUMBERS == 1) {
      return bits + more;
    } else {
      auto two = Kokkos::bit_cast<TwoFloats>(bits);
      const auto others = Kokkos::bit_cast<TwoFloats>(more);
      two.one += others.one;
      two.other += others.other;
      return Kokkos::bit_cast<double>(two);
    }
  }
};

KOKKOS_INLINE_FUNCTION double add_slots(double bits, double more, bool single) {
  return single ? Slots<float>::add(bits, more) : Slots<double>::add(bits, more);
}

}  // namespace

template <class DeviceType>
void MaceRowsKokkos<DeviceType>::start(int n_atoms, int width, bool single_precision) {
  n_atoms_ = n_atoms;
  single_ = single_precision;
  width_ = width;
  slots_ = slots_of(width, single_);
  // LAMMPS counts what it sends with int.
  if (static_cast<double>(n_atoms_) * slots_ > INT_MAX)
    throw godiff::Error(
        fmt::format("{} atoms and ghosts with {} features are more than one message can carry: use "
                    "more ranks",
                    n_atoms_, width));
  const std::int64_t size = static_cast<std::int64_t>(n_atoms_) * slots_;
  if (size > static_cast<std::int64_t>(rows_.extent(0))) {
    rows_ = DAT::tdual_double_1d();
    rows_ = DAT::tdual_double_1d("mace:rows", static_cast<std::size_t>(size + size / 4 + 64));
    ++allocations_;
  }
  rows_.clear_sync_state();
  const auto rows = rows_.template view<DeviceType>();
  Kokkos::parallel_for(
      "mace:no_rows", Policy(0, size), KOKKOS_LAMBDA(const std::int64_t k) { rows(k) = 0.0; });
  rows_.template modify<DeviceType>();
}

template <class DeviceType>
void MaceRowsKokkos<DeviceType>::find_owners(int n_owned, int n_atoms,
                                             Kokkos::View<int *, DeviceType> &owners) {
  start(n_atoms, 1, false);
  const auto rows = rows_.template view<DeviceType>();
  Kokkos::parallel_for(
      "mace:name_owners", Policy(0, n_owned),
      KOKKOS_LAMBDA(const std::int64_t i) { rows(i) = static_cast<double>(i); });
  rows_.template modify<DeviceType>();
  lmp_->comm->forward_comm(pair_, 1);
  rows_.template sync<DeviceType>();
  reserve(owners, "mace:owners", n_atoms, allocations_);
  const auto found = owners;
  Kokkos::parallel_for(
      "mace:owners", Policy(0, n_atoms),
      KOKKOS_LAMBDA(const std::int64_t i) { found(i) = static_cast<int>(rows(i)); });
}

template <class DeviceType>
void MaceRowsKokkos<DeviceType>::set_edges(const MaceEdgesKokkos<DeviceType> &edges, int n_atoms) {
  edges_ = &edges;
  n_atoms_ = n_atoms;
}

template <class DeviceType>
template <class Real>
void MaceRowsKokkos<DeviceType>::put(const Real *nodes, std::int64_t n_nodes) {
  const auto rows = rows_.template view<DeviceType>();
  const auto atoms = edges_->atoms;
  const int slots = slots_, width = width_;
  Kokkos::parallel_for(
      "mace:put_rows", Policy(0, n_nodes * slots), KOKKOS_LAMBDA(const std::int64_t k) {
        const std::int64_t node = k / slots;
        const int slot = static_cast<int>(k % slots);
        rows(static_cast<std::int64_t>(atoms(node)) * slots + slot) =
            Slots<Real>::pack(nodes + node * width, slot, width);
      });
  rows_.template modify<DeviceType>();
}

template <class DeviceType>
template <class Real>
void MaceRowsKokkos<DeviceType>::get(Real *nodes, std::int64_t begin, std::int64_t end) {
  const auto rows = rows_.template view<DeviceType>();
  const auto atoms = edges_->atoms;
  const int slots = slots_, width = width_;
  Kokkos::parallel_for(
      "mace:get_rows", Policy(begin * slots, end * slots), KOKKOS_LAMBDA(const std::int64_t k) {
        const std::int64_t node = k / slots;
        const int slot = static_cast<int>(k % slots);
        Slots<Real>::unpack(rows(static_cast<std::int64_t>(atoms(node)) * slots + slot),
                            nodes + node * width, slot, width);
      });
  DeviceType().fence();
}

template <class DeviceType>
template <class Real>
void MaceRowsKokkos<DeviceType>::spread(Real *nodes, int width) {
  const double begin = platform::walltime();
  start(n_atoms_, width, std::is_same_v<Real, float>);
  put(nodes, edges_->n_owned);
  lmp_->comm->forward_comm(pair_, slots_);
  rows_.template sync<DeviceType>();
  get(nodes, edges_->n_owned, edges_->n_nodes);
  seconds_ += platform::walltime() - begin;
}

template <class DeviceType>
template <class Real>
void MaceRowsKokkos<DeviceType>::collect(Real *nodes, int width) {
  const double begin = platform::walltime();
  start(n_atoms_, width, std::is_same_v<Real, float>);
  put(nodes, edges_->n_nodes);
  lmp_->comm->reverse_comm(pair_, slots_);
  rows_.template sync<DeviceType>();
  get(nodes, 0, edges_->n_owned);
  seconds_ += platform::walltime() - begin;
}

// Not in the header: spread() and collect() exist in this file alone.
template <class DeviceType> void MaceRowsKokkos<DeviceType>::to_ghosts(float *rows, int width) {
  spread(rows, width);
}

template <class DeviceType> void MaceRowsKokkos<DeviceType>::to_ghosts(double *rows, int width) {
  spread(rows, width);
}

template <class DeviceType> void MaceRowsKokkos<DeviceType>::to_owners(float *rows, int width) {
  collect(rows, width);
}

template <class DeviceType> void MaceRowsKokkos<DeviceType>::to_owners(double *rows, int width) {
  collect(rows, width);
}

template <class DeviceType>
int MaceRowsKokkos<DeviceType>::pack_forward(int n, const DAT::tdual_int_1d &list,
                                             DAT::tdual_double_1d &buffer) const {
  const auto rows = rows_.template view<DeviceType>();
  const auto atoms = list.template view<DeviceType>();
  const auto to = buffer.template view<DeviceType>();
  const int slots = slots_;
  Kokkos::parallel_for(
      "mace:pack_forward", Policy(0, static_cast<std::int64_t>(n) * slots),
      KOKKOS_LAMBDA(const std::int64_t k) {
        to(k) = rows(static_cast<std::int64_t>(atoms(k / slots)) * slots + k % slots);
      });
  return n * slots;
}

template <class DeviceType>
void MaceRowsKokkos<DeviceType>::unpack_forward(int n, int first, DAT::tdual_double_1d &buffer) {
  const auto rows = rows_.template view<DeviceType>();
  const auto from = buffer.template view<DeviceType>();
  const std::int64_t begin = static_cast<std::int64_t>(first) * slots_;
  Kokkos::parallel_for(
      "mace:unpack_forward", Policy(0, static_cast<std::int64_t>(n) * slots_),
      KOKKOS_LAMBDA(const std::int64_t k) { rows(begin + k) = from(k); });
}

template <class DeviceType>
int MaceRowsKokkos<DeviceType>::pack_reverse(int n, int first, DAT::tdual_double_1d &buffer) const {
  const auto rows = rows_.template view<DeviceType>();
  const auto to = buffer.template view<DeviceType>();
  const std::int64_t begin = static_cast<std::int64_t>(first) * slots_;
  Kokkos::parallel_for(
      "mace:pack_reverse", Policy(0, static_cast<std::int64_t>(n) * slots_),
      KOKKOS_LAMBDA(const std::int64_t k) { to(k) = rows(begin + k); });
  return n * slots_;
}

// An atom is at most once in a list: no two threads add to the same row.
template <class DeviceType>
void MaceRowsKokkos<DeviceType>::unpack_reverse(int n, const DAT::tdual_int_1d &list,
                                                DAT::tdual_double_1d &buffer) {
  const auto rows = rows_.template view<DeviceType>();
  const auto atoms = list.template view<DeviceType>();
  const auto from = buffer.template view<DeviceType>();
  const int slots = slots_;
  const bool single = single_;
  Kokkos::parallel_for(
      "mace:unpack_reverse", Policy(0, static_cast<std::int64_t>(n) * slots),
      KOKKOS_LAMBDA(const std::int64_t k) {
        const std::int64_t at = static_cast<std::int64_t>(atoms(k / slots)) * slots + k % slots;
        rows(at) = add_slots(rows(at), from(k), single);
      });
}

template <class DeviceType>
int MaceRowsKokkos<DeviceType>::pack_forward(int n, const int *list, double *buffer) {
  rows_.sync_host();
  const double *const rows = rows_.view_host().data();
  for (int k = 0; k < n; ++k)
    for (int slot = 0; slot < slots_; ++slot)
      *buffer++ = rows[static_cast<std::int64_t>(list[k]) * slots_ + slot];
  return n * slots_;
}

template <class DeviceType>
void MaceRowsKokkos<DeviceType>::unpack_forward(int n, int first, const double *buffer) {
  rows_.sync_host();
  double *const rows = rows_.view_host().data() + static_cast<std::int64_t>(first) * slots_;
  for (std::int64_t k = 0; k < static_cast<std::int64_t>(n) * slots_; ++k)
    rows[k] = buffer[k];
  rows_.modify_host();
}

template <class DeviceType>
int MaceRowsKokkos<DeviceType>::pack_reverse(int n, int first, double *buffer) {
  rows_.sync_host();
  const double *const rows = rows_.view_host().data() + static_cast<std::int64_t>(first) * slots_;
  for (std::int64_t k = 0; k < static_cast<std::int64_t>(n) * slots_; ++k)
    buffer[k] = rows[k];
  return n * slots_;
}

template <class DeviceType>
void MaceRowsKokkos<DeviceType>::unpack_reverse(int n, const int *list, const double *buffer) {
  rows_.sync_host();
  double *const rows = rows_.view_host().data();
  for (int k = 0; k < n; ++k)
    for (int slot = 0; slot < slots_; ++slot, ++buffer) {
      double &row = rows[static_cast<std::int64_t>(list[k]) * slots_ + slot];
      row = add_slots(row, *buffer, single_);
    }
  rows_.modify_host();
}

template class MaceRowsKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class MaceRowsKokkos<LMPHostType>;
#endif

}  // namespace GODiff
}  // namespace LAMMPS_NS
