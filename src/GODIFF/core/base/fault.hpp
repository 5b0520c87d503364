// SPDX-License-Identifier: GPL-2.0-only
// A seam for tests of failures: named places at which a test can make one rank fail. The plugin that
// is installed never sets the hooks, so a place costs the test of a null pointer.
#pragma once

namespace godiff {

/// What a fault point calls; it may throw, wait or end the process.
using FaultHook = void (*)(const char *phase);
/// What a fault value goes through; returns the value to use.
using FaultValueHook = double (*)(const char *phase, double value);

namespace detail {
inline FaultHook fault_hook = nullptr;
inline FaultValueHook fault_value_hook = nullptr;
}  // namespace detail

/// Sets the hook of all fault points of the process, nullptr for none. Not while a search runs: the
/// threads of a search read it without a lock.
inline void set_fault_hook(FaultHook hook) {
  detail::fault_hook = hook;
}

/// Sets the hook of all fault values of the process, nullptr for none; as set_fault_hook.
inline void set_fault_value_hook(FaultValueHook hook) {
  detail::fault_value_hook = hook;
}

/// A place at which a test can fail a search; throws what the hook throws, does nothing without one.
inline void fault_point(const char *phase) {
  if (detail::fault_hook)
    detail::fault_hook(phase);
}

/// A number that a test can replace, by NaN for example; without a hook it is `value`.
inline double fault_value(const char *phase, double value) {
  return detail::fault_value_hook ? detail::fault_value_hook(phase, value) : value;
}

}  // namespace godiff
