// SPDX-License-Identifier: GPL-2.0-only
#ifdef PAIR_CLASS
// clang-format off
PairStyle(mace,PairMACE);
// clang-format on
#else

#ifndef LMP_PAIR_MACE_H
#define LMP_PAIR_MACE_H

#include <functional>
#include <string>

#include "pair.h"

namespace LAMMPS_NS {

/// Machine-learned potentials of the MACE family, from an exported TorchScript file.
class PairMACE : public Pair {
public:
  PairMACE(class LAMMPS *);
  ~PairMACE() override;

  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void finish() override;
  double memory_usage() override;
  void *extract(const char *, int &) override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

protected:
  struct Impl;  // keeps the core library out of this header
  Impl *impl;

  /// Threads for LibTorch where the user says nothing. Collective.
  virtual int default_threads();

  // pair_mace_compute.cpp
  std::string name_of(int) const;
  void add_times(double begin, double built, double evaluated);
  void call_model(bigint nodes, bigint edges, const std::function<void()> &call);
  [[noreturn]] void refuse_contact(int i, int j, double distance);
  [[noreturn]] void refuse_number(const char *what, int i);
  void check_torque(const double *mine);

  // pair_mace_output.cpp
  void print_sizes(bigint nodes, bigint edges);

private:
  // pair_mace.cpp
  void allocate();
  void choose_mode();
  void check_input();
  void give_back_cutoff();

  // pair_mace_compute.cpp
  void build_graph();
  void evaluate();
  void check_numbers();
  void tally();

  // pair_mace_output.cpp
  void print_model(const char *);
  void print_mode();
};

}  // namespace LAMMPS_NS

#endif
#endif
