// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>

#include "core/base/comm.hpp"
#include "core/geometry/system.hpp"
#include "core/network/score_network.hpp"

namespace godiff {

/// Loss of a batch, L = sum_g weight_g sum_i |offset_gi + factor_g output_gi|^2, on the CPU in float64.
struct LeastSquares {
  at::Tensor offset;  ///< [B, rows, 3]
  at::Tensor factor;  ///< [B]
  at::Tensor weight;  ///< [B]
};

/// Evaluates and differentiates a network on structures of one system, sharing exactly what structures
/// have in common (doc/Performance.rst).
///
/// Structures are dealt in chunks to the threads of LibTorch; what the result of a chunk is does not
/// depend on their number. What depends on the weights alone is kept until they change. Positions are
/// [B, n_mobile, 3] float64 on the CPU, mobile atoms may lie outside of the cell; results are on the
/// device of the network, in its precision.
///
/// Several ranks share a batch by its chunks, which are those of one rank: the result has the same bits
/// for any number of ranks. They evaluate each its share(), and need not know of each other; a loss and
/// its gradient they compute together.
class ScoreEngine {
public:
  /// The network must outlive the engine.
  ScoreEngine(const System &system, ScoreNetwork &network);
  ~ScoreEngine();
  ScoreEngine(ScoreEngine &&) noexcept;

  /// s_theta(x, t) of the mobile atoms, [B, n_mobile, 3]; t [B] float64. The structures are the share()
  /// of one rank in a batch of `whole` (0: all of it).
  at::Tensor score(const at::Tensor &positions, const at::Tensor &t, std::int64_t whole = 0);
  /// F_theta(x) of all atoms, [B, N, 3], template first, or of the mobile ones, eV/Angstrom. Throws
  /// godiff::Error without a force head.
  at::Tensor forces(const at::Tensor &positions, bool mobile_only, std::int64_t whole = 0);

  /// The structures of a batch of `whole` that rank `rank` of `size` evaluates.
  Share share(std::int64_t whole, int rank, int size) const;
  /// The most ranks that have work with the evaluation or the gradient of a batch.
  std::int64_t most_ranks(std::int64_t whole, bool gradient) const;

  /// Memory for batches of one size whose positions lie on the device; its graphs are built there, and all
  /// that a call reads and writes has the same address each time. So a call can be recorded and replayed.
  class DeviceBatch;
  /// For `count` structures whose mobile atoms have z_low <= z <= z_high (Angstrom). None where the kernels are
  /// not those of Kokkos, the surface does not lie in the plane of x and y, the batch is too large, or the
  /// environment variable GODIFF_RECORD is "no": the host builds the graphs then.
  std::shared_ptr<DeviceBatch> device_batch(std::int64_t count, double z_low, double z_high);
  /// Throws godiff::Error if a structure of a batch was higher or lower than said. The host waits.
  static void check(const DeviceBatch &batch);

  /// As below, of a device batch: positions, t and all of the loss lie on the device, float64 and contiguous.
  /// What depends on the weights alone is computed anew in each call. The host waits for nothing.
  at::Tensor score(DeviceBatch &batch, const at::Tensor &positions, const at::Tensor &t);
  at::Tensor score_loss(DeviceBatch &batch, const at::Tensor &positions, const at::Tensor &t,
                        const LeastSquares &loss);
  at::Tensor score_gradient(DeviceBatch &batch, const at::Tensor &positions, const at::Tensor &t,
                            const LeastSquares &loss);
  at::Tensor force_loss(DeviceBatch &batch, const at::Tensor &positions, const LeastSquares &loss);
  at::Tensor force_gradient(DeviceBatch &batch, const at::Tensor &positions,
                            const LeastSquares &loss);

  /// Bytes of the gradient of a chunk: of the weights, and of what the structures share. The ranks send
  /// each other these in each gradient.
  std::int64_t gradient_bytes() const;

  /// The loss of the score, a float64 scalar on the device of the network. All ranks of `comm` pass the
  /// whole batch, each does its chunks, all get the result. The first that they do together is
  /// on_each(); what fails on one rank before the sums is thrown as godiff::Error on all.
  at::Tensor score_loss(const at::Tensor &positions, const at::Tensor &t, const LeastSquares &loss,
                        Comm &comm = serial_comm());
  /// The same; its gradient replaces network.parameters().flat_gradient().
  at::Tensor score_gradient(const at::Tensor &positions, const at::Tensor &t,
                            const LeastSquares &loss, Comm &comm = serial_comm());
  /// The loss of the forces of all atoms or of the mobile ones, whichever loss.offset has.
  at::Tensor force_loss(const at::Tensor &positions, const LeastSquares &loss,
                        Comm &comm = serial_comm());
  at::Tensor force_gradient(const at::Tensor &positions, const LeastSquares &loss,
                            Comm &comm = serial_comm());

  /// Number of directed edges between template atoms.
  std::int64_t template_edges() const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godiff
