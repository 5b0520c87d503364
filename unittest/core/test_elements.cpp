// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/elements.hpp"

#include <set>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::atomic_number;
using godiff::covalent_radius;
using godiff::Error;
using godiff::symbol;
using godiff_test::message_of;

TEST(Elements, SymbolAndNumberAreInverse) {
  std::set<std::string> seen;
  for (int z = 1; z <= 99; ++z) {
    EXPECT_EQ(atomic_number(symbol(z)), z);
    seen.insert(symbol(z));
  }
  EXPECT_EQ(seen.size(), 99u);
}

TEST(Elements, KnownNumbers) {
  // One per row of the periodic table, and the ends of the table and of the f blocks.
  EXPECT_EQ(atomic_number("H"), 1);
  EXPECT_EQ(atomic_number("C"), 6);
  EXPECT_EQ(atomic_number("Al"), 13);
  EXPECT_EQ(atomic_number("Cu"), 29);
  EXPECT_EQ(atomic_number("Pd"), 46);
  EXPECT_EQ(atomic_number("La"), 57);
  EXPECT_EQ(atomic_number("Lu"), 71);
  EXPECT_EQ(atomic_number("Pt"), 78);
  EXPECT_EQ(atomic_number("Ac"), 89);
  EXPECT_EQ(atomic_number("Es"), 99);
}

TEST(Elements, ErrorsNameTheValue) {
  for (const std::string wrong : {"Xx", "pt", "PT", "", " Pt", "Fm", "78"})
    EXPECT_NE(message_of<Error>([&] { atomic_number(wrong); }).find("'" + wrong + "'"),
              std::string::npos)
        << wrong;
  for (const int z : {-1, 0, 100}) {
    EXPECT_NE(message_of<Error>([&] { symbol(z); }).find(std::to_string(z)), std::string::npos);
    EXPECT_NE(message_of<Error>([&] { covalent_radius(z); }).find(std::to_string(z)),
              std::string::npos);
  }
}

TEST(Elements, CovalentRadii) {
  // Table 2 of Cordero et al. 2008.
  EXPECT_EQ(covalent_radius(1), 0.31);
  EXPECT_EQ(covalent_radius(6), 0.76);
  EXPECT_EQ(covalent_radius(8), 0.66);
  EXPECT_EQ(covalent_radius(26), 1.32);
  EXPECT_EQ(covalent_radius(29), 1.32);
  EXPECT_EQ(covalent_radius(47), 1.45);
  EXPECT_EQ(covalent_radius(55), 2.44);
  EXPECT_EQ(covalent_radius(78), 1.36);
  EXPECT_EQ(covalent_radius(79), 1.36);
  EXPECT_EQ(covalent_radius(96), 1.69);
  for (int z = 1; z <= 99; ++z) {
    EXPECT_GE(covalent_radius(z), 0.28);
    EXPECT_LE(covalent_radius(z), 2.60);
  }
}

}  // namespace
