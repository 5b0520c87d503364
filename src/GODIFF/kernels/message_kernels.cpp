// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/message_kernels.hpp"

#include <cstring>

// One clone of each loop per instruction set, chosen when the library is loaded. GODIFF_NO_CLONES
// keeps the portable loop only, for compilers and loaders without ifunc.
#if defined(__x86_64__) && !defined(GODIFF_NO_CLONES)
#define GODIFF_CLONES \
  __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define GODIFF_CLONES
#endif
#define GODIFF_INLINE inline __attribute__((always_inline))

namespace godiff {
namespace kernels {

namespace {

constexpr int LANE_BYTES = 64;

// A vector of 16 floats or 8 doubles; the compiler splits it where registers are narrower.
template <class T> struct Lane {
  typedef T type __attribute__((vector_size(LANE_BYTES)));
  static constexpr std::int64_t WIDTH = LANE_BYTES / sizeof(T);
};

// Vectors pass by reference only: by value their ABI would depend on the instruction set.
template <class T> GODIFF_INLINE void load(typename Lane<T>::type &v, const T *p) {
  std::memcpy(&v, p, LANE_BYTES);
}

template <class T> GODIFF_INLINE void store(const typename Lane<T>::type &v, T *p) {
  std::memcpy(p, &v, LANE_BYTES);
}

template <class T> struct ForwardSums { typename Lane<T>::type q{}, m0{}, m1{}, m2{}; };

template <class T, bool HAS_MU>
GODIFF_INLINE void forward_edges(const MessageProblem<T> &p, const Edges<T> &edges,
                                 std::int64_t row, std::int64_t offset, std::int64_t f,
                                 ForwardSums<T> &sum) {
  const std::int64_t F = p.n_feat;
  for (std::int32_t e = edges.first[row]; e < edges.first[row + 1]; ++e) {
    const std::int64_t j = offset + edges.sender[e];
    const T *w = edges.filter + edges.pair[e] * edges.filter_stride + f;
    const T *x = p.x + j * 3 * F + f;
    const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
    typename Lane<T>::type wv, xv;
    load<T>(wv, w);
    load<T>(xv, x);
    sum.q += wv * xv;
    load<T>(wv, w + F);
    load<T>(xv, x + F);
    const typename Lane<T>::type b = wv * xv;
    sum.m0 += u[0] * b;
    sum.m1 += u[1] * b;
    sum.m2 += u[2] * b;
    if (HAS_MU) {
      const T *mu = p.mu + j * 3 * F + f;
      load<T>(wv, w + 2 * F);
      load<T>(xv, x + 2 * F);
      const typename Lane<T>::type c = wv * xv;
      typename Lane<T>::type v;
      load<T>(v, mu);
      sum.m0 += c * v;
      load<T>(v, mu + F);
      sum.m1 += c * v;
      load<T>(v, mu + 2 * F);
      sum.m2 += c * v;
    }
  }
}

template <class T, bool HAS_MU>
GODIFF_INLINE void forward_rows(const MessageProblem<T> &p, std::int64_t begin, std::int64_t end,
                                T *dq, T *dmu) {
  const std::int64_t F = p.n_feat;
  for (std::int64_t node = begin; node < end; ++node) {
    const std::int64_t atom = node % p.n_atoms;
    const std::int64_t offset = node - atom;
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      ForwardSums<T> sum;
      if (atom < p.n_template)
        forward_edges<T, HAS_MU>(p, p.fixed, atom, offset, f, sum);
      forward_edges<T, HAS_MU>(p, p.mobile, node, 0, f, sum);
      store<T>(sum.q, dq + node * F + f);
      store<T>(sum.m0, dmu + node * 3 * F + f);
      store<T>(sum.m1, dmu + node * 3 * F + F + f);
      store<T>(sum.m2, dmu + node * 3 * F + 2 * F + f);
    }
  }
}

template <class T> struct BackwardSums { typename Lane<T>::type a{}, b{}, t0{}, t1{}, t2{}; };

// Node j receives the gradient of its messages to i; the edge i -> j of its own row, read backwards,
// is the edge j -> i with the opposite direction.
template <class T>
GODIFF_INLINE void backward_edges(const MessageProblem<T> &p, const Edges<T> &edges, const T *gq,
                                  const T *gmu, std::int64_t row, std::int64_t offset,
                                  std::int64_t f, BackwardSums<T> &sum) {
  const std::int64_t F = p.n_feat;
  for (std::int32_t e = edges.first[row]; e < edges.first[row + 1]; ++e) {
    const std::int64_t i = offset + edges.sender[e];
    const T *w = edges.filter + edges.pair[e] * edges.filter_stride + f;
    const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
    typename Lane<T>::type wv, g, g0, g1, g2;
    load<T>(wv, w);
    load<T>(g, gq + i * F + f);
    load<T>(g0, gmu + i * 3 * F + f);
    load<T>(g1, gmu + i * 3 * F + F + f);
    load<T>(g2, gmu + i * 3 * F + 2 * F + f);
    sum.a += wv * g;
    load<T>(wv, w + F);
    sum.b -= wv * (u[0] * g0 + u[1] * g1 + u[2] * g2);
    load<T>(wv, w + 2 * F);
    sum.t0 += wv * g0;
    sum.t1 += wv * g1;
    sum.t2 += wv * g2;
  }
}

template <class T>
GODIFF_INLINE void backward_rows(const MessageProblem<T> &p, const T *gq, const T *gmu,
                                 std::int64_t begin, std::int64_t end, T *gx, T *gmu_in) {
  const std::int64_t F = p.n_feat;
  for (std::int64_t node = begin; node < end; ++node) {
    const std::int64_t atom = node % p.n_atoms;
    const std::int64_t offset = node - atom;
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      BackwardSums<T> sum;
      if (atom < p.n_template)
        backward_edges<T>(p, p.fixed, gq, gmu, atom, offset, f, sum);
      backward_edges<T>(p, p.mobile, gq, gmu, node, 0, f, sum);
      store<T>(sum.a, gx + node * 3 * F + f);
      store<T>(sum.b, gx + node * 3 * F + F + f);
      typename Lane<T>::type c{};
      if (p.mu) {
        const T *mu = p.mu + node * 3 * F + f;
        typename Lane<T>::type v;
        load<T>(v, mu);
        c += sum.t0 * v;
        load<T>(v, mu + F);
        c += sum.t1 * v;
        load<T>(v, mu + 2 * F);
        c += sum.t2 * v;
      }
      store<T>(c, gx + node * 3 * F + 2 * F + f);
      if (gmu_in) {
        typename Lane<T>::type xc;
        load<T>(xc, p.x + node * 3 * F + 2 * F + f);
        store<T>(xc * sum.t0, gmu_in + node * 3 * F + f);
        store<T>(xc * sum.t1, gmu_in + node * 3 * F + F + f);
        store<T>(xc * sum.t2, gmu_in + node * 3 * F + 2 * F + f);
      }
    }
  }
}

template <class T> struct FilterSums { typename Lane<T>::type a{}, b{}, c{}; };

// One direction of a pair: the message that sender j sends to receiver i along u.
template <class T>
GODIFF_INLINE void filter_edge(const MessageProblem<T> &p, const T *gq, const T *gmu,
                               std::int64_t i, std::int64_t j, T u0, T u1, T u2, std::int64_t f,
                               FilterSums<T> &sum) {
  const std::int64_t F = p.n_feat;
  const T *x = p.x + j * 3 * F + f;
  typename Lane<T>::type xv, g, g0, g1, g2;
  load<T>(xv, x);
  load<T>(g, gq + i * F + f);
  load<T>(g0, gmu + i * 3 * F + f);
  load<T>(g1, gmu + i * 3 * F + F + f);
  load<T>(g2, gmu + i * 3 * F + 2 * F + f);
  sum.a += xv * g;
  load<T>(xv, x + F);
  sum.b += xv * (u0 * g0 + u1 * g1 + u2 * g2);
  if (p.mu) {
    const T *mu = p.mu + j * 3 * F + f;
    typename Lane<T>::type m0, m1, m2;
    load<T>(m0, mu);
    load<T>(m1, mu + F);
    load<T>(m2, mu + 2 * F);
    load<T>(xv, x + 2 * F);
    sum.c += xv * (g0 * m0 + g1 * m1 + g2 * m2);
  }
}

template <class T>
GODIFF_INLINE void backward_pairs(const MessageProblem<T> &p, bool fixed, const T *gq, const T *gmu,
                                  std::int64_t begin, std::int64_t end, T *gfilter) {
  const std::int64_t F = p.n_feat;
  const Edges<T> &edges = fixed ? p.fixed : p.mobile;
  const std::int64_t copies = fixed ? p.n_structures : 1;
  for (std::int64_t pair = begin; pair < end; ++pair) {
    const T *u = edges.pair_direction + 3 * pair;
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      FilterSums<T> sum;
      for (std::int64_t g = 0; g < copies; ++g) {
        const std::int64_t i = g * p.n_atoms + edges.pair_i[pair];
        const std::int64_t j = g * p.n_atoms + edges.pair_j[pair];
        filter_edge<T>(p, gq, gmu, i, j, u[0], u[1], u[2], f, sum);
        filter_edge<T>(p, gq, gmu, j, i, -u[0], -u[1], -u[2], f, sum);
      }
      store<T>(sum.a, gfilter + pair * 3 * F + f);
      store<T>(sum.b, gfilter + pair * 3 * F + F + f);
      store<T>(sum.c, gfilter + pair * 3 * F + 2 * F + f);
    }
  }
}

}  // namespace

#define GODIFF_INSTANTIATE(T)                                                                   \
  GODIFF_CLONES void message_forward(const MessageProblem<T> &problem, std::int64_t begin,      \
                                     std::int64_t end, T *dq, T *dmu) {                         \
    if (problem.mu)                                                                             \
      forward_rows<T, true>(problem, begin, end, dq, dmu);                                      \
    else                                                                                        \
      forward_rows<T, false>(problem, begin, end, dq, dmu);                                     \
  }                                                                                             \
  GODIFF_CLONES void message_backward_nodes(const MessageProblem<T> &problem, const T *gq,      \
                                            const T *gmu, std::int64_t begin, std::int64_t end, \
                                            T *gx, T *gmu_in) {                                 \
    backward_rows<T>(problem, gq, gmu, begin, end, gx, gmu_in);                                 \
  }                                                                                             \
  GODIFF_CLONES void message_backward_filters(const MessageProblem<T> &problem, bool fixed,     \
                                              const T *gq, const T *gmu, std::int64_t begin,    \
                                              std::int64_t end, T *gfilter) {                   \
    backward_pairs<T>(problem, fixed, gq, gmu, begin, end, gfilter);                            \
  }

GODIFF_INSTANTIATE(float)
GODIFF_INSTANTIATE(double)

}  // namespace kernels
}  // namespace godiff
