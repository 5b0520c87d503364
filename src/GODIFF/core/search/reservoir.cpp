// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/reservoir.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.hpp"

namespace godiff {

std::vector<std::int64_t> weighted_draw(const std::vector<double> &weights,
                                        const std::vector<double> &uniforms,
                                        std::int64_t capacity) {
  if (weights.size() != uniforms.size())
    throw Error("weighted draw: one uniform number per weight is needed");
  std::vector<std::int64_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  if (static_cast<std::int64_t>(order.size()) <= capacity)
    return order;
  std::vector<double> keys(weights.size());
  for (std::size_t k = 0; k < keys.size(); ++k)
    keys[k] = weights[k] > 0.0 ? std::log(uniforms[k]) / weights[k]
                               : -std::numeric_limits<double>::infinity();
  std::nth_element(order.begin(), order.begin() + capacity, order.end(),
                   [&](std::int64_t a, std::int64_t b) {
                     return keys[a] > keys[b] || (keys[a] == keys[b] && a > b);
                   });
  order.resize(capacity);
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace godiff
