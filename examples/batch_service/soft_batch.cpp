// SPDX-License-Identifier: GPL-2.0-only
// A pair style with a batch service, as a plugin: pair_style soft/batch A rc, with the energy
// A (1 - (r/rc)^2)^3 between all pairs of atoms closer than rc. Its physics is of no use; everything
// that another style needs for `fix godiff ... evaluate batch direct` is between the two lines of dashes.
#include "atom.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "pair.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>

#include "godiff_batch.h"
#include "lammpsplugin.h"

namespace soft_batch {

using namespace LAMMPS_NS;

class PairSoftBatch : public Pair {
public:
  explicit PairSoftBatch(LAMMPS *lmp) : Pair(lmp), service() {
    service.abi = GODIFF_BATCH_ABI;
    service.size = sizeof(service);
    service.self = this;
    service.caps = 0;             // neither virial nor energies of single atoms
    service.max_atoms = nullptr;  // any number of atoms may be in a call
    service.last_error = last_error;
    service.compute = compute_batch;
  }

  ~PairSoftBatch() override {
    if (allocated) {
      memory->destroy(setflag);
      memory->destroy(cutsq);
    }
  }

  void settings(int narg, char **arg) override {
    if (narg != 2)
      error->all(FLERR, "Pair style soft/batch needs two numbers: A rc");
    strength = utils::numeric(FLERR, arg[0], false, lmp);
    cutoff = utils::numeric(FLERR, arg[1], false, lmp);
    service.cutoff = cutoff;
  }

  void coeff(int, char **) override {
    const int n = atom->ntypes + 1;
    if (!allocated) {
      memory->create(setflag, n, n, "pair:setflag");
      memory->create(cutsq, n, n, "pair:cutsq");
    }
    allocated = 1;
    for (int i = 1; i < n; ++i)
      for (int j = 1; j < n; ++j)
        setflag[i][j] = 1;
  }

  double init_one(int, int) override { return cutoff; }

  void compute(int eflag, int vflag) override {
    ev_init(eflag, vflag);
    for (int ii = 0; ii < list->inum; ++ii) {
      const int i = list->ilist[ii];
      for (int jj = 0; jj < list->numneigh[i]; ++jj) {
        const int j = list->firstneigh[i][jj] & NEIGHMASK;
        double d[3], slope;
        for (int k = 0; k < 3; ++k)
          d[k] = atom->x[i][k] - atom->x[j][k];
        const double energy = pair_energy(d, slope);
        for (int k = 0; k < 3; ++k) {
          atom->f[i][k] -= slope * d[k];
          if (force->newton_pair || j < atom->nlocal)
            atom->f[j][k] += slope * d[k];
        }
        if (evflag)
          ev_tally(i, j, atom->nlocal, force->newton_pair, energy, 0.0, -slope, d[0], d[1], d[2]);
      }
    }
    if (vflag_fdotr)
      virial_fdotr_compute();
  }

  // -----------------------------------------------------------------------------------------------

  void *extract(const char *name, int &dim) override {
    if (std::strcmp(name, "godiff_batch") != 0)
      return nullptr;
    dim = 0;
    return &service;
  }

protected:
  godiff_batch_v1 service;
  std::string failure;

private:
  static const char *last_error(void *self) {
    return static_cast<PairSoftBatch *>(self)->failure.c_str();
  }

  // No exception may leave it, and it must not touch the atoms of LAMMPS or call MPI: every rank calls it
  // with structures of its own.
  static int compute_batch(void *self, int64_t nsys, const int64_t *ptr, const int * /*type*/,
                           const double *x, const double *cell, const uint8_t *pbc, int want,
                           double *energy, double *f, double * /*virial*/, double * /*eatom*/) {
    auto *me = static_cast<PairSoftBatch *>(self);
    if (want & ~GODIFF_BATCH_FORCES) {
      me->failure = "only energies and forces can be asked for";
      return GODIFF_BATCH_BAD_INPUT;
    }
    try {
      for (int64_t s = 0; s < nsys; ++s)
        energy[s] = me->structure(ptr[s + 1] - ptr[s], x + 3 * ptr[s], cell + 9 * s, pbc + 3 * s,
                                  want & GODIFF_BATCH_FORCES ? f + 3 * ptr[s] : nullptr);
    } catch (const std::exception &e) {
      me->failure = e.what();
      return GODIFF_BATCH_FAILED;
    }
    return GODIFF_BATCH_OK;
  }

  // Energy and forces of one structure: all pairs, through all periodic images within the cutoff.
  double structure(int64_t n, const double *x, const double *cell, const uint8_t *pbc,
                   double *f) const {
    // Atoms may be anywhere: the largest distance of two of them counts beside the cutoff.
    double reach = cutoff;
    for (int64_t i = 0; i < 3 * n; ++i)
      reach = std::max(reach, cutoff + 4.0 * std::abs(x[i]));
    int images[3];
    for (int k = 0; k < 3; ++k)
      images[k] = pbc[k] ? static_cast<int>(std::ceil(reach / width(cell, k))) : 0;
    double total = 0.0;
    for (int64_t i = 0; f && i < 3 * n; ++i)
      f[i] = 0.0;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        for (int a = -images[0]; a <= images[0]; ++a)
          for (int b = -images[1]; b <= images[1]; ++b)
            for (int c = -images[2]; c <= images[2]; ++c) {
              if (i == j && a == 0 && b == 0 && c == 0)
                continue;
              double d[3], slope;
              for (int k = 0; k < 3; ++k)
                d[k] =
                    x[3 * i + k] - x[3 * j + k] - a * cell[k] - b * cell[3 + k] - c * cell[6 + k];
              total += 0.5 * pair_energy(d, slope);
              for (int k = 0; f && k < 3; ++k)
                f[3 * i + k] -= slope * d[k];
            }
    return total;
  }

  // -----------------------------------------------------------------------------------------------

  // Distance of the two faces of the cell that cut axis k.
  static double width(const double *cell, int k) {
    const double *u = cell + 3 * ((k + 1) % 3), *v = cell + 3 * ((k + 2) % 3);
    const double normal[3] = {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2],
                              u[0] * v[1] - u[1] * v[0]};
    double along = 0.0, length = 0.0;
    for (int d = 0; d < 3; ++d) {
      along += cell[3 * k + d] * normal[d];
      length += normal[d] * normal[d];
    }
    return std::abs(along) / std::sqrt(length);
  }

  // slope: derivative by the distance, divided by the distance.
  double pair_energy(const double *d, double &slope) const {
    const double squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    slope = 0.0;
    if (squared >= cutoff * cutoff)
      return 0.0;
    const double u = 1.0 - squared / (cutoff * cutoff);
    slope = -6.0 * strength * u * u / (cutoff * cutoff);
    return strength * u * u * u;
  }

  double strength = 0.0, cutoff = 0.0;
};

void *create(void *lmp) {
  return new PairSoftBatch(static_cast<LAMMPS *>(lmp));
}

}  // namespace soft_batch

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  lammpsplugin_t plugin{};
  plugin.version = "22 Jul 2025";
  plugin.style = "pair";
  plugin.name = "soft/batch";
  plugin.info = "Example of a pair style with a batch service";
  plugin.author = "GODIFF";
  plugin.creator.v1 = &soft_batch::create;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lmp);
}
