// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/mace/batch.hpp"
#include "godiff_batch.h"

namespace LAMMPS_NS {
namespace GODiff {

/// What a batch service of a MACE model is made of.
struct MaceServiceOptions {
  std::vector<std::int64_t> species;  ///< [ntypes + 1] by atom type; -1: the type has no element
  double energy_unit = 1.0;           ///< energy units of the run per eV
  std::int64_t max_edges = 0;         ///< of one call of the model, 0: automatic
  int threads = 1;                    ///< for LibTorch
};

/// The arguments of a call, see godiff_batch.h.
struct MaceBatchCall {
  std::int64_t nsys;
  const std::int64_t *ptr;
  const int *type;
  const double *x, *cell;
  const std::uint8_t *pbc;
  int want;
  double *energy, *f, *virial, *eatom;

  std::int64_t n_atoms() const { return nsys > 0 ? ptr[nsys] : 0; }
};

/// What computes calls whose arrays are in the memory of the device that KOKKOS computes on.
class MaceBatchOnDevice {
public:
  virtual ~MaceBatchOnDevice() = default;
  /// Throws godiff::Error for types without an element and structures that make no sense.
  virtual void check(const MaceBatchCall &call) = 0;
  /// Energies, and what is wanted; in the units of the run. Throws godiff::Error and MaceOutOfMemory.
  virtual void compute(const MaceBatchCall &call) = 0;
};

/// The batch service of a MACE model: many structures in few calls of the model.
class MaceBatchService {
public:
  /// The model must outlive the service. Throws godiff::Error for a negative number of edges.
  MaceBatchService(godiff::MaceModel &model, const MaceServiceOptions &options);
  MaceBatchService(const MaceBatchService &) = delete;
  MaceBatchService &operator=(const MaceBatchService &) = delete;

  /// What Pair::extract("godiff_batch", dim) returns; valid as long as this object.
  godiff_batch_v1 *interface() { return &interface_; }

  const MaceServiceOptions &options() const { return options_; }

  /// From now on calls with arrays on the device are computed too.
  void offer_device(std::unique_ptr<MaceBatchOnDevice> device);
  bool has_device() const { return device_ != nullptr; }

private:
  static std::int64_t max_atoms(void *self, int want);
  static const char *last_error(void *self);
  static int compute(void *self, std::int64_t nsys, const std::int64_t *ptr, const int *type,
                     const double *x, const double *cell, const std::uint8_t *pbc, int want,
                     double *energy, double *f, double *virial, double *eatom);
  static int compute_device(void *self, std::int64_t nsys, const std::int64_t *ptr, const int *type,
                            const double *x, const double *cell, const std::uint8_t *pbc, int want,
                            double *energy, double *f, double *virial, double *eatom);

  template <class Check, class Compute>
  int run(const MaceBatchCall &call, Check check, Compute compute);
  void check(const MaceBatchCall &call);
  void compute(const MaceBatchCall &call);

  godiff::MaceModel &model_;
  MaceServiceOptions options_;
  godiff::MaceBatch batch_;
  std::unique_ptr<MaceBatchOnDevice> device_;
  godiff_batch_v1 interface_;
  std::vector<std::int64_t> species_;  // of the atoms of a call
  std::string error_;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
