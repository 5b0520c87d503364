// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/atom_table.hpp"

#include <algorithm>
#include <numeric>

#include "core/base/error.hpp"

namespace godiff {

std::vector<std::int64_t> order_by_id(const System &system) {
  std::vector<std::int64_t> order(system.ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int64_t a, std::int64_t b) { return system.ids[a] < system.ids[b]; });
  return order;
}

Vec3 absolute_position(const System &system, const Positions &mobile, std::int64_t i) {
  const double *r = i < system.n_template ? &system.template_positions[3 * i]
                                          : &mobile[3 * (i - system.n_template)];
  return {r[0] + system.origin[0], r[1] + system.origin[1], r[2] + system.origin[2]};
}

void check_size(const System &system, const Positions &mobile) {
  if (mobile.size() != 3 * static_cast<std::size_t>(system.n_mobile))
    throw Error("a structure has " + std::to_string(mobile.size()) + " coordinates instead of " +
                std::to_string(3 * system.n_mobile));
}

}  // namespace godiff
