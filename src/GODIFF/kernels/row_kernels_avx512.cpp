// SPDX-License-Identifier: GPL-2.0-only
#define GODIFF_LANE_BYTES 64
#define GODIFF_TABLE avx512_kernels
#include "kernels/row_kernels_body.hpp"
