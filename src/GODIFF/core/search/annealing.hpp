// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <vector>

namespace godiff {

/// Geometric ladder T_k = T_0*(T_f/T_0)^(k/(S-1)), both ends included; one stage gives T_0.
std::vector<double> geometric_ladder(double start, double stop, int stages);

/// Boltzmann weights exp(-E/kT), scaled to mean 1 over the given energies (method section 6).
/// Energies in the unit of kT, finite; empty input gives empty output.
std::vector<double> boltzmann_weights(const std::vector<double> &energies, double kT);

/// exp(log-weight), scaled to mean 1: what boltzmann_weights() does with -E/kT.
std::vector<double> normalized_weights(const std::vector<double> &log_weights);

/// Effective sample size (sum W)^2 / sum W^2; 0 for an empty list.
double effective_sample_size(const std::vector<double> &weights);

/// Next temperature of `anneal adaptive`: the lowest kT in [stop, current] at which the Boltzmann
/// weights of all `energies` keep an effective sample size of at least `ess`. Returns `current` when
/// even that has a smaller one and `stop` when there are no energies to judge by.
double adaptive_temperature(const std::vector<double> &energies, double current, double stop,
                            double ess);

}  // namespace godiff
