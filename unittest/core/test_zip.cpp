// SPDX-License-Identifier: GPL-2.0-only
#include <string>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/io/zip.hpp"

namespace {

using godiff::zip_parts;

// zipfile of Python, with ZipInfo("a.txt") = "first" and ZipInfo("folder/b") = "second part", stored, and
// the comment "end"; 32-bit fields only.
const char *const ARCHIVE_HEX =
    "504b03041400000000000000210057ee7192050000000500000005000000612e7478746669727374504b0304"
    "1400000000000000210076bfcab60b0000000b00000008000000666f6c6465722f627365636f6e6420706172"
    "74504b010214031400000000000000210057ee71920500000005000000050000000000000000000000800100"
    "000000612e747874504b010214031400000000000000210076bfcab60b0000000b0000000800000000000000"
    "00000000800128000000666f6c6465722f62504b0506000000000200020069000000590000000300656e64";

std::string archive() {
  std::string bytes;
  for (const char *c = ARCHIVE_HEX; *c; c += 2)
    bytes += static_cast<char>(std::stoi(std::string(c, 2), nullptr, 16));
  return bytes;
}

// The check value of this checksum in all catalogues of such.
TEST(Zip, Checksum) {
  EXPECT_EQ(godiff::crc32("123456789"), 0xcbf43926u);
  EXPECT_EQ(godiff::crc32(""), 0u);
}

TEST(Zip, TableOfContents) {
  const auto parts = zip_parts(archive());
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name, "a.txt");
  EXPECT_EQ(parts[0].crc32, godiff::crc32("first"));
  EXPECT_EQ(parts[1].name, "folder/b");
  EXPECT_EQ(parts[1].crc32, godiff::crc32("second part"));
}

TEST(Zip, EveryCutIsRefused) {
  const std::string whole = archive();
  const std::size_t end = whole.size() - 3;  // what follows is the comment
  for (std::size_t size = 0; size < end; ++size)
    EXPECT_THROW(zip_parts(std::string_view(whole).substr(0, size)), godiff::Error) << size;
}

// Whatever the bytes are, nothing beyond them is read.
TEST(Zip, DamagedBytes) {
  const std::string whole = archive();
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int byte : {0x00, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(byte);
      try {
        zip_parts(damaged);
      } catch (const godiff::Error &) {
        ++refused;
      }
    }
  EXPECT_GT(refused, 10);
}

}  // namespace
