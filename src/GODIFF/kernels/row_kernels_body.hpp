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

template <class T, bool HAS_MU>
GODIFF_INLINE void receive_rows(const Incoming<T> &in, T *q, T *mu) {
  const std::int64_t F = in.n_feat;
  for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
    Vector<T> q_sum = load<T>(q + f), m0 = load<T>(mu + f), m1 = load<T>(mu + F + f),
              m2 = load<T>(mu + 2 * F + f);
    std::int32_t e = 0;
    for (std::int64_t run = 0; run < in.n_runs; ++run) {
      Vector<T> a{}, b0{}, b1{}, b2{}, c0{}, c1{}, c2{};
      for (const std::int32_t end = in.run_end[run]; e < end; ++e) {
        const T *x = in.x[e] + f;
        const T *u = in.direction + 3 * static_cast<std::int64_t>(e);
        a += load<T>(x);
        const Vector<T> xb = load<T>(x + F);
        b0 += u[0] * xb;
        b1 += u[1] * xb;
        b2 += u[2] * xb;
        if (HAS_MU) {
          const T *v = in.mu[e] + f;
          const Vector<T> xc = load<T>(x + 2 * F);
          c0 += xc * load<T>(v);
          c1 += xc * load<T>(v + F);
          c2 += xc * load<T>(v + 2 * F);
        }
      }
      const T *w = in.filter[run] + f;
      q_sum += load<T>(w) * a;
      const Vector<T> wb = load<T>(w + F);
      m0 += wb * b0;
      m1 += wb * b1;
      m2 += wb * b2;
      if (HAS_MU) {
        const Vector<T> wc = load<T>(w + 2 * F);
        m0 += wc * c0;
        m1 += wc * c1;
        m2 += wc * c2;
      }
    }
    store<T>(q + f, q_sum);
    store<T>(mu + f, m0);
    store<T>(mu + F + f, m1);
    store<T>(mu + 2 * F + f, m2);
  }
}

template <class T> void receive(const Incoming<T> &in, T *q, T *mu) {
  if (in.mu)
    receive_rows<T, true>(in, q, mu);
  else
    receive_rows<T, false>(in, q, mu);
}

// The edge into this atom, read backwards, is the edge to the other one: hence -direction for b.
template <class T, bool HAS_MU>
GODIFF_INLINE void send_back_rows(const Returning<T> &back, T *gx, T *gmu) {
  const std::int64_t F = back.n_feat;
  for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH) {
    Vector<T> ga{}, gb{}, t0{}, t1{}, t2{};
    const Vector<T> xa = load<T>(back.x + f), xb = load<T>(back.x + F + f);
    Vector<T> xc{}, v0{}, v1{}, v2{};
    if (HAS_MU) {
      xc = load<T>(back.x + 2 * F + f);
      v0 = load<T>(back.mu + f);
      v1 = load<T>(back.mu + F + f);
      v2 = load<T>(back.mu + 2 * F + f);
    }
    std::int32_t e = 0;
    for (std::int64_t run = 0; run < back.n_runs; ++run) {
      Vector<T> s{}, d{}, g0{}, g1{}, g2{};
      for (const std::int32_t end = back.run_end[run]; e < end; ++e) {
        const T *gm = back.mu_gradient[e] + f;
        const T *u = back.direction + 3 * static_cast<std::int64_t>(e);
        s += load<T>(back.q_gradient[e] + f);
        const Vector<T> h0 = load<T>(gm), h1 = load<T>(gm + F), h2 = load<T>(gm + 2 * F);
        d += u[0] * h0;
        d += u[1] * h1;
        d += u[2] * h2;
        if (HAS_MU) {
          g0 += h0;
          g1 += h1;
          g2 += h2;
        }
      }
      const T *w = back.filter[run] + f;
      T *gw = back.filter_gradient[run] + f;
      ga += load<T>(w) * s;
      gb -= load<T>(w + F) * d;
      add<T>(gw, xa * s);
      add<T>(gw + F, -(xb * d));
      if (HAS_MU) {
        const Vector<T> wc = load<T>(w + 2 * F);
        t0 += wc * g0;
        t1 += wc * g1;
        t2 += wc * g2;
        add<T>(gw + 2 * F, xc * (v0 * g0 + v1 * g1 + v2 * g2));
      }
    }
    add<T>(gx + f, ga);
    add<T>(gx + F + f, gb);
    if (HAS_MU) {
      add<T>(gx + 2 * F + f, v0 * t0 + v1 * t1 + v2 * t2);
      add<T>(gmu + f, xc * t0);
      add<T>(gmu + F + f, xc * t1);
      add<T>(gmu + 2 * F + f, xc * t2);
    }
  }
}

template <class T> void send_back(const Returning<T> &back, T *gx, T *gmu) {
  if (back.mu)
    send_back_rows<T, true>(back, gx, gmu);
  else
    send_back_rows<T, false>(back, gx, gmu);
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
