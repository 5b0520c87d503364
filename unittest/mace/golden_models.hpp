// SPDX-License-Identifier: GPL-2.0-only
// The small MACE models of this folder, their golden structures, and edges found one by one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/mace/model.hpp"

namespace golden_models {

inline std::string path(const std::string &file) {
  return std::string(GODIFF_SOURCE_DIR) + "/unittest/mace/" + file;
}

/// Names of all models, without the ending.
inline std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(path("")))
    if (entry.path().extension() == ".json")
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

inline nlohmann::json read_json(const std::string &name) {
  std::ifstream stream(path(name + ".json"));
  return nlohmann::json::parse(stream);
}

/// The structure of a model with a name.
inline nlohmann::json structure(const std::string &name, const std::string &which) {
  const nlohmann::json json = read_json(name);
  for (const auto &found : json.at("structures"))
    if (found.at("name") == which)
      return found;
  throw std::runtime_error(name + " has no structure " + which);
}

inline std::string bytes(const std::string &name) {
  std::ifstream file(path(name + ".pt"), std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::unique_ptr<godiff::MaceModel>
load(const std::string &name, const godiff::MaceOptions &options = godiff::MaceOptions()) {
  return godiff::load_mace(bytes(name), name + ".pt", options);
}

/// Appends a structure to a graph: every pair of atoms in every image that can be near enough.
inline void append(const nlohmann::json &structure, const godiff::MaceInfo &info,
                   godiff::MaceGraph &graph) {
  const auto cell = structure.at("cell").get<std::vector<double>>();
  const auto pbc = structure.at("pbc").get<std::vector<int>>();
  const auto x = structure.at("positions").get<std::vector<double>>();
  const auto numbers = structure.at("atomic_numbers").get<std::vector<int>>();
  const std::int64_t first = graph.n_nodes();
  const auto n = static_cast<std::int64_t>(numbers.size());
  for (const int z : numbers)
    graph.species.push_back(std::find(info.atomic_numbers.begin(), info.atomic_numbers.end(), z) -
                            info.atomic_numbers.begin());
  // More images than any of the structures needs: none has an edge across four cells.
  constexpr int IMAGES = 4;
  int images[3];
  for (int k = 0; k < 3; ++k)
    images[k] = pbc[k] ? IMAGES : 0;
  for (std::int64_t s = 0; s < n; ++s)
    for (std::int64_t r = 0; r < n; ++r)
      for (int a = -images[0]; a <= images[0]; ++a)
        for (int b = -images[1]; b <= images[1]; ++b)
          for (int c = -images[2]; c <= images[2]; ++c) {
            if (s == r && a == 0 && b == 0 && c == 0)
              continue;
            double v[3], square = 0.0;
            for (int k = 0; k < 3; ++k) {
              v[k] = x[3 * r + k] - x[3 * s + k] + a * cell[k] + b * cell[3 + k] + c * cell[6 + k];
              square += v[k] * v[k];
            }
            if (std::sqrt(square) >= info.r_max)
              continue;
            graph.senders.push_back(first + s);
            graph.receivers.push_back(first + r);
            graph.vectors.insert(graph.vectors.end(), v, v + 3);
          }
  graph.first_node.push_back(graph.n_nodes());
}

inline godiff::MaceGraph graph_of(const nlohmann::json &structure, const godiff::MaceInfo &info) {
  godiff::MaceGraph graph;
  append(structure, info, graph);
  return graph;
}

/// Forces [3*n_nodes]: f_receiver = -dE/dv, f_sender = dE/dv, summed over the edges.
inline std::vector<double> forces(const godiff::MaceGraph &graph,
                                  const std::vector<double> &gradients) {
  std::vector<double> forces(3 * graph.species.size(), 0.0);
  for (std::int64_t e = 0; e < graph.n_edges(); ++e)
    for (int k = 0; k < 3; ++k) {
      forces[3 * graph.receivers[e] + k] -= gradients[3 * e + k];
      forces[3 * graph.senders[e] + k] += gradients[3 * e + k];
    }
  return forces;
}

/// -dE/dstrain of all edges, xx yy zz xy xz yz.
inline std::vector<double> virial(const godiff::MaceGraph &graph,
                                  const std::vector<double> &gradients) {
  constexpr int PAIRS[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};
  std::vector<double> virial(6, 0.0);
  for (std::int64_t e = 0; e < graph.n_edges(); ++e)
    for (int k = 0; k < 6; ++k) {
      const double *v = &graph.vectors[3 * e];
      const double *g = &gradients[3 * e];
      const int a = PAIRS[k][0], b = PAIRS[k][1];
      virial[k] -= 0.5 * (v[a] * g[b] + v[b] * g[a]);
    }
  return virial;
}

inline double largest_difference(const std::vector<double> &one, const std::vector<double> &other) {
  if (one.size() != other.size())
    throw std::runtime_error("sizes " + std::to_string(one.size()) + " and " +
                             std::to_string(other.size()));
  double largest = 0.0;
  for (std::size_t k = 0; k < one.size(); ++k)
    largest = std::isfinite(one[k]) ? std::max(largest, std::fabs(one[k] - other[k])) : INFINITY;
  return largest;
}

}  // namespace golden_models
