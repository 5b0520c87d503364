// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

namespace godiff {

/// Weighted draw without replacement (Efraimidis and Spirakis 2006, A-ES; method section 15):
/// the `capacity` largest ln(u_k)/W_k, ties to the larger index. Returns indices in ascending order,
/// all of them when there are no more than `capacity`. uniforms in (0,1), weights >= 0.
std::vector<std::int64_t> weighted_draw(const std::vector<double> &weights,
                                        const std::vector<double> &uniforms, std::int64_t capacity);

}  // namespace godiff
