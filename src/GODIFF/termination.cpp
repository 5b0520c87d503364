// SPDX-License-Identifier: GPL-2.0-only
#include "termination.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

volatile std::sig_atomic_t signal_came = 0;

extern "C" void note_signal(int) {
  signal_came = 1;
}

}  // namespace

TerminationWatch::TerminationWatch() {
  signal_came = 0;
  struct sigaction action = {};
  action.sa_handler = note_signal;
  // The second one finds the default action: it ends the process at once. Interrupted system calls
  // are taken up again.
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, &before_);
}

TerminationWatch::~TerminationWatch() {
  sigaction(SIGTERM, &before_, nullptr);
}

bool TerminationWatch::asked() {
  return signal_came != 0;
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
