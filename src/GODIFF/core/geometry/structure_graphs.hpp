// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <c10/core/ScalarType.h>

#include "core/geometry/image_grid.hpp"
#include "core/geometry/system.hpp"
#include "kernels/structure_graph.hpp"

namespace godiff {

/// Builds the graphs of method section 7 for structures of one system.
///
/// Template-template edges are found once, when the builder is made; only pairs with a mobile atom are
/// searched per structure.
class StructureGraphs {
public:
  /// cutoff in Angstrom. Template distances that differ by less than the resolution of `dtype` (float
  /// or double) count as one: on a lattice few distinct ones remain.
  StructureGraphs(const System &system, double cutoff, c10::ScalarType dtype);

  /// The graphs of `count` structures with mobile positions [count, n_mobile, 3] (mobile atoms may lie
  /// outside of the cell), atoms ordered by up to max_hops >= 1 hops. Reuses the memory of `graph`.
  void build(const double *positions, std::int64_t count, int max_hops, ChunkGraph &graph) const;

  /// No structure whose mobile atoms have low <= z <= high (Angstrom) has more pairs. None where the surface
  /// does not lie in the plane of x and y, or is not periodic in it.
  std::optional<std::int64_t> most_pairs(double low, double high) const;

  const System &system() const { return system_; }
  const TemplateEdges &template_edges() const { return template_edges_; }

private:
  System system_;
  double cutoff_;
  ImageGrid template_images_;
  TemplateEdges template_edges_;
};

}  // namespace godiff
