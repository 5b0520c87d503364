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

// One lane of all atoms side by side: the rows themselves lie a multiple of their length apart, which
// maps them all to a few sets of the first cache.
template <class T> struct Packed {
  static constexpr std::int64_t W = Lane<T>::WIDTH;
  static constexpr std::int64_t STRIDE =
      6 * W;  // x: a, b, c; mu: x, y, z. Gradients: q; mu: x, y, z
  T *data;
  const T *operator[](std::int64_t atom) const { return data + atom * STRIDE; }
  T *operator[](std::int64_t atom) { return data + atom * STRIDE; }
};

template <class T> GODIFF_INLINE void copy(const T *from, T *to) {
  store<T>(to, load<T>(from));
}

template <class T> struct Received { Vector<T> q, m0, m1, m2; };

// Adds the messages along the edges of one row: first the plain sums over a run, then once the filter.
template <class T, bool HAS_MU>
GODIFF_INLINE void receive_edges(const EdgeRows<T> &edges, const Packed<T> &senders, std::int64_t F,
                                 std::int64_t row, std::int64_t f, Received<T> &sum) {
  constexpr std::int64_t W = Lane<T>::WIDTH;
  std::int32_t e = edges.first[row];
  const std::int32_t end = edges.first[row + 1];
  while (e < end) {
    const std::int32_t run = edges.filter[e];
    Vector<T> a{}, b0{}, b1{}, b2{}, c0{}, c1{}, c2{};
    do {
      const T *from = senders[edges.other[e]];
      const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
      a += load<T>(from);
      const Vector<T> xb = load<T>(from + W);
      b0 += u[0] * xb;
      b1 += u[1] * xb;
      b2 += u[2] * xb;
      if (HAS_MU) {
        const Vector<T> xc = load<T>(from + 2 * W);
        c0 += xc * load<T>(from + 3 * W);
        c1 += xc * load<T>(from + 4 * W);
        c2 += xc * load<T>(from + 5 * W);
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

template <class T, bool HAS_MU> GODIFF_INLINE void receive_rows(const Incoming<T> &in) {
  constexpr std::int64_t W = Lane<T>::WIDTH;
  const StructureEdges<T> &edges = in.edges;
  const std::int64_t F = edges.n_feat;
  Packed<T> senders{edges.scratch};
  for (std::int64_t f = 0; f < F; f += W) {
    for (std::int64_t i = 0; i < edges.n_atoms; ++i) {
      if (!in.x[i])
        continue;
      for (int k = 0; k < 3; ++k) {
        copy<T>(in.x[i] + k * F + f, senders[i] + k * W);
        if (HAS_MU)
          copy<T>(in.mu[i] + k * F + f, senders[i] + (3 + k) * W);
      }
    }
    for (std::int64_t r = 0; r < edges.n_rows; ++r) {
      T *q = in.q_out[r] + f, *mu = in.mu_out[r] + f;
      Received<T> sum{load<T>(q), load<T>(mu), load<T>(mu + F), load<T>(mu + 2 * F)};
      if (edges.of_template.first && edges.atom[r] < edges.n_template)
        receive_edges<T, HAS_MU>(edges.of_template, senders, F, edges.atom[r], f, sum);
      if (r < edges.n_slots)
        receive_edges<T, HAS_MU>(edges.of_mobile, senders, F, r, f, sum);
      store<T>(q, sum.q);
      store<T>(mu, sum.m0);
      store<T>(mu + F, sum.m1);
      store<T>(mu + 2 * F, sum.m2);
    }
  }
}

template <class T> void receive(const Incoming<T> &in) {
  if (in.edges.has_mu)
    receive_rows<T, true>(in);
  else
    receive_rows<T, false>(in);
}

// What a sender's row is and what comes back to it.
template <class T> struct Sender { Vector<T> xa, xb, xc, v0, v1, v2; };
template <class T> struct Returned { Vector<T> a, b, t0, t1, t2; };

template <class T, bool HAS_MU>
GODIFF_INLINE void send_back_edges(const EdgeRows<T> &edges, const T *const *gq,
                                   const Packed<T> &receivers, std::int64_t F, std::int64_t row,
                                   std::int64_t f, const Sender<T> &from, Returned<T> &sum) {
  constexpr std::int64_t W = Lane<T>::WIDTH;
  std::int32_t e = edges.first[row];
  const std::int32_t end = edges.first[row + 1];
  while (e < end) {
    const std::int32_t run = edges.filter[e];
    Vector<T> s{}, d{}, g0{}, g1{}, g2{};
    do {
      if (gq[edges.other[e]]) {
        const T *to = receivers[edges.other[e]];
        const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
        s += load<T>(to);
        const Vector<T> h0 = load<T>(to + W), h1 = load<T>(to + 2 * W), h2 = load<T>(to + 3 * W);
        d += u[0] * h0;
        d += u[1] * h1;
        d += u[2] * h2;
        if (HAS_MU) {
          g0 += h0;
          g1 += h1;
          g2 += h2;
        }
      }
      ++e;
    } while (e < end && edges.filter[e] == run);
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

template <class T, bool HAS_MU> GODIFF_INLINE void send_back_rows(const Returning<T> &back) {
  constexpr std::int64_t W = Lane<T>::WIDTH;
  const StructureEdges<T> &edges = back.edges;
  const std::int64_t F = edges.n_feat;
  Packed<T> receivers{edges.scratch};
  for (std::int64_t f = 0; f < F; f += W) {
    for (std::int64_t i = 0; i < edges.n_atoms; ++i) {
      if (!back.gq[i])
        continue;
      copy<T>(back.gq[i] + f, receivers[i]);
      for (int k = 0; k < 3; ++k)
        copy<T>(back.gmu[i] + k * F + f, receivers[i] + (1 + k) * W);
    }
    for (std::int64_t r = 0; r < edges.n_rows; ++r) {
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
      if (edges.of_template.first && edges.atom[r] < edges.n_template)
        send_back_edges<T, HAS_MU>(edges.of_template, back.gq, receivers, F, edges.atom[r], f, from,
                                   sum);
      if (r < edges.n_slots)
        send_back_edges<T, HAS_MU>(edges.of_mobile, back.gq, receivers, F, r, f, from, sum);
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
  }
}

template <class T> void send_back(const Returning<T> &back) {
  if (back.edges.has_mu)
    send_back_rows<T, true>(back);
  else
    send_back_rows<T, false>(back);
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
