// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace godiff {

/// The content of a safetensors file: named tensors, and metadata that maps strings to strings.
///
/// File layout: header length (8 bytes, little endian), JSON header, raw little-endian data.
/// Element types: float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, bool.
/// All tensors live on the CPU. Nothing in a file is ever executed.
class SafeTensors {
public:
  /// Stores a copy of `tensor` (any device and strides), replacing one of the same name.
  /// Throws godiff::Error for an element type the format does not know and the name __metadata__.
  void put(const std::string &name, const at::Tensor &tensor);
  /// Stores `tensor` itself, without a copy: it is contiguous, on the CPU, and nobody changes it
  /// afterwards. Throws godiff::Error as put() does, and for any other layout.
  void adopt(const std::string &name, const at::Tensor &tensor);
  /// Stores one metadata entry (UTF-8), replacing one of the same key.
  void put_metadata(const std::string &key, const std::string &value);

  /// The stored tensor itself, not a copy; throws godiff::Error naming the missing tensor.
  at::Tensor get(const std::string &name) const;
  bool has(const std::string &name) const { return tensors_.count(name) != 0; }
  /// Names of all tensors, sorted.
  std::vector<std::string> names() const;
  /// Value of a metadata entry; throws godiff::Error naming the missing key.
  const std::string &metadata(const std::string &key) const;
  bool has_metadata(const std::string &key) const { return metadata_.count(key) != 0; }
  const std::map<std::string, std::string> &metadata() const { return metadata_; }

  /// The bytes of the file: the same content always gives the same bytes.
  /// Throws godiff::Error when a name or a metadata entry is not UTF-8.
  std::string to_bytes() const;
  /// The same bytes in pieces, one behind the other, without a copy of the tensors. They are valid
  /// as long as `header`, which the first of them is in, and this object are unchanged.
  std::vector<std::string_view> pieces(std::string &header) const;
  /// Reads the bytes of a file; `what` names it in messages.
  /// Throws godiff::Error "WHAT is not a checkpoint: REASON" unless every rule of the format holds.
  static SafeTensors from_bytes(std::string_view bytes, const std::string &what);

  /// Writes the file as write_atomically() does.
  void write(const std::string &path) const;
  /// Reads a file; throws godiff::Error as read_file() and from_bytes() do.
  static SafeTensors read(const std::string &path);

private:
  static void check_storable(const std::string &name, const at::Tensor &tensor);

  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::string what_ = "the checkpoint";
};

}  // namespace godiff
