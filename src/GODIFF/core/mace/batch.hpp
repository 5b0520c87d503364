// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
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
  double *energies = nullptr;       ///< [count]; NaN where append_structure() returns false
  double *forces = nullptr;         ///< [3*n_atoms]
  double *virials = nullptr;        ///< [6*count] xx yy zz xy xz yz, -dE/dstrain
  double *atom_energies = nullptr;  ///< [n_atoms]
};

/// Throws godiff::Error for structures that make no sense, naming the first one (positions are not looked
/// at, nor species if they are null): atoms that are not in order, a species that is not below `n_species`, a periodic cell without volume or so thin that its
/// images cannot be numbered.
void check_structures(const MaceStructures &structures, double cutoff, std::int64_t n_species);

/// Appends one structure to a graph: all edges shorter than `cutoff`, through as many periodic images
/// as that takes. Returns false, with nothing appended, when two atoms are closer than 0.001 Angstrom or
/// one is nowhere (not finite, or beyond 10^9 Angstrom). The cell of a structure without periodic
/// directions is not looked at.
bool append_structure(const MaceStructures &structures, std::int64_t which, double cutoff,
                      MaceGraph &graph);

/// How many edges a model is given at once.
class MaceEdgeBudget {
public:
  /// 0 edges: 12,000 on a CPU; on another device as many as its memory holds, found by doubling from
  /// call to call until it runs out. Throws godiff::Error for a negative number.
  MaceEdgeBudget(std::int64_t max_edges, const std::string &device);

  std::int64_t most() const { return most_; }
  /// A call with so many edges was not too much.
  void succeeded(std::int64_t edges);
  /// A call was too much: the next one may have half as many edges. Throws MaceOutOfMemory, naming atoms
  /// and edges, when one structure alone was it.
  void failed(const MaceOutOfMemory &error, std::int64_t structures, std::int64_t atoms,
              std::int64_t edges);

private:
  std::int64_t most_;
  bool growing_;  // until memory has run out
};

/// Evaluates structures with few calls of a model: as many whole structures at once as have at most
/// `max_edges` edges together.
class MaceBatch {
public:
  /// `max_edges` as in MaceEdgeBudget. The model must outlive the batch.
  MaceBatch(MaceModel &model, std::int64_t max_edges);

  /// When memory runs out, half as many edges are tried, and remembered. Throws MaceOutOfMemory, naming
  /// atoms and edges, when one structure alone is too much, and as check_structures().
  void compute(const MaceStructures &structures, const MaceBatchResult &result);

  /// Largest number of edges of one call now, and what the calls so far have had.
  std::int64_t max_edges() const { return budget_.most(); }
  std::int64_t calls() const { return calls_; }
  std::int64_t largest_call() const { return largest_call_; }

private:
  bool evaluate(bool gradients);
  void scatter(const MaceStructures &structures, const MaceBatchResult &result) const;

  MaceModel &model_;
  MaceEdgeBudget budget_;
  std::int64_t calls_ = 0;
  std::int64_t largest_call_ = 0;     // edges
  MaceGraph graph_;                   // of the present call
  std::vector<std::int64_t> chosen_;  // the structures in it
  MaceResult result_;
};

}  // namespace godiff
