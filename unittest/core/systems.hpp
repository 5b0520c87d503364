// SPDX-License-Identifier: GPL-2.0-only
// The systems that the tests of the method share, and a few shapes of tensors.
#pragma once

#include <array>
#include <cmath>
#include <vector>

#include <ATen/Functions.h>

#include "core/geometry/system.hpp"

namespace godiff_test {

constexpr int PLATINUM = 78;
constexpr double LATTICE = 3.92;  // Angstrom

/// A system from its parts; IDs count from 1, all types are 1.
inline godiff::System
make_system(const std::array<godiff::Vec3, 3> &rows, const std::array<bool, 3> &periodic,
            const std::vector<double> &template_positions, const std::vector<int> &template_numbers,
            const std::vector<int> &mobile_numbers, double z_lo, double z_hi) {
  godiff::System system;
  system.cell = godiff::Cell(rows, periodic);
  system.n_template = static_cast<std::int64_t>(template_numbers.size());
  system.n_mobile = static_cast<std::int64_t>(mobile_numbers.size());
  system.atomic_numbers = template_numbers;
  system.atomic_numbers.insert(system.atomic_numbers.end(), mobile_numbers.begin(),
                               mobile_numbers.end());
  for (std::size_t k = 0; k < system.atomic_numbers.size(); ++k) {
    system.ids.push_back(static_cast<std::int64_t>(k) + 1);
    system.types.push_back(1);
  }
  system.template_positions = template_positions;
  system.z_lo = z_lo;
  system.z_hi = z_hi;
  return system;
}

/// Test system S1 of the method (section 2): one Pt adatom on stepped Pt.
inline godiff::System stepped_pt() {
  const std::vector<double> x{
      0.0000000, 0.0000000, 0.0000000, 0.8765386, 2.6296159, 0.0000000, 7.8888478, 4.6748728,
      0.6533333, 7.0123092, 2.0452568, 0.6533333, 5.2592319, 4.0905137, 1.3066667, 4.3826932,
      1.4608977, 1.3066667, 2.6296159, 3.5061546, 1.9600000, 1.7530773, 0.8765386, 1.9600000,
      8.7653865, 2.9217955, 2.6133333, 7.8888478, 0.2921795, 2.6133333, 6.1357705, 2.3374364,
      3.2666667, 7.0123092, 4.9670523, 3.2666667, 3.5061546, 1.7530773, 3.9200000, 4.3826932,
      4.3826932, 3.9200000, 0.8765386, 1.1687182, 4.5733333, 1.7530773, 3.7983341, 4.5733333,
      7.0123092, 0.5843591, 5.2266667, 7.8888478, 3.2139750, 5.2266667, 4.3826932, 0.0000000,
      5.8800000, 5.2592319, 2.6296159, 5.8800000};
  return make_system({{{8.7653865, 0, 0}, {1.7530773, 5.2592319, 0}, {0, 0, 21.88}}},
                     {true, true, false}, x, std::vector<int>(20, PLATINUM), {PLATINUM}, 5.88,
                     9.88);
}

/// Test system S2 of the method: seven Pt atoms on two layers of Pt(111) 6x6.
inline godiff::System heptamer_pt() {
  const double d = LATTICE / std::sqrt(2.0);
  std::vector<double> x;
  for (int layer = 0; layer < 2; ++layer)
    for (int j = 0; j < 6; ++j)
      for (int i = 0; i < 6; ++i) {
        x.push_back(i * d + j * d / 2);
        x.push_back(j * d * std::sqrt(3.0) / 2 + (layer == 0 ? d / std::sqrt(3.0) : 0.0));
        x.push_back(layer == 0 ? 0.0 : LATTICE / std::sqrt(3.0));
      }
  const double top = LATTICE / std::sqrt(3.0);
  return make_system({{{6 * d, 0, 0}, {3 * d, 3 * std::sqrt(3.0) * d, 0}, {0, 0, 18.2632131}}},
                     {true, true, false}, x, std::vector<int>(72, PLATINUM),
                     std::vector<int>(7, PLATINUM), top + 1.0, top + 6.0);
}

/// Free space: a cell of this size without periodic axes, one template atom at its corner and n
/// mobile atoms that may be anywhere in it.
inline godiff::System open_box(double size, int n_mobile) {
  return make_system({{{size, 0, 0}, {0, size, 0}, {0, 0, size}}}, {false, false, false},
                     {0.0, 0.0, 0.0}, {PLATINUM}, std::vector<int>(n_mobile, PLATINUM), 0.0, size);
}

/// Positions of one structure as a batch [1, n, 3].
inline at::Tensor one_structure(const std::vector<double> &x) {
  return at::tensor(x, at::kDouble).view({1, -1, 3});
}

inline std::vector<double> to_vector(const at::Tensor &t) {
  const at::Tensor d = t.detach().to(at::kCPU, at::kDouble).contiguous();
  return {d.const_data_ptr<double>(), d.const_data_ptr<double>() + d.numel()};
}

}  // namespace godiff_test
