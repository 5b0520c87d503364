// SPDX-License-Identifier: GPL-2.0-only
// Keeps the books of what KOKKOS copies between host and device, as if the two had memories of their own
// also where they have not. Once this plugin is loaded, `atom_style atomic` under -sf kk notes every sync
// and every modification of the fields of its atoms, and
//   fix ID all audit
// prints at the end of a run what has happened between its first and its last end of a step:
//   AUDIT steps N to_host N to_device N conflicts N fields MASK
// How many syncs would have copied something, how often one side was changed while the other had changes
// that it had not got, and the mask of fields that went to the host.
#include "lammpsplugin.h"

#include <cstdint>

#include "atom_kokkos.h"
#include "atom_masks.h"
#include "atom_vec_atomic_kokkos.h"
#include "comm.h"
#include "fix.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

constexpr std::uint64_t FIELDS =
    X_MASK | V_MASK | F_MASK | TAG_MASK | TYPE_MASK | MASK_MASK | IMAGE_MASK;

struct Books {
  std::uint64_t newer_on_host = 0, newer_on_device = 0;
  std::uint64_t fields_to_host = 0;
  int to_host = 0, to_device = 0, conflicts = 0;

  void sync(ExecutionSpace space, std::uint64_t mask) {
    std::uint64_t &newer = space == Host ? newer_on_device : newer_on_host;
    const std::uint64_t copied = newer & mask & FIELDS;
    newer &= ~copied;
    if (copied)
      ++(space == Host ? to_host : to_device);
    if (space == Host)
      fields_to_host |= copied;
  }

  void modified(ExecutionSpace space, std::uint64_t mask) {
    const std::uint64_t other = space == Host ? newer_on_device : newer_on_host;
    // LAMMPS throws forces of the host away at the beginning of a step.
    if (other & mask & FIELDS & ~std::uint64_t(F_MASK))
      ++conflicts;
    (space == Host ? newer_on_host : newer_on_device) |= mask & FIELDS;
  }
};

Books books;

class AuditedAtoms : public AtomVecAtomicKokkos {
public:
  explicit AuditedAtoms(LAMMPS *lmp) : AtomVec(lmp), AtomVecAtomicKokkos(lmp) {}

  void sync(ExecutionSpace space, std::uint64_t mask) override {
    books.sync(space, mask);
    AtomVecAtomicKokkos::sync(space, mask);
  }
  void modified(ExecutionSpace space, std::uint64_t mask) override {
    books.modified(space, mask);
    AtomVecAtomicKokkos::modified(space, mask);
  }
};

AtomVec *create_atoms(LAMMPS *lmp) {
  return new AuditedAtoms(lmp);
}

class FixAudit : public Fix {
public:
  FixAudit(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg) {
    nevery = 1;
    kokkosable = 1;
    execution_space = ExecutionSpaceFromDevice<LMPDeviceType>::space;
    datamask_read = datamask_modify = EMPTY_MASK;
  }

  int setmask() override { return FixConst::END_OF_STEP | FixConst::POST_RUN; }

  void end_of_step() override {
    if (steps == 0)
      first = books;
    last = books;
    if (steps == 0)
      books.fields_to_host = last.fields_to_host = 0;
    ++steps;
  }

  void post_run() override {
    if (comm->me == 0)
      utils::logmesg(lmp, "AUDIT steps {} to_host {} to_device {} conflicts {} fields {}\n",
                     steps - 1, last.to_host - first.to_host, last.to_device - first.to_device,
                     last.conflicts - first.conflicts, last.fields_to_host);
    steps = 0;
  }

private:
  int steps = 0;
  Books first, last;
};

void *create_fix(void *lmp, int narg, char **arg) {
  return new FixAudit(static_cast<LAMMPS *>(lmp), narg, arg);
}

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  lammpsplugin_t plugin{};
  plugin.version = "22 Jul 2025";
  plugin.style = "fix";
  plugin.name = "audit";
  plugin.info = "Books of what is copied between host and device";
  plugin.author = "GODIFF";
  plugin.creator.v2 = &create_fix;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lmp);
  (*static_cast<LAMMPS *>(lmp)->atom->avec_map)["atomic/kk"] = &create_atoms;
}
