// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/safetensors_header.hpp"

#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr std::size_t MAX_DIMENSIONS = 64;  // the limit of LibTorch's own indexing

// Receives the events of the JSON parser and builds the header. Nothing of a foreign structure is
// ever stored, and nesting is bounded by the states, so a hostile header costs no memory.
class HeaderBuilder : public nlohmann::json_sax<nlohmann::json> {
public:
  TensorHeader header;
  std::string reason;

  bool null() override { return fail("unexpected null"); }
  bool boolean(bool) override { return fail("unexpected true or false"); }
  bool number_integer(number_integer_t value) override {
    return fail("negative number " + std::to_string(value));
  }
  bool number_float(number_float_t, const string_t &text) override {
    return fail("number " + text + " is not an integer");
  }
  bool binary(binary_t &) override { return fail("unexpected binary value"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t &value) override;
  bool start_object(std::size_t) override;
  bool key(string_t &value) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string &,
                   const nlohmann::detail::exception &) override {
    return fail("its header is not JSON (at byte " + std::to_string(position) + ")");
  }

private:
  enum class State {
    START,     // before the outer object
    NAMES,     // in the outer object, a key comes next
    METADATA,  // in __metadata__
    TENSOR,    // in the object of one tensor
    SHAPE,     // in its shape
    OFFSETS,   // in its data_offsets
    FINISHED,
  };

  bool fail(const std::string &message) {
    reason = message;
    if (!name_.empty())
      reason += " in the header entry '" + name_ + "'";
    return false;
  }
  bool expects(const char *field) const { return state_ == State::TENSOR && field_ == field; }

  State state_ = State::START;
  std::string name_;   // tensor (or __metadata__) being read
  std::string field_;  // its field, or the metadata key
  bool has_metadata_ = false;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  std::vector<std::uint64_t> offsets_;
};

bool HeaderBuilder::start_object(std::size_t) {
  if (state_ == State::START) {
    state_ = State::NAMES;
  } else if (state_ == State::NAMES && name_ == "__metadata__") {
    state_ = State::METADATA;
  } else if (state_ == State::NAMES) {
    state_ = State::TENSOR;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    field_.clear();
  } else {
    return fail("unexpected object");
  }
  return true;
}

bool HeaderBuilder::key(string_t &value) {
  switch (state_) {
    case State::NAMES:
      name_ = value;
      if (value == "__metadata__" ? has_metadata_ : header.tensors.count(value) != 0)
        return fail("repeated name");
      if (value == "__metadata__")
        has_metadata_ = true;
      else
        header.tensors[value];
      return true;
    case State::METADATA:
      field_ = value;
      return header.metadata.count(value) == 0 || fail("repeated key '" + value + "'");
    case State::TENSOR: {
      field_ = value;
      bool *seen = value == "dtype"          ? &has_dtype_
                   : value == "shape"        ? &has_shape_
                   : value == "data_offsets" ? &has_offsets_
                                             : nullptr;
      if (!seen)
        return fail("unknown field '" + value + "'");
      if (*seen)
        return fail("repeated field '" + value + "'");
      *seen = true;
      return true;
    }
    default:
      return fail("unexpected key '" + value + "'");
  }
}

bool HeaderBuilder::string(string_t &value) {
  if (state_ == State::METADATA)
    header.metadata[field_] = value;
  else if (expects("dtype"))
    header.tensors[name_].dtype = value;
  else
    return fail("unexpected string");
  return true;
}

bool HeaderBuilder::number_unsigned(number_unsigned_t value) {
  if (state_ == State::SHAPE) {
    auto &shape = header.tensors[name_].shape;
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return fail("size " + std::to_string(value) + " is too large");
    if (shape.size() == MAX_DIMENSIONS)
      return fail("too many dimensions");
    shape.push_back(static_cast<std::int64_t>(value));
  } else if (state_ == State::OFFSETS) {
    if (offsets_.size() == 2)
      return fail("data_offsets is not a pair");
    offsets_.push_back(value);
  } else {
    return fail("unexpected number");
  }
  return true;
}

bool HeaderBuilder::start_array(std::size_t) {
  if (expects("shape")) {
    state_ = State::SHAPE;
  } else if (expects("data_offsets")) {
    state_ = State::OFFSETS;
    offsets_.clear();
  } else {
    return fail("unexpected array");
  }
  return true;
}

bool HeaderBuilder::end_array() {
  if (state_ == State::OFFSETS) {
    if (offsets_.size() != 2)
      return fail("data_offsets is not a pair");
    header.tensors[name_].begin = offsets_[0];
    header.tensors[name_].end = offsets_[1];
  }
  state_ = State::TENSOR;
  return true;
}

bool HeaderBuilder::end_object() {
  if (state_ == State::TENSOR && !(has_dtype_ && has_shape_ && has_offsets_))
    return fail("dtype, shape or data_offsets is missing");
  state_ = state_ == State::NAMES ? State::FINISHED : State::NAMES;
  name_.clear();
  return true;
}

}  // namespace

TensorHeader parse_tensor_header(std::string_view json) {
  // The parser alone would skip a byte order mark.
  if (json.empty() || json[0] != '{')
    throw Error("its header is not JSON (at byte 1)");
  HeaderBuilder builder;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder))
    throw Error(builder.reason);
  return std::move(builder.header);
}

}  // namespace godiff
