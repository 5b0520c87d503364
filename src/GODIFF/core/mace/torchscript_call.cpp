// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/torchscript_call.hpp"

#include <algorithm>
#include <mutex>
#include <new>

#include <c10/core/DefaultDtype.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include "core/base/error.hpp"
#include "core/base/printable.hpp"

namespace godiff {

namespace {

std::mutex precision_mutex;
int precision_guards = 0;
caffe2::TypeMeta precision_before;

}  // namespace

c10::IValue call_by_name(const torch::jit::Method &function, const std::string &what,
                         const NamedValues &values) {
  const std::vector<c10::Argument> &arguments = function.function().getSchema().arguments();
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  // Argument 0 is the module itself.
  for (std::size_t a = 1; a < arguments.size(); ++a) {
    const c10::IValue *value = a == 1 && !values.empty() ? &values[0].second : nullptr;
    for (const auto &named : values)
      if (arguments[a].name() == named.first)
        value = &named.second;
    if (!value && !arguments[a].default_value())
      throw Error(what + " has an unknown argument '" + arguments[a].name() + "'");
    stack.push_back(value ? *value : *arguments[a].default_value());
  }
  return function(std::move(stack));
}

DefaultPrecision::DefaultPrecision(c10::ScalarType dtype) {
  const std::lock_guard<std::mutex> lock(precision_mutex);
  if (precision_guards++ > 0)
    return;
  precision_before = c10::get_default_dtype();
  c10::set_default_dtype(c10::scalarTypeToTypeMeta(dtype));
}

DefaultPrecision::~DefaultPrecision() {
  const std::lock_guard<std::mutex> lock(precision_mutex);
  if (--precision_guards == 0)
    c10::set_default_dtype(precision_before);
}

void synchronize(c10::Device device) {
  if (device.is_cpu())
    return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.getStream(device).synchronize();
}

std::string torch_message(const std::exception &error) {
  const auto *torch_error = dynamic_cast<const c10::Error *>(&error);
  std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  // The interpreter puts where it was in the script in front: "...\nRuntimeError: what happened".
  const std::string mark = "\nRuntimeError: ";
  const std::size_t at = text.rfind(mark);
  if (at != std::string::npos)
    text.erase(0, at + mark.size());
  text.erase(std::min(text.find('\n'), text.size()));
  // LibTorch asks to be told of what it takes for its own faults; a damaged file is none.
  text.erase(std::min(text.find("Please report"), text.size()));
  text.erase(std::min(text.find(" This file appears"), text.size()));
  constexpr std::size_t MOST = 300;
  return text.empty() ? "no reason given" : printable(text, MOST);
}

bool is_out_of_memory(const std::exception &error) {
  if (dynamic_cast<const c10::OutOfMemoryError *>(&error) ||
      dynamic_cast<const std::bad_alloc *>(&error))
    return true;
  const std::string text = error.what();
  for (const char *mark : {"out of memory", "not enough memory", "can't allocate memory",
                           "DefaultCPUAllocator", "std::bad_alloc"})
    if (text.find(mark) != std::string::npos)
      return true;
  return false;
}

}  // namespace godiff
