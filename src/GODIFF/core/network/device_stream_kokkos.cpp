// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/device_stream.hpp"

#include <Kokkos_Core.hpp>
#ifdef KOKKOS_ENABLE_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace godiff {

#ifdef KOKKOS_ENABLE_CUDA

// Puts back device and stream of before.
struct DeviceStream::Guard {
  Guard() :
      stream(c10::cuda::getStreamFromExternal(Kokkos::Cuda().cuda_stream(),
                                              static_cast<c10::DeviceIndex>(Kokkos::device_id()))) {
  }
  c10::cuda::CUDAStreamGuard stream;
};

DeviceStream::DeviceStream() {
  if (Kokkos::is_initialized() && !Kokkos::is_finalized())
    guard_ = std::make_unique<Guard>();
}

#else

struct DeviceStream::Guard {};

DeviceStream::DeviceStream() = default;

#endif

DeviceStream::~DeviceStream() = default;

}  // namespace godiff
