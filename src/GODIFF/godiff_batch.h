/* SPDX-License-Identifier: GPL-2.0-only
   The batch service: how a pair style evaluates many structures in one call. A style offers it through
   Pair::extract("godiff_batch", dim), which returns a godiff_batch_v1 with dim 0. Plain C; version 1.
   Fields are only ever appended: look at `size` before reading one that was added later. */
#ifndef GODIFF_BATCH_H
#define GODIFF_BATCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { GODIFF_BATCH_ABI = 1 };

/* What a service can do. */
enum { GODIFF_BATCH_CAN_VIRIAL = 1, GODIFF_BATCH_CAN_EATOM = 2, GODIFF_BATCH_CAN_DEVICE = 4 };

/* What a call is asked for beside the energies. */
enum { GODIFF_BATCH_FORCES = 1, GODIFF_BATCH_VIRIAL = 2, GODIFF_BATCH_EATOM = 4 };

/* What a call returns. */
enum {
  GODIFF_BATCH_OK =
      0, /* a structure that cannot be evaluated has energy NaN, the others are right */
  GODIFF_BATCH_BAD_INPUT = 1,
  GODIFF_BATCH_OUT_OF_MEMORY = 2,
  GODIFF_BATCH_FAILED = 3
};

typedef struct {
  uint32_t abi;  /* GODIFF_BATCH_ABI */
  uint32_t size; /* bytes of this struct */
  void *self;    /* to be passed to the functions */
  double cutoff; /* no atom feels another one further away, units of the run */
  uint32_t caps; /* GODIFF_BATCH_CAN_... */

  /* Atoms that one call should have at most, 0 when that is not known; `want` as in compute. */
  int64_t (*max_atoms)(void *self, int want);
  /* Why the last call failed; valid until the next one. */
  const char *(*last_error)(void *self);
  /* Energies of nsys structures, in the units of the run. Of one rank: no MPI, nothing of the state of
     LAMMPS is read or changed, no exception leaves it.
     ptr [nsys+1]: where the atoms of each structure begin; type [N] from 1; x [3N], anywhere;
     cell [9*nsys]: rows a, b, c; pbc [3*nsys]: 1 where periodic.
     energy [nsys]; f [3N]; virial [6*nsys] xx yy zz xy xz yz, -dE/dstrain; eatom [N]. What is not wanted
     may be null. */
  int (*compute)(void *self, int64_t nsys, const int64_t *ptr, const int *type, const double *x,
                 const double *cell, const uint8_t *pbc, int want, double *energy, double *f,
                 double *virial, double *eatom);

  /* Appended later; null, or not there, without GODIFF_BATCH_CAN_DEVICE. The same for a run with KOKKOS:
     type, x, energy, f, virial and eatom are in the memory of the device that KOKKOS computes on, the others
     on the host. What is read must have been written before the call; results have been when it returns. */
  int (*compute_device)(void *self, int64_t nsys, const int64_t *ptr, const int *type,
                        const double *x, const double *cell, const uint8_t *pbc, int want,
                        double *energy, double *f, double *virial, double *eatom);
} godiff_batch_v1;

/* Bytes that every service has. */
#define GODIFF_BATCH_SMALLEST offsetof(godiff_batch_v1, compute_device)

#ifdef __cplusplus
}
#endif

#endif
