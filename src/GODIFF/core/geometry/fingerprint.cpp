// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/fingerprint.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_eigvalsh.h>

#include "core/base/elements.hpp"
#include "core/base/error.hpp"

namespace godiff {

namespace {

constexpr double BOND_MIN = 1e-3;  // bond lengths in units of the sum of the covalent radii
constexpr double BOND_MAX = 1.1;
constexpr int CIRCLE_POINTS = 8;
constexpr double SURELY = 1e-6;    // Angstrom, above the rounding of fractional coordinates
constexpr double ROUNDING = 1e-9;  // of the weighted sums that place a class in the grid
const double CIRCLE_TANGENT = std::tan(20.0 * M_PI / 180.0);

struct Neighbour {
  std::int64_t index;
  double distance;
  Vec3 difference;
};

struct Plane {
  Vec3 point;
  Vec3 normal;
};

Vec3 cross(const Vec3 &a, const Vec3 &b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double height_above(const Plane &plane, const Vec3 &r) {
  return dot({r[0] - plane.point[0], r[1] - plane.point[1], r[2] - plane.point[2]}, plane.normal);
}

// Two unit vectors that span the plane with normal n.
std::array<Vec3, 2> span(const Vec3 &n) {
  int m = 0;
  for (int k = 1; k < 3; ++k)
    if (std::abs(n[k]) > std::abs(n[m]))
      m = k;
  const int m2 = m != 0 ? 0 : 1;
  Vec3 p1{0, 0, 0};
  p1[m2] = 1.0;
  p1[m] = -n[m2] / n[m];
  const double length = std::sqrt(dot(p1, p1));
  for (double &x : p1)
    x /= length;
  return {p1, cross(n, p1)};
}

// True when the mid-point of the bond, or a point of the circle around it in the mid-plane, lies
// beyond the mid-plane of a closer neighbour.
bool shadowed(const Plane &bond, double distance, const std::vector<Plane> &closer) {
  if (closer.empty())
    return false;
  std::vector<Vec3> points{bond.point};
  const auto [p1, p2] = span(bond.normal);
  const double radius = 0.5 * distance * CIRCLE_TANGENT;
  for (int k = 0; k < CIRCLE_POINTS; ++k) {
    const double angle = 2.0 * M_PI * k / CIRCLE_POINTS;
    Vec3 r;
    for (int x = 0; x < 3; ++x)
      r[x] = bond.point[x] + radius * (std::cos(angle) * p1[x] + std::sin(angle) * p2[x]);
    points.push_back(r);
  }
  for (const Plane &plane : closer)
    for (const Vec3 &r : points)
      if (height_above(plane, r) > 0.0)
        return true;
  return false;
}

// Fractional coordinates of the mobile atoms, in [0,1] along periodic axes.
std::vector<Vec3> fractional_places(const System &system, const Positions &mobile) {
  std::vector<Vec3> places;
  for (std::size_t i = 0; i < mobile.size(); i += 3) {
    Vec3 f = system.cell.fractional({mobile[i], mobile[i + 1], mobile[i + 2]});
    for (int k = 0; k < 3; ++k)
      if (system.cell.periodic(k))
        f[k] -= std::floor(f[k]);
    places.push_back(f);
  }
  return places;
}

// No images of two atoms at these places are closer than this, but for rounding: the distance along
// the normal of a pair of faces.
double distance_at_least(const Cell &cell, const Vec3 &a, const Vec3 &b) {
  double largest = 0.0;
  for (int k = 0; k < 3; ++k) {
    const double f = std::abs(b[k] - a[k]);
    largest = std::max(largest, cell.width(k) * (cell.periodic(k) ? std::min(f, 1.0 - f) : f));
  }
  return largest;
}

// Candidate bonds of atom i by increasing distance (equal distances: by index).
std::vector<Neighbour> candidates(const System &system, const Positions &mobile,
                                  const std::vector<Vec3> &places, std::int64_t i) {
  std::vector<Neighbour> result;
  const double radius = covalent_radius(system.mobile_number(i));
  for (std::int64_t j = 0; j < system.n_mobile; ++j) {
    if (j == i)
      continue;
    const double radii = radius + covalent_radius(system.mobile_number(j));
    if (distance_at_least(system.cell, places[i], places[j]) > BOND_MAX * radii + SURELY)
      continue;
    const Vec3 difference{mobile[3 * j] - mobile[3 * i], mobile[3 * j + 1] - mobile[3 * i + 1],
                          mobile[3 * j + 2] - mobile[3 * i + 2]};
    // The shortest image within reach; this finds it in cells of any skew.
    double shortest = BOND_MAX * radii;
    Vec3 nearest{0, 0, 0};
    system.cell.for_images(difference, shortest, [&](const Vec3 &r) {
      const double distance = std::sqrt(dot(r, r));
      if (distance >= shortest)
        return;
      shortest = distance;
      nearest = r;
    });
    const double ratio = shortest / radii;
    if (ratio > BOND_MIN && ratio < BOND_MAX)
      result.push_back({j, shortest, nearest});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const Neighbour &a, const Neighbour &b) { return a.distance < b.distance; });
  return result;
}

// A sum of the eigenvalues with irregular weights that add up to 1 in magnitude: it differs by no
// more than fingerprint_distance(), and different spectra differ in it.
double weighted_sum(const Fingerprint &fingerprint) {
  constexpr double IRRATIONAL = 0.6180339887498949;
  double sum = 0.0, total = 0.0;
  for (std::size_t k = 0; k < fingerprint.size(); ++k) {
    const double turn = IRRATIONAL * static_cast<double>(k + 1);
    const double weight = turn - std::floor(turn) - 0.5;
    sum += weight * fingerprint[k];
    total += std::abs(weight);
  }
  return total > 0.0 ? sum / total : 0.0;
}

}  // namespace

std::vector<char> bond_matrix(const System &system, const Positions &mobile) {
  const std::int64_t n = system.n_mobile;
  if (mobile.size() != 3 * static_cast<std::size_t>(n))
    throw Error("a structure has " + std::to_string(mobile.size()) + " coordinates instead of " +
                std::to_string(3 * n));
  for (std::size_t k = 0; k < mobile.size(); ++k)
    if (!std::isfinite(mobile[k]))
      throw Error("the position of atom " + std::to_string(system.ids[system.n_template + k / 3]) +
                  " is not finite");
  const std::vector<Vec3> places = fractional_places(system, mobile);
  std::vector<char> kept(n * n, 0);
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<Plane> planes;
    for (const Neighbour &neighbour : candidates(system, mobile, places, i)) {
      Plane plane;
      for (int x = 0; x < 3; ++x) {
        plane.point[x] = 0.5 * neighbour.difference[x];  // relative to atom i
        plane.normal[x] = neighbour.difference[x] / neighbour.distance;
      }
      kept[i * n + neighbour.index] = !shadowed(plane, neighbour.distance, planes);
      planes.push_back(plane);  // also when the bond was removed
    }
  }
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      kept[i * n + j] = kept[j * n + i] = kept[i * n + j] && kept[j * n + i];
  return kept;
}

Fingerprint fingerprint(const System &system, const Positions &mobile) {
  const std::int64_t n = system.n_mobile;
  const std::vector<char> bonds = bond_matrix(system, mobile);
  at::Tensor matrix = at::empty({n, n}, at::TensorOptions(at::kDouble));
  double *entry = matrix.data_ptr<double>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      *entry++ = i == j ? system.mobile_number(i) : bonds[i * n + j];
  const at::Tensor values = at::linalg_eigvalsh(matrix);
  const double *first = values.const_data_ptr<double>();
  Fingerprint result(first, first + n);
  std::sort(result.begin(), result.end());
  return result;
}

double fingerprint_distance(const Fingerprint &a, const Fingerprint &b) {
  if (a.size() != b.size())
    return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k)
    largest = std::max(largest, std::abs(a[k] - b[k]));
  return largest;
}

ClassRegistry::ClassRegistry(const std::vector<Fingerprint> &representatives, double tolerance) :
    tolerance_(tolerance) {
  for (const Fingerprint &fingerprint : representatives)
    add(fingerprint);
}

ClassRegistry::Place ClassRegistry::place(const Fingerprint &fingerprint) const {
  const double width = tolerance_ + ROUNDING;
  const auto cell = [&](double x) { return static_cast<std::int64_t>(std::floor(x / width)); };
  if (fingerprint.empty())
    return {0, 0, 0, 0};
  return {fingerprint.size(), cell(fingerprint.front()), cell(fingerprint.back()),
          cell(weighted_sum(fingerprint))};
}

void ClassRegistry::add(const Fingerprint &fingerprint) {
  grid_.insert({place(fingerprint), size()});
  representatives_.push_back(fingerprint);
}

std::vector<int> ClassRegistry::nearby(const Fingerprint &fingerprint) const {
  const auto [count, low, high, sum] = place(fingerprint);
  std::vector<int> classes;
  for (std::int64_t l = low - 1; l <= low + 1; ++l)
    for (std::int64_t h = high - 1; h <= high + 1; ++h) {
      const auto end = grid_.upper_bound({count, l, h, sum + 1});
      for (auto entry = grid_.lower_bound({count, l, h, sum - 1}); entry != end; ++entry)
        classes.push_back(entry->second);
    }
  return classes;
}

int ClassRegistry::find(const Fingerprint &fingerprint) const {
  int lowest = -1;
  for (const int k : nearby(fingerprint))
    if ((lowest < 0 || k < lowest) &&
        fingerprint_distance(representatives_[k], fingerprint) <= tolerance_)
      lowest = k;
  return lowest;
}

int ClassRegistry::classify(const Fingerprint &fingerprint) {
  const int found = find(fingerprint);
  if (found >= 0)
    return found;
  add(fingerprint);
  return size() - 1;
}

}  // namespace godiff
