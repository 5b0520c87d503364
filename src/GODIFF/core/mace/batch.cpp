// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/batch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include "core/base/error.hpp"
#include "core/geometry/cell.hpp"
#include "core/geometry/image_grid.hpp"

namespace godiff {

namespace {

constexpr double CLOSEST = 1e-3;  // Angstrom; no potential means anything below
constexpr double FARTHEST = 1e9;  // Angstrom
// What runs at full speed on a CPU and stays in its caches; larger calls get slower for each edge.
constexpr std::int64_t CPU_EDGES = 12000;
constexpr std::int64_t FIRST_DEVICE_EDGES = 65536;
constexpr double MOST_IMAGES = 1e7;  // of one structure: some GB

bool is_periodic(const MaceStructures &s, std::int64_t which) {
  const unsigned char *p = s.periodic + 3 * which;
  return p[0] || p[1] || p[2];
}

Cell cell_of(const MaceStructures &s, std::int64_t which) {
  const unsigned char *p = s.periodic + 3 * which;
  std::array<Vec3, 3> rows{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  if (is_periodic(s, which))
    for (int k = 0; k < 9; ++k)
      rows[k / 3][k % 3] = s.cells[9 * which + k];
  return Cell(rows, {p[0] != 0, p[1] != 0, p[2] != 0});
}

std::int64_t atoms_of(const MaceStructures &s, std::int64_t which) {
  return s.first_atom[which + 1] - s.first_atom[which];
}

void append_graph(const MaceGraph &one, MaceGraph &graph) {
  const std::int64_t first = graph.n_nodes();
  graph.first_node.push_back(first + one.n_nodes());
  graph.species.insert(graph.species.end(), one.species.begin(), one.species.end());
  graph.vectors.insert(graph.vectors.end(), one.vectors.begin(), one.vectors.end());
  for (const std::int64_t node : one.senders)
    graph.senders.push_back(first + node);
  for (const std::int64_t node : one.receivers)
    graph.receivers.push_back(first + node);
}

// What is known of a structure that cannot be evaluated (NaN), or of one without atoms (0).
void fill(const MaceStructures &s, std::int64_t which, double value, const MaceBatchResult &r) {
  const std::int64_t first = s.first_atom[which], n = atoms_of(s, which);
  if (r.energies)
    r.energies[which] = value;
  if (r.virials)
    std::fill_n(r.virials + 6 * which, 6, value);
  if (r.forces)
    std::fill_n(r.forces + 3 * first, 3 * n, value);
  if (r.atom_energies)
    std::fill_n(r.atom_energies + first, n, value);
}

}  // namespace

void check_structures(const MaceStructures &s, double cutoff, std::int64_t n_species) {
  const auto fail = [](std::int64_t which, const std::string &text) {
    throw Error("structure " + std::to_string(which + 1) + " of a batch " + text);
  };
  if (s.count < 0)
    throw Error("a batch has " + std::to_string(s.count) + " structures");
  if (s.count > 0 && s.first_atom[0] != 0)
    fail(0, "begins with atom " + std::to_string(s.first_atom[0]) + " instead of 0");
  for (std::int64_t which = 0; which < s.count; ++which)
    if (const std::int64_t n = atoms_of(s, which);
        n < 0 || n > std::numeric_limits<std::int32_t>::max())
      fail(which, "has " + std::to_string(n) + " atoms");
  for (std::int64_t which = 0; which < s.count; ++which) {
    const std::int64_t n = atoms_of(s, which);
    for (std::int64_t i = s.first_atom[which]; s.species && i < s.first_atom[which + 1]; ++i)
      if (s.species[i] < 0 || s.species[i] >= n_species)
        fail(which, "has an atom of species " + std::to_string(s.species[i]) +
                        ", the model knows 0 to " + std::to_string(n_species - 1));
    if (!is_periodic(s, which))
      continue;
    double images = 1.0;
    try {
      const Cell cell = cell_of(s, which);
      for (int k = 0; k < 3; ++k)
        if (cell.periodic(k))
          images *= 2.0 * cutoff / cell.width(k) + 2.0;
    } catch (const Error &e) {
      fail(which, std::string("cannot be periodic: ") + e.what());
    }
    if (!(images * static_cast<double>(std::max<std::int64_t>(n, 1)) < MOST_IMAGES))
      fail(which, "has a cell that is too thin: " + std::to_string(n) + " atoms have more than " +
                      std::to_string(static_cast<std::int64_t>(MOST_IMAGES)) +
                      " periodic images within the cutoff");
  }
}

bool append_structure(const MaceStructures &s, std::int64_t which, double cutoff,
                      MaceGraph &graph) {
  const std::int64_t first = s.first_atom[which], n = atoms_of(s, which);
  const double *x = s.positions + 3 * first;
  for (std::int64_t k = 0; k < 3 * n; ++k)
    if (!(std::abs(x[k]) < FARTHEST))
      return false;
  const std::int64_t node = graph.n_nodes();
  const std::size_t edges_before = graph.senders.size();
  bool apart = true;
  if (n > 0) {
    const ImageGrid grid(cell_of(s, which), x, n, cutoff);
    for (std::int64_t i = 0; i < n && apart; ++i)
      grid.for_near({x[3 * i], x[3 * i + 1], x[3 * i + 2]}, [&](std::int32_t j, const Vec3 &r) {
        const double squared = dot(r, r);
        if (j == i && squared == 0.0)
          return;  // the atom itself: its images are a cell vector away
        apart = apart && squared >= CLOSEST * CLOSEST;
        graph.senders.push_back(node + i);
        graph.receivers.push_back(node + j);
        graph.vectors.insert(graph.vectors.end(), r.begin(), r.end());
      });
  }
  if (!apart) {
    graph.senders.resize(edges_before);
    graph.receivers.resize(edges_before);
    graph.vectors.resize(3 * edges_before);
    return false;
  }
  graph.species.insert(graph.species.end(), s.species + first, s.species + first + n);
  graph.first_node.push_back(node + n);
  return true;
}

MaceEdgeBudget::MaceEdgeBudget(std::int64_t max_edges, const std::string &device) :
    most_(max_edges),
    growing_(max_edges == 0 && device != "cpu") {
  if (max_edges < 0)
    throw Error("the number of edges of a batch is " + std::to_string(max_edges) +
                " but must be positive, or 0 for automatic");
  if (max_edges == 0)
    most_ = growing_ ? FIRST_DEVICE_EDGES : CPU_EDGES;
}

void MaceEdgeBudget::succeeded(std::int64_t edges) {
  if (growing_ && edges > most_ / 2)
    most_ *= 2;
}

void MaceEdgeBudget::failed(const MaceOutOfMemory &error, std::int64_t structures,
                            std::int64_t atoms, std::int64_t edges) {
  growing_ = false;
  if (structures == 1)
    throw MaceOutOfMemory("one structure alone, with " + std::to_string(atoms) + " atoms and " +
                          std::to_string(edges) +
                          " edges, takes more memory than there is: use fewer atoms, single "
                          "precision or another device (" +
                          error.what() + ")");
  if (edges <= 1)
    throw error;  // cutting at edges would cut nothing
  most_ = edges / 2;
}

MaceBatch::MaceBatch(MaceModel &model, std::int64_t max_edges) :
    model_(model),
    budget_(max_edges, model.info().device) {}

void MaceBatch::compute(const MaceStructures &structures, const MaceBatchResult &result) {
  const MaceInfo &info = model_.info();
  check_structures(structures, info.r_max, static_cast<std::int64_t>(info.atomic_numbers.size()));
  const bool gradients = result.forces || result.virials;
  MaceGraph one;              // of the structure that is next
  std::int64_t in_one = -1;   // which that is
  bool can_evaluate = false;  // and whether it has a graph
  for (std::int64_t begin = 0; begin < structures.count;) {
    graph_.clear();
    chosen_.clear();
    std::int64_t next = begin;
    for (; next < structures.count; ++next) {
      if (atoms_of(structures, next) == 0) {
        fill(structures, next, 0.0, result);
        continue;
      }
      if (in_one != next) {
        one.clear();
        can_evaluate = append_structure(structures, next, info.r_max, one);
        in_one = next;
      }
      if (!can_evaluate) {
        fill(structures, next, std::numeric_limits<double>::quiet_NaN(), result);
        continue;
      }
      if (!chosen_.empty() && graph_.n_edges() + one.n_edges() > budget_.most())
        break;
      append_graph(one, graph_);
      chosen_.push_back(next);
    }
    if (!chosen_.empty() && !evaluate(gradients))
      continue;  // the same once more, with fewer edges
    scatter(structures, result);
    begin = next;
  }
}

// One call of the model. Returns false when that takes more memory than there is but fewer structures
// may not.
bool MaceBatch::evaluate(bool gradients) {
  const std::int64_t edges = graph_.n_edges();
  try {
    model_.evaluate(graph_, gradients, result_);
  } catch (const MaceOutOfMemory &e) {
    budget_.failed(e, graph_.n_graphs(), graph_.n_nodes(), edges);
    return false;
  }
  ++calls_;
  largest_call_ = std::max(largest_call_, edges);
  budget_.succeeded(edges);
  return true;
}

void MaceBatch::scatter(const MaceStructures &s, const MaceBatchResult &r) const {
  for (std::size_t k = 0; k < chosen_.size(); ++k) {
    const std::int64_t which = chosen_[k];
    fill(s, which, 0.0, r);
    if (r.energies)
      r.energies[which] = result_.energies[k];
    if (r.atom_energies)
      std::copy(result_.node_energies.begin() + graph_.first_node[k],
                result_.node_energies.begin() + graph_.first_node[k + 1],
                r.atom_energies + s.first_atom[which]);
  }
  if (!r.forces && !r.virials)
    return;
  std::size_t k = 0;  // edges come structure by structure
  for (std::int64_t e = 0; e < graph_.n_edges(); ++e) {
    const std::int64_t sender = graph_.senders[e], receiver = graph_.receivers[e];
    while (sender >= graph_.first_node[k + 1])
      ++k;
    const double *v = &graph_.vectors[3 * e], *g = &result_.edge_gradients[3 * e];
    if (r.forces) {
      const std::int64_t shift = s.first_atom[chosen_[k]] - graph_.first_node[k];
      for (int d = 0; d < 3; ++d) {
        r.forces[3 * (receiver + shift) + d] -= g[d];
        r.forces[3 * (sender + shift) + d] += g[d];
      }
    }
    if (r.virials) {
      double *w = r.virials + 6 * chosen_[k];
      for (int d = 0; d < 3; ++d)
        w[d] -= v[d] * g[d];
      w[3] -= 0.5 * (v[0] * g[1] + v[1] * g[0]);
      w[4] -= 0.5 * (v[0] * g[2] + v[2] * g[0]);
      w[5] -= 0.5 * (v[1] * g[2] + v[2] * g[1]);
    }
  }
}

}  // namespace godiff
