// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace godiff {

/// A file in a zip archive as the table of contents has it.
struct ZipPart {
  std::string name;
  std::uint32_t crc32 = 0;  ///< of its content, decompressed
};

/// The table of contents of a zip archive in memory (PKWARE's APPNOTE 6.3, with its 64-bit extension).
/// Throws godiff::Error when there is none or it is damaged.
std::vector<ZipPart> zip_parts(std::string_view archive);

/// The checksum of zip, that of IEEE 802.3.
std::uint32_t crc32(std::string_view bytes);

}  // namespace godiff
