// SPDX-License-Identifier: GPL-2.0-only
// A small search with an analytic potential, driven as the run loop of LAMMPS drives it.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/io/safetensors.hpp"
#include "core/search/search.hpp"
#include "systems.hpp"

namespace godiff_test {

/// Two mobile atoms above a triangle of template atoms, in a skewed cell.
inline godiff::System toy_system() {
  return make_system({{{9, 0, 0}, {2, 8.5, 0}, {0, 0, 14}}}, {true, true, false},
                     {3, 3, 2, 5.5, 3, 2, 4.2, 5.2, 2}, {78, 78, 29}, {78, 8}, 3, 8);
}

/// Three stages of six candidates, a network of 16 features, seconds of work at most.
inline godiff::Settings toy_settings() {
  godiff::Settings s;
  s.stages = 3;
  s.samples = 6;
  s.seed = 31;
  s.kT_start = 2.0;
  s.kT_stop = 0.1;
  s.mindist = 0.6;
  s.buffer = 8;
  s.train_steps = 6;
  s.batch = 4;
  s.learning_rate = 1e-3;
  s.network.nfeat = 16;
  s.network.nblock = 2;
  s.network.nrbf = 8;
  s.network.cutoff = 4.5;
  s.sample_steps = 8;
  return s;
}

/// Springs of 2 and 3 eV/A^2 that hold the two mobile atoms over the triangle, minimum image.
/// Energy in eV; forces of all atoms in eV/A.
inline double toy_energy(const godiff::System &system, const godiff::Positions &x,
                         std::vector<double> &forces) {
  const double place[2][3] = {{4.2, 3.7, 4.0}, {5.0, 5.0, 5.4}};
  forces.assign(3 * static_cast<std::size_t>(system.n_atoms()), 0.0);
  double energy = -10.0;
  for (std::size_t i = 0; i < x.size() / 3; ++i) {
    const double k = i == 0 ? 2.0 : 3.0;
    const godiff::Vec3 d =
        system.cell.minimum_image({x[3 * i] - place[i % 2][0], x[3 * i + 1] - place[i % 2][1],
                                   x[3 * i + 2] - place[i % 2][2]});
    energy += 0.5 * k * godiff::dot(d, d);
    for (std::size_t m = 0; m < 3; ++m) {
      forces[3 * (static_cast<std::size_t>(system.n_template) + i) + m] = -k * d[m];
      forces[m] += k * d[m];  // the template takes the counter force
    }
  }
  return energy;
}

/// What the potential says about the candidate number `candidate` (from 0) at these positions.
using Potential = std::function<double(const godiff::System &, const godiff::Positions &,
                                       std::int64_t candidate, std::vector<double> &forces)>;

inline Potential springs() {
  return [](const godiff::System &s, const godiff::Positions &x, std::int64_t,
            std::vector<double> &f) { return toy_energy(s, x, f); };
}

/// Evaluates the open request; returns what report() returns.
inline bool evaluate_one(godiff::Search &search, const Potential &potential) {
  std::vector<double> forces;
  const auto candidate = static_cast<std::int64_t>(search.archive().size());
  const double energy = potential(search.system(), search.request(), candidate, forces);
  const bool needed = search.forces_needed() != godiff::ForceNeed::NONE;
  return search.report(energy, needed ? forces.data() : nullptr);
}

/// Runs a search to its end.
inline void run(godiff::Search &search, const Potential &potential = springs()) {
  if (!search.has_reference())
    search.set_reference(-10.0);
  while (true) {
    search.prepare({});
    if (search.finished())
      return;
    while (search.has_request())
      evaluate_one(search, potential);
  }
}

/// All state of a search but the wall times, as bytes: equal bytes are equal searches.
inline std::string state_bytes(const godiff::Search &search) {
  godiff::SafeTensors state = search.save();
  constexpr std::int64_t COLUMNS = 18, TIMES = 3;
  for (const char *name : {"search.stages", "search.current"}) {
    at::Tensor table = state.get(name).clone();
    table.view({-1, COLUMNS}).narrow(1, COLUMNS - TIMES, TIMES).zero_();
    state.put(name, table);
  }
  at::Tensor totals = state.get("search.totals").clone();
  totals.narrow(0, totals.size(0) - TIMES, TIMES).zero_();
  state.put("search.totals", totals);
  return state.to_bytes();
}

}  // namespace godiff_test
