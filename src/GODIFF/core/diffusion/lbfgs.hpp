// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <deque>
#include <vector>

#include "core/geometry/cell.hpp"

namespace godiff {

/// L-BFGS directions along forces for one structure (method section 13): memory 10, no line search.
class LBFGS {
public:
  /// cell: displacements between calls are taken by minimum image; nullptr takes them raw.
  explicit LBFGS(const Cell *cell = nullptr) : cell_(cell) {}

  /// Direction p for positions x and forces F, both [3*n] (Angstrom, eV/Angstrom).
  std::vector<double> direction(const std::vector<double> &x, const std::vector<double> &forces);

private:
  struct Pair {
    std::vector<double> s, y;
    double rho;
  };
  const Cell *cell_;
  std::deque<Pair> history_;
  std::vector<double> last_x_, last_forces_;
  double h0_ = 1.0;
};

}  // namespace godiff
