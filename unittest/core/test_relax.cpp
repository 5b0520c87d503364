// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/relax.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "systems.hpp"

namespace {

using godiff::Error;
using godiff::Positions;
using godiff::Relaxation;
using godiff::System;
using godiff::Vec3;

constexpr double FTOL = 1e-4;

// Lennard-Jones with epsilon = 1 eV and its minimum at 2.5 Angstrom; forces on the mobile atoms.
double lennard_jones(const System &s, const Positions &x, std::vector<double> &forces) {
  constexpr double NEAREST = 2.5;
  double energy = 0.0;
  forces.assign(x.size(), 0.0);
  const auto pair = [&](std::size_t i, const double *other, std::size_t j) {
    const Vec3 d = s.cell.minimum_image(
        {x[3 * i] - other[0], x[3 * i + 1] - other[1], x[3 * i + 2] - other[2]});
    const double r2 = godiff::dot(d, d), q = std::pow(NEAREST * NEAREST / r2, 3);
    energy += q * q - 2.0 * q;
    const double factor = 12.0 * (q * q - q) / r2;
    for (int k = 0; k < 3; ++k) {
      forces[3 * i + k] += factor * d[k];
      if (j < x.size() / 3)
        forces[3 * j + k] -= factor * d[k];
    }
  };
  for (std::size_t i = 0; i < x.size() / 3; ++i) {
    for (std::int64_t j = 0; j < s.n_template; ++j)
      pair(i, &s.template_positions[3 * j], x.size());
    for (std::size_t j = 0; j < i; ++j)
      pair(i, &x[3 * j], j);
  }
  return energy;
}

// Runs to the end and returns the number of force evaluations.
template <class Forces> int relax(Relaxation &relaxation, Forces forces) {
  int evaluations = 0;
  while (true) {
    ++evaluations;
    const std::vector<double> f = forces(relaxation.positions());
    if (relaxation.advance(f.data()))
      return evaluations;
  }
}

std::vector<double> spring(const Positions &x, const Vec3 &centre) {
  const double stiffness[3] = {1.0, 4.0, 10.0};
  std::vector<double> f;
  for (std::size_t k = 0; k < x.size(); ++k)
    f.push_back(-stiffness[k % 3] * (x[k] - centre[k % 3]));
  return f;
}

TEST(Relaxation, FindsTheMinimumOfAQuadratic) {
  const System s = godiff_test::open_box(20, 2);
  Relaxation relaxation(s, 1000, FTOL);
  relaxation.start({8, 9, 10, 11.5, 10.5, 9});
  const int evaluations = relax(relaxation, [](const Positions &x) {
    return spring(x, {10, 10, 10});
  });
  EXPECT_LT(evaluations, 400);
  for (double value : relaxation.positions())
    EXPECT_NEAR(value, 10.0, FTOL);  // |F| < FTOL and the softest stiffness is 1
}

// Three template atoms of a triangle and one above: all distances 2.5, energy -3. With three mobile
// atoms and one template atom the minimum is the regular tetrahedron, energy -6.
TEST(Relaxation, FindsTheAnalyticMinimumOfLennardJones) {
  const double h = 2.5 * std::sqrt(3.0) / 2.0;
  const System triangle = godiff_test::make_system(
      {{{20, 0, 0}, {0, 20, 0}, {0, 0, 20}}}, {true, true, false},
      {10, 10, 5, 12.5, 10, 5, 11.25, 10 + h, 5}, {78, 78, 78}, {78}, 5.5, 15);
  Relaxation one(triangle, 1000, FTOL);
  one.start({10.6, 11.5, 8.4});
  std::vector<double> f;
  relax(one, [&](const Positions &x) { return lennard_jones(triangle, x, f), f; });
  // The curvature is 72 eV/A^2 per bond, so 1e-4 eV/A leave less than 1e-8 eV.
  EXPECT_NEAR(lennard_jones(triangle, one.positions(), f), -3.0, 1e-8);
  EXPECT_NEAR(one.positions()[2], 5.0 + 2.5 * std::sqrt(2.0 / 3.0), 1e-4);

  System tetrahedron = godiff_test::open_box(20, 3);
  tetrahedron.template_positions = {10, 10, 10};
  Relaxation three(tetrahedron, 2000, FTOL);
  three.start({12, 10.3, 10.1, 10.2, 12.4, 9.7, 11.2, 11.1, 12.2});
  relax(three, [&](const Positions &x) { return lennard_jones(tetrahedron, x, f), f; });
  EXPECT_NEAR(lennard_jones(tetrahedron, three.positions(), f), -6.0, 1e-7);
}

TEST(Relaxation, CountsItsSteps) {
  const System s = godiff_test::open_box(20, 1);
  const auto forces = [](const Positions &x) { return spring(x, {10, 10, 10}); };
  for (int limit : {0, 1, 7}) {
    Relaxation relaxation(s, limit, 1e-12);
    relaxation.start({5, 5, 5});
    EXPECT_EQ(relax(relaxation, forces), limit + 1) << "the first evaluation is no step";
  }
  Relaxation done(s, 100, 0.05);
  done.start({10, 10, 10.004});
  EXPECT_EQ(relax(done, forces), 1) << "below the tolerance at once";
  EXPECT_EQ(done.positions(), (Positions{10, 10, 10.004}));
}

TEST(Relaxation, StepsAreShort) {
  const System s = godiff_test::open_box(20, 1);
  Relaxation relaxation(s, 30, 1e-12);
  relaxation.start({10, 10, 10});
  Positions last = relaxation.positions();
  relax(relaxation, [&](const Positions &x) {
    const double d = std::sqrt(std::pow(x[0] - last[0], 2) + std::pow(x[1] - last[1], 2) +
                               std::pow(x[2] - last[2], 2));
    EXPECT_LE(d, 0.2 + 1e-12);
    last = x;
    return std::vector<double>{1e5, -2e5, 3e4};
  });
}

// The spring pulls below the window: the atom slides along the face and the force that presses it
// there does not keep the relaxation from ending. The cell is skewed and the path crosses its faces.
TEST(Relaxation, AtomsPressedAgainstTheWindowStayOnIt) {
  System s = godiff_test::heptamer_pt();
  s.n_mobile = 1;
  s.atomic_numbers.resize(73);
  s.ids.resize(73);
  s.types.resize(73);
  for (bool below : {true, false}) {
    const Vec3 centre{0.3, 0.2, below ? s.z_lo - 0.7 : s.z_hi + 0.7};
    Relaxation relaxation(s, 300, 1e-3);
    relaxation.start({15.9, 0.9, below ? s.z_lo + 0.4 : s.z_hi - 0.4});
    const int evaluations = relax(relaxation, [&](const Positions &x) {
      EXPECT_EQ(godiff::outside_window(s, x), 0.0);
      const Vec3 d = s.cell.minimum_image({x[0] - centre[0], x[1] - centre[1], x[2] - centre[2]});
      return std::vector<double>{-1.0 * d[0], -4.0 * d[1], -10.0 * (x[2] - centre[2])};
    });
    EXPECT_LT(evaluations, 300) << "it never noticed that it is done";
    const Positions &x = relaxation.positions();
    EXPECT_EQ(x[2], below ? s.z_lo : s.z_hi);
    const Vec3 d = s.cell.minimum_image({x[0] - centre[0], x[1] - centre[1], 0.0});
    EXPECT_LT(std::sqrt(godiff::dot(d, d)), 1e-3);
    for (int k = 0; k < 2; ++k) {
      EXPECT_GE(s.cell.fractional({x[0], x[1], x[2]})[k], -1e-12);
      EXPECT_LT(s.cell.fractional({x[0], x[1], x[2]})[k], 1.0 + 1e-12);
    }
  }
}

TEST(Relaxation, GoesOnBitForBitFromItsState) {
  System s = godiff_test::open_box(20, 3);
  s.template_positions = {10, 10, 10};
  std::vector<double> f;
  const auto forces = [&](const Positions &x) { return lennard_jones(s, x, f), f; };
  const Positions start{12, 10.3, 10.1, 10.2, 12.4, 9.7, 11.2, 11.1, 12.2};
  Relaxation whole(s, 60, 1e-9);
  whole.start(start);
  relax(whole, forces);
  for (int cut : {0, 1, 6, 30, 59}) {
    Relaxation first(s, 60, 1e-9), second(s, 60, 1e-9);
    first.start(start);
    for (int k = 0; k < cut; ++k)
      ASSERT_FALSE(first.advance(forces(first.positions()).data()));
    second.restore(first.state());
    EXPECT_EQ(second.state(), first.state());
    EXPECT_EQ(relax(second, forces), 61 - cut);
    EXPECT_EQ(second.positions(), whole.positions()) << "cut after " << cut;
  }
  Relaxation other(s, 60, 1e-9);
  EXPECT_THROW(other.restore({1, 2, 3}), Error);
}

// Their squares are infinite, and a ratio of such squares once became a position.
TEST(Relaxation, ForcesBeyondAllBoundsMoveNoAtomAway) {
  const System s = godiff_test::open_box(20, 2);
  for (const double strength : {1e100, 1e154, 1e300, 1.7e308}) {
    Relaxation relaxation(s, 40, FTOL);
    relaxation.start({10, 10, 10, 12, 10, 10});
    const std::vector<double> f{strength, -strength, 0, -strength, 1e-300, strength};
    while (!relaxation.advance(f.data()))
      for (const double x : relaxation.positions())
        ASSERT_LT(std::abs(x - 10), 10) << strength;
    Relaxation other(s, 40, FTOL);
    EXPECT_NO_THROW(other.restore(relaxation.state())) << strength;
  }
}

}  // namespace
