// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <memory>

namespace godiff {

/// While it lives, LibTorch works on the GPU and in the stream of the default execution space of Kokkos: the
/// GPU does what both are given in the order in which they were given it, and the host need not wait in
/// between. Does nothing where Kokkos computes on the CPU, is not initialised or not there at all.
class DeviceStream {
public:
  DeviceStream();
  ~DeviceStream();
  DeviceStream(const DeviceStream &) = delete;
  DeviceStream &operator=(const DeviceStream &) = delete;

private:
  struct Guard;
  std::unique_ptr<Guard> guard_;
};

}  // namespace godiff
