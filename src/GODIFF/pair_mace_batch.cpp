// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_batch.hpp"

#include <cstddef>
#include <utility>

#include "core/base/comm.hpp"
#include "core/base/error.hpp"
#include "core/base/threads.hpp"

namespace LAMMPS_NS {
namespace GODiff {

MaceBatchService::MaceBatchService(godiff::MaceModel &model, const MaceServiceOptions &options) :
    model_(model),
    options_(options),
    batch_(model, options.max_edges),
    interface_() {
  interface_.abi = GODIFF_BATCH_ABI;
  interface_.size = sizeof(interface_);
  interface_.self = this;
  // Each layer passes on what its neighbours have seen.
  interface_.cutoff = model.info().r_max * model.info().layers;
  interface_.caps = GODIFF_BATCH_CAN_VIRIAL | GODIFF_BATCH_CAN_EATOM;
  interface_.max_atoms = max_atoms;
  interface_.last_error = last_error;
  interface_.compute = compute;
}

// A call may have any number of atoms: it is cut here into what the model takes at once.
std::int64_t MaceBatchService::max_atoms(void * /*self*/, int /*want*/) {
  return 0;
}

const char *MaceBatchService::last_error(void *self) {
  return static_cast<MaceBatchService *>(self)->error_.c_str();
}

void MaceBatchService::offer_device(std::unique_ptr<MaceBatchOnDevice> device) {
  device_ = std::move(device);
  interface_.caps |= GODIFF_BATCH_CAN_DEVICE;
  interface_.compute_device = compute_device;
}

int MaceBatchService::compute(void *self, std::int64_t nsys, const std::int64_t *ptr,
                              const int *type, const double *x, const double *cell,
                              const std::uint8_t *pbc, int want, double *energy, double *f,
                              double *virial, double *eatom) {
  auto *const service = static_cast<MaceBatchService *>(self);
  const MaceBatchCall call{nsys, ptr, type, x, cell, pbc, want, energy, f, virial, eatom};
  return service->run(
      call, [&] { service->check(call); }, [&] { service->compute(call); });
}

int MaceBatchService::compute_device(void *self, std::int64_t nsys, const std::int64_t *ptr,
                                     const int *type, const double *x, const double *cell,
                                     const std::uint8_t *pbc, int want, double *energy, double *f,
                                     double *virial, double *eatom) {
  auto *const service = static_cast<MaceBatchService *>(self);
  const MaceBatchCall call{nsys, ptr, type, x, cell, pbc, want, energy, f, virial, eatom};
  return service->run(
      call, [&] { service->device_->check(call); }, [&] { service->device_->compute(call); });
}

namespace {

// What can be seen from the arguments alone.
void check_arguments(const MaceBatchCall &call) {
  const auto fail = [](const std::string &text) {
    throw godiff::Error("batch of structures: " + text);
  };
  if (call.nsys < 0)
    fail("there are " + std::to_string(call.nsys) + " of them");
  if (call.nsys > 0 && (!call.ptr || !call.cell || !call.pbc || !call.energy))
    fail("ptr, cell, pbc and energy must not be null");
  if (call.n_atoms() < 0 || (call.n_atoms() > 0 && (!call.type || !call.x)))
    fail("type and x must not be null, nor the number of atoms negative");
  if (call.want & ~(GODIFF_BATCH_FORCES | GODIFF_BATCH_VIRIAL | GODIFF_BATCH_EATOM))
    fail("want is " + std::to_string(call.want) + ", which asks for something unknown");
  if (((call.want & GODIFF_BATCH_FORCES) && !call.f) ||
      ((call.want & GODIFF_BATCH_VIRIAL) && !call.virial) ||
      ((call.want & GODIFF_BATCH_EATOM) && !call.eatom))
    fail("an array that is wanted is null");
}

}  // namespace

template <class Check, class Compute>
int MaceBatchService::run(const MaceBatchCall &call, Check check, Compute compute) {
  int failure = GODIFF_BATCH_BAD_INPUT;
  try {
    error_.clear();
    check_arguments(call);
    check();
    failure = GODIFF_BATCH_FAILED;
    const godiff::ThreadScope threads(options_.threads);
    compute();
    return GODIFF_BATCH_OK;
  } catch (const godiff::MaceOutOfMemory &) {
    failure = GODIFF_BATCH_OUT_OF_MEMORY;
    error_ = godiff::failure_text();
  } catch (...) {
    error_ = godiff::failure_text();
  }
  return failure;
}

// Finds the species of all atoms as well.
void MaceBatchService::check(const MaceBatchCall &call) {
  const auto n = static_cast<std::size_t>(call.n_atoms());
  species_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const int type = call.type[i];
    if (type < 1 || type >= static_cast<int>(options_.species.size()) || options_.species[type] < 0)
      throw godiff::Error("batch of structures: atom type " + std::to_string(type) +
                          " has no element in pair_coeff");
    species_[i] = options_.species[type];
  }
  const godiff::MaceInfo &info = model_.info();
  godiff::check_structures({call.nsys, call.ptr, species_.data(), call.x, call.cell, call.pbc},
                           info.r_max, static_cast<std::int64_t>(info.atomic_numbers.size()));
}

void MaceBatchService::compute(const MaceBatchCall &call) {
  const auto wanted = [&](int bit, double *array) { return call.want & bit ? array : nullptr; };
  const godiff::MaceBatchResult result{call.energy, wanted(GODIFF_BATCH_FORCES, call.f),
                                       wanted(GODIFF_BATCH_VIRIAL, call.virial),
                                       wanted(GODIFF_BATCH_EATOM, call.eatom)};
  batch_.compute({call.nsys, call.ptr, species_.data(), call.x, call.cell, call.pbc}, result);
  const auto convert = [&](double *array, std::size_t count) {
    for (std::size_t k = 0; array && k < count; ++k)
      array[k] *= options_.energy_unit;
  };
  const auto n = static_cast<std::size_t>(call.n_atoms());
  convert(result.energies, static_cast<std::size_t>(call.nsys));
  convert(result.forces, 3 * n);
  convert(result.virials, 6 * static_cast<std::size_t>(call.nsys));
  convert(result.atom_energies, n);
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
