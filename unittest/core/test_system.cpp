// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/system.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "systems.hpp"

namespace {

using godiff::Positions;
using godiff::System;
using godiff::too_close;
using godiff::Vec3;

// The shortest distance over images up to two cells away, which is enough for these cells.
double shortest_distance(const System &s, const Positions &x) {
  std::vector<Vec3> atoms;
  for (std::size_t k = 0; k < s.template_positions.size(); k += 3)
    atoms.push_back(
        {s.template_positions[k], s.template_positions[k + 1], s.template_positions[k + 2]});
  const std::size_t n_template = atoms.size();
  for (std::size_t k = 0; k < x.size(); k += 3)
    atoms.push_back({x[k], x[k + 1], x[k + 2]});
  double shortest = HUGE_VAL;
  const auto reach = [&](int k) { return s.cell.periodic(k) ? 2 : 0; };
  for (std::size_t i = n_template; i < atoms.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      for (int a = -reach(0); a <= reach(0); ++a)
        for (int b = -reach(1); b <= reach(1); ++b)
          for (int c = -reach(2); c <= reach(2); ++c) {
            const Vec3 shift = s.cell.cartesian(
                {static_cast<double>(a), static_cast<double>(b), static_cast<double>(c)});
            Vec3 r;
            for (int k = 0; k < 3; ++k)
              r[k] = atoms[i][k] - atoms[j][k] + shift[k];
            shortest = std::min(shortest, std::sqrt(godiff::dot(r, r)));
          }
  return shortest;
}

// Heights alone decide only where no periodic vector has a part along z.
TEST(TooClose, AgreesWithTheShortestDistanceInAnyCell) {
  const struct {
    std::array<Vec3, 3> rows;
    std::array<bool, 3> periodic;
  } cells[] = {{{{{7, 0, 0}, {2, 6, 0}, {0, 0, 9}}}, {true, true, false}},
               {{{{7, 0, 0}, {2, 6, 0}, {0, 0, 9}}}, {true, true, true}},
               {{{{7, 0, 0}, {2, 6, 0}, {1, -1, 9}}}, {true, true, false}},
               {{{{7, 0, 2}, {1, 6, -1}, {0, 0, 9}}}, {true, true, false}}};
  std::uint32_t item = 0;
  for (const auto &c : cells) {
    System s = godiff_test::make_system(c.rows, c.periodic, {0, 0, 0, 3, 3, 1, 5, 1, 8.5},
                                        {78, 78, 78}, {78, 78}, 0.0, 9.0);
    int close = 0;
    for (int k = 0; k < 400; ++k) {
      godiff::RandomStream random(7, godiff::Purpose::INIT, item, static_cast<std::uint32_t>(k));
      Positions x;
      for (int m = 0; m < 6; ++m)
        x.push_back(9.0 * random.uniform());
      const double shortest = shortest_distance(s, x);
      for (double distance : {0.999 * shortest, 1.001 * shortest, 2.0}) {
        EXPECT_EQ(too_close(s, x, distance), shortest < distance);
        close += too_close(s, x, distance);
      }
    }
    EXPECT_GT(close, 500);
    EXPECT_LT(close, 1000);
    ++item;
  }
}

TEST(TooClose, HeightAlone) {
  const System s = godiff_test::make_system({{{7, 0, 0}, {2, 6, 0}, {0, 0, 9}}},
                                            {true, true, false}, {1, 1, 0}, {78}, {78}, 1.0, 8.0);
  EXPECT_FALSE(too_close(s, {1, 1, 1}, 1.0));
  EXPECT_TRUE(too_close(s, {1, 1, std::nextafter(1.0, 0.0)}, 1.0));
  EXPECT_TRUE(too_close(s, {8, 1, std::nextafter(1.0, 0.0)}, 1.0)) << "the next image";
}

TEST(Validate, TemplateAtomsMustBeSomewhere) {
  System s = godiff_test::make_system({{{7, 0, 0}, {0, 6, 0}, {0, 0, 9}}}, {true, true, false},
                                      {1, 1, 1, 3, 1, 1}, {78, 78}, {78}, 2, 8);
  EXPECT_NO_THROW(godiff::validate(s));
  s.ids[1] = 17;
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e7, -1e300}) {
    s.template_positions[4] = bad;
    try {
      godiff::validate(s);
      ADD_FAILURE() << bad;
    } catch (const godiff::Error &error) {
      EXPECT_EQ(std::string(error.what()).find("template atom 17 is at coordinate "), 0u)
          << error.what();
    }
  }
}

}  // namespace
