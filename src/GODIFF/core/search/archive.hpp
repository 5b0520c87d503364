// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/geometry/system.hpp"

namespace godiff {

/// What became of an evaluated structure (method section 14). The values are stored in checkpoints.
enum class Status : std::int32_t {
  OK = 0,      ///< candidate for the training buffer
  HIGH = 1,    ///< E - E_ref >= hi: kept (force stage), never in the buffer
  LOW = 2,     ///< E - E_ref <= lo: a false minimum of the potential, dropped
  FAILED = 3,  ///< energy not finite
};

const char *to_string(Status status);

/// The status of a finite energy, relative to the zero of the energy window from `lo` to `hi`.
Status status_of(double energy, double lo, double hi);

/// Stage of records that an earlier search has evaluated.
constexpr int LOADED_STAGE = -1;

/// One evaluated structure. Energies in eV, temperatures as kT in eV.
struct Record {
  std::int64_t evaluation = 0;  ///< energy evaluations spent up to and including this one
  int stage = 0;                ///< counted from 0, or LOADED_STAGE
  double kT = 0.0;
  double energy = std::numeric_limits<double>::quiet_NaN();
  double weight = 0.0;  ///< exp(-(E - best so far)/kT) when it was recorded
  Status status = Status::FAILED;
  int structure_class = -1;   ///< fingerprint class, -1 when failed
  std::int64_t offset = -1;   ///< of its frame in the .xyz file, -1 when there is none
  Positions positions;        ///< [3*n_mobile]
  std::vector<float> forces;  ///< [3*n_atoms] eV/Angstrom, only kept when a force head learns
};

/// Every evaluated structure in the order of evaluation: append only, nothing is ever removed.
class Archive {
public:
  void append(Record record);
  std::size_t size() const { return records_.size(); }
  const Record &operator[](std::size_t i) const { return records_[i]; }
  Record &back() { return records_.back(); }
  const Record &back() const { return records_.back(); }
  const std::vector<Record> &records() const { return records_; }

  /// Index of the lowest energy with status OK (the first of equals), -1 when there is none.
  std::int64_t best() const { return best_; }
  /// Lowest energy with status OK, +infinity when there is none.
  double best_energy() const;
  /// Number of records with this status.
  std::int64_t count(Status status) const;
  /// Memory that the records take, about (bytes).
  std::int64_t bytes() const { return bytes_; }

private:
  std::vector<Record> records_;
  std::int64_t best_ = -1;
  std::int64_t counts_[4] = {0, 0, 0, 0};
  std::int64_t bytes_ = 0;
};

}  // namespace godiff
