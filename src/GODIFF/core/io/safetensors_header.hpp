// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace godiff {

/// One tensor in the header of a safetensors file. The data are the bytes [begin, end) behind it.
struct TensorInfo {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The JSON header of a safetensors file.
struct TensorHeader {
  std::map<std::string, std::string> metadata;
  std::map<std::string, TensorInfo> tensors;
};

/// Parses the JSON text. Only the structure of the format is accepted: any other key, type, depth,
/// a repeated name, a missing field or text behind the end is an error.
/// Throws godiff::Error with the bare reason.
TensorHeader parse_tensor_header(std::string_view json);

}  // namespace godiff
