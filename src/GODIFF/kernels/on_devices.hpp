// SPDX-License-Identifier: GPL-2.0-only
// GODIFF_MATH marks what functors call: the compiler of a GPU makes a version for the GPU of it as well.
#pragma once

#if defined(__CUDACC__) || defined(__HIPCC__)
#define GODIFF_ON_DEVICES
#define GODIFF_MATH __host__ __device__ __forceinline__
#else
#define GODIFF_MATH inline __attribute__((always_inline))
#endif
