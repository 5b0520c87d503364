// SPDX-License-Identifier: GPL-2.0-only
// A model with an energy that can be written down, for tests of what is around models.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/mace/model.hpp"

namespace godiff_test {

/// E_i = E0(species) - sqrt(1 + sum_j phi(r_ij)), phi = c (1 - r/r_max)^3 with c of both species: many-body,
/// so the gradients of an edge and its opposite differ.
class FakeMace : public godiff::MaceModel {
public:
  explicit FakeMace(double r_max) {
    info_.kind = "fake";
    info_.r_max = r_max;
    info_.layers = 1;
    info_.atomic_numbers = {1, 8, 78};
    info_.heads = {"Default"};
    info_.device = "cpu";
  }

  std::int64_t memory = INT64_MAX;       // edges that one call may have
  std::vector<std::int64_t> calls;       // edges of each call, failed ones included
  std::vector<std::int64_t> structures;  // of each call
  bool asked_for_gradients = false;
  bool fails = false;
  godiff::MaceInfo info_;
  godiff::MaceTimes times_;

  static double isolated(std::int64_t species) { return -1.0 - 0.5 * species; }
  static double strength(std::int64_t a, std::int64_t b) {
    return 1.0 + 0.3 * (a + b) + 0.1 * a * b;
  }

  const godiff::MaceInfo &info() const override { return info_; }
  const godiff::MaceTimes &times() const override { return times_; }

  void evaluate(const godiff::MaceGraph &g, bool gradients, godiff::MaceResult &result) override {
    calls.push_back(g.n_edges());
    structures.push_back(g.n_graphs());
    asked_for_gradients = asked_for_gradients || gradients;
    if (fails)
      throw godiff::Error("the fake model fails");
    if (g.n_nodes() == 0)
      throw godiff::Error("a graph without nodes");
    if (g.n_edges() > memory)
      throw godiff::MaceOutOfMemory("no memory for " + std::to_string(g.n_edges()) + " edges");
    std::vector<double> density(static_cast<std::size_t>(g.n_nodes()), 1.0);
    for (std::int64_t e = 0; e < g.n_edges(); ++e)
      density[g.receivers[e]] += phi(g, e);
    result.node_energies.resize(density.size());
    for (std::size_t i = 0; i < density.size(); ++i)
      result.node_energies[i] = isolated(g.species[i]) - std::sqrt(density[i]);
    result.energies.assign(static_cast<std::size_t>(g.n_graphs()), 0.0);
    for (std::int64_t k = 0; k < g.n_graphs(); ++k)
      for (std::int64_t i = g.first_node[k]; i < g.first_node[k + 1]; ++i)
        result.energies[k] += result.node_energies[i];
    result.edge_gradients.clear();
    for (std::int64_t e = 0; gradients && e < g.n_edges(); ++e) {
      const double *v = &g.vectors[3 * e];
      const double r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]),
                   u = 1.0 - r / info_.r_max;
      const double slope =
          -3.0 / info_.r_max * u * u * strength(g.species[g.senders[e]], g.species[g.receivers[e]]);
      for (int d = 0; d < 3; ++d)
        result.edge_gradients.push_back(-0.5 / std::sqrt(density[g.receivers[e]]) * slope * v[d] /
                                        r);
    }
  }

  void evaluate_layers(const godiff::MaceGraph &, std::int64_t, bool, godiff::MaceExchange &,
                       godiff::MaceResult &) override {
    throw godiff::Error("the fake model has no layers");
  }

  void evaluate_on_device(const godiff::MaceDeviceGraph &, bool,
                          godiff::MaceDeviceResult &) override {
    throw godiff::Error("the fake model has no device");
  }

  void evaluate_layers_on_device(const godiff::MaceDeviceGraph &, std::int64_t, bool,
                                 godiff::MaceExchange &, godiff::MaceDeviceResult &) override {
    throw godiff::Error("the fake model has no device");
  }

private:
  double phi(const godiff::MaceGraph &g, std::int64_t e) const {
    const double *v = &g.vectors[3 * e];
    const double u = 1.0 - std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) / info_.r_max;
    return strength(g.species[g.senders[e]], g.species[g.receivers[e]]) * u * u * u;
  }
};

}  // namespace godiff_test
