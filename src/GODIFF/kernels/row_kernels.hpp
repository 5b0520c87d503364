// SPDX-License-Identifier: GPL-2.0-only
// The loops that LibTorch has no operation for, on raw pointers: one build per instruction set.
//
// Feature rows are F long, F a multiple of 16; vector features have three such rows (x, y, z).
#pragma once

#include <cstdint>

namespace godiff {
namespace kernels {

/// Edges by receiver, of TemplateEdges (rows: template atoms) or of a ChunkGraph (rows: slots). Edges
/// next to each other with the same filter row form a run. first = nullptr: no edges.
template <class T> struct EdgeRows {
  const std::int32_t *first;   ///< [rows+1]
  const std::int32_t *other;   ///< [E] the atom at the other end
  const std::int32_t *filter;  ///< [E] row of the filter table (q | R | mu parts, F each)
  const T *direction;          ///< [E,3] to the other end
  const T *filters;
  std::int64_t filter_stride;
  T *filter_gradients;  ///< added to by send_back
  std::int64_t gradient_stride;
};

/// The edges of one structure. Row r belongs to atom[r]; if that is a template atom (< n_template) it has the
/// edges of that atom, and if r < n_slots the mobile edges of slot r.
template <class T> struct StructureEdges {
  std::int64_t n_feat;
  std::int64_t n_atoms, n_template;
  std::int64_t n_rows, n_slots;
  const std::int32_t *atom;  ///< [n_rows]
  EdgeRows<T> of_template, of_mobile;
  bool has_mu;  ///< false: mu of the senders is zero, and neither it nor its gradient is looked at
  T *scratch;   ///< [scratch_size<T>(n_atoms)]
};

/// The messages into the rows of a structure.
template <class T> struct Incoming {
  StructureEdges<T> edges;
  const T *const *x;   ///< [n_atoms] 3F, of senders; nullptr: sends to none of the rows
  const T *const *mu;  ///< [n_atoms] 3F
  T *const *q_out;     ///< [n_rows] F, added to
  T *const *mu_out;    ///< [n_rows] 3F, added to
};

/// The gradients that come back to the rows of a structure from the messages they have sent. An edge read
/// backwards is the opposite edge; those to atoms that are no receivers have been left out.
template <class T> struct Returning {
  StructureEdges<T> edges;
  const T *const *gq;   ///< [n_atoms] F, of receivers; nullptr: receives from none of the rows
  const T *const *gmu;  ///< [n_atoms] 3F
  const T *const *x;    ///< [n_rows] 3F
  const T *const *mu;   ///< [n_rows] 3F
  T *const *gx_out;     ///< [n_rows] 3F, added to
  T *const *gmu_out;    ///< [n_rows] 3F, added to
};

/// Elements of StructureEdges::scratch: one lane of x and mu of every atom.
template <class T> constexpr std::int64_t scratch_size(std::int64_t n_atoms) {
  return n_atoms * 6 * (64 / static_cast<std::int64_t>(sizeof(T)));
}

/// Constants of one AdamW step (method section 16); `scale` is that of the clipped gradient.
struct AdamWStep {
  double beta1, beta2, eps, shrink, rate, root, scale;
};

/// The kernels of one instruction set.
template <class T> struct RowKernels {
  /// q += sum_j W_q x_j ; mu += sum_j (u W_R x_j + W_mu x_j mu_j), method section 8.
  void (*receive)(const Incoming<T> &in);
  /// Its gradient: adds to gx, gmu and the filter gradients.
  void (*send_back)(const Returning<T> &back);
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
