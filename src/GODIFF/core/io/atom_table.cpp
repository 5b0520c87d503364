// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/atom_table.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/error.hpp"

namespace godiff {

namespace {

Vec3 absolute(const double *r, const Vec3 &origin) {
  return {r[0] + origin[0], r[1] + origin[1], r[2] + origin[2]};
}

}  // namespace

AtomTable::AtomTable(const System &system, Line line) :
    line_(std::move(line)),
    origin_(system.origin),
    n_template_(system.n_template),
    n_mobile_(system.n_mobile) {
  std::vector<std::int64_t> order(system.ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int64_t a, std::int64_t b) { return system.ids[a] < system.ids[b]; });
  for (const std::int64_t i : order) {
    if (i < n_template_)
      line_(after_, i, absolute(&system.template_positions[3 * i], origin_));
    else
      parts_.push_back({std::exchange(after_, std::string()), i - n_template_});
  }
}

void AtomTable::append(std::string &text, const Positions &mobile) const {
  if (mobile.size() != 3 * static_cast<std::size_t>(n_mobile_))
    throw Error("a structure has " + std::to_string(mobile.size()) + " coordinates instead of " +
                std::to_string(3 * n_mobile_));
  for (const Part &part : parts_) {
    text += part.before;
    line_(text, n_template_ + part.mobile, absolute(&mobile[3 * part.mobile], origin_));
  }
  text += after_;
}

}  // namespace godiff
