// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/system.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/error.hpp"

namespace godiff {

void validate(const System &system) {
  const auto n = static_cast<std::size_t>(system.n_atoms());
  if (system.n_mobile < 1)
    throw Error("there is no mobile atom to search for");
  if (system.n_template < 1)
    throw Error("there is no template atom: the mobile group must not contain all atoms");
  if (system.atomic_numbers.size() != n || system.ids.size() != n || system.types.size() != n ||
      system.template_positions.size() != 3 * static_cast<std::size_t>(system.n_template))
    throw Error("the arrays of the system do not agree on the number of atoms");
  for (int z : system.atomic_numbers)
    if (z < 1 || z > 99)
      throw Error("atomic number " + std::to_string(z) + " is outside 1 to 99");
  for (std::size_t k = 0; k < system.template_positions.size(); ++k)
    if (!(std::abs(system.template_positions[k]) <= FARTHEST))
      throw Error("template atom " + std::to_string(system.ids[k / 3]) + " is at coordinate " +
                  std::to_string(system.template_positions[k]) +
                  ", which is not a place in a cell");
  if (!(system.z_lo < system.z_hi))
    throw Error("the confinement window is empty: " + std::to_string(system.z_lo) + " to " +
                std::to_string(system.z_hi));
}

bool too_close(const System &system, const Positions &mobile, double distance, bool minimum_image) {
  bool found = false;
  // Where no image differs in z, most pairs are told apart by their heights.
  const auto &rows = system.cell.rows();
  const bool flat = rows[0][2] == 0.0 && rows[1][2] == 0.0 && !system.cell.periodic(2);
  const auto check = [&](const double *a, const double *b) {
    const Vec3 difference{b[0] - a[0], b[1] - a[1], b[2] - a[2]};
    if (flat && std::abs(difference[2]) >= distance)
      return;
    if (minimum_image)
      system.cell.for_images(difference, distance, [&](const Vec3 &) { found = true; });
    else if (dot(difference, difference) < distance * distance)
      found = true;
  };
  for (std::int64_t i = 0; i < system.n_mobile && !found; ++i) {
    const double *ri = &mobile[3 * i];
    for (std::int64_t j = 0; j < system.n_template && !found; ++j)
      check(ri, &system.template_positions[3 * j]);
    for (std::int64_t j = 0; j < i && !found; ++j)
      check(ri, &mobile[3 * j]);
  }
  return found;
}

double outside_window(const System &system, const Positions &mobile) {
  double worst = 0.0;
  for (std::int64_t i = 0; i < system.n_mobile; ++i) {
    const double z = mobile[3 * i + 2];
    worst = std::max({worst, system.z_lo - z, z - system.z_hi});
  }
  return worst;
}

}  // namespace godiff
