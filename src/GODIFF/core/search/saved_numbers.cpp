// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/saved_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr double LARGEST_NUMBER = 200;  // above every atomic number, which is on the diagonal

[[noreturn]] void refuse(const std::string &what, double value, const std::string &wanted) {
  std::ostringstream message;
  message << "the checkpoint is damaged: " << what << " is " << value << ", not " << wanted;
  throw Error(message.str());
}

}  // namespace

std::int64_t whole_number(double value, const std::string &what, double last) {
  if (!(value >= 0.0 && value <= last) || value != std::floor(value)) {
    std::ostringstream wanted;
    wanted << "a whole number from 0 to " << last;
    refuse(what, value, wanted.str());
  }
  return static_cast<std::int64_t>(value);
}

void check_temperature(double kT) {
  if (!(kT > 0.0) || !std::isfinite(kT))
    refuse("a temperature kT", kT, "positive and finite");
}

void check_places(const std::vector<double> &coordinates, const std::string &what) {
  for (const double x : coordinates)
    if (!(std::abs(x) <= FARTHEST))
      refuse("a coordinate of " + what, x, "a place in a cell");
}

void check_eigenvalues(const std::vector<double> &eigenvalues, std::int64_t n_mobile) {
  const double most = LARGEST_NUMBER + static_cast<double>(n_mobile);
  for (const double x : eigenvalues)
    if (!(std::abs(x) <= most))
      refuse("an eigenvalue of a structure class", x, "one of a bond graph");
}

void check_record(const Record &record, int classes, int stage) {
  const bool failed = record.status == Status::FAILED;
  check_temperature(record.kT);
  check_places(record.positions, "an evaluated structure");
  if (!failed && !std::isfinite(record.energy))
    refuse("the energy of a valid structure", record.energy, "finite");
  if (std::any_of(record.forces.begin(), record.forces.end(),
                  [](float f) { return std::isnan(f); }))
    throw Error("the checkpoint is damaged: a force of a valid structure is not a number");
  if (failed ? record.structure_class != -1
             : record.structure_class < 0 || record.structure_class >= classes)
    throw Error("the checkpoint is damaged: a structure has the class " +
                std::to_string(record.structure_class) + " of " + std::to_string(classes));
  const bool loaded = record.stage == LOADED_STAGE;
  if ((record.stage < 0 && !loaded) || record.stage > stage ||
      record.evaluation < (loaded ? 0 : 1) || record.offset < -1)
    throw Error("the checkpoint is damaged: the stage, evaluation or offset of a structure is out "
                "of range");
}

}  // namespace godiff
