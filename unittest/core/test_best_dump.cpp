// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/best_dump.hpp"

#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::best_dump_text;
using godiff::Cell;
using godiff::Error;
using godiff::Positions;
using godiff::System;
using godiff_test::content;
using godiff_test::message_of;
using godiff_test::TemporaryFolder;

System small_system() {
  System system;
  system.cell = Cell({{{5, 0, 0}, {0, 4, 0}, {0, 0, 20}}}, {true, true, false});
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

TEST(BestDump, OrthogonalBox) {
  const std::string first = "ITEM: TIMESTEP\n1\n"
                            "ITEM: NUMBER OF ATOMS\n3\n"
                            "ITEM: BOX BOUNDS pp pp ff\n-1 4\n0.5 4.5\n10 30\n"
                            "ITEM: ATOMS id type xu yu zu\n"
                            "2 3 1.500000000000 0.833333333333 11.500000000000\n"
                            "5 2 0.250000000000 0.750000000000 14.125000000000\n"
                            "9 1 -1.000000000000 0.500000000000 11.000000000000\n";
  const std::string text = best_dump_text(small_system(), {{1.25, 0.25, 4.125}, {2, 3, 4}});
  EXPECT_EQ(text.substr(0, first.size()), first);
  const std::string second = text.substr(first.size());
  EXPECT_EQ(second.substr(0, 17), "ITEM: TIMESTEP\n2\n");
  EXPECT_NE(second.find("\n5 2 1.000000000000 3.500000000000 14.000000000000\n"),
            std::string::npos);
  EXPECT_EQ(best_dump_text(small_system(), {}), "");
}

TEST(BestDump, TriclinicBoundsAreThoseOfTheCorners) {
  // LAMMPS' rule for the outer box written out as what it means: x over all tilts of its corners,
  // y over those of b and c.
  for (const double xy : {-1.25, 0.0, 2.0})
    for (const double xz : {-0.75, 0.5})
      for (const double yz : {-1.5, 0.0, 1.0}) {
        System system = small_system();
        system.cell = Cell({{{5, 0, 0}, {xy, 4, 0}, {xz, yz, 20}}}, {true, true, true});
        double lo[3] = {1e9, 1e9, 1e9}, hi[3] = {-1e9, -1e9, -1e9};
        for (int corner = 0; corner < 8; ++corner)
          for (int k = 0; k < 3; ++k) {
            double x = system.origin[k];
            for (int v = 0; v < 3; ++v)
              if (corner >> v & 1)
                x += system.cell.rows()[v][k];
            lo[k] = std::min(lo[k], x);
            hi[k] = std::max(hi[k], x);
          }
        std::istringstream text(best_dump_text(system, {{1, 1, 4}}));
        std::string line;
        do
          std::getline(text, line);
        while (line.rfind("ITEM: BOX", 0) != 0);
        EXPECT_EQ(line, "ITEM: BOX BOUNDS xy xz yz pp pp pp");
        const double tilts[3] = {xy, xz, yz};
        for (int k = 0; k < 3; ++k) {
          double a = 0, b = 0, tilt = 0;
          text >> a >> b >> tilt;
          EXPECT_DOUBLE_EQ(a, lo[k]);
          EXPECT_DOUBLE_EQ(b, hi[k]);
          EXPECT_DOUBLE_EQ(tilt, tilts[k]);
        }
      }
}

TEST(BestDump, TriclinicBoxWithoutTilt) {
  EXPECT_NE(best_dump_text(small_system(), {{1, 1, 4}}, true)
                .find("BOX BOUNDS xy xz yz pp pp ff\n-1 4 0\n0.5 4.5 0\n10 30 0\n"),
            std::string::npos);
}

TEST(BestDump, RefusesWhatLammpsCannotRead) {
  System system = small_system();
  system.cell = Cell({{{5, 0.1, 0}, {0, 4, 0}, {0, 0, 20}}}, {true, true, true});
  EXPECT_EQ(message_of<Error>([&] {
              best_dump_text(system, {{1, 1, 4}});
            }),
            "a LAMMPS dump needs a cell with its vector a along x and b in the xy plane");
  EXPECT_EQ(message_of<Error>([&] {
              best_dump_text(small_system(), {{1, 1}});
            }),
            "a structure has 2 coordinates instead of 3");
}

TEST(BestDump, WritesTheFile) {
  TemporaryFolder folder;
  write_best_dump(folder.file("g.best"), small_system(), {{1, 1, 4}});
  EXPECT_EQ(content(folder.file("g.best")), best_dump_text(small_system(), {{1, 1, 4}}));
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.best"});
}

}  // namespace
