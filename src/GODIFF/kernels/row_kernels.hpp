// SPDX-License-Identifier: GPL-2.0-only
// The loops that LibTorch has no operation for, on raw pointers: one build per instruction set.
//
// Feature rows are F long, F a multiple of 16; vector features have three such rows (x, y, z).
#pragma once

#include <cstdint>

namespace godiff {
namespace kernels {

/// Messages into one atom. Edges come in runs that share a filter row (q | R | mu parts, F each).
template <class T> struct Incoming {
  std::int64_t n_feat;
  std::int64_t n_runs;
  const T *const *filter;       ///< [n_runs]
  const std::int32_t *run_end;  ///< [n_runs] end of the run in the edge arrays
  const T *const *x;            ///< [edges] the sender's x, 3F
  const T *const *mu;           ///< [edges] the sender's mu, 3F; nullptr: all zero
  const T *direction;           ///< [edges,3] from the receiver to the sender
};

/// Gradients that come back to one atom from the messages it has sent.
template <class T> struct Returning {
  std::int64_t n_feat;
  std::int64_t n_runs;
  const T *const *filter;       ///< [n_runs]
  T *const *filter_gradient;    ///< [n_runs] added to
  const std::int32_t *run_end;  ///< [n_runs]
  const T *const *q_gradient;   ///< [edges] of the receiver, F
  const T *const *mu_gradient;  ///< [edges] of the receiver, 3F
  const T *direction;           ///< [edges,3] from this atom to the receiver
  const T *x;                   ///< this atom's x, 3F
  const T *mu;                  ///< this atom's mu, 3F; nullptr: all zero
};

/// Constants of one AdamW step (method section 16); `scale` is that of the clipped gradient.
struct AdamWStep {
  double beta1, beta2, eps, shrink, rate, root, scale;
};

/// The kernels of one instruction set.
template <class T> struct RowKernels {
  /// q += sum_j W_q x_j ; mu += sum_j (u W_R x_j + W_mu x_j mu_j), method section 8.
  void (*receive)(const Incoming<T> &in, T *q, T *mu);
  /// Adds to gx [3F], gmu [3F] (nullptr where mu is) and the filter gradients of `back`.
  void (*send_back)(const Returning<T> &back, T *gx, T *gmu);
  /// joined[:, F:2F] = sqrt(|V|^2 + eps); vu [rows,3,2F] (V first), joined [rows,2F].
  void (*norm)(std::int64_t rows, std::int64_t n_feat, T eps, const T *vu, T *joined);
  /// q = joined[:, :F] + p + s (V.U) ; mu_out = mu + r U ; prs [rows,3F], mu [rows,3,F].
  void (*gate)(std::int64_t rows, std::int64_t n_feat, const T *joined, const T *mu, const T *vu,
               const T *prs, T *q, T *mu_out);
  /// Gradients of gate() with respect to prs and vu (written) from gq [rows,F] and gmu [rows,3,F].
  void (*gate_backward)(std::int64_t rows, std::int64_t n_feat, const T *gq, const T *gmu,
                        const T *vu, const T *prs, T *gprs, T *gvu);
  /// Gradient of norm(): gvu's V part += g_joined[:, F:] V/|V|; and gq += g_joined[:, :F].
  void (*norm_backward)(std::int64_t rows, std::int64_t n_feat, const T *vu, const T *joined,
                        const T *g_joined, T *gvu, T *gq);
  /// sums[c] += sum_r values[r, c].
  void (*add_column_sums)(std::int64_t rows, std::int64_t columns, const T *values, T *sums);
  /// total[i] = sum_k parts[k][i], in the order of k; returns the sum of squares of total.
  double (*sum_parts)(std::int64_t n_parts, const T *const *parts, std::int64_t begin,
                      std::int64_t end, T *total);
  /// One AdamW step of the elements [begin, end).
  void (*adamw)(const AdamWStep &step, std::int64_t begin, std::int64_t end, const T *gradient,
                T *weights, T *first_moment, T *second_moment);
};

/// Instruction sets with kernels of their own.
enum class InstructionSet { PORTABLE, AVX2, AVX512 };

}  // namespace kernels
}  // namespace godiff
