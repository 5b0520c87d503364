// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "core/base/settings.hpp"
#include "core/io/journal.hpp"
#include "core/search/evaluation.hpp"

namespace godiff {

/// Energies of an interrupted run that are on record in its journals: a search that goes on takes them
/// over instead of asking for them again.
class Replay {
public:
  Replay() = default;
  /// Of the records of a search with these settings. Left out are those that cannot be of it, because of
  /// the number of their forces, and those with an energy or a force that is not finite: whoever goes on
  /// after a failure of the potential may have repaired it.
  Replay(const std::vector<JournalRecord> &records, const Settings &settings, const System &system);

  /// Reports to the open evaluation of a candidate of this stage all energies that are known of exactly
  /// its structures. True when that completed the candidate.
  bool report(int stage, Evaluation &evaluation) const;
  /// The energy that is known of exactly this structure, nullptr when none is.
  const JournalRecord *find(int stage, std::int64_t candidate, std::int64_t step,
                            const Positions &positions) const;
  bool empty() const { return records_.empty(); }
  std::int64_t size() const { return static_cast<std::int64_t>(records_.size()); }

private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // stage, candidate, step
  std::map<Key, JournalRecord> records_;
};

}  // namespace godiff
