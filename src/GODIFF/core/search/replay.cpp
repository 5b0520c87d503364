// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/replay.hpp"

namespace godiff {

Replay::Replay(const std::vector<JournalRecord> &records) {
  for (const JournalRecord &r : records)
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

bool Replay::report(int stage, Evaluation &evaluation) {
  while (evaluation.open()) {
    const JournalRecord *known =
        find(stage, evaluation.candidate(), evaluation.step(), evaluation.positions());
    if (!known || !evaluation.fits(known->forces.size()))
      return false;
    evaluation.report(known->energy, known->forces.empty() ? nullptr : known->forces.data());
  }
  return true;
}

void Replay::forget_before(int stage) {
  records_.erase(records_.begin(), records_.lower_bound({stage, 0, 0}));
}

}  // namespace godiff
