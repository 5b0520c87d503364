// SPDX-License-Identifier: GPL-2.0-only
// Body of the row kernels. Included once per instruction set by row_kernels_*.cpp, which set
//   GODIFF_LANE_BYTES  width of a vector register,
//   GODIFF_TABLE       name of the function that returns the table.
// No header with inline functions of the whole program may be included here: compiled for one instruction
// set, the linker could take such a function for all.

#include "kernels/row_kernels.hpp"
#include "kernels/row_math.hpp"

namespace godiff {
namespace kernels {
namespace {

template <class T> using Lane = VectorLane<T, GODIFF_LANE_BYTES>;

// Where the edges find the rows at their other end: x and mu of senders, or the gradients of q and mu
// of receivers; `step` apart for each of the parts a, b, c or x, y, z.
//
// The template edges visit each row some thirty times, so one lane of all atoms is packed side by side
// first: the rows themselves lie a multiple of their length apart, which maps them all to a few sets of
// the first cache. The mobile edges, each with a filter of its own, read the rows as they are.
template <class T> struct PackedRows {
  static constexpr bool COMPLETE = true;
  static constexpr std::int64_t W = Lane<T>::WIDTH, STRIDE = 6 * W;
  T *data;
  std::int64_t step = W;
  GODIFF_MATH FoundRow<T> find(std::int64_t atom) const {
    const T *row = data + atom * STRIDE;
    return {row, row + 3 * W};
  }
};

template <class T> struct PlainRows {
  static constexpr bool COMPLETE = true;
  const T *const *firsts, *const *seconds;
  std::int64_t f, step;
  GODIFF_MATH FoundRow<T> find(std::int64_t atom) const {
    return {firsts[atom] + f, seconds[atom] + f};
  }
};

template <class T, bool HAS_MU, class Rows>
GODIFF_MATH void receive_row(const EdgeRows<T> &edges, const Rows &senders, std::int64_t F,
                             std::int64_t row, std::int64_t f, T *q, T *mu) {
  using L = Lane<T>;
  Received<L> sum{L::load(q + f), L::load(mu + f), L::load(mu + F + f), L::load(mu + 2 * F + f)};
  receive_edges<L, HAS_MU>(edges, senders, F, row, f, sum);
  L::store(q + f, sum.q);
  L::store(mu + f, sum.m0);
  L::store(mu + F + f, sum.m1);
  L::store(mu + 2 * F + f, sum.m2);
}

template <class T, bool HAS_MU> GODIFF_MATH void receive_all(const Incoming<T> &in) {
  constexpr std::int64_t W = Lane<T>::WIDTH, STRIDE = PackedRows<T>::STRIDE;
  const StructureEdges<T> &edges = in.edges;
  const std::int64_t F = edges.n_feat;
  for (std::int64_t f = 0; edges.of_template.first && f < F; f += W) {
    for (std::int64_t i = 0; i < edges.n_template; ++i) {
      if (!in.x[i])
        continue;
      for (int k = 0; k < 3; ++k) {
        copy<Lane<T>>(in.x[i] + k * F + f, edges.scratch + i * STRIDE + k * W);
        if (HAS_MU)
          copy<Lane<T>>(in.mu[i] + k * F + f, edges.scratch + i * STRIDE + (3 + k) * W);
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

template <class T, bool HAS_MU, class Rows>
GODIFF_MATH void send_back_row(const Returning<T> &back, const EdgeRows<T> &edges,
                               const Rows &receivers, std::int64_t row, std::int64_t r,
                               std::int64_t f) {
  using L = Lane<T>;
  const std::int64_t F = back.edges.n_feat;
  const SenderRow<L, HAS_MU> from(back.x[r] + f, HAS_MU ? back.mu[r] + f : nullptr, F);
  Returned<L, HAS_MU> sum;
  send_back_edges<L, HAS_MU, true>(edges, receivers, F, row, f, from, sum);
  sum.add_to(from, back.gx_out[r] + f, HAS_MU ? back.gmu_out[r] + f : nullptr, F);
}

template <class T, bool HAS_MU> GODIFF_MATH void send_back_all(const Returning<T> &back) {
  constexpr std::int64_t W = Lane<T>::WIDTH, STRIDE = PackedRows<T>::STRIDE;
  const StructureEdges<T> &edges = back.edges;
  const std::int64_t F = edges.n_feat;
  for (std::int64_t f = 0; edges.of_template.first && f < F; f += W) {
    for (std::int64_t i = 0; i < edges.n_template; ++i) {
      if (!back.gq[i])
        continue;
      copy<Lane<T>>(back.gq[i] + f, edges.scratch + i * STRIDE);
      for (int k = 0; k < 3; ++k)
        copy<Lane<T>>(back.gmu[i] + k * F + f, edges.scratch + i * STRIDE + (3 + k) * W);
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

template <class T> void norm(std::int64_t rows, std::int64_t F, T eps, const T *vu, T *joined) {
  for (std::int64_t r = 0; r < rows; ++r, vu += 6 * F, joined += 2 * F)
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH)
      norm_lane<Lane<T>>(F, eps, vu + f, joined + f);
}

template <class T>
void gate(std::int64_t rows, std::int64_t F, const T *joined, const T *mu, const T *vu,
          const T *prs, T *q, T *mu_out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH)
      gate_lane<Lane<T>>(F, joined + f, mu + f, vu + f, prs + f, q + f, mu_out + f);
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
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH)
      gate_backward_lane<Lane<T>>(F, gq + f, gmu + f, vu + f, prs + f, gprs + f, gvu + f);
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
    for (std::int64_t f = 0; f < F; f += Lane<T>::WIDTH)
      norm_backward_lane<Lane<T>>(F, vu + f, joined + f, g_joined + f, gvu + f, gq + f);
    vu += 6 * F;
    joined += 2 * F;
    g_joined += 2 * F;
    gvu += 6 * F;
    gq += F;
  }
}

template <class T>
void add_column_sums(std::int64_t rows, std::int64_t columns, const T *values, T *sums) {
  using L = Lane<T>;
  for (std::int64_t c = 0; c < columns; c += L::WIDTH) {
    typename L::Vector sum{};
    for (std::int64_t r = 0; r < rows; ++r)
      sum += L::load(values + r * columns + c);
    add<L>(sums + c, sum);
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
  const AdamWNumbers<T> numbers(step);
  for (std::int64_t i = begin; i < end; ++i)
    numbers.step(gradient[i], weights[i], first_moment[i], second_moment[i]);
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
