// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/zip.hpp"

#include <array>
#include <cstddef>

#include "core/base/error.hpp"

namespace godiff {

namespace {

// Little-endian numbers and signatures at places of an archive.
class Bytes {
public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}

  std::string_view part(std::uint64_t at, std::uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at)
      throw Error("the table of contents of the zip archive points beyond its end");
    return bytes_.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(size));
  }
  std::uint64_t number(std::uint64_t at, int size) const {
    const std::string_view digits = part(at, static_cast<std::uint64_t>(size));
    std::uint64_t value = 0;
    for (int k = size - 1; k >= 0; --k)
      value = value << 8 | static_cast<unsigned char>(digits[static_cast<std::size_t>(k)]);
    return value;
  }
  bool has(std::uint64_t at, std::string_view signature) const {
    return at <= bytes_.size() && bytes_.compare(at, signature.size(), signature) == 0;
  }

private:
  std::string_view bytes_;
};

constexpr std::string_view END("PK\x05\x06", 4), END64("PK\x06\x06", 4), LOCATOR("PK\x06\x07", 4),
    ENTRY("PK\x01\x02", 4);
constexpr std::uint64_t END_SIZE = 22, LOCATOR_SIZE = 20, ENTRY_SIZE = 46;

}  // namespace

std::vector<ZipPart> zip_parts(std::string_view archive) {
  const Bytes bytes(archive);
  // Only a comment may follow the end record.
  const std::size_t end = archive.rfind(END);
  if (end == std::string_view::npos)
    throw Error("the zip archive has no table of contents");
  std::uint64_t count = bytes.number(end + 10, 2), at = bytes.number(end + 16, 4);
  if (bytes.part(end, END_SIZE); end >= LOCATOR_SIZE && bytes.has(end - LOCATOR_SIZE, LOCATOR)) {
    const std::uint64_t end64 = bytes.number(end - LOCATOR_SIZE + 8, 8);
    if (!bytes.has(end64, END64))
      throw Error("the zip archive has a damaged end");
    count = bytes.number(end64 + 32, 8);
    at = bytes.number(end64 + 48, 8);
  }
  if (count > archive.size() / ENTRY_SIZE)
    throw Error("the zip archive has more parts than bytes");
  std::vector<ZipPart> parts;
  for (std::uint64_t k = 0; k < count; ++k) {
    if (!bytes.has(at, ENTRY))
      throw Error("the table of contents of the zip archive is damaged");
    ZipPart part;
    part.crc32 = static_cast<std::uint32_t>(bytes.number(at + 16, 4));
    const std::uint64_t name = bytes.number(at + 28, 2);
    part.name = bytes.part(at + ENTRY_SIZE, name);
    parts.push_back(part);
    at += ENTRY_SIZE + name + bytes.number(at + 30, 2) + bytes.number(at + 32, 2);
  }
  return parts;
}

std::uint32_t crc32(std::string_view bytes) {
  constexpr std::uint32_t POLYNOMIAL = 0xedb88320u;  // bits reversed
  static const std::array<std::uint32_t, 256> TABLE = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
      std::uint32_t rest = byte;
      for (int bit = 0; bit < 8; ++bit)
        rest = rest & 1u ? rest >> 1 ^ POLYNOMIAL : rest >> 1;
      table[byte] = rest;
    }
    return table;
  }();
  std::uint32_t rest = 0xffffffffu;
  for (const char c : bytes)
    rest = rest >> 8 ^ TABLE[(rest ^ static_cast<unsigned char>(c)) & 0xffu];
  return ~rest;
}

}  // namespace godiff
