// SPDX-License-Identifier: GPL-2.0-only
// What travels between ranks for pair style mace.
#pragma once

#include <cstdint>
#include <vector>

#include "pointers.h"

#include "core/mace/model.hpp"
#include "core/mace/neighbours.hpp"

namespace LAMMPS_NS {

class Pair;

namespace GODiff {

/// Doubles per atom that `width` numbers take on their way: two of single precision fill one.
int slots_of(int width, bool single_precision);

/// Carries rows of numbers between atoms and their ghosts, through the communication of LAMMPS. A
/// ghost that is no node of this rank may still be passed on to another one, hence rows for all atoms.
class MaceRows : public godiff::MaceExchange {
public:
  MaceRows(LAMMPS *lmp, Pair *pair) : lmp_(lmp), pair_(pair) {}

  /// For every atom, ghosts too, the index of the owned atom that it is. One rank only.
  void find_owners(int n_owned, int n_atoms, std::vector<int> &owners);

  /// Whose nodes the next rows belong to; kept by reference.
  void set_domain(const godiff::MaceDomain &domain, int n_atoms);

  void to_ghosts(float *rows, int width) override;
  void to_ghosts(double *rows, int width) override;
  void to_owners(float *rows, int width) override;
  void to_owners(double *rows, int width) override;

  // What the functions of the same name of the pair style do.
  int pack_forward(int n, const int *list, double *buffer) const;
  void unpack_forward(int n, int first, const double *buffer);
  int pack_reverse(int n, int first, double *buffer) const;
  void unpack_reverse(int n, const int *list, const double *buffer);

  /// Seconds that rows have been on their way.
  double seconds() const { return seconds_; }
  double memory() const { return static_cast<double>(rows_.capacity() * sizeof(double)); }

private:
  template <typename T> void spread(T *rows, int width);
  template <typename T> void collect(T *rows, int width);
  void start(int width, bool single_precision);
  double *row(std::int64_t atom) { return rows_.data() + atom * slots_; }
  const double *row(std::int64_t atom) const { return rows_.data() + atom * slots_; }

  LAMMPS *lmp_;
  Pair *pair_;
  const godiff::MaceDomain *domain_ = nullptr;
  int n_atoms_ = 0;
  int slots_ = 1;             // doubles per atom
  int width_ = 1;             // numbers per atom
  bool single_ = false;       // they are floats
  std::vector<double> rows_;  // [n_atoms * slots]
  double seconds_ = 0.0;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
