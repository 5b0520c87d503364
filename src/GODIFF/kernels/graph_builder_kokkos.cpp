// SPDX-License-Identifier: GPL-2.0-only
// Pairs are numbered by structure, mobile atom, other atom and image: a scan over the counts of images gives
// each its place, a second one over the edges of each atom those of the edges. Both have one order for any
// number of threads.
#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>

#include "kernels/device_graph.hpp"
#include "kernels/graph_builder.hpp"
#include "kernels/kokkos_space.hpp"
#include "kernels/pair_math.hpp"

namespace godiff {
namespace kokkos {

namespace {

using Space = Kokkos::DefaultExecutionSpace;

// The structures, and where the images of a pair of atoms are.
struct Atoms {
  CellMath cell;
  double cutoff;
  std::int32_t n_template, n_mobile, n_atoms;
  const double *of_template, *mobile;

  // Place of (g, m, j) in tables of [structures, mobile atoms, atoms].
  GODIFF_MATH std::int64_t place(std::int64_t g, std::int64_t m, std::int64_t j) const {
    return (g * n_mobile + m) * n_atoms + j;
  }

  // Calls visit(r) for the images of atom j near the mobile atom m whose pairs belong to m.
  template <class Visit>
  GODIFF_MATH void for_pairs(std::int64_t g, std::int32_t m, std::int32_t j, Visit visit) const {
    if (j > n_template + m)
      return;
    const double *x = mobile + 3 * (g * n_mobile + m);
    const double *y = j < n_template ? of_template + 3 * std::int64_t{j}
                                     : mobile + 3 * (g * n_mobile + j - n_template);
    const double difference[3] = {y[0] - x[0], y[1] - x[1], y[2] - x[2]};
    const bool own = j == n_template + m;
    cell.for_images(difference, cutoff, [&](const double *r) {
      if (!own || own_image_counts(r))
        visit(r);
    });
  }
};

// Index: structure, mobile atom, atom.
struct CountPairs {
  Atoms atoms;
  std::int32_t *count;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    const std::int64_t of_mobile = index / atoms.n_atoms, g = of_mobile / atoms.n_mobile;
    std::int32_t n = 0;
    atoms.for_pairs(g, static_cast<std::int32_t>(of_mobile - g * atoms.n_mobile),
                    static_cast<std::int32_t>(index - of_mobile * atoms.n_atoms),
                    [&](const double *) { ++n; });
    count[index] = n;
  }
};

// Pairs of the chunk. Where there are more than there is memory for, none is written.
template <class T> struct Pairs {
  std::int64_t most;
  const std::int32_t *total;
  std::int32_t *structure, *edge;  // [most]
  std::int32_t *atom;              // [most] the other atom
  T *distance, *direction;         // [most], [most,3] from the mobile atom to the other one

  GODIFF_MATH bool fit() const { return *total <= most; }
};

// Index: pair. What has no atoms lies at the cutoff, where the basis is zero.
template <class T> struct ClearPairs {
  Pairs<T> pairs;
  double cutoff;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t p) const {
    pairs.structure[p] = 0;
    pairs.edge[p] = -1;
    pairs.distance[p] = static_cast<T>(cutoff);
  }
};

// Index: structure, mobile atom, atom.
template <class T> struct WritePairs {
  Atoms atoms;
  const std::int32_t *count, *end;
  Pairs<T> pairs;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t index) const {
    if (count[index] == 0 || !pairs.fit())
      return;
    const std::int64_t of_mobile = index / atoms.n_atoms, g = of_mobile / atoms.n_mobile;
    const auto j = static_cast<std::int32_t>(index - of_mobile * atoms.n_atoms);
    std::int64_t p = end[index] - count[index];
    atoms.for_pairs(g, static_cast<std::int32_t>(of_mobile - g * atoms.n_mobile), j,
                    [&](const double *r) {
                      double u[3];
                      pairs.distance[p] = static_cast<T>(unit_vector(r, u));
                      for (int k = 0; k < 3; ++k)
                        pairs.direction[3 * p + k] = static_cast<T>(u[k]);
                      pairs.structure[p] = static_cast<std::int32_t>(g);
                      pairs.atom[p] = j;
                      ++p;
                    });
  }
};

// Index: structure, slot. A pair of an atom with its own image is two edges of it.
template <class T> struct CountEdges {
  Atoms atoms;
  const std::int32_t *count;
  Pairs<T> pairs;
  std::int32_t *edges;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t row) const {
    const std::int64_t g = row / atoms.n_atoms;
    const auto slot = static_cast<std::int32_t>(row - g * atoms.n_atoms);
    std::int32_t n = 0;
    if (slot >= atoms.n_mobile) {
      for (std::int32_t m = 0; m < atoms.n_mobile; ++m)
        n += count[atoms.place(g, m, slot - atoms.n_mobile)];
    } else {
      for (std::int32_t j = 0; j < atoms.n_atoms; ++j)
        n += count[atoms.place(g, slot, j)];
      for (std::int32_t m = slot; m < atoms.n_mobile; ++m)
        n += count[atoms.place(g, m, atoms.n_template + slot)];
    }
    edges[row] = pairs.fit() ? n : 0;
  }
};

// Index: structure, slot. Writes the edges of the slot, in the order of the pairs.
template <class T> struct WriteEdges {
  Atoms atoms;
  const std::int32_t *count, *end;
  Pairs<T> pairs;
  const std::int32_t *first;
  std::int32_t *receiver, *sender, *pair;
  T *direction;

  KOKKOS_INLINE_FUNCTION void operator()(std::int64_t row) const {
    const std::int64_t g = row / atoms.n_atoms;
    const auto slot = static_cast<std::int32_t>(row - g * atoms.n_atoms);
    std::int32_t e = first[row];
    if (!pairs.fit())
      return;
    if (slot >= atoms.n_mobile) {
      for (std::int32_t m = 0; m < atoms.n_mobile; ++m)
        add_reversed(slot, atoms.n_template + m, atoms.place(g, m, slot - atoms.n_mobile), e);
      return;
    }
    const std::int64_t begin = atoms.place(g, slot, 0), last = begin + atoms.n_atoms - 1;
    for (std::int32_t p = end[begin] - count[begin]; p < end[last]; ++p) {
      pairs.edge[p] = e;
      add(slot, pairs.atom[p], p, T(1), e);
      if (pairs.atom[p] == atoms.n_template + slot)
        add(slot, pairs.atom[p], p, T(-1), e);
    }
    for (std::int32_t m = slot + 1; m < atoms.n_mobile; ++m)
      add_reversed(slot, atoms.n_template + m, atoms.place(g, m, atoms.n_template + slot), e);
  }

  GODIFF_MATH void add_reversed(std::int32_t slot, std::int32_t from, std::int64_t at,
                                std::int32_t &e) const {
    for (std::int32_t p = end[at] - count[at]; p < end[at]; ++p)
      add(slot, from, p, T(-1), e);
  }

  GODIFF_MATH void add(std::int32_t slot, std::int32_t from, std::int32_t p, T sign,
                       std::int32_t &e) const {
    receiver[e] = slot;
    sender[e] = from;
    pair[e] = p;
    for (int k = 0; k < 3; ++k)
      direction[3 * std::int64_t{e} + k] = sign * pairs.direction[3 * std::int64_t{p} + k];
    ++e;
  }
};

// Gives away a tensor piece by piece.
template <class T> class Pieces {
public:
  explicit Pieces(const at::Tensor &memory) : next_(memory.data_ptr<T>()) {}
  T *take(std::int64_t n) {
    T *p = next_;
    next_ += n;
    return p;
  }

private:
  T *next_;
};

class Builder final : public GraphBuilder {
public:
  Builder(const System &system, std::int64_t n_structures, int max_hops,
          const at::TensorOptions &options);
  void build(const at::Tensor &positions) override;
  void check() const override;

private:
  Atoms atoms(const at::Tensor &positions) const;

  System system_;
  std::int64_t most_pairs_;  // of the chunk
  at::Tensor template_positions_, constant_, pair_ints_, edge_ints_, reals_;
  at::Tensor count_, end_;    // [structures, mobile atoms, atoms]
  at::Tensor edges_, first_;  // [rows], [rows+1]
  at::Tensor most_seen_;      // pairs of a chunk, a scalar
};

Builder::Builder(const System &system, std::int64_t B, int max_hops,
                 const at::TensorOptions &options) :
    system_(system),
    most_pairs_(std::max<std::int64_t>(1, B * system.most_pairs)) {
  const std::int64_t n = system_.n_mobile,
                     nt = static_cast<std::int64_t>(system_.template_positions.size()) / 3,
                     N = nt + n;
  constexpr std::int64_t MOST = std::numeric_limits<std::int32_t>::max();
  if (2 * most_pairs_ >= MOST || B * n * N >= MOST)
    throw std::runtime_error(
        "structures have too many edges: lower the cutoff of the network or the "
        "batch");
  const at::TensorOptions ints = options.dtype(at::kInt);
  template_positions_ = at::tensor(at::ArrayRef<double>(system_.template_positions), at::kDouble)
                            .to(options.device());

  graph_.n_structures = B;
  graph_.n_template = nt;
  graph_.n_mobile = n;
  graph_.max_hops = max_hops;
  graph_.distance.assign(most_pairs_, system_.cutoff);
  for (std::int64_t g = 0; g < B; ++g) {
    for (std::int64_t i = 0; i < N; ++i)
      graph_.atom.push_back(static_cast<std::int32_t>(i < n ? nt + i : i - n));
    for (std::int64_t i = 0; i < nt; ++i)
      graph_.slot.push_back(static_cast<std::int32_t>(n + i));
  }
  for (int depth = 0; depth <= graph_.all(); ++depth) {
    const std::int64_t rows = depth == 0 ? n : N;
    for (std::int64_t g = 0; g <= B; ++g) {
      if (g < B)
        graph_.counts.push_back(static_cast<std::int32_t>(rows));
      graph_.offsets.push_back(static_cast<std::int32_t>(g * rows));
    }
  }
  std::vector<std::int32_t> constant;
  for (const auto *part : {&graph_.atom, &graph_.slot, &graph_.counts, &graph_.offsets})
    constant.insert(constant.end(), part->begin(), part->end());
  constant_ = at::tensor(at::ArrayRef<std::int32_t>(constant), at::kInt).to(options.device());

  count_ = at::empty({B * n * N}, ints);
  end_ = at::empty({B * n * N}, ints);
  edges_ = at::empty({B * N}, ints);
  first_ = at::zeros({B * N + 1}, ints);
  most_seen_ = at::zeros({}, ints);
  pair_ints_ = at::zeros({3 * most_pairs_}, ints);
  edge_ints_ = at::zeros({6 * most_pairs_}, ints);
  reals_ = at::zeros({10 * most_pairs_}, options);

  ChunkOnDevice there;
  there.memory = constant_;
  there.dtype = options.dtype().toScalarType();
  Pieces<std::int32_t> fixed(constant_), of_edges(edge_ints_), of_pairs(pair_ints_);
  const std::int32_t *atom = fixed.take(B * N), *slot = fixed.take(B * nt),
                     *counts = fixed.take(static_cast<std::int64_t>(graph_.counts.size())),
                     *offsets = fixed.take(static_cast<std::int64_t>(graph_.offsets.size()));
  std::int32_t *receiver = of_edges.take(2 * most_pairs_), *sender = of_edges.take(2 * most_pairs_),
               *pair = of_edges.take(2 * most_pairs_);
  std::int32_t *pair_edge = of_pairs.take(most_pairs_), *structure = of_pairs.take(most_pairs_);
  there.pointers = {static_cast<std::int32_t>(B),
                    static_cast<std::int32_t>(N),
                    static_cast<std::int32_t>(nt),
                    static_cast<std::int32_t>(most_pairs_),
                    atom,
                    slot,
                    counts,
                    offsets,
                    first_.const_data_ptr<std::int32_t>(),
                    receiver,
                    sender,
                    pair,
                    pair_edge,
                    structure,
                    reals_.const_data_ptr()};
  there.distance = reals_.narrow(0, 6 * most_pairs_, most_pairs_);
  graph_.device_copy = std::make_shared<const ChunkOnDevice>(std::move(there));
}

Atoms Builder::atoms(const at::Tensor &positions) const {
  return {system_.cell,
          system_.cutoff,
          static_cast<std::int32_t>(graph_.n_template),
          static_cast<std::int32_t>(graph_.n_mobile),
          static_cast<std::int32_t>(graph_.n_atoms()),
          template_positions_.const_data_ptr<double>(),
          positions.const_data_ptr<double>()};
}

void Builder::build(const at::Tensor &positions) {
  const std::int64_t B = graph_.n_structures, n = graph_.n_mobile, N = graph_.n_atoms();
  TORCH_CHECK(positions.is_contiguous() && positions.scalar_type() == at::kDouble &&
                  positions.device() == constant_.device() &&
                  positions.sizes() == at::IntArrayRef({B, n, 3}),
              "positions must be [structures, mobile atoms, 3], float64 and on the device");
  const Atoms all = atoms(positions);
  auto *count = count_.data_ptr<std::int32_t>(), *end = end_.data_ptr<std::int32_t>();
  for_each<Space>("godiff::count_pairs", positions, count_.numel(), CountPairs{all, count});
  at::cumsum_out(end_, count_, 0, at::kInt);
  const at::Tensor total = end_[end_.numel() - 1];
  at::maximum_out(most_seen_, most_seen_, total);
  AT_DISPATCH_FLOATING_TYPES(reals_.scalar_type(), "godiff::kokkos::graph_builder", [&] {
    using T = scalar_t;
    auto *ints = pair_ints_.data_ptr<std::int32_t>(),
         *of_edges = edge_ints_.data_ptr<std::int32_t>();
    auto *reals = reals_.data_ptr<T>();
    const std::int64_t P = most_pairs_;
    const Pairs<T> pairs{
        P, end + end_.numel() - 1, ints + P, ints, ints + 2 * P, reals + 6 * P, reals + 7 * P};
    for_each<Space>("godiff::clear_pairs", positions, P, ClearPairs<T>{pairs, system_.cutoff});
    for_each<Space>("godiff::write_pairs", positions, count_.numel(),
                    WritePairs<T>{all, count, end, pairs});
    for_each<Space>("godiff::count_edges", positions, B * N,
                    CountEdges<T>{all, count, pairs, edges_.data_ptr<std::int32_t>()});
    at::Tensor ends = first_.narrow(0, 1, B * N);
    at::cumsum_out(ends, edges_, 0, at::kInt);
    for_each<Space>("godiff::write_edges", positions, B * N,
                    WriteEdges<T>{all, count, end, pairs, first_.const_data_ptr<std::int32_t>(),
                                  of_edges, of_edges + 2 * P, of_edges + 4 * P, reals});
  });
}

void Builder::check() const {
  const std::int64_t seen = most_seen_.item<std::int64_t>();
  if (seen > most_pairs_)
    throw std::runtime_error("structures have " + std::to_string(seen) +
                             " pairs of atoms, which is more than " + std::to_string(most_pairs_) +
                             ", the most that there should be");
}

}  // namespace

std::unique_ptr<GraphBuilder> make_graph_builder(const GraphBuilder::System &system,
                                                 std::int64_t n_structures, int max_hops,
                                                 const at::TensorOptions &options) {
  return std::make_unique<Builder>(system, n_structures, max_hops, options);
}

}  // namespace kokkos
}  // namespace godiff
