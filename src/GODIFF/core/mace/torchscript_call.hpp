// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>

namespace godiff {

/// Arguments of a TorchScript function by name.
using NamedValues = std::vector<std::pair<const char *, c10::IValue>>;

/// Calls a function of a module with those of `values` that it has an argument for: versions of
/// mace-torch differ in them. The first argument takes the first value, whatever its name is. `what`
/// is how messages call the function. Throws godiff::Error for an argument that has neither a value
/// nor a default, and whatever the function throws.
c10::IValue call_by_name(const torch::jit::Method &function, const std::string &what,
                         const NamedValues &values);

/// While one lives, numbers that a script writes down and multiplies integers with have the precision
/// of the model, as in Python: LibTorch's own choice is single precision, whatever the model is.
/// The choice is one for the process: the first guard sets it, the last one puts it back.
class DefaultPrecision {
public:
  explicit DefaultPrecision(c10::ScalarType dtype);
  DefaultPrecision(const DefaultPrecision &) = delete;
  DefaultPrecision &operator=(const DefaultPrecision &) = delete;
  ~DefaultPrecision();
};

/// Waits until LibTorch has done what it was told to do on a device; nothing to wait for on a CPU.
void synchronize(c10::Device device);

/// What went wrong in LibTorch, in one line: without the trace of where it was.
std::string torch_message(const std::exception &error);

/// Whether memory ran out. TorchScript passes on no type of an exception, only its text.
bool is_out_of_memory(const std::exception &error);

}  // namespace godiff
