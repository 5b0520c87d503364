// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/annealing.hpp"

#include <algorithm>
#include <cmath>

namespace godiff {

namespace {

constexpr int BISECTIONS = 60;  // halves ln(kT) below double rounding for any realistic range

}  // namespace

std::vector<double> geometric_ladder(double start, double stop, int stages) {
  std::vector<double> ladder(stages, start);
  for (int k = 1; k < stages; ++k)
    ladder[k] = k + 1 == stages ? stop : start * std::pow(stop / start, k / (stages - 1.0));
  return ladder;
}

std::vector<double> boltzmann_weights(const std::vector<double> &energies, double kT) {
  std::vector<double> log_weights;
  for (double energy : energies)
    log_weights.push_back(-energy / kT);
  return normalized_weights(log_weights);
}

std::vector<double> normalized_weights(const std::vector<double> &log_weights) {
  if (log_weights.empty())
    return {};
  const double largest = *std::max_element(log_weights.begin(), log_weights.end());
  std::vector<double> weights;
  double sum = 0.0;
  for (double x : log_weights) {
    weights.push_back(std::exp(x - largest));
    sum += weights.back();
  }
  for (double &w : weights)
    w *= static_cast<double>(weights.size()) / sum;
  return weights;
}

double effective_sample_size(const std::vector<double> &weights) {
  double sum = 0.0, squares = 0.0;
  for (double w : weights) {
    sum += w;
    squares += w * w;
  }
  return squares > 0.0 ? sum * sum / squares : 0.0;
}

double adaptive_temperature(const std::vector<double> &energies, double current, double stop,
                            double ess) {
  const auto enough = [&](double kT) {
    return effective_sample_size(boltzmann_weights(energies, kT)) >= ess;
  };
  if (energies.empty() || enough(stop))
    return stop;
  if (!enough(current))
    return current;
  double low = std::log(stop), high = std::log(current);  // not enough, enough
  for (int i = 0; i < BISECTIONS; ++i) {
    const double middle = 0.5 * (low + high);
    (enough(std::exp(middle)) ? high : low) = middle;
  }
  return std::exp(high);
}

}  // namespace godiff
