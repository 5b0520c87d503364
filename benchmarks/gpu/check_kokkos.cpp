// SPDX-License-Identifier: GPL-2.0-only
#include "kokkos.hpp"

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <Kokkos_Core.hpp>

#include "core/network/device_stream.hpp"
#include "measure.hpp"

namespace godiff_bench {

struct KokkosScope::Scope {
  explicit Scope(const Kokkos::InitializationSettings &settings) : kokkos(settings) {}
  Kokkos::ScopeGuard kokkos;
};

KokkosScope::KokkosScope(c10::Device device) {
  Kokkos::InitializationSettings settings;
  if (device.is_cuda())
    settings.set_device_id(device.index());
  scope_ = std::make_unique<Scope>(settings);
}

KokkosScope::~KokkosScope() = default;

namespace {

using Space = Kokkos::DefaultExecutionSpace;
using Numbers =
    Kokkos::View<double *, Space::memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

struct AddOne {
  Numbers numbers;
  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t i) const { numbers(i) += 1.0; }
};

void add_one(const at::Tensor &tensor) {
  const Numbers numbers(tensor.data_ptr<double>(), tensor.numel());
  Kokkos::parallel_for("godiff::AddOne",
                       Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(
                           0, static_cast<std::int64_t>(numbers.extent(0))),
                       AddOne{numbers});
}

}  // namespace

void check_streams(const CheckOptions &options, Report &report) {
  // Long enough that an operation starts before the one before it has ended, were there no order.
  constexpr std::int64_t COUNT = 1 << 24;
  constexpr int TURNS = 20;
  const std::string what = "order of Kokkos and LibTorch";
  report.attempt(what, [&] {
    const godiff::DeviceStream stream;
    const at::Tensor x = at::zeros({COUNT}, at::TensorOptions(at::kDouble).device(options.device));
    double expected = 0.0;
    for (int turn = 0; turn < TURNS; ++turn) {
      add_one(x);
      x.mul_(2.0);
      expected = (expected + 1.0) * 2.0;
    }
    report.check(what, deviation(x, at::full({COUNT}, expected, at::kDouble)), 0.0);
  });
}

}  // namespace godiff_bench
