// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/safetensors.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>
#include <nlohmann/json.hpp>

#include "core/base/error.hpp"
#include "core/base/printable.hpp"
#include "core/io/atomic_file.hpp"
#include "core/io/safetensors_header.hpp"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors files are little endian: this reader and writer copies memory as it is"
#endif

namespace godiff {

namespace {

constexpr std::size_t LENGTH_BYTES = 8;
constexpr std::uint64_t MAX_HEADER_BYTES = 100'000'000;  // the format's own limit
constexpr std::uint64_t MAX_TENSOR_BYTES = std::uint64_t(1) << 62;
constexpr std::size_t MAX_MESSAGE = 300;

struct ElementType {
  const char *name;
  at::ScalarType type;
  std::uint64_t bytes;
};

// In the order in which tensors are written: wide types first, so that every tensor is aligned.
constexpr ElementType ELEMENT_TYPES[] = {
    {"I64", at::kLong, 8}, {"F64", at::kDouble, 8},    {"F32", at::kFloat, 4}, {"I32", at::kInt, 4},
    {"F16", at::kHalf, 2}, {"BF16", at::kBFloat16, 2}, {"I16", at::kShort, 2}, {"I8", at::kChar, 1},
    {"U8", at::kByte, 1},  {"BOOL", at::kBool, 1}};

const ElementType *element_type(const std::string &name) {
  for (const auto &entry : ELEMENT_TYPES)
    if (name == entry.name)
      return &entry;
  return nullptr;
}

const ElementType *element_type(at::ScalarType type) {
  for (const auto &entry : ELEMENT_TYPES)
    if (type == entry.type)
      return &entry;
  return nullptr;
}

std::uint64_t read_length(std::string_view bytes) {
  std::uint64_t length;
  std::memcpy(&length, bytes.data(), LENGTH_BYTES);
  return length;
}

// Bytes that a tensor of this shape takes.
std::uint64_t count_bytes(const TensorInfo &info, std::uint64_t element_bytes) {
  // A size of 0 empties the tensor whatever the other sizes are; they must not overflow either.
  std::uint64_t bytes = element_bytes;
  bool empty = false;
  for (const std::int64_t size : info.shape) {
    if (size == 0) {
      empty = true;
      continue;
    }
    if (static_cast<std::uint64_t>(size) > MAX_TENSOR_BYTES / bytes)
      throw Error("its shape is too large");
    bytes *= static_cast<std::uint64_t>(size);
  }
  return empty ? 0 : bytes;
}

at::Tensor copy_tensor(const TensorInfo &info, std::string_view data) {
  const ElementType *type = element_type(info.dtype);
  if (!type)
    throw Error("its dtype '" + info.dtype + "' is unknown");
  const std::uint64_t bytes = count_bytes(info, type->bytes);
  if (info.begin > info.end || info.end > data.size())
    throw Error("its data end at byte " + std::to_string(info.end) + " of " +
                std::to_string(data.size()));
  if (info.end - info.begin != bytes)
    throw Error("its shape needs " + std::to_string(bytes) + " bytes, it has " +
                std::to_string(info.end - info.begin));
  const char *source = data.data() + info.begin;
  if (type->type == at::kBool &&
      std::any_of(source, source + bytes, [](char c) { return c != 0 && c != 1; }))
    throw Error("it holds a bool that is neither 0 nor 1");
  at::Tensor tensor = at::empty(info.shape, at::TensorOptions(type->type));
  if (bytes > 0)
    std::memcpy(tensor.data_ptr(), source, bytes);
  return tensor;
}

// The data must be covered by the tensors without gap or overlap.
void check_layout(const TensorHeader &header, std::uint64_t data_bytes) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto &entry : header.tensors)
    ranges.emplace_back(entry.second.begin, entry.second.end);
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t position = 0;
  for (const auto &range : ranges) {
    if (range.first != position)
      throw Error("the data of its tensors overlap or leave a gap at byte " +
                  std::to_string(std::min(position, range.first)));
    position = range.second;
  }
  if (position > data_bytes)
    throw Error("it is truncated: " + std::to_string(data_bytes) + " of " +
                std::to_string(position) + " bytes of data are there");
  if (position < data_bytes)
    throw Error("its tensors end at byte " + std::to_string(position) + " of " +
                std::to_string(data_bytes) + " bytes of data");
}

// The header with its length in front, and the data behind it.
std::pair<TensorHeader, std::string_view> split(std::string_view bytes) {
  if (bytes.size() < LENGTH_BYTES)
    throw Error("it has only " + std::to_string(bytes.size()) + " bytes");
  const std::uint64_t length = read_length(bytes);
  if (length > MAX_HEADER_BYTES || length > bytes.size() - LENGTH_BYTES)
    throw Error("its header of " + std::to_string(length) + " bytes does not fit into " +
                std::to_string(bytes.size()) + " bytes (truncated, or another kind of file)");
  return {parse_tensor_header(bytes.substr(LENGTH_BYTES, length)),
          bytes.substr(LENGTH_BYTES + length)};
}

}  // namespace

void SafeTensors::check_storable(const std::string &name, const at::Tensor &tensor) {
  if (name == "__metadata__")
    throw Error("a tensor cannot have the name __metadata__");
  if (!tensor.defined() || tensor.layout() != at::kStrided || !element_type(tensor.scalar_type()))
    throw Error("tensor '" + name + "' cannot be stored: use a dense tensor of float, int or bool");
}

void SafeTensors::put(const std::string &name, const at::Tensor &tensor) {
  check_storable(name, tensor);
  at::Tensor copy = at::empty(tensor.sizes(), at::TensorOptions(tensor.scalar_type()));
  copy.copy_(tensor.detach());
  tensors_[name] = copy;
}

void SafeTensors::adopt(const std::string &name, const at::Tensor &tensor) {
  check_storable(name, tensor);
  if (!tensor.is_contiguous() || !tensor.device().is_cpu() || tensor.requires_grad())
    throw Error("tensor '" + name + "' must be copied to be stored");
  tensors_[name] = tensor;
}

void SafeTensors::put_metadata(const std::string &key, const std::string &value) {
  metadata_[key] = value;
}

at::Tensor SafeTensors::get(const std::string &name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    throw Error(what_ + " has no tensor '" + name + "'");
  return found->second;
}

std::vector<std::string> SafeTensors::names() const {
  std::vector<std::string> names;
  for (const auto &entry : tensors_)
    names.push_back(entry.first);
  return names;
}

const std::string &SafeTensors::metadata(const std::string &key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end())
    throw Error(what_ + " has no metadata entry '" + key + "'");
  return found->second;
}

std::vector<std::string_view> SafeTensors::pieces(std::string &header) const {
  nlohmann::ordered_json entries = nlohmann::ordered_json::object();
  if (!metadata_.empty())
    entries["__metadata__"] = metadata_;
  std::vector<const at::Tensor *> order;
  std::uint64_t position = 0;
  for (const auto &type : ELEMENT_TYPES)
    for (const auto &entry : tensors_) {
      if (entry.second.scalar_type() != type.type)
        continue;
      const std::uint64_t begin = position;
      position += entry.second.nbytes();
      entries[entry.first] = {{"dtype", type.name},
                              {"shape", entry.second.sizes().vec()},
                              {"data_offsets", {begin, position}}};
      order.push_back(&entry.second);
    }
  std::string text;
  try {
    text = entries.dump();
  } catch (const nlohmann::json::exception &) {
    throw Error(what_ + " cannot be written: a name or a metadata entry is not UTF-8 text");
  }
  // Spaces up to a multiple of 8: the data of a mapped file are aligned.
  text.resize((text.size() + LENGTH_BYTES - 1) / LENGTH_BYTES * LENGTH_BYTES, ' ');

  const std::uint64_t length = text.size();
  header.assign(reinterpret_cast<const char *>(&length), LENGTH_BYTES);
  header += text;
  std::vector<std::string_view> pieces{header};
  for (const at::Tensor *tensor : order)
    if (tensor->nbytes() > 0)
      pieces.emplace_back(static_cast<const char *>(tensor->const_data_ptr()), tensor->nbytes());
  return pieces;
}

std::string SafeTensors::to_bytes() const {
  std::string header, bytes;
  const std::vector<std::string_view> parts = pieces(header);
  std::size_t size = 0;
  for (const std::string_view part : parts)
    size += part.size();
  bytes.reserve(size);
  for (const std::string_view part : parts)
    bytes += part;
  return bytes;
}

SafeTensors SafeTensors::from_bytes(std::string_view bytes, const std::string &what) {
  SafeTensors result;
  result.what_ = what;
  std::string name;
  try {
    auto [header, data] = split(bytes);
    check_layout(header, data.size());
    for (const auto &entry : header.tensors) {
      name = entry.first;
      result.tensors_[name] = copy_tensor(entry.second, data);
    }
    result.metadata_ = std::move(header.metadata);
  } catch (const Error &error) {
    const std::string where = name.empty() ? "" : "tensor '" + name + "': ";
    throw Error(what + " is not a checkpoint: " + printable(where + error.what(), MAX_MESSAGE));
  }
  return result;
}

void SafeTensors::write(const std::string &path) const {
  std::string header;
  write_atomically(path, pieces(header));
}

SafeTensors SafeTensors::read(const std::string &path) {
  return from_bytes(read_file(path), path);
}

}  // namespace godiff
