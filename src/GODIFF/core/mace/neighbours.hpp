// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/mace/graph.hpp"

namespace godiff {

/// Neighbour lists as a simulation keeps them; nothing is copied. Atoms are owned ones or ghosts, that
/// is copies of atoms of other ranks or of periodic images.
struct MaceNeighbours {
  std::int64_t n_atoms = 0;                  ///< owned ones and ghosts
  std::int64_t n_owned = 0;                  ///< atoms whose energy counts
  const int *owned = nullptr;                ///< [n_owned] these atoms
  const int *counts = nullptr;               ///< [atom] length of its list
  const int *const *lists = nullptr;         ///< [atom] its neighbours, further ones among them too
  int mask = -1;                             ///< the bits of a neighbour that say which atom it is
  const double *const *positions = nullptr;  ///< [atom][3] Angstrom
  const int *types = nullptr;                ///< [atom] index into `species`
  const std::int64_t *species = nullptr;     ///< [type] index into MaceInfo::atomic_numbers
  /// [atom] the owned atom that it is an image of, itself for owned ones; null: ghosts are nodes of
  /// their own.
  const int *owners = nullptr;
};

/// Two atoms closer than a model can be asked about.
struct MaceContact {
  int first = 0;
  int second = 0;
  double distance = 0.0;  ///< Angstrom
};

/// The graph of the atoms of a rank, with what tells which atom a node is.
class MaceDomain {
public:
  /// Takes all edges shorter than `cutoff` into nodes less than `layers` edges away from an owned
  /// atom: what is further has no influence on the energy of owned atoms. The lists of ghosts must be
  /// there for `layers` above 1, unless ghosts have owners. Owned atoms are the first nodes, in their
  /// order. Returns two atoms closer than 0.001 Angstrom if there are such; the graph is useless then.
  std::optional<MaceContact> build(const MaceNeighbours &neighbours, double cutoff, int layers);

  /// One graph. `counted` is set where some nodes are not owned.
  const MaceGraph &graph() const { return graph_; }
  std::int64_t n_owned() const { return n_owned_; }
  /// [n_nodes]
  const std::vector<int> &atom_of_node() const { return atom_of_node_; }
  double memory() const;  ///< bytes

private:
  std::int64_t node_of(const MaceNeighbours &neighbours, int atom);
  std::optional<MaceContact> add_edges(const MaceNeighbours &neighbours, std::int64_t receiver,
                                       double cutoff);

  MaceGraph graph_;
  std::int64_t n_owned_ = 0;
  std::vector<int> atom_of_node_;
  std::vector<std::int64_t> node_of_atom_;  // -1: none
};

}  // namespace godiff
