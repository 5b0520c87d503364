// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <vector>

#include "core/mace/model.hpp"

namespace godiff {

/// Many structures that do not touch each other; all arrays one structure after the other.
struct MaceStructures {
  std::int64_t count = 0;
  const std::int64_t *first_atom = nullptr;  ///< [count + 1]
  const std::int64_t *species = nullptr;     ///< [n_atoms] index into MaceInfo::atomic_numbers
  const double *positions = nullptr;         ///< [3*n_atoms] Angstrom, anywhere
  const double *cells = nullptr;             ///< [9*count] rows a, b, c, Angstrom
  const unsigned char *periodic = nullptr;   ///< [3*count] along a, b, c
};

/// Where results go; null: not wanted. eV, eV/Angstrom.
struct MaceBatchResult {
  double *energies = nullptr;       ///< [count]; NaN for a structure with atoms on each other
  double *forces = nullptr;         ///< [3*n_atoms]
  double *virials = nullptr;        ///< [6*count] xx yy zz xy xz yz, -dE/dstrain
  double *atom_energies = nullptr;  ///< [n_atoms]
};

/// Appends one structure to a graph: all edges shorter than `cutoff`, through as many periodic images
/// as that takes. Returns false, with nothing appended, when two atoms are closer than 0.001 Angstrom.
bool append_structure(const MaceStructures &structures, std::int64_t which, double cutoff,
                      MaceGraph &graph);

/// Evaluates structures with few calls of a model: as many whole structures at once as have at most
/// `max_edges` edges together.
class MaceBatch {
public:
  /// 0 edges: 12,000 on a CPU; on another device as many as fit into its free memory by what the first
  /// call took. The model must outlive the batch.
  MaceBatch(MaceModel &model, std::int64_t max_edges);

  /// When memory runs out, half as many edges are tried, and remembered. Throws godiff::Error, naming
  /// atoms and edges, when one structure alone is too much.
  void compute(const MaceStructures &structures, const MaceBatchResult &result);

  /// Largest number of edges of one call now, and what the calls so far have had.
  std::int64_t max_edges() const { return max_edges_; }
  std::int64_t calls() const { return calls_; }
  std::int64_t largest_call() const { return largest_call_; }

private:
  MaceModel &model_;
  std::int64_t max_edges_;
  std::int64_t calls_ = 0;
  std::int64_t largest_call_ = 0;  // edges
  MaceGraph graph_;
  MaceResult result_;
};

}  // namespace godiff
