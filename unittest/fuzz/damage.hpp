// SPDX-License-Identifier: GPL-2.0-only
// Damages to files: what a broken disk does to bytes, and what somebody who knows the format would do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <ATen/Functions.h>

#include "core/io/safetensors.hpp"

namespace godiff_test {

/// Draws of a damage: the same seed gives the same damage with every standard library.
class Dice {
public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  /// A number from 0 to n-1; 0 when n is 0.
  std::size_t below(std::size_t n) { return n == 0 ? 0 : engine_() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T> T of(const std::vector<T> &values) { return values[below(values.size())]; }

private:
  std::mt19937_64 engine_;
};

/// A number that programs forget about.
inline double odd_double(Dice &dice) {
  constexpr double INF = std::numeric_limits<double>::infinity();
  constexpr double NOT = std::numeric_limits<double>::quiet_NaN();
  return dice.of<double>({0.0,    -0.0,          1.0,
                          -1.0,   0.5,           2.0,
                          3.0,    1.5,           NOT,
                          INF,    -INF,          1e300,
                          -1e300, 1.7e308,       5e-324,
                          1e19,   -1e19,         1e9,
                          1e6,    2147483647.0,  2147483648.0,
                          1e39,   -2147483649.0, 9007199254740993.0,
                          1e-30,  1e150,         9223372036854775808.0});
}

/// A whole number that programs forget about.
inline std::int64_t odd_integer(Dice &dice) {
  constexpr std::int64_t BIG = std::numeric_limits<std::int64_t>::max();
  return dice.of<std::int64_t>({0, 1, -1, 2, 3, 4, 5, -2, 2147483647, 2147483648, -2147483648LL,
                                4294967296LL, 4294967297LL, 1LL << 53, BIG, BIG - 1, -BIG - 1});
}

/// A text that should not be in a message.
inline std::string odd_text(Dice &dice) {
  switch (dice.below(9)) {
    case 0:
      return "";
    case 1:
      return "2";
    case 2:
      return "two\nlines\r\x1b[31mred\x07";
    case 3:
      return std::string(5000, 'x');
    case 4:
      return std::string(100000, '[');
    case 5:
      return "{\"cutoff\":" + std::string(3000, '{');
    case 6:
      return "\xe2\x80\xae\xc2\x85tfel ot thgir";  // turns the direction of writing; next line
    case 7:
      return std::string(40, '9');
    default:
      return "-1e999";
  }
}

/// Damages bytes without knowing what they mean.
inline std::string damage_bytes(std::string bytes, Dice &dice) {
  const std::size_t n = bytes.size();
  switch (dice.below(6)) {
    case 0:
      bytes.resize(dice.below(n + 1));
      break;
    case 1:
      for (std::size_t k = 1 + dice.below(8); k > 0 && n > 0; --k)
        bytes[dice.below(n)] ^= static_cast<char>(1 << dice.below(8));
      break;
    case 2:
      for (std::size_t k = 1 + dice.below(16); k > 0 && n > 0; --k)
        bytes[dice.below(n)] = static_cast<char>(dice.below(256));
      break;
    case 3: {  // a part is lost
      const std::size_t begin = dice.below(n + 1);
      bytes.erase(begin, dice.below(64));
      break;
    }
    case 4: {  // a part comes twice
      const std::size_t begin = dice.below(n + 1);
      bytes.insert(begin, bytes.substr(begin, 1 + dice.below(64)));
      break;
    }
    default:  // zeros, as after a power failure
      for (std::size_t k = dice.below(n + 1), end = std::min(n, k + 4096); k < end; ++k)
        bytes[k] = 0;
  }
  return bytes;
}

/// Damages the length or the JSON text of a safetensors file.
inline std::string damage_header(std::string bytes, Dice &dice) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof(length))
    return bytes;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (dice.one_in(8)) {
    const std::uint64_t wrong = dice.one_in(2) ? static_cast<std::uint64_t>(odd_integer(dice))
                                               : length + dice.below(17) - 8;
    std::memcpy(&bytes[0], &wrong, sizeof(wrong));
    return bytes;
  }
  if (length > bytes.size() - sizeof(length))
    return bytes;
  std::string json = bytes.substr(sizeof(length), length);
  const std::string data = bytes.substr(sizeof(length) + length);
  const auto number_at = [&](std::size_t &begin, std::size_t &size) {
    begin = json.find_first_of("0123456789", dice.below(json.size() + 1));
    if (begin == std::string::npos)
      return false;
    const std::size_t end = json.find_first_not_of("0123456789", begin);
    size = (end == std::string::npos ? json.size() : end) - begin;
    return true;
  };
  std::size_t begin = 0, size = 0;
  switch (dice.below(7)) {
    case 0:
    case 1:
      if (number_at(begin, size))
        json.replace(begin, size,
                     dice.of<std::string>({"0", "-1", "1", "2", "18446744073709551615",
                                           "18446744073709551616", "9223372036854775807",
                                           "4611686018427387904", "1e3", "1.5", "1e999", "null",
                                           "true", "\"8\"", "[[]]", "{}", std::string(70, '[')}));
      break;
    case 2: {  // another element type
      begin = json.find("\"dtype\":\"", dice.below(json.size() + 1));
      if (begin == std::string::npos)
        break;
      begin += 9;
      json.replace(begin, json.find('"', begin) - begin,
                   dice.of<std::string>({"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8",
                                         "U8", "BOOL", "F8_E4M3", "C64", "", "\\u0000\\n"}));
      break;
    }
    case 3: {  // a repeated entry: up to a comma, twice
      begin = json.find('"', dice.below(json.size() + 1));
      if (begin == std::string::npos)
        break;
      const std::size_t end = json.find("},", begin);
      if (end != std::string::npos)
        json.insert(begin, json.substr(begin, end + 2 - begin));
      break;
    }
    case 4:
      json = damage_bytes(json, dice);
      break;
    case 5:  // deep
      json.insert(dice.below(json.size() + 1), std::string(1 + dice.below(20000), '['));
      break;
    default: {  // wide
      std::string entries = "{";
      for (std::size_t k = 0, many = dice.below(3000); k < many; ++k)
        entries += "\"" + std::to_string(k) + "\":{\"dtype\":\"U8\",\"shape\":[0]," +
                   "\"data_offsets\":[0,0]},";
      json.replace(0, 1, entries);
    }
  }
  length = json.size();
  std::string result(sizeof(length), '\0');
  std::memcpy(&result[0], &length, sizeof(length));
  return result + json + data;
}

/// Replaces the tensor or the metadata of one name by something that a valid file could hold.
inline void damage_content(godiff::SafeTensors &file, Dice &dice) {
  const std::vector<std::string> names = file.names();
  if (names.empty())
    return;
  // Weights are many: half of the damages go to the rest.
  std::vector<std::string> state;
  for (const std::string &name : names)
    if (name.rfind("search.", 0) == 0 || name.rfind("archive.", 0) == 0 ||
        name.rfind("optimiser.", 0) == 0 || name.rfind("training.", 0) == 0)
      state.push_back(name);
  const std::string name = dice.of(dice.one_in(4) || state.empty() ? names : state);
  at::Tensor t = file.get(name).clone();
  const std::int64_t n = t.numel();
  const std::size_t kind = dice.below(12);
  if (kind < 6 && n > 0) {  // most often some of its numbers
    at::Tensor flat = t.view({-1});
    for (std::size_t k = 1 + dice.below(3); k > 0; --k) {
      const auto i = static_cast<std::int64_t>(dice.below(static_cast<std::size_t>(n)));
      // By a copy: beyond the range of float32 it becomes infinite.
      flat[i].copy_(at::isFloatingType(t.scalar_type())
                        ? at::scalar_tensor(odd_double(dice), at::kDouble)
                        : at::scalar_tensor(odd_integer(dice), at::kLong));
    }
    file.put(name, t);
  } else if (kind == 6) {
    const std::string other = dice.of(names);
    const at::Tensor second = file.get(other).clone();
    file.put(name, second);
    file.put(other, t);
  } else if (kind == 7) {
    file.put(name, t.to(dice.of<at::ScalarType>(
                       {at::kDouble, at::kFloat, at::kHalf, at::kLong, at::kInt, at::kBool})));
  } else if (kind == 8 && t.dim() > 0 && t.size(0) > 0) {  // fewer rows, or some twice
    const auto rows = static_cast<std::int64_t>(dice.below(static_cast<std::size_t>(t.size(0))));
    file.put(name, dice.one_in(2) ? t.narrow(0, 0, rows) : at::cat({t, t.narrow(0, 0, rows)}));
  } else if (kind == 9) {
    file.put(name, t.view(dice.of<std::vector<std::int64_t>>({{-1}, {-1, 1}, {1, -1}, {n, 1, 1}})));
  } else if (kind == 10) {
    file.put(name, at::zeros(dice.of<std::vector<std::int64_t>>(
                                 {{0}, {}, {0, 0}, {0, 5}, {1 << 20, 0}, {1, 0, 3}, {4, 3}}),
                             t.options()));
  } else {
    const std::string key =
        dice.of<std::string>({"format", "format_version", "network", "settings", "system",
                              "files.prefix", "files.csv", "files.xyz", "unheard of"});
    std::string text = odd_text(dice);
    if (file.has_metadata(key) && dice.one_in(2)) {  // a small change
      text = file.metadata(key);
      if (!text.empty())
        text[dice.below(text.size())] = dice.of<char>({'0', '9', '-', 'e', '\n', '\t', '=', '{'});
    }
    file.put_metadata(key, text);
  }
}

/// One damaged checkpoint: bytes, header or content.
inline std::string damage_checkpoint(const std::string &bytes, Dice &dice) {
  const std::size_t kind = dice.below(10);
  if (kind < 2)
    return damage_bytes(bytes, dice);
  if (kind < 4)
    return damage_header(bytes, dice);
  try {
    godiff::SafeTensors file = godiff::SafeTensors::from_bytes(bytes, "intact");
    for (std::size_t k = 1 + dice.below(2); k > 0; --k)
      damage_content(file, dice);
    return file.to_bytes();
  } catch (const std::exception &) {  // what is damaged already, or cannot be made
    return damage_header(bytes, dice);
  }
}

}  // namespace godiff_test
