// SPDX-License-Identifier: GPL-2.0-only
#pragma once

namespace godiff {

/// Lets the C library keep large blocks that were freed, for the rest of the process. Without that each
/// evaluation gives them back and has all their pages made anew: of 64 structures with 172 edges each,
/// a model with 64x0e+64x1o features took 43 ms a structure on one core instead of 20.
/// Only the first call does something, and none where the environment has GODIFF_MALLOPT=0.
void keep_freed_memory();

}  // namespace godiff
