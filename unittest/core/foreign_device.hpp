// SPDX-License-Identifier: GPL-2.0-only
// A device that is not the CPU, to test without a GPU what runs on one.
//
// LibTorch keeps a device type for other backends (PrivateUse1). Here it is main memory behind addresses
// that no instruction can read, so whatever takes a pointer of a device tensor for one of the host crashes
// the test. Operations run on the CPU, on copies; one that mixes tensors of the device with tensors of the
// CPU throws, as it does with CUDA (scalars may be anywhere). To be included once in a program.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace godiff_test {

constexpr c10::DeviceType FOREIGN_TYPE = c10::DeviceType::PrivateUse1;
inline const c10::Device FOREIGN(FOREIGN_TYPE, 0);

/// What the device has been asked for since the last reset.
struct ForeignCounts {
  std::int64_t operations = 0;
  std::int64_t to_host = 0;  ///< copies to the CPU and values read by the host: it waits for them
};
inline ForeignCounts &foreign_counts() {
  static ForeignCounts counts;
  return counts;
}

namespace foreign {

// Beyond the 48 bits of an address of x86-64 and of 64-bit Arm.
constexpr std::uintptr_t MARK = std::uintptr_t{1} << 52;

inline void *marked(void *p) {
  return p ? reinterpret_cast<void *>(reinterpret_cast<std::uintptr_t>(p) + MARK) : nullptr;
}
inline void *unmarked(void *p) {
  return p ? reinterpret_cast<void *>(reinterpret_cast<std::uintptr_t>(p) - MARK) : nullptr;
}

class Memory final : public c10::Allocator {
public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void *p = bytes > 0 ? std::malloc(bytes) : nullptr;
    return {marked(p), p, &std::free, FOREIGN};
  }
  void copy_data(void *to, const void *from, std::size_t bytes) const override {
    std::memcpy(unmarked(to), unmarked(const_cast<void *>(from)), bytes);
  }
};

inline Memory *memory() {
  static Memory memory;
  return &memory;
}

inline bool is_foreign(const at::Tensor &t) {
  return t.device().type() == FOREIGN_TYPE;
}

// The same memory as a tensor of the CPU.
inline at::Tensor on_host(const at::Tensor &t) {
  if (!is_foreign(t))
    return t;
  return at::from_blob(unmarked(t.data_ptr()), t.sizes(), t.strides(),
                       t.options().device(c10::kCPU));
}

inline int &depth() {
  thread_local int depth = 0;  // of operations that run on copies
  return depth;
}

struct Inside {
  Inside() { ++depth(); }
  ~Inside() { --depth(); }
};

inline at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype,
                        std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                        std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, memory(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

inline at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride,
                                std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                                std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, memory(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

inline at::Tensor copy_from(const at::Tensor &from, const at::Tensor &to, bool) {
  if (depth() == 0 && is_foreign(from) && !is_foreign(to))
    ++foreign_counts().to_host;
  const at::NoGradGuard no_grad;
  on_host(to).copy_(on_host(from));
  return to;
}

inline at::Tensor copy_from_and_resize(const at::Tensor &from, const at::Tensor &to) {
  if (to.sizes() != from.sizes())
    to.resize_(from.sizes());
  return copy_from(from, to, false);
}

inline const at::Tensor &resize(const at::Tensor &self, c10::IntArrayRef size,
                                std::optional<at::MemoryFormat>) {
  at::TensorImpl *impl = self.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  const std::size_t bytes = impl->storage_offset() * self.itemsize() + self.nbytes();
  if (self.storage().nbytes() < bytes) {
    self.storage().set_data_ptr_noswap(memory()->allocate(bytes));
    self.storage().set_nbytes(bytes);
  }
  return self;
}

inline void run_on_copies(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
  const std::size_t arguments = op.schema().arguments().size();
  const std::string name = op.schema().name();
  const auto check = [&](const at::Tensor &t) {
    if (depth() == 0 && t.defined() && !is_foreign(t) && t.dim() > 0)
      throw std::runtime_error(name + " mixes tensors of the device and of the CPU");
  };
  for (std::size_t k = stack->size() - arguments; k < stack->size(); ++k) {
    const c10::IValue &value = (*stack)[k];
    if (value.isTensor())
      check(value.toTensor());
    else if (value.isTensorList())
      for (const at::Tensor &t : value.toTensorVector())
        check(t);
  }
  // Sizes of these results depend on values, or the values themselves are asked for.
  static const std::set<std::string> waiting{"aten::_local_scalar_dense", "aten::nonzero",
                                             "aten::masked_select", "aten::equal",
                                             "aten::_unique2"};
  ++foreign_counts().operations;
  foreign_counts().to_host += waiting.count(name);
  const Inside inside;
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
}

// What the autograd engine asks for: one device, whose only stream is never waited for.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<FOREIGN_TYPE> {
  c10::Device exchangeDevice(c10::Device) const override { return FOREIGN; }
  c10::Device getDevice() const override { return FOREIGN; }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, FOREIGN); }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
};

/// Makes the device known to LibTorch, once in a process.
inline void enable() {
  static Guard guard;
  static Hooks hooks;
  static const bool once = [] {
    static const c10::impl::DeviceGuardImplRegistrar registrar(FOREIGN_TYPE, &guard);
    at::RegisterPrivateUse1HooksInterface(&hooks);
    c10::register_privateuse1_backend("foreign");
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace foreign
}  // namespace godiff_test

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&godiff_test::foreign::run_on_copies>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &godiff_test::foreign::empty);
  m.impl("empty_strided", &godiff_test::foreign::empty_strided);
  m.impl("_copy_from", &godiff_test::foreign::copy_from);
  m.impl("_copy_from_and_resize", &godiff_test::foreign::copy_from_and_resize);
  m.impl("resize_", &godiff_test::foreign::resize);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
}
