// SPDX-License-Identifier: GPL-2.0-only
// A search of many stages keeps nothing of a stage but its structures.
#include "library/instance.hpp"

#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "testing/small_search.hpp"

using godiff::testing::Instance;
using godiff::testing::lines_of;
using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::resident_memory;
using godiff::testing::SmallSearch;
using godiff::testing::WorkingFolder;

TEST(LongRun, MemoryOfAHundredStagesIsFlat) {
  SmallSearch search;
  search.stages = 100;
  search.samples = 3;
  search.settings += " guide 0.01";
  search.commands = "run 30\n";
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  lammps.run(search.input());
  const long early = resident_memory();
  lammps.run("run 270");
  const long growth = resident_memory() - early;
  std::printf("90 more stages took %ld kB\n", growth);
  EXPECT_EQ(parse_csv(read_file("godiff.s.csv")).rows.size(), 300u);
  EXPECT_NE(lammps.screen().find("GODIFF search complete: 300 candidates"), std::string::npos);
#ifndef __SANITIZE_ADDRESS__  // it keeps what is freed for a while
  // 270 structures with forces take 150 kB. A stage that lost its network (30 kB), or one of its
  // optimisers (60 kB), would add 2700 kB; the C library keeps some freed pages more or less.
  EXPECT_LT(growth, 2000);
#endif
}
