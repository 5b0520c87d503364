// SPDX-License-Identifier: GPL-2.0-only
#define GODIFF_LANE_BYTES 32
#define GODIFF_TABLE avx2_kernels
#include "kernels/row_kernels_body.hpp"
