// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <csignal>

namespace LAMMPS_NS {
namespace GODiff {

/// While one of these lives, SIGTERM does not end the process but is noted, so that a search can save
/// itself and leave. A second SIGTERM ends the process as usual.
class TerminationWatch {
public:
  TerminationWatch();
  ~TerminationWatch();
  TerminationWatch(const TerminationWatch &) = delete;
  TerminationWatch &operator=(const TerminationWatch &) = delete;

  /// True once SIGTERM has come to this process.
  static bool asked();

private:
  struct sigaction before_;
};

}  // namespace GODiff
}  // namespace LAMMPS_NS
