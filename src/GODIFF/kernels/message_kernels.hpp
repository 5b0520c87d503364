// SPDX-License-Identifier: GPL-2.0-only
// The raw loops behind message(): plain pointers, one receiver row or one pair range at a time.
#pragma once

#include <cstdint>

namespace godiff {
namespace kernels {

/// Read-only view of an EdgeSet, T = float or double.
template <class T> struct Edges {
  const std::int32_t *pair_i;
  const std::int32_t *pair_j;
  const T *pair_direction;
  const std::int32_t *first;
  const std::int32_t *sender;
  const std::int32_t *pair;
  const T *direction;
  const T *filter;  ///< row p at filter + p*filter_stride: (q | R | mu) parts, F each
  std::int64_t filter_stride;
  std::int64_t n_pairs;
};

template <class T> struct MessageProblem {
  std::int64_t n_feat;  ///< F, a multiple of 16
  std::int64_t n_structures;
  std::int64_t n_template;
  std::int64_t n_atoms;
  Edges<T> fixed;
  Edges<T> mobile;
  const T *x;   ///< [nodes,3F]
  const T *mu;  ///< [nodes,3,F] or nullptr (all zero)
};

/// Forward for the nodes [begin, end): writes dq [nodes,F], dmu [nodes,3,F].
void message_forward(const MessageProblem<float> &problem, std::int64_t begin, std::int64_t end,
                     float *dq, float *dmu);
void message_forward(const MessageProblem<double> &problem, std::int64_t begin, std::int64_t end,
                     double *dq, double *dmu);

/// Gradients of the nodes [begin, end) from gq [nodes,F], gmu [nodes,3,F]: writes gx [nodes,3F] and,
/// unless nullptr, gmu_in [nodes,3,F].
void message_backward_nodes(const MessageProblem<float> &problem, const float *gq, const float *gmu,
                            std::int64_t begin, std::int64_t end, float *gx, float *gmu_in);
void message_backward_nodes(const MessageProblem<double> &problem, const double *gq,
                            const double *gmu, std::int64_t begin, std::int64_t end, double *gx,
                            double *gmu_in);

/// Gradients of the filters of the pairs [begin, end) of `fixed` (summed over the structures) or of
/// `mobile`: writes gfilter [pairs,3F].
void message_backward_filters(const MessageProblem<float> &problem, bool fixed, const float *gq,
                              const float *gmu, std::int64_t begin, std::int64_t end,
                              float *gfilter);
void message_backward_filters(const MessageProblem<double> &problem, bool fixed, const double *gq,
                              const double *gmu, std::int64_t begin, std::int64_t end,
                              double *gfilter);

}  // namespace kernels
}  // namespace godiff
