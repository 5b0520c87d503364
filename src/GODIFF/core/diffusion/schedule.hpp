// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <vector>

#include "kernels/diffusion_math.hpp"

namespace godiff {

/// Times of the reverse sampler: linspace(1, eps, steps), both ends included (method section 12).
std::vector<double> reverse_times(int steps, double eps);

}  // namespace godiff
