// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "core/geometry/system.hpp"

namespace godiff {

/// Largest difference of two eigenvalues of one structure class (method section 19).
constexpr double FINGERPRINT_TOLERANCE = 5e-4;

/// Sorted eigenvalues of the bond graph of the mobile atoms (method section 19).
using Fingerprint = std::vector<double>;

/// The bonds between the mobile atoms: [n_mobile*n_mobile] row-major, 1 where both atoms keep the
/// bond after the mid-plane test, else 0. mobile [3*n_mobile] Angstrom.
std::vector<char> bond_matrix(const System &system, const Positions &mobile);

/// Eigenvalues, ascending, of bond matrix plus atomic numbers on the diagonal [n_mobile].
/// It does not change with translation, inversion or an exchange of atoms of one element. A rotation
/// can change it where a bond is kept by a hair: the mid-plane test looks at 8 points of a circle.
/// Throws godiff::Error when a position is not finite.
Fingerprint fingerprint(const System &system, const Positions &mobile);

/// Largest difference of two eigenvalues of equal rank; infinity when the sizes differ.
double fingerprint_distance(const Fingerprint &a, const Fingerprint &b);

/// Numbers the classes of structures: those whose fingerprints agree within a tolerance.
class ClassRegistry {
public:
  explicit ClassRegistry(double tolerance = FINGERPRINT_TOLERANCE) : tolerance_(tolerance) {}
  /// Restores a registry: class k gets representatives[k].
  explicit ClassRegistry(const std::vector<Fingerprint> &representatives,
                         double tolerance = FINGERPRINT_TOLERANCE);

  /// The lowest class whose representative is within the tolerance; if there is none, a new class,
  /// represented by this fingerprint. Classes count from 0 in the order of their appearance.
  int classify(const Fingerprint &fingerprint);
  /// As classify() without making a class: -1 when there is none.
  int find(const Fingerprint &fingerprint) const;
  /// The classes that find() compares with, in no order: all within the tolerance are among them,
  /// and few others.
  std::vector<int> nearby(const Fingerprint &fingerprint) const;
  /// One fingerprint per class, by class number.
  const std::vector<Fingerprint> &representatives() const { return representatives_; }
  /// Number of classes.
  int size() const { return static_cast<int>(representatives_.size()); }

private:
  void add(const Fingerprint &fingerprint);

  double tolerance_;
  std::vector<Fingerprint> representatives_;
  // Number of eigenvalues and three coordinates in a grid.
  using Place = std::tuple<std::size_t, std::int64_t, std::int64_t, std::int64_t>;
  Place place(const Fingerprint &fingerprint) const;

  // Class numbers by place. The coordinates are the lowest and the highest eigenvalue and a weighted
  // sum of all, the weights adding up to 1 in magnitude, over the tolerance: fingerprints within the
  // tolerance are in the same or in neighbouring cells. A sum alone is not enough: the more atoms,
  // the closer together are the sums of all structures.
  std::multimap<Place, int> grid_;
};

}  // namespace godiff
