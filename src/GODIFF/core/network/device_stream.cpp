// SPDX-License-Identifier: GPL-2.0-only
// Builds without Kokkos; the others have device_stream_kokkos.cpp.
#include "core/network/device_stream.hpp"

#ifndef GODIFF_KOKKOS

namespace godiff {

struct DeviceStream::Guard {};

DeviceStream::DeviceStream() = default;
DeviceStream::~DeviceStream() = default;

}  // namespace godiff

#endif
