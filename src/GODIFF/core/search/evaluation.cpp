// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/evaluation.hpp"

#include <cmath>

#include "core/base/error.hpp"

namespace godiff {

ForceNeed forces_needed(const Settings &settings) {
  if (settings.guided())
    return ForceNeed::ALL;
  return settings.relax_steps > 0 ? ForceNeed::MOBILE : ForceNeed::NONE;
}

Evaluation::Evaluation(const System &system, const Settings &settings) :
    system_(system),
    need_(forces_needed(settings)),
    relaxes_(settings.relax_steps > 0),
    relaxation_(system, settings.relax_steps, settings.relax_ftol) {}

void Evaluation::start(std::int64_t candidate, const Positions &positions) {
  positions_ = positions;
  result_ = Evaluated();
  result_.candidate = candidate;
  relaxing_ = false;
  open_ = true;
}

bool Evaluation::report(double energy, const double *forces) {
  if (!open_)
    throw Error("no candidate waits for an energy");
  if (!forces && need_ != ForceNeed::NONE)
    throw Error("this search needs forces with every energy");
  ++result_.evaluations;
  const auto begin = static_cast<std::size_t>(3 * system_.n_template);
  const std::size_t end = begin + positions_.size();
  bool valid = std::isfinite(energy);
  if (need_ != ForceNeed::NONE)
    for (std::size_t k = need_ == ForceNeed::ALL ? 0 : begin; k < end; ++k)
      valid = valid && std::isfinite(forces[k]);
  if (relaxes_ && valid) {
    if (!relaxing_)
      relaxation_.start(positions_);
    relaxing_ = true;
    if (!relaxation_.advance(forces + begin)) {
      positions_ = relaxation_.positions();
      return false;
    }
  }
  result_.valid = valid;
  result_.positions = positions_;
  if (valid) {
    result_.energy = energy;
    if (need_ == ForceNeed::ALL)
      result_.forces.assign(forces, forces + end);
  }
  open_ = relaxing_ = false;
  return true;
}

void Evaluation::fail() {
  ++result_.evaluations;
  result_.valid = false;
  result_.positions = positions_;
  open_ = relaxing_ = false;
}

std::vector<double> Evaluation::relaxation() const {
  return relaxing_ ? relaxation_.state() : std::vector<double>{};
}

void Evaluation::restore(std::int64_t candidate, const std::vector<double> &relaxation) {
  relaxation_.restore(relaxation);
  start(candidate, relaxation_.positions());
  result_.evaluations = relaxation_.steps();
  relaxing_ = true;
}

}  // namespace godiff
