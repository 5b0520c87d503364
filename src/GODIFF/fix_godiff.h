// SPDX-License-Identifier: GPL-2.0-only
#ifdef FIX_CLASS
// clang-format off
FixStyle(godiff,FixGODiff);
// clang-format on
#else

#ifndef LMP_FIX_GODIFF_H
#define LMP_FIX_GODIFF_H

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fix.h"

namespace godiff {
class SafeTensors;
}

namespace LAMMPS_NS {

/// Global structure search: every step of a run puts one candidate into the atoms and learns its
/// energy from the run loop of LAMMPS.
class FixGODiff : public Fix {
public:
  FixGODiff(class LAMMPS *, int, char **);
  ~FixGODiff() override;

  int setmask() override;
  void init() override;
  void setup(int) override;
  void initial_integrate(int) override;
  void pre_exchange() override;
  void post_force(int) override;
  void end_of_step() override;
  void post_run() override;

  void write_restart(FILE *) override;
  void restart(char *) override;

  double compute_scalar() override;
  double compute_vector(int) override;
  double compute_array(int, int) override;
  double memory_usage() override;

  void grow_arrays(int) override;
  void copy_arrays(int, int, int) override;
  void set_arrays(int) override;
  int pack_exchange(int, double *) override;
  int unpack_exchange(int, double *) override;

protected:
  /// What the atoms are to be, the same on all ranks: the template, then the mobile atoms, each part by
  /// ID. To be asked for anew after every call of this fix.
  struct Structure {
    int n_atoms;
    int n_template;
    const tagint *sorted_ids;  // [n_atoms]
    const int *sorted_index;   // [n_atoms] place in the order above of the atom with that ID
    const double *positions;   // [n_atoms][3] absolute
    const imageint *images;    // [n_atoms]
  };

  /// Size of the bins and their number in each direction that make Atom::sort() put atoms in the order
  /// of their IDs, one in each; `lo` and `hi` are the corners of what it divides.
  struct Bins {
    double lo[3], hi[3];
    double size;
    int n[3];
  };

  double **destination;  // where atoms on their way to another rank really are [nmax][3]

  Structure structure() const;
  bool forces_wanted() const;
  Bins bins_by_id(int) const;
  void sort_by_bins(const Bins &);
  [[noreturn]] void unknown_atom(tagint);

  // What a style of an accelerator does where the atoms are.
  virtual void place_atoms();
  virtual void migrate();
  virtual void gather_forces(double *);
  virtual std::string network_device(const std::string &);
  virtual void compute_stacked(const std::vector<std::int64_t> &, std::int64_t, const double *,
                               double *, double *);

private:
  struct Impl;  // keeps the core library out of this header
  struct Plan;
  struct Batch;
  Impl *impl;

  // fix_godiff_setup.cpp
  void check_other_fixes();
  void gather_atoms();
  void build_system();
  void check_graph_size();
  void check_room();
  void check_unchanged();
  void place_window();

  // fix_godiff_begin.cpp
  void begin();
  void gather_ranks();
  void compare_worlds();
  void restore_template(const godiff::SafeTensors &);
  std::optional<godiff::SafeTensors> find_state();
  void warn_of_training(const char *);
  void start_search();
  void start_helpers();
  void start_journals();

  // fix_godiff_migrate.cpp
  int clamp_leaving();
  void order_by_id();

  // fix_godiff.cpp
  bool next_structure();
  void take_energy(double);
  void note_energy(int, std::int64_t, std::int64_t, const std::vector<double> &, double,
                   const double *);
  void check_lost();
  void leave_run();
  void note_time();
  void set_reference();
  void hand_out();
  void start_run();
  void stop_run();

  // fix_godiff_batch.cpp
  void init_batch();
  std::string beyond_pair();
  std::string why_not_direct();
  bool next_block();
  bool evaluate_stage();
  bool evaluate_open();
  void compute_direct(std::int64_t, const double *, double *, double *);
  void take_energies(std::int64_t, const double *, const double *);
  bool interrupted();
  void take_batch(double);

  // fix_godiff_stack.cpp
  std::string why_not_stacked();

  // fix_godiff_meet.cpp
  bool meet(bool);
  void lead(const int *, Plan &);
  void bring_results();
  void take_results();
  void record_new(const std::function<void()> &);
  void choose_dealt();
  void share_candidates(std::int64_t, std::int64_t, std::int64_t);
  bool work(const char *);
  bool progress(const char *, bigint, bigint);
  void agree(const std::string &);
  void in_trouble_if(const std::function<void()> &);

  // fix_godiff_output.cpp
  void print_plan();
  void announce(const std::string &);
  FILE *terminal();
  void update_outputs();
  void share_outputs();
  void print_stages();
  void print_summary();
};

}  // namespace LAMMPS_NS

#endif
#endif
