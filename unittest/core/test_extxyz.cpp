// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/extxyz.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/io/atom_table.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::ExtxyzWriter;
using godiff::FrameInfo;
using godiff::Positions;
using godiff::Status;
using godiff::System;
using godiff_test::content;
using godiff_test::message_of;
using godiff_test::TemporaryFolder;

// Two template atoms and one mobile atom whose ID lies between theirs, in a shifted, tilted cell.
System small_system() {
  System system;
  system.cell = godiff::Cell({{{5, 0, 0}, {-1.25, 4, 0}, {0, 0, 20}}}, {true, true, false});
  system.origin = {-1.0, 0.5, 10.0};
  system.n_template = 2;
  system.n_mobile = 1;
  system.atomic_numbers = {78, 8, 6};
  system.ids = {9, 2, 5};
  system.types = {1, 3, 2};
  system.template_positions = {0, 0, 1, 2.5, 1.0 / 3.0, 1.5};
  system.z_lo = 2;
  system.z_hi = 8;
  return system;
}

FrameInfo info(int candidate) {
  FrameInfo result;
  result.candidate = candidate;
  result.evaluation = candidate + 10;
  result.stage = 2;
  result.temperature = 58023;
  result.energy = -110.1;
  return result;
}

const std::string COMMENT = "Lattice=\"5 0 0 -1.25 4 0 0 0 20\" Origin=\"-1 0.5 10\" "
                            "Properties=species:S:1:pos:R:3:id:I:1:mobile:I:1 ";
const std::string FRAME_1 =
    "3\n" + COMMENT +
    "candidate=1 evaluation=11 stage=2 temperature=58023 energy=-110.1 status=ok pbc=\"T T F\"\n"
    "O 1.5000000000 0.8333333333 11.5000000000 2 0\n"
    "C 0.2500000000 0.7500000000 14.1250000000 5 1\n"
    "Pt -1.0000000000 0.5000000000 11.0000000000 9 0\n";
const Positions MOBILE{1.25, 0.25, 4.125};

TEST(Extxyz, FrameAsDocumented) {
  TemporaryFolder folder;
  ExtxyzWriter writer = ExtxyzWriter::create(folder.file("g.xyz"), small_system());
  EXPECT_EQ(writer.append(info(1), MOBILE), 0);
  writer.flush();
  EXPECT_EQ(content(folder.file("g.xyz")), FRAME_1);

  FrameInfo failed = info(2);
  failed.status = Status::FAILED;
  failed.energy = INFINITY;
  EXPECT_EQ(writer.append(failed, MOBILE), static_cast<std::int64_t>(FRAME_1.size()));
  writer.flush();
  EXPECT_NE(content(folder.file("g.xyz")).find(" energy=nan status=failed "), std::string::npos);
}

TEST(AtomTable, LinesOfTheTemplateAreMadeOnce) {
  std::vector<std::int64_t> made;
  const godiff::AtomTable table(small_system(), [&](std::string &text, std::int64_t i, auto r) {
    made.push_back(i);
    text += std::to_string(i) + ":" + std::to_string(static_cast<int>(r[2])) + "\n";
  });
  EXPECT_EQ(made, (std::vector<std::int64_t>{1, 0}));
  std::string text = "frame\n";
  for (int k = 0; k < 3; ++k)
    table.append(text, {0, 0, 1.0 + k});
  EXPECT_EQ(made, (std::vector<std::int64_t>{1, 0, 2, 2, 2}));
  EXPECT_EQ(text, "frame\n1:11\n2:11\n0:11\n1:11\n2:12\n0:11\n1:11\n2:13\n0:11\n");
}

TEST(Extxyz, OffsetsAndContinuation) {
  TemporaryFolder folder;
  const std::string whole = folder.file("whole.xyz"), cut = folder.file("cut.xyz");
  std::vector<std::int64_t> offsets;
  {
    ExtxyzWriter writer = ExtxyzWriter::create(whole, small_system());
    for (int k = 1; k <= 4; ++k)
      offsets.push_back(writer.append(info(k), {0.1 * k, 1, 3}));
  }
  const std::string text = content(whole);
  for (int k = 1; k <= 4; ++k) {
    const std::string head = "3\n" + COMMENT + "candidate=" + std::to_string(k) + " ";
    EXPECT_EQ(text.substr(offsets[k - 1], head.size()), head);
  }

  std::int64_t checkpoint = 0;
  {
    ExtxyzWriter writer = ExtxyzWriter::create(cut, small_system());
    for (int k = 1; k <= 2; ++k)
      writer.append(info(k), {0.1 * k, 1, 3});
    checkpoint = writer.offset();
    writer.append(info(77), {9, 9, 9});
  }
  {
    ExtxyzWriter writer = ExtxyzWriter::resume(cut, small_system(), checkpoint);
    for (int k = 3; k <= 4; ++k)
      EXPECT_EQ(writer.append(info(k), {0.1 * k, 1, 3}), offsets[k - 1]);
  }
  EXPECT_EQ(content(cut), text);
  EXPECT_NE(message_of<Error>([&] {
              ExtxyzWriter::resume(cut, small_system(), 1 << 20);
            }).find("put the file that belongs to the checkpoint back"),
            std::string::npos);
  EXPECT_EQ(content(cut), text);
}

TEST(Extxyz, RefusesPositionsOfAnotherSize) {
  TemporaryFolder folder;
  ExtxyzWriter writer = ExtxyzWriter::create(folder.file("g.xyz"), small_system());
  EXPECT_EQ(message_of<Error>([&] {
              writer.append(info(1), {1, 2, 3, 4, 5, 6});
            }),
            "a structure has 6 coordinates instead of 3");
  EXPECT_EQ(writer.offset(), 0);
}

// A state says that there was no frame yet, and the file is one of somebody else.
TEST(Extxyz, ContinuesOnlyAFileOfThisSystem) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.xyz");
  const auto refusal = [&](const std::string &text, std::int64_t offset) {
    godiff_test::put_content(path, text);
    const std::string message =
        message_of<Error>([&] { ExtxyzWriter::resume(path, small_system(), offset); });
    EXPECT_EQ(content(path), message.empty() ? text.substr(0, offset) : text);
    return message;
  };
  const std::string frame = "4" + FRAME_1.substr(1), cell = "3\nLattice=\"5 0 0 -1.25 4 0 0 0 21\"";
  for (const std::string &foreign : {std::string("a letter\n"), frame, cell, std::string("\n")})
    EXPECT_EQ(refusal(foreign, 0), "cannot continue " + path +
                                       ": it does not begin with a frame of 3 atoms in this cell; "
                                       "put the file that belongs to the checkpoint back");
  EXPECT_NE(refusal(frame, static_cast<std::int64_t>(frame.size())), "");
  for (const std::size_t size : {std::size_t(0), std::size_t(1), std::size_t(9), FRAME_1.size()})
    EXPECT_EQ(refusal(FRAME_1.substr(0, size), 0), "") << "torn after the checkpoint";
  EXPECT_EQ(refusal(FRAME_1, static_cast<std::int64_t>(FRAME_1.size())), "");
}

}  // namespace
