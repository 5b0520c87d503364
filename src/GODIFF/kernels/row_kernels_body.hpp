// SPDX-License-Identifier: GPL-2.0-only
// Body of the row kernels. Included once per instruction set by row_kernels_*.cpp, which set
//   GODIFF_LANE_BYTES  width of a vector register,
//   GODIFF_TABLE       name of the function that returns the table.
// No header with inline functions may be included here: compiled for one instruction set, the linker
// could take such a function for the whole program.

#include "kernels/row_kernels.hpp"

#define GODIFF_INLINE static inline __attribute__((always_inline))

namespace godiff {
namespace kernels {
namespace {

template <class T> struct Lane {
  typedef T type __attribute__((vector_size(GODIFF_LANE_BYTES)));
  static constexpr std::int64_t WIDTH = GODIFF_LANE_BYTES / sizeof(T);
};
template <class T> using Vector = typename Lane<T>::type;

template <class T> GODIFF_INLINE Vector<T> load(const T *p) {
  Vector<T> v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

template <class T> GODIFF_INLINE void store(T *p, const Vector<T> &v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

template <class T> GODIFF_INLINE void add(T *p, const Vector<T> &v) {
  store<T>(p, load<T>(p) + v);
}

template <class T> GODIFF_INLINE void copy(const T *from, T *to) {
  store<T>(to, load<T>(from));
}

// Where the edges find the rows at their other end: x and mu of senders, or the gradients of q and mu
// of receivers; `step` apart for each of the parts a, b, c or x, y, z.
//
// The template edges visit each row some thirty times, so one lane of all atoms is packed side by side
// first: the rows themselves lie a multiple of their length apart, which maps them all to a few sets of
// the first cache. The mobile edges, each with a filter of its own, read the rows as they are.
template <class T> struct PackedRows {
  static constexpr std::int64_t W = Lane<T>::WIDTH, STRIDE = 6 * W;
  T *data;
  std::int64_t step = W;
  const T *first(std::int64_t atom) const { return data + atom * STRIDE; }
  const T *second(std::int64_t atom) const { return data + atom * STRIDE + 3 * W; }
};

template <class T> struct PlainRows {
  const T *const *firsts, *const *seconds;
  std::int64_t f, step;
  const T *first(std::int64_t atom) const { return firsts[atom] + f; }
  const T *second(std::int64_t atom) const { return seconds[atom] + f; }
};

template <class T> struct Received { Vector<T> q, m0, m1, m2; };

// Adds the messages along the edges of one row: first the plain sums over a run, then once the filter.
template <class T, bool HAS_MU, class Rows>
GODIFF_INLINE void receive_edges(const EdgeRows<T> &edges, const Rows &senders, std::int64_t F,
                                 std::int64_t row, std::int64_t f, Received<T> &sum) {
  const std::int64_t step = senders.step;
  std::int32_t e = edges.first[row];
  const std::int32_t end = edges.first[row + 1];
  while (e < end) {
    const std::int32_t run = edges.filter[e];
    Vector<T> a{}, b0{}, b1{}, b2{}, c0{}, c1{}, c2{};
    do {
      const T *x = senders.first(edges.other[e]);
      const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
      a += load<T>(x);
      const Vector<T> xb = load<T>(x + step);
      b0 += u[0] * xb;
      b1 += u[1] * xb;
      b2 += u[2] * xb;
      if (HAS_MU) {
        const T *mu = senders.second(edges.other[e]);
        const Vector<T> xc = load<T>(x + 2 * step);
        c0 += xc * load<T>(mu);
        c1 += xc * load<T>(mu + step);
        c2 += xc * load<T>(mu + 2 * step);
      }
      ++e;
    } while (e < end && edges.filter[e] == run);
    const T *w = edges.filters + run * edges.filter_stride + f;
    sum.q += load<T>(w) * a;
    const Vector<T> wb = load<T>(w + F);
    sum.m0 += wb * b0;
    sum.m1 += wb * b1;
    sum.m2 += wb * b2;
    if (HAS_MU) {
      const Vector<T> wc = load<T>(w + 2 * F);
      sum.m0 += wc * c0;
      sum.m1 += wc * c1;
      sum.m2 += wc * c2;
    }
  }
}

template <class T, bool HAS_MU, class Rows>
GODIFF_INLINE void receive_row(const EdgeRows<T> &edges, const Rows &senders, std::int64_t F,
                               std::int64_t row, std::int64_t f, T *q, T *mu) {
  Received<T> sum{load<T>(q + f), load<T>(mu + f), load<T>(mu + F + f), load<T>(mu + 2 * F + f)};
  receive_edges<T, HAS_MU>(edges, senders, F, row, f, sum);
  store<T>(q + f, sum.q);
  store<T>(mu + f, sum.m0);
  store<T>(mu + F + f, sum.m1);
  store<T>(mu + 2 * F + f, sum.m2);
}

template <class T, bool HAS_MU> GODIFF_INLINE void receive_all(const Incoming<T> &in) {
  constexpr std::int64_t W = Lane<T>::WIDTH, STRIDE = PackedRows<T>::STRIDE;
  const StructureEdges<T> &edges = in.edges;
  const std::int64_t F = edges.n_feat;
  for (std::int64_t f = 0; edges.of_template.first && f < F; f += W) {
    for (std::int64_t i = 0; i < edges.n_template; ++i) {
      if (!in.x[i])
        continue;
      for (int k = 0; k < 3; ++k) {
        copy<T>(in.x[i] + k * F + f, edges.scratch + i * STRIDE + k * W);
        if (HAS_MU)
          copy<T>(in.mu[i] + k * F + f, edges.scratch + i * STRIDE + (3 + k) * W);
      }
    }
    const PackedRows<T> senders{edges.scratch};
    for (std::int64_t r = 0; r < edges.n_rows; ++r)
      if (edges.atom[r] < edges.n_template)
        receive_row<T, HAS_MU>(edges.of_template, senders, F, edges.atom[r], f, in.q_out[r],
                               in.mu_out[r]);
  }
  for (std::int64_t r = 0; r < edges.n_slots; ++r)
    for (std::int64_t f = 0; f < F; f += W)
      receive_row<T, HAS_MU>(edges.of_mobile, PlainRows<T>{in.x, in.mu, f, F}, F, r, f, in.q_out[r],
                             in.mu_out[r]);
}

template <class T> void receive(const Incoming<T> &in) {
  if (in.edges.has_mu)
    receive_all<T, true>(in);
  else
    receive_all<T, false>(in);
}

// What a sender's row is and what comes back to it.
template <class T> struct Sender { Vector<T> xa, xb, xc, v0, v1, v2; };
template <class T> struct Returned { Vector<T> a, b, t0, t1, t2; };

template <class T, bool HAS_MU, class Rows>
GODIFF_INLINE void send_back_edges(const EdgeRows<T> &edges, const Rows &receivers, std::int64_t F,
                                   std::int64_t row, std::int64_t f, const Sender<T> &from,
                                   Returned<T> &sum) {
  const std::int64_t step = receivers.step;
  std::int32_t e = edges.first[row];
  const std::int32_t end = edges.first[row + 1];
  while (e < end) {
    const std::int32_t run = edges.filter[e];
    // Three sums for u.g instead of one: each is a chain of its own for the processor.
    Vector<T> s{}, d0{}, d1{}, d2{}, g0{}, g1{}, g2{};
    do {
      const T *gmu = receivers.second(edges.other[e]);
      const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
      s += load<T>(receivers.first(edges.other[e]));
      const Vector<T> h0 = load<T>(gmu), h1 = load<T>(gmu + step), h2 = load<T>(gmu + 2 * step);
      d0 += u[0] * h0;
      d1 += u[1] * h1;
      d2 += u[2] * h2;
      if (HAS_MU) {
        g0 += h0;
        g1 += h1;
        g2 += h2;
      }
      ++e;
    } while (e < end && edges.filter[e] == run);
    const Vector<T> d = d0 + d1 + d2;
    const T *w = edges.filters + run * edges.filter_stride + f;
    T *gw = edges.filter_gradients + run * edges.gradient_stride + f;
    // The edge into this atom, read backwards, is the edge to the other one: hence -direction for b.
    sum.a += load<T>(w) * s;
    sum.b -= load<T>(w + F) * d;
    add<T>(gw, from.xa * s);
    add<T>(gw + F, -(from.xb * d));
    if (HAS_MU) {
      const Vector<T> wc = load<T>(w + 2 * F);
      sum.t0 += wc * g0;
      sum.t1 += wc * g1;
      sum.t2 += wc * g2;
      add<T>(gw + 2 * F, from.xc * (from.v0 * g0 + from.v1 * g1 + from.v2 * g2));
    }
  }
}

template <class T, bool HAS_MU, class Rows>
GODIFF_INLINE void send_back_row(const Returning<T> &back, const EdgeRows<T> &edges,
                                 const Rows &receivers, std::int64_t row, std::int64_t r,
                                 std::int64_t f) {
  const std::int64_t F = back.edges.n_feat;
  const T *x = back.x[r] + f;
  Sender<T> from{load<T>(x), load<T>(x + F), {}, {}, {}, {}};
  if (HAS_MU) {
    const T *mu = back.mu[r] + f;
    from.xc = load<T>(x + 2 * F);
    from.v0 = load<T>(mu);
    from.v1 = load<T>(mu + F);
    from.v2 = load<T>(mu + 2 * F);
  }
  Returned<T> sum{};
  send_back_edges<T, HAS_MU>(edges, receivers, F, row, f, from, sum);
  T *gx = back.gx_out[r] + f;
  add<T>(gx, sum.a);
  add<T>(gx + F, sum.b);
  if (HAS_MU) {
    add<T>(gx + 2 * F, from.v0 * sum.t0 + from.v1 * sum.t1 + from.v2 * sum.t2);
    T *gmu = back.gmu_out[r] + f;
    add<T>(gmu, from.xc * sum.t0);
    add<T>(gmu + F, from.xc * sum.t1);
    add<T>(gmu + 2 * F, from.xc * sum.t2);
  }
}

template <class T, bool HAS_MU> GODIFF_INLINE void send_back_all(const Returning<T> &back) {
  constexpr std::int64_t W = Lane<T>::WIDTH, STRIDE = PackedRows<T>::STRIDE;
  const StructureEdges<T> &edges = back.edges;
  const std::int64_t F = edges.n_feat;
  for (std::int64_t f = 0; edges.of_template.first && f < F; f += W) {
    for (std::int64_t i = 0; i < edges.n_template; ++i) {
      if (!back.gq[i])
        continue;
      copy<T>(back.gq[i] + f, edges.scratch + i * STRIDE);
      for (int k = 0; k < 3; ++k)
        copy<T>(back.gmu[i] + k * F + f, edges.scratch + i * STRIDE + (3 + k) * W);
    }
    const PackedRows<T> receivers{edges.scratch};
    for (std::int64_t r = 0; r < edges.n_rows; ++r)
      if (edges.atom[r] < edges.n_template)
        send_back_row<T, HAS_MU>(back, edges.of_template, receivers, edges.atom[r], r, f);
  }
  for (std::int64_t r = 0; r < edges.n_slots; ++r)
    for (std::int64_t f = 0; f < F; f += W)
      send_back_row<T, HAS_MU>(back, edges.of_mobile, PlainRows<T>{back.gq, back.gmu, f, F}, r, r,
                               f);
}

template <class T> void send_back(const Returning<T> &back) {
  if (back.edges.has_mu)
    send_back_all<T, true>(back);
  else
    send_back_all<T, false>(back);
}

GODIFF_INLINE float root(float x) {
  return __builtin_sqrtf(x);
}
GODIFF_INLINE double root(double x) {
  return __builtin_sqrt(x);
}

template <class T> GODIFF_INLINE Vector<T> root(const Vector<T> &v) {
  Vector<T> r;
  for (std::int64_t i = 0; i < Lane<T>::WIDTH; ++i)
    r[i] = root(v[i]);
  return r;
}

template <class T> void norm(std::int64_t rows, std::int64_t F, T eps, const T *vu, T *joined) {
  for (std::int64_t r = 0; r < rows; ++r, vu += 6 * F, joined += 2 * F)
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      const Vector<T> a = load<T>(vu + f), b = load<T>(vu + 2 * F + f), c = load<T>(vu + 4 * F + f);
      store<T>(joined + F + f, root<T>(a * a + b * b + c * c + eps));
    }
}

template <class T>
void gate(std::int64_t rows, std::int64_t F, const T *joined, const T *mu, const T *vu,
          const T *prs, T *q, T *mu_out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      Vector<T> dot{};
      const Vector<T> scale = load<T>(prs + F + f);
      for (int k = 0; k < 3; ++k) {
        const Vector<T> u = load<T>(vu + (2 * k + 1) * F + f);
        dot += load<T>(vu + 2 * k * F + f) * u;
        store<T>(mu_out + k * F + f, load<T>(mu + k * F + f) + scale * u);
      }
      store<T>(q + f, load<T>(joined + f) + load<T>(prs + f) + load<T>(prs + 2 * F + f) * dot);
    }
    joined += 2 * F;
    mu += 3 * F;
    mu_out += 3 * F;
    vu += 6 * F;
    prs += 3 * F;
    q += F;
  }
}

template <class T>
void gate_backward(std::int64_t rows, std::int64_t F, const T *gq, const T *gmu, const T *vu,
                   const T *prs, T *gprs, T *gvu) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      const Vector<T> g = load<T>(gq + f), scale = load<T>(prs + F + f),
                      sg = load<T>(prs + 2 * F + f) * g;
      Vector<T> dot{}, g_scale{};
      for (int k = 0; k < 3; ++k) {
        const Vector<T> v = load<T>(vu + 2 * k * F + f), u = load<T>(vu + (2 * k + 1) * F + f),
                        gm = load<T>(gmu + k * F + f);
        dot += v * u;
        g_scale += gm * u;
        store<T>(gvu + 2 * k * F + f, sg * u);
        store<T>(gvu + (2 * k + 1) * F + f, scale * gm + sg * v);
      }
      store<T>(gprs + f, g);
      store<T>(gprs + F + f, g_scale);
      store<T>(gprs + 2 * F + f, g * dot);
    }
    gq += F;
    gmu += 3 * F;
    vu += 6 * F;
    prs += 3 * F;
    gprs += 3 * F;
    gvu += 6 * F;
  }
}

template <class T>
void norm_backward(std::int64_t rows, std::int64_t F, const T *vu, const T *joined,
                   const T *g_joined, T *gvu, T *gq) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
      add<T>(gq + f, load<T>(g_joined + f));
      const Vector<T> ratio = load<T>(g_joined + F + f) / load<T>(joined + F + f);
      for (int k = 0; k < 3; ++k)
        add<T>(gvu + 2 * k * F + f, ratio * load<T>(vu + 2 * k * F + f));
    }
    vu += 6 * F;
    joined += 2 * F;
    g_joined += 2 * F;
    gvu += 6 * F;
    gq += F;
  }
}

template <class T>
void add_column_sums(std::int64_t rows, std::int64_t columns, const T *values, T *sums) {
  for (std::int64_t c = 0; c < columns; c += Lane<T>::WIDTH) {
    Vector<T> sum{};
    for (std::int64_t r = 0; r < rows; ++r)
      sum += load<T>(values + r * columns + c);
    add<T>(sums + c, sum);
  }
}

// The partial sums are part of the result's bits, so their number is the same everywhere.
constexpr int PARTIAL_SUMS = 8, BLOCK = 64;

template <class T>
double sum_parts(std::int64_t n_parts, const T *const *parts, std::int64_t begin, std::int64_t end,
                 T *total) {
  double squares[PARTIAL_SUMS] = {};
  for (std::int64_t block = begin; block < end; block += BLOCK) {
    const std::int64_t n = end - block < BLOCK ? end - block : BLOCK;
    T sum[BLOCK] = {};
    for (std::int64_t k = 0; k < n_parts; ++k)
      for (std::int64_t i = 0; i < n; ++i)
        sum[i] += parts[k][block + i];
    for (std::int64_t i = 0; i < n; ++i)
      total[block + i] = sum[i];
    for (std::int64_t i = 0; i < BLOCK; i += PARTIAL_SUMS)
      for (int k = 0; k < PARTIAL_SUMS; ++k)
        squares[k] += static_cast<double>(sum[i + k]) * static_cast<double>(sum[i + k]);
  }
  double sum = 0.0;
  for (int k = 0; k < PARTIAL_SUMS; ++k)
    sum += squares[k];
  return sum;
}

template <class T>
void adamw(const AdamWStep &step, std::int64_t begin, std::int64_t end, const T *gradient,
           T *weights, T *first_moment, T *second_moment) {
  const T b1 = static_cast<T>(step.beta1), b2 = static_cast<T>(step.beta2),
          eps = static_cast<T>(step.eps), shrink = static_cast<T>(step.shrink),
          rate = static_cast<T>(step.rate), scale_root = static_cast<T>(step.root),
          scale = static_cast<T>(step.scale), one = 1;
  for (std::int64_t i = begin; i < end; ++i) {
    const T g = gradient[i] * scale;
    const T m = b1 * first_moment[i] + (one - b1) * g;
    const T v = b2 * second_moment[i] + (one - b2) * g * g;
    first_moment[i] = m;
    second_moment[i] = v;
    weights[i] = weights[i] * shrink - rate * m / (root(v) * scale_root + eps);
  }
}

template <class T> constexpr RowKernels<T> table() {
  return {receive<T>,       send_back<T>,       norm<T>,      gate<T>, gate_backward<T>,
          norm_backward<T>, add_column_sums<T>, sum_parts<T>, adamw<T>};
}

constexpr RowKernels<float> SINGLE = table<float>();
constexpr RowKernels<double> DOUBLE = table<double>();

}  // namespace

const RowKernels<float> &GODIFF_TABLE(float) {
  return SINGLE;
}
const RowKernels<double> &GODIFF_TABLE(double) {
  return DOUBLE;
}

}  // namespace kernels
}  // namespace godiff
