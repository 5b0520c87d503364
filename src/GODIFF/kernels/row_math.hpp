// SPDX-License-Identifier: GPL-2.0-only
// What the kernels do with one lane of features: of an edge, a run of edges, a row, a weight. The row
// kernels of the CPU and the functors of Kokkos both call it; they only differ in how they get there.
//
// A lane L is a type of values (L::Vector, one number or a register full of them) with load, store and
// root. Everything lies in an unnamed namespace and is always inlined: the file is compiled for several
// instruction sets, and none may take the function of another.
#pragma once

#include <cstdint>

#include "kernels/on_devices.hpp"
#include "kernels/row_kernels.hpp"

namespace godiff {
namespace kernels {
namespace {

GODIFF_MATH float root(float x) {
#ifdef GODIFF_ON_DEVICES
  return ::sqrtf(x);
#else
  return __builtin_sqrtf(x);
#endif
}
GODIFF_MATH double root(double x) {
#ifdef GODIFF_ON_DEVICES
  return ::sqrt(x);
#else
  return __builtin_sqrt(x);
#endif
}

/// One number.
template <class T> struct ScalarLane {
  using Scalar = T;
  using Vector = T;
  static constexpr std::int64_t WIDTH = 1;
  static GODIFF_MATH Vector load(const T *p) { return *p; }
  static GODIFF_MATH void store(T *p, Vector v) { *p = v; }
  static GODIFF_MATH Vector root_of(Vector v) { return root(v); }
};

#ifndef GODIFF_ON_DEVICES
/// A register of BYTES bytes, loaded from and stored to addresses of any alignment.
template <class T, int BYTES> struct VectorLane {
  using Scalar = T;
  typedef T Vector __attribute__((vector_size(BYTES)));
  static constexpr std::int64_t WIDTH = BYTES / sizeof(T);
  static GODIFF_MATH Vector load(const T *p) {
    Vector v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  }
  static GODIFF_MATH void store(T *p, const Vector &v) { __builtin_memcpy(p, &v, sizeof(v)); }
  static GODIFF_MATH Vector root_of(const Vector &v) {
    Vector r;
    for (std::int64_t i = 0; i < WIDTH; ++i)
      r[i] = root(v[i]);
    return r;
  }
};
#endif

template <class L> GODIFF_MATH void add(typename L::Scalar *p, const typename L::Vector &v) {
  L::store(p, L::load(p) + v);
}

template <class L> GODIFF_MATH void copy(const typename L::Scalar *from, typename L::Scalar *to) {
  L::store(to, L::load(from));
}

/// A lane of the row of an atom: x and mu of a sender, or the gradients of q and mu of a receiver.
template <class T> struct FoundRow { const T *first, *second; };

// Tables of such rows have find(atom), the distance `step` from one part of a row (a, b, c or x, y, z) to
// the next, and COMPLETE: every atom has a row. Where it is false, first = nullptr says that one has none.

/// Sums over the edges of a run, all with the same filter: what is sent, before the filter.
template <class L, bool HAS_MU> struct SentRun {
  using T = typename L::Scalar;
  using V = typename L::Vector;
  V a{}, b0{}, b1{}, b2{}, c0{}, c1{}, c2{};

  /// u: direction of the edge from the receiver to this sender.
  GODIFF_MATH void add_edge(const FoundRow<T> &sender, std::int64_t step, const T *u) {
    const T *x = sender.first;
    a += L::load(x);
    const V xb = L::load(x + step);
    b0 += u[0] * xb;
    b1 += u[1] * xb;
    b2 += u[2] * xb;
    if (HAS_MU) {
      const T *mu = sender.second;
      const V xc = L::load(x + 2 * step);
      c0 += xc * L::load(mu);
      c1 += xc * L::load(mu + step);
      c2 += xc * L::load(mu + 2 * step);
    }
  }
};

/// q and mu of a receiver.
template <class L> struct Received {
  using T = typename L::Scalar;
  using V = typename L::Vector;
  V q, m0, m1, m2;

  /// w: the filter's row at this lane, its three parts F apart.
  template <bool HAS_MU>
  GODIFF_MATH void add_run(const SentRun<L, HAS_MU> &run, const T *w, std::int64_t F) {
    q += L::load(w) * run.a;
    const V wb = L::load(w + F);
    m0 += wb * run.b0;
    m1 += wb * run.b1;
    m2 += wb * run.b2;
    if (HAS_MU) {
      const V wc = L::load(w + 2 * F);
      m0 += wc * run.c0;
      m1 += wc * run.c1;
      m2 += wc * run.c2;
    }
  }
};

/// Adds the messages along the edges of one row: first the plain sums over a run, then once the filter.
template <class L, bool HAS_MU, class Senders>
GODIFF_MATH void receive_edges(const EdgeRows<typename L::Scalar> &edges, const Senders &senders,
                               std::int64_t F, std::int64_t row, std::int64_t f, Received<L> &sum) {
  using T = typename L::Scalar;
  std::int32_t e = edges.first[row];
  const std::int32_t end = edges.first[row + 1];
  while (e < end) {
    const std::int32_t filter = edges.filter[e];
    SentRun<L, HAS_MU> run;
    do {
      const FoundRow<T> sender = senders.find(edges.other[e]);
      if (Senders::COMPLETE || sender.first)
        run.add_edge(sender, senders.step, edges.direction + 3 * static_cast<std::int64_t>(e));
      ++e;
    } while (e < end && edges.filter[e] == filter);
    sum.add_run(run, edges.filters + filter * edges.filter_stride + f, F);
  }
}

/// Sums over the edges of a run, all with the same sender and the same filter: what comes back to the
/// sender from the gradients of the receivers, before the filter.
template <class L, bool HAS_MU> struct ReturnedRun {
  using T = typename L::Scalar;
  using V = typename L::Vector;
  // Three sums for u.g instead of one: each is a chain of its own for the processor.
  V s{}, d0{}, d1{}, d2{}, g0{}, g1{}, g2{};

  /// u: direction of the edge from the sender to this receiver.
  GODIFF_MATH void add_edge(const FoundRow<T> &receiver, std::int64_t step, const T *u) {
    const T *gmu = receiver.second;
    s += L::load(receiver.first);
    const V h0 = L::load(gmu), h1 = L::load(gmu + step), h2 = L::load(gmu + 2 * step);
    d0 += u[0] * h0;
    d1 += u[1] * h1;
    d2 += u[2] * h2;
    if (HAS_MU) {
      g0 += h0;
      g1 += h1;
      g2 += h2;
    }
  }
  GODIFF_MATH V d() const { return d0 + d1 + d2; }
};

/// Of the three parts of a filter.
template <class L> struct FilterGradient {
  using T = typename L::Scalar;
  using V = typename L::Vector;
  V a, b, c;

  template <bool HAS_MU> GODIFF_MATH void add_to(T *gw, std::int64_t F) const {
    add<L>(gw, a);
    add<L>(gw + F, b);
    if (HAS_MU)
      add<L>(gw + 2 * F, c);
  }
  GODIFF_MATH void operator+=(const FilterGradient &other) {
    a += other.a;
    b += other.b;
    c += other.c;
  }
};

/// What a sender's row is: parts a, b, c of x, and mu.
template <class L, bool HAS_MU> struct SenderRow {
  using T = typename L::Scalar;
  using V = typename L::Vector;
  V xa, xb, xc, v0, v1, v2;

  GODIFF_MATH SenderRow(const T *x, const T *mu, std::int64_t F) :
      xa(L::load(x)),
      xb(L::load(x + F)),
      xc{},
      v0{},
      v1{},
      v2{} {
    if (HAS_MU) {
      xc = L::load(x + 2 * F);
      v0 = L::load(mu);
      v1 = L::load(mu + F);
      v2 = L::load(mu + 2 * F);
    }
  }

  /// A run's part of the gradient of the filter.
  GODIFF_MATH FilterGradient<L> filter_gradient(const ReturnedRun<L, HAS_MU> &run) const {
    // The edge into this atom, read backwards, is the edge to the other one: hence -direction for b.
    FilterGradient<L> g{xa * run.s, -(xb * run.d()), {}};
    if (HAS_MU)
      g.c = xc * (v0 * run.g0 + v1 * run.g1 + v2 * run.g2);
    return g;
  }
};

/// What comes back to a sender.
template <class L, bool HAS_MU> struct Returned {
  using T = typename L::Scalar;
  using V = typename L::Vector;
  V a{}, b{}, t0{}, t1{}, t2{};

  GODIFF_MATH void add_run(const ReturnedRun<L, HAS_MU> &run, const T *w, std::int64_t F) {
    a += L::load(w) * run.s;
    b -= L::load(w + F) * run.d();
    if (HAS_MU) {
      const V wc = L::load(w + 2 * F);
      t0 += wc * run.g0;
      t1 += wc * run.g1;
      t2 += wc * run.g2;
    }
  }

  /// Adds all of it to the gradients of the sender's x and mu.
  GODIFF_MATH void add_to(const SenderRow<L, HAS_MU> &from, T *gx, T *gmu, std::int64_t F) const {
    add<L>(gx, a);
    add<L>(gx + F, b);
    if (HAS_MU) {
      add<L>(gx + 2 * F, from.v0 * t0 + from.v1 * t1 + from.v2 * t2);
      add<L>(gmu, from.xc * t0);
      add<L>(gmu + F, from.xc * t1);
      add<L>(gmu + 2 * F, from.xc * t2);
    }
  }
};

/// Adds what comes back along the edges of one row; with FILTERS also to the filters' gradients.
template <class L, bool HAS_MU, bool FILTERS, class Receivers>
GODIFF_MATH void send_back_edges(const EdgeRows<typename L::Scalar> &edges,
                                 const Receivers &receivers, std::int64_t F, std::int64_t row,
                                 std::int64_t f, const SenderRow<L, HAS_MU> &from,
                                 Returned<L, HAS_MU> &sum) {
  using T = typename L::Scalar;
  std::int32_t e = edges.first[row];
  const std::int32_t end = edges.first[row + 1];
  while (e < end) {
    const std::int32_t filter = edges.filter[e];
    ReturnedRun<L, HAS_MU> run;
    do {
      const FoundRow<T> receiver = receivers.find(edges.other[e]);
      if (Receivers::COMPLETE || receiver.first)
        run.add_edge(receiver, receivers.step, edges.direction + 3 * static_cast<std::int64_t>(e));
      ++e;
    } while (e < end && edges.filter[e] == filter);
    sum.add_run(run, edges.filters + filter * edges.filter_stride + f, F);
    if (FILTERS)
      from.filter_gradient(run).template add_to<HAS_MU>(
          edges.filter_gradients + filter * edges.gradient_stride + f, F);
  }
}

// The mixing part; pointers are to a lane of a row of the tables that RowKernels describes.

/// joined's norm = sqrt(|V|^2 + eps).
template <class L>
GODIFF_MATH void norm_lane(std::int64_t F, typename L::Scalar eps, const typename L::Scalar *vu,
                           typename L::Scalar *joined) {
  const typename L::Vector a = L::load(vu), b = L::load(vu + 2 * F), c = L::load(vu + 4 * F);
  L::store(joined + F, L::root_of(a * a + b * b + c * c + eps));
}

/// q = joined's q + p + s (V.U) ; mu_out = mu + r U.
template <class L>
GODIFF_MATH void gate_lane(std::int64_t F, const typename L::Scalar *joined,
                           const typename L::Scalar *mu, const typename L::Scalar *vu,
                           const typename L::Scalar *prs, typename L::Scalar *q,
                           typename L::Scalar *mu_out) {
  using V = typename L::Vector;
  V dot{};
  const V scale = L::load(prs + F);
  for (int k = 0; k < 3; ++k) {
    const V u = L::load(vu + (2 * k + 1) * F);
    dot += L::load(vu + 2 * k * F) * u;
    L::store(mu_out + k * F, L::load(mu + k * F) + scale * u);
  }
  L::store(q, L::load(joined) + L::load(prs) + L::load(prs + 2 * F) * dot);
}

/// Gradients of gate_lane() with respect to prs and vu.
template <class L>
GODIFF_MATH void gate_backward_lane(std::int64_t F, const typename L::Scalar *gq,
                                    const typename L::Scalar *gmu, const typename L::Scalar *vu,
                                    const typename L::Scalar *prs, typename L::Scalar *gprs,
                                    typename L::Scalar *gvu) {
  using V = typename L::Vector;
  const V g = L::load(gq), scale = L::load(prs + F), sg = L::load(prs + 2 * F) * g;
  V dot{}, g_scale{};
  for (int k = 0; k < 3; ++k) {
    const V v = L::load(vu + 2 * k * F), u = L::load(vu + (2 * k + 1) * F),
            gm = L::load(gmu + k * F);
    dot += v * u;
    g_scale += gm * u;
    L::store(gvu + 2 * k * F, sg * u);
    L::store(gvu + (2 * k + 1) * F, scale * gm + sg * v);
  }
  L::store(gprs, g);
  L::store(gprs + F, g_scale);
  L::store(gprs + 2 * F, g * dot);
}

/// Gradient of norm_lane(): adds to gvu's V part, and joined's gradient of q to gq.
template <class L>
GODIFF_MATH void norm_backward_lane(std::int64_t F, const typename L::Scalar *vu,
                                    const typename L::Scalar *joined,
                                    const typename L::Scalar *g_joined, typename L::Scalar *gvu,
                                    typename L::Scalar *gq) {
  add<L>(gq, L::load(g_joined));
  const typename L::Vector ratio = L::load(g_joined + F) / L::load(joined + F);
  for (int k = 0; k < 3; ++k)
    add<L>(gvu + 2 * k * F, ratio * L::load(vu + 2 * k * F));
}

/// The constants of an AdamW step in the type of the weights.
template <class T> struct AdamWNumbers {
  T b1, b2, eps, shrink, rate, scale_root, scale;

  explicit GODIFF_MATH AdamWNumbers(const AdamWStep &step) :
      b1(static_cast<T>(step.beta1)),
      b2(static_cast<T>(step.beta2)),
      eps(static_cast<T>(step.eps)),
      shrink(static_cast<T>(step.shrink)),
      rate(static_cast<T>(step.rate)),
      scale_root(static_cast<T>(step.root)),
      scale(static_cast<T>(step.scale)) {}

  /// One step of one weight.
  GODIFF_MATH void step(T gradient, T &weight, T &first_moment, T &second_moment) const {
    const T one = 1;
    const T g = gradient * scale;
    const T m = b1 * first_moment + (one - b1) * g;
    const T v = b2 * second_moment + (one - b2) * g * g;
    first_moment = m;
    second_moment = v;
    weight = weight * shrink - rate * m / (root(v) * scale_root + eps);
  }
};

}  // namespace
}  // namespace kernels
}  // namespace godiff
