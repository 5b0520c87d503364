// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cmath>

#include "core/mace/torchscript_model.hpp"

namespace godiff {

namespace {

// A cluster with irregular distances between 0.3 and 0.7 cutoffs, appended to a graph.
void append_cluster(const MaceInfo &info, int n_atoms, MaceGraph &graph) {
  constexpr double CLUSTER[4][3] = {
      {0.0, 0.0, 0.0}, {0.41, 0.05, -0.03}, {0.17, 0.38, 0.06}, {-0.12, 0.21, 0.45}};
  const std::int64_t first = graph.n_nodes();
  const auto n_species = static_cast<std::int64_t>(info.atomic_numbers.size());
  for (int a = 0; a < n_atoms; ++a) {
    graph.species.push_back((first + a) % n_species);
    for (int b = 0; b < n_atoms; ++b) {
      if (a == b)
        continue;
      graph.senders.push_back(first + a);
      graph.receivers.push_back(first + b);
      for (int k = 0; k < 3; ++k)
        graph.vectors.push_back(info.r_max * (CLUSTER[b][k] - CLUSTER[a][k]));
    }
  }
  graph.first_node.push_back(graph.n_nodes());
}

// Deviations that rounding explains, of results of about this size.
double tolerance(const MaceInfo &info, const std::vector<double> &results) {
  double size = 1.0;
  for (const double result : results)
    size = std::max(size, std::fabs(result));
  return (info.single_precision ? 1e-4 : 1e-9) * size;
}

void compare(const std::vector<double> &one, const std::vector<double> &other, double tolerance,
             const std::string &what) {
  if (one.size() != other.size())
    throw Error(what + " in number");
  for (std::size_t k = 0; k < one.size(); ++k)
    if (!(std::fabs(one[k] - other[k]) <= tolerance))
      throw Error(what + ": " + std::to_string(one[k]) + " and " + std::to_string(other[k]));
}

// The energy of a cluster that does not change when it is turned: no torque, sum v x dE/dv = 0.
void check_torque(const MaceInfo &info, const MaceGraph &graph, const MaceResult &result) {
  double torque[3] = {0.0, 0.0, 0.0};
  for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
    const double *v = &graph.vectors[3 * e];
    const double *g = &result.edge_gradients[3 * e];
    for (int k = 0; k < 3; ++k)
      torque[k] += v[(k + 1) % 3] * g[(k + 2) % 3] - v[(k + 2) % 3] * g[(k + 1) % 3];
  }
  const double allowed =
      tolerance(info, result.edge_gradients) * info.r_max * static_cast<double>(graph.n_edges());
  for (const double component : torque)
    if (!(std::fabs(component) <= allowed))
      throw Error("a cluster has a torque of " + std::to_string(component) + " eV");
}

// Ghosts that are copies of the owned nodes, in their order.
class CopyExchange : public MaceExchange {
public:
  explicit CopyExchange(std::int64_t n_owned) : n_owned_(n_owned) {}

  void to_ghosts(float *rows, int width) override { copy(rows, width); }
  void to_ghosts(double *rows, int width) override { copy(rows, width); }
  void to_owners(float *rows, int width) override { add(rows, width); }
  void to_owners(double *rows, int width) override { add(rows, width); }

  std::vector<int> widths;  ///< of what went to the ghosts

private:
  template <class Number> void copy(Number *rows, int width) {
    std::copy(rows, rows + n_owned_ * width, rows + n_owned_ * width);
    widths.push_back(width);
  }
  template <class Number> void add(Number *rows, int width) {
    for (std::int64_t k = 0; k < n_owned_ * width; ++k)
      rows[k] += rows[n_owned_ * width + k];
  }

  std::int64_t n_owned_;
};

}  // namespace

void TorchScriptModel::self_test() {
  MaceGraph graphs[2], together;
  append_cluster(info_, 3, graphs[0]);
  append_cluster(info_, 3, together);
  append_cluster(info_, 2, graphs[1]);
  append_cluster(info_, 2, together);
  // The same elements as in the graph of both.
  std::copy(together.species.begin() + 3, together.species.end(), graphs[1].species.begin());
  MaceResult all, one_by_one, single;
  evaluate(together, true, all);
  for (const double energy : all.node_energies)
    if (!std::isfinite(energy))
      throw Error("the energy of a small cluster is not finite");
  // mace-torch 0.3.13 exports models of class MACE whose atoms have the energy of isolated ones.
  if (std::all_of(all.edge_gradients.begin(), all.edge_gradients.end(),
                  [](double gradient) { return gradient == 0.0; }))
    throw Error("the energies of atoms do not depend on their positions, export the model with "
                "another version of mace-torch");
  for (const MaceGraph &graph : graphs) {
    evaluate(graph, true, single);
    for (auto [to, from] : {std::pair(&one_by_one.node_energies, &single.node_energies),
                            std::pair(&one_by_one.edge_gradients, &single.edge_gradients)})
      to->insert(to->end(), from->begin(), from->end());
  }
  compare(all.node_energies, one_by_one.node_energies, tolerance(info_, all.node_energies),
          "energies of two clusters together and one by one differ");
  compare(all.edge_gradients, one_by_one.edge_gradients, tolerance(info_, all.edge_gradients),
          "gradients of two clusters together and one by one differ");
  check_torque(info_, together, all);
  try {
    try_layers();
  } catch (const MaceOutOfMemory &) {
    throw;
  } catch (const std::exception &error) {
    layers_.reset();
    info_.why_not_by_layers = error.what();
  }
  times_ = MaceTimes();
}

// A cluster whose nodes have copies, which some of the edges come from, is evaluated by layers.
void TorchScriptModel::try_layers() {
  MaceGraph cluster;
  append_cluster(info_, 4, cluster);
  const std::int64_t n_owned = cluster.n_nodes();
  MaceGraph with_copies = cluster;
  with_copies.first_node.back() *= 2;
  with_copies.species.insert(with_copies.species.end(), cluster.species.begin(),
                             cluster.species.end());
  for (std::size_t e = 0; e < cluster.senders.size(); e += 2)
    with_copies.senders[e] += n_owned;
  CopyExchange exchange(n_owned);
  MaceResult whole, by_layers;
  evaluate(cluster, true, whole);
  layers_ = std::make_unique<TorchScriptLayers>(model_, info_);
  evaluate_layers(with_copies, n_owned, true, exchange, by_layers);
  compare(whole.node_energies, by_layers.node_energies, tolerance(info_, whole.node_energies),
          "energies as a whole and by layers differ");
  compare(whole.edge_gradients, by_layers.edge_gradients, tolerance(info_, whole.edge_gradients),
          "gradients as a whole and by layers differ");
  info_.exchange_widths = exchange.widths;
}

}  // namespace godiff
