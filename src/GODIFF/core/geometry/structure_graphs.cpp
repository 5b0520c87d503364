// SPDX-License-Identifier: GPL-2.0-only
#include "core/geometry/structure_graphs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "core/base/error.hpp"
#include "kernels/pair_math.hpp"

namespace godiff {

namespace {

constexpr std::int64_t MANY = 64;  // mobile atoms from which bins find their pairs faster

// An undirected pair; the direction points from a to b.
struct Pair {
  std::int32_t a, b;
  double direction[3];
  double distance;
};

// Appends the pair of a and b at the difference r; for a == b only one of its two directions.
void add_pair(std::int32_t a, std::int32_t b, const Vec3 &r, std::vector<Pair> &pairs) {
  if (a == b && !own_image_counts(r.data()))
    return;
  Pair pair{a, b, {}, 0.0};
  pair.distance = unit_vector(r.data(), pair.direction);
  pairs.push_back(pair);
}

// Distinct values of the pairs' distances within the resolution of dtype; row[p] is that of pair p.
std::vector<double> distinct_distances(const std::vector<Pair> &pairs, c10::ScalarType dtype,
                                       std::vector<std::int32_t> &row) {
  const double resolution = dtype == c10::ScalarType::Float
                                ? std::numeric_limits<float>::epsilon()
                                : std::numeric_limits<double>::epsilon();
  std::vector<std::int64_t> order(pairs.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int64_t p, std::int64_t q) { return pairs[p].distance < pairs[q].distance; });
  std::vector<double> distinct;
  row.resize(pairs.size());
  for (std::size_t k = 0; k < order.size();) {
    const double shortest = pairs[order[k]].distance;
    double sum = 0.0;
    const std::size_t begin = k;
    for (; k < order.size() && pairs[order[k]].distance <= shortest * (1.0 + resolution); ++k) {
      sum += pairs[order[k]].distance - shortest;
      row[order[k]] = static_cast<std::int32_t>(distinct.size());
    }
    distinct.push_back(shortest + sum / static_cast<double>(k - begin));
  }
  return distinct;
}

TemplateEdges directed(const std::vector<Pair> &pairs, std::int64_t n, c10::ScalarType dtype) {
  std::vector<std::int32_t> row;
  TemplateEdges edges;
  edges.n_atoms = n;
  edges.distance = distinct_distances(pairs, dtype, row);

  struct Directed {
    std::int32_t receiver, sender, filter;
    std::int64_t pair;
    bool reversed;
  };
  std::vector<Directed> list;
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    list.push_back({pairs[p].a, pairs[p].b, row[p], static_cast<std::int64_t>(p), false});
    list.push_back({pairs[p].b, pairs[p].a, row[p], static_cast<std::int64_t>(p), true});
  }
  std::stable_sort(list.begin(), list.end(), [](const Directed &x, const Directed &y) {
    return x.receiver != y.receiver ? x.receiver < y.receiver : x.filter < y.filter;
  });
  edges.first.assign(n + 1, 0);
  edges.direction.resize(3 * list.size());
  for (const Directed &e : list) {
    const std::size_t at = 3 * edges.sender.size();
    ++edges.first[e.receiver + 1];
    edges.receiver.push_back(e.receiver);
    edges.sender.push_back(e.sender);
    edges.filter.push_back(e.filter);
    for (int k = 0; k < 3; ++k)
      edges.direction.set(at + k,
                          e.reversed ? -pairs[e.pair].direction[k] : pairs[e.pair].direction[k]);
  }
  std::partial_sum(edges.first.begin(), edges.first.end(), edges.first.begin());
  return edges;
}

// The row of each atom's element among the sorted elements of the system.
std::vector<std::int32_t> element_rows(const System &system) {
  std::vector<int> elements = system.atomic_numbers;
  std::sort(elements.begin(), elements.end());
  elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
  std::vector<std::int32_t> rows;
  for (int z : system.atomic_numbers)
    rows.push_back(static_cast<std::int32_t>(std::lower_bound(elements.begin(), elements.end(), z) -
                                             elements.begin()));
  return rows;
}

// Orders the atoms of one structure by hops: writes atom[], slot_of[] and counts[hop * stride].
void order_by_hops(const TemplateEdges &edges, const ChunkGraph &graph,
                   const std::vector<Pair> &pairs, std::size_t first_pair, std::int32_t *atom,
                   std::int32_t *slot_of, std::int32_t *counts) {
  const auto n_template = static_cast<std::int32_t>(graph.n_template);
  const auto n_mobile = static_cast<std::int32_t>(graph.n_mobile);
  std::fill_n(slot_of, n_template, -1);
  std::int32_t next = 0;
  for (std::int32_t m = 0; m < n_mobile; ++m)
    atom[next++] = n_template + m;
  const auto visit = [&](std::int32_t i) {
    if (slot_of[i] < 0) {
      slot_of[i] = next;
      atom[next++] = i;
    }
  };
  counts[0] = next;
  for (std::size_t p = first_pair; p < pairs.size(); ++p)
    if (pairs[p].b < n_template)
      visit(pairs[p].b);
  counts[graph.n_structures] = next;
  std::int32_t begin = n_mobile;
  for (int hop = 2; hop <= graph.max_hops; ++hop) {
    const std::int32_t end = next;
    for (std::int32_t s = begin; s < end && next < n_template + n_mobile; ++s)
      for (std::int32_t e = edges.first[atom[s]]; e < edges.first[atom[s] + 1]; ++e)
        visit(edges.sender[e]);
    counts[hop * graph.n_structures] = next;
    begin = end;
  }
  for (std::int32_t i = 0; i < n_template; ++i)
    visit(i);
  counts[graph.all() * graph.n_structures] = next;
}

// The most points of `grid` (their cutoff is `reach`) near any place with low <= z <= high. No place is further
// than `spacing` from one that is looked at.
std::int64_t most_near(const Cell &cell, const double *points, std::int64_t n, double cutoff,
                       double low, double high) {
  constexpr double FINEST = 0.2;          // Angstrom
  constexpr double MOST_PLACES = 100000;  // a fraction of a second
  const Vec3 &a = cell.rows()[0], &b = cell.rows()[1];
  const double length[3] = {std::sqrt(dot(a, a)), std::sqrt(dot(b, b)), high - low};
  const double volume = length[0] * length[1] * std::max(length[2], FINEST);
  const double step = std::max(FINEST, std::cbrt(volume / MOST_PLACES));
  std::int64_t count[3];
  double margin = 0.0;
  for (int k = 0; k < 3; ++k) {
    count[k] = static_cast<std::int64_t>(length[k] / step) + 1;
    margin += 0.5 * length[k] / static_cast<double>(count[k]);
  }
  const ImageGrid images(cell, points, n, cutoff + margin);
  std::int64_t most = 0;
  for (std::int64_t i = 0; i < count[0]; ++i)
    for (std::int64_t j = 0; j < count[1]; ++j)
      for (std::int64_t k = 0; k < count[2]; ++k) {
        const auto part = [&](std::int64_t index, int axis) {
          return (static_cast<double>(index) + 0.5) / static_cast<double>(count[axis]);
        };
        Vec3 place;
        for (int m = 0; m < 3; ++m)
          place[m] = part(i, 0) * a[m] + part(j, 1) * b[m];
        place[2] += low + part(k, 2) * length[2];
        std::int64_t near = 0;
        images.for_near(place, [&](std::int32_t, const Vec3 &) { ++near; });
        most = std::max(most, near);
      }
  return most;
}

}  // namespace

StructureGraphs::StructureGraphs(const System &system, double cutoff, c10::ScalarType dtype) :
    system_(system),
    cutoff_(cutoff) {
  validate(system_);
  const double *x = system_.template_positions.data();
  template_images_ = ImageGrid(system_.cell, x, system_.n_template, cutoff_);
  std::vector<Pair> pairs;
  for (std::int32_t i = 0; i < system_.n_template; ++i)
    template_images_.for_near({x[3 * i], x[3 * i + 1], x[3 * i + 2]},
                              [&](std::int32_t j, const Vec3 &r) {
                                if (j <= i)
                                  add_pair(i, j, r, pairs);
                              });
  template_edges_ = directed(pairs, system_.n_template, dtype);
  template_edges_.element = element_rows(system_);
}

std::optional<std::int64_t> StructureGraphs::most_pairs(double low, double high) const {
  const Cell &cell = system_.cell;
  if (!cell.periodic(0) || !cell.periodic(1) || cell.rows()[0][2] != 0.0 ||
      cell.rows()[1][2] != 0.0 || !(low <= high))
    return {};
  const std::int64_t n = system_.n_mobile;
  const double origin[3] = {0.0, 0.0, 0.0};
  const std::int64_t of_template =
      most_near(cell, system_.template_positions.data(), system_.n_template, cutoff_, low, high);
  // Of one atom near another: two of them may be as far from each other as the window is high.
  const std::int64_t of_atom = most_near(cell, origin, 1, cutoff_, low - high, high - low);
  std::int64_t own = 0;
  cell.for_images(Vec3{0.0, 0.0, 0.0}, cutoff_,
                  [&](const Vec3 &r) { own += own_image_counts(r.data()); });
  return n * (of_template + own) + n * (n - 1) / 2 * of_atom;
}

void StructureGraphs::build(const double *positions, std::int64_t count, int max_hops,
                            ChunkGraph &graph) const {
  const std::int64_t n = system_.n_mobile, nt = system_.n_template, N = nt + n;
  graph.device_copy.reset();
  graph.n_structures = count;
  graph.n_template = nt;
  graph.n_mobile = n;
  graph.max_hops = max_hops;
  graph.atom.resize(count * N);
  graph.slot.resize(count * nt);
  graph.counts.resize((max_hops + 2) * count);
  graph.offsets.resize((max_hops + 2) * (count + 1));

  // Pairs of atoms by number: a is mobile, b < n_template is a template atom.
  thread_local std::vector<Pair> pairs;
  thread_local std::vector<std::size_t> pairs_end;
  pairs.clear();
  pairs_end.clear();
  for (std::int64_t g = 0; g < count; ++g) {
    const double *x = positions + 3 * n * g;
    const std::size_t begin = pairs.size();
    ImageGrid mobile_images;
    if (n > MANY)
      mobile_images = ImageGrid(system_.cell, x, n, cutoff_);
    for (std::int64_t m = 0; m < n; ++m) {
      const auto a = static_cast<std::int32_t>(nt + m);
      const Vec3 r{x[3 * m], x[3 * m + 1], x[3 * m + 2]};
      template_images_.for_near(r,
                                [&](std::int32_t j, const Vec3 &d) { add_pair(a, j, d, pairs); });
      if (n > MANY) {
        mobile_images.for_near(r, [&](std::int32_t j, const Vec3 &d) {
          if (j <= m)
            add_pair(a, static_cast<std::int32_t>(nt + j), d, pairs);
        });
      } else {
        for (std::int64_t j = 0; j <= m; ++j)
          system_.cell.for_images(
              {x[3 * j] - r[0], x[3 * j + 1] - r[1], x[3 * j + 2] - r[2]}, cutoff_,
              [&](const Vec3 &d) { add_pair(a, static_cast<std::int32_t>(nt + j), d, pairs); });
      }
    }
    pairs_end.push_back(pairs.size());
    order_by_hops(template_edges_, graph, pairs, begin, graph.atom.data() + g * N,
                  graph.slot.data() + g * nt, graph.counts.data() + g);
  }
  if (2 * pairs.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) ||
      count * N >= std::numeric_limits<std::int32_t>::max())
    throw Error("structures have too many edges: lower the cutoff of the network or the batch");
  for (int depth = 0; depth <= graph.all(); ++depth) {
    std::int32_t *offset = graph.offsets.data() + depth * (count + 1);
    offset[0] = 0;
    for (std::int64_t g = 0; g < count; ++g)
      offset[g + 1] = offset[g] + graph.count(depth, g);
  }

  // Both directions of every pair, sorted by receiver (counting sort: the order is that of the pairs).
  const std::size_t E = 2 * pairs.size();
  graph.first.assign(graph.rows(1) + 1, 0);
  graph.receiver.resize(E);
  graph.sender.resize(E);
  graph.pair.resize(E);
  graph.direction.resize(3 * E);
  graph.distance.resize(pairs.size());
  const auto slot_of = [&](std::int64_t g, std::int32_t atom) {
    return atom < nt ? graph.slot[g * nt + atom] : atom - static_cast<std::int32_t>(nt);
  };
  const auto for_directed = [&](auto visit) {
    for (std::int64_t g = 0; g < count; ++g)
      for (std::size_t p = g == 0 ? 0 : pairs_end[g - 1]; p < pairs_end[g]; ++p) {
        visit(g, slot_of(g, pairs[p].a), pairs[p].b, p, 1.0);
        visit(g, slot_of(g, pairs[p].b), pairs[p].a, p, -1.0);
      }
  };
  for_directed([&](std::int64_t g, std::int32_t receiver, std::int32_t, std::size_t, double) {
    ++graph.first[graph.offset(1, g) + receiver + 1];
  });
  std::partial_sum(graph.first.begin(), graph.first.end(), graph.first.begin());
  thread_local std::vector<std::int32_t> next;
  next.assign(graph.first.begin(), graph.first.end() - 1);
  for_directed(
      [&](std::int64_t g, std::int32_t receiver, std::int32_t sender, std::size_t p, double sign) {
        const std::int32_t e = next[graph.offset(1, g) + receiver]++;
        graph.receiver[e] = receiver;
        graph.sender[e] = sender;
        graph.pair[e] = static_cast<std::int32_t>(p);
        for (int k = 0; k < 3; ++k)
          graph.direction.set(3 * static_cast<std::size_t>(e) + k, sign * pairs[p].direction[k]);
      });
  for (std::size_t p = 0; p < pairs.size(); ++p)
    graph.distance[p] = pairs[p].distance;
}

}  // namespace godiff
