// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/neighbours.hpp"

#include <algorithm>
#include <cmath>

namespace godiff {

namespace {

constexpr double TOO_CLOSE = 1e-3;  // Angstrom

template <typename T> double bytes(const std::vector<T> &values) {
  return static_cast<double>(values.capacity() * sizeof(T));
}

}  // namespace

std::int64_t MaceDomain::node_of(const MaceNeighbours &neighbours, int atom) {
  const int owner = neighbours.owners ? neighbours.owners[atom] : atom;
  std::int64_t &node = node_of_atom_[owner];
  if (node < 0) {
    node = graph_.n_nodes();
    graph_.species.push_back(neighbours.species[neighbours.types[owner]]);
    atom_of_node_.push_back(owner);
  }
  return node;
}

std::optional<MaceContact> MaceDomain::add_edges(const MaceNeighbours &neighbours,
                                                 std::int64_t receiver, double cutoff) {
  const int i = atom_of_node_[receiver];
  const double *const here = neighbours.positions[i];
  const int *const list = neighbours.lists[i];
  for (int k = 0; k < neighbours.counts[i]; ++k) {
    const int j = list[k] & neighbours.mask;
    const double *const there = neighbours.positions[j];
    const double x = here[0] - there[0], y = here[1] - there[1], z = here[2] - there[2];
    const double squared = x * x + y * y + z * z;
    // An edge as long as the cutoff adds nothing. NaN is kept, to be seen in the energy.
    if (squared >= cutoff * cutoff)
      continue;
    if (squared < TOO_CLOSE * TOO_CLOSE)
      return MaceContact{i, j, std::sqrt(squared)};
    const std::int64_t sender = node_of(neighbours, j);
    graph_.senders.push_back(sender);
    graph_.receivers.push_back(receiver);
    graph_.vectors.insert(graph_.vectors.end(), {x, y, z});
  }
  return std::nullopt;
}

std::optional<MaceContact> MaceDomain::build(const MaceNeighbours &neighbours, double cutoff,
                                             int layers) {
  graph_.clear();
  atom_of_node_.clear();
  node_of_atom_.assign(static_cast<std::size_t>(neighbours.n_atoms), -1);
  for (std::int64_t i = 0; i < neighbours.n_owned; ++i)
    node_of(neighbours, neighbours.owned[i]);
  n_owned_ = graph_.n_nodes();

  // Nodes are found in the order of their distance in edges: those of one distance end where the
  // next layer begins.
  std::int64_t receiver = 0;
  for (int layer = 0; layer < layers; ++layer) {
    for (const std::int64_t end = graph_.n_nodes(); receiver < end; ++receiver)
      if (const auto contact = add_edges(neighbours, receiver, cutoff))
        return contact;
  }
  if (graph_.n_nodes() > n_owned_) {
    graph_.counted.assign(static_cast<std::size_t>(graph_.n_nodes()), 0);
    std::fill_n(graph_.counted.begin(), n_owned_, 1);
  }
  graph_.first_node.push_back(graph_.n_nodes());
  return std::nullopt;
}

double MaceDomain::memory() const {
  return bytes(graph_.species) + bytes(graph_.counted) + bytes(graph_.senders) +
         bytes(graph_.receivers) + bytes(graph_.vectors) + bytes(atom_of_node_) +
         bytes(node_of_atom_);
}

}  // namespace godiff
