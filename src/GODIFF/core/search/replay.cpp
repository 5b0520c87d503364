// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/replay.hpp"

#include <algorithm>
#include <cmath>

namespace godiff {

Replay::Replay(const std::vector<JournalRecord> &records, const Settings &settings,
               const System &system) {
  const std::size_t forces = forces_needed(settings) == ForceNeed::NONE
                                 ? 0
                                 : 3 * static_cast<std::size_t>(system.n_atoms());
  const auto finite = [](double x) { return std::isfinite(x); };
  for (const JournalRecord &r : records)
    if (r.forces.size() == forces && finite(r.energy) &&
        std::all_of(r.forces.begin(), r.forces.end(), finite))
      records_[{r.stage, r.candidate, r.step}] = r;
}

const JournalRecord *Replay::find(int stage, std::int64_t candidate, std::int64_t step,
                                  const Positions &positions) const {
  if (records_.empty())
    return nullptr;
  const auto found = records_.find({stage, candidate, step});
  if (found == records_.end() || found->second.digest != digest(positions))
    return nullptr;
  return &found->second;
}

bool Replay::report(int stage, Evaluation &evaluation) const {
  while (evaluation.open()) {
    const JournalRecord *known =
        find(stage, evaluation.candidate(), evaluation.step(), evaluation.positions());
    if (!known)
      return false;
    evaluation.report(known->energy, known->forces.empty() ? nullptr : known->forces.data());
  }
  return true;
}

}  // namespace godiff
