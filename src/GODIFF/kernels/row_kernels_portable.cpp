// SPDX-License-Identifier: GPL-2.0-only
#define GODIFF_LANE_BYTES 16
#define GODIFF_TABLE portable_kernels
#include "kernels/row_kernels_body.hpp"
