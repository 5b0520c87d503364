// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "kernels/cell_math.hpp"
#include "kernels/structure_graph.hpp"

namespace godiff {

/// Builds the graphs of structures where Kokkos computes, from positions that lie there. All tensors have the
/// same size and address each time, whatever the positions: a call can be recorded and replayed, and the host
/// waits for nothing. The price: every template atom counts as within one hop of a mobile one, and there is
/// memory for the most pairs that there can be.
class GraphBuilder {
public:
  /// What the structures have in common.
  struct System {
    CellMath cell;
    double cutoff = 0.0;                     ///< Angstrom
    std::vector<double> template_positions;  ///< [3*n_template]
    std::int64_t n_mobile = 0;
    /// There are never more in one structure. check() tells if there were.
    std::int64_t most_pairs = 0;
  };

  virtual ~GraphBuilder() = default;

  /// Makes graph() that of mobile positions [n_structures, n_mobile, 3], float64 on the device.
  virtual void build(const at::Tensor &positions) = 0;
  /// The host arrays of edges are empty.
  const ChunkGraph &graph() const { return graph_; }

  /// Throws std::runtime_error if there ever was no memory for the pairs: what was computed with them is wrong.
  /// The host waits for all that the device was given.
  virtual void check() const = 0;

  /// For n_structures, up to max_hops hops, in the type and on the device of `options`; nullptr where the
  /// kernels are not those of Kokkos.
  static std::unique_ptr<GraphBuilder> make(const System &system, std::int64_t n_structures,
                                            int max_hops, const at::TensorOptions &options);

protected:
  ChunkGraph graph_;
};

namespace kokkos {

std::unique_ptr<GraphBuilder> make_graph_builder(const GraphBuilder::System &system,
                                                 std::int64_t n_structures, int max_hops,
                                                 const at::TensorOptions &options);

}  // namespace kokkos
}  // namespace godiff
