// SPDX-License-Identifier: GPL-2.0-only
// The example of a batch service, made to misbehave: pair_style soft/batch A rc as in the example, with a
// service that the environment variable GODIFF_ODD_SERVICE spoils:
//   abi, size     of another version
//   old           without what has been appended since the first version, which is right
//   fail          every call fails
//   nan           the second structure of every call has no energy
//   other         all energies are 1 too high
#include "lammpsplugin.h"  // whose declaration is of the entry point here, not of that of the example

#define lammpsplugin_init example_init
#include "../../../examples/batch_service/soft_batch.cpp"
#undef lammpsplugin_init

#include <cstdlib>

namespace {

using godiff_compute = decltype(godiff_batch_v1::compute);

std::string oddity() {
  const char *text = std::getenv("GODIFF_ODD_SERVICE");
  return text ? text : "";
}

class PairOdd : public soft_batch::PairSoftBatch {
public:
  explicit PairOdd(LAMMPS_NS::LAMMPS *lmp) : PairSoftBatch(lmp) {
    right() = service.compute;
    service.compute = compute_odd;
    if (oddity() == "abi")
      service.abi = 2;
    if (oddity() == "size")
      service.size = GODIFF_BATCH_SMALLEST - 1;
    if (oddity() == "old")
      service.size = GODIFF_BATCH_SMALLEST;
  }

private:
  static godiff_compute &right() {
    static godiff_compute function = nullptr;
    return function;
  }

  static int compute_odd(void *self, int64_t nsys, const int64_t *ptr, const int *type,
                         const double *x, const double *cell, const uint8_t *pbc, int want,
                         double *energy, double *f, double *virial, double *eatom) {
    if (oddity() == "fail") {
      static_cast<PairOdd *>(self)->failure = "no mood";
      return GODIFF_BATCH_FAILED;
    }
    const int status = right()(self, nsys, ptr, type, x, cell, pbc, want, energy, f, virial, eatom);
    if (oddity() == "nan" && nsys > 1)
      energy[1] = std::nan("");
    for (int64_t s = 0; oddity() == "other" && s < nsys; ++s)
      energy[s] += 1.0;
    return status;
  }
};

void *create_odd(void *lmp) {
  return new PairOdd(static_cast<LAMMPS_NS::LAMMPS *>(lmp));
}

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  lammpsplugin_t plugin{};
  plugin.version = "22 Jul 2025";
  plugin.style = "pair";
  plugin.name = "soft/batch";
  plugin.info = "Batch service that misbehaves";
  plugin.author = "GODIFF";
  plugin.creator.v1 = &create_odd;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lmp);
}
