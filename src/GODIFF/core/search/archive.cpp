// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/archive.hpp"

#include <utility>

namespace godiff {

const char *to_string(Status status) {
  switch (status) {
    case Status::OK:
      return "ok";
    case Status::HIGH:
      return "high";
    case Status::LOW:
      return "low";
    case Status::FAILED:
      return "failed";
  }
  return "failed";
}

Status status_of(double energy, double lo, double hi) {
  return !(energy > lo) ? Status::LOW : !(energy < hi) ? Status::HIGH : Status::OK;
}

void Archive::append(Record record) {
  const auto index = static_cast<std::int64_t>(records_.size());
  ++counts_[static_cast<int>(record.status)];
  if (record.status == Status::OK && record.energy < best_energy())
    best_ = index;
  bytes_ += static_cast<std::int64_t>(sizeof(Record) + record.positions.size() * sizeof(double) +
                                      record.forces.size() * sizeof(float));
  records_.push_back(std::move(record));
}

double Archive::best_energy() const {
  return best_ < 0 ? std::numeric_limits<double>::infinity() : records_[best_].energy;
}

std::int64_t Archive::count(Status status) const {
  return counts_[static_cast<int>(status)];
}

}  // namespace godiff
