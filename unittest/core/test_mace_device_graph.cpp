// SPDX-License-Identifier: GPL-2.0-only
// A graph that is looked at where it lies gives what a graph that is copied gives.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/mace/model.hpp"
#include "mace/golden_models.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::MaceDeviceGraph;
using godiff::MaceDeviceResult;
using godiff::MaceGraph;
using godiff::MaceModel;
using godiff::MaceOptions;
using godiff::MacePrecision;
using godiff::MaceResult;
using godiff_test::message_of;
using golden_models::load;
using golden_models::structure;

// The arrays of a graph as a device has them: edges with room behind them, vectors in the precision of
// the model, x of all edges first where `columns` is set.
class OnDevice {
public:
  OnDevice(const MaceGraph &graph, const MaceModel &model, bool columns) : host_(graph) {
    const std::int64_t n = graph.n_edges(), stride = n + 3;
    ends_.assign(2 * stride, -1);
    std::copy(graph.senders.begin(), graph.senders.end(), ends_.begin());
    std::copy(graph.receivers.begin(), graph.receivers.end(), ends_.begin() + stride);
    graph_.n_graphs = graph.n_graphs();
    graph_.n_nodes = graph.n_nodes();
    graph_.n_edges = n;
    graph_.first_node = host_.first_node.data();
    graph_.species = host_.species.data();
    graph_.counted = host_.counted.empty() ? nullptr : host_.counted.data();
    graph_.ends = ends_.data();
    graph_.ends_stride = stride;
    graph_.vector_strides[0] = columns ? 1 : 4;
    graph_.vector_strides[1] = columns ? stride : 1;
    doubles_.assign(4 * stride, NAN);
    for (std::int64_t e = 0; e < n; ++e)
      for (int k = 0; k < 3; ++k)
        doubles_[e * graph_.vector_strides[0] + k * graph_.vector_strides[1]] =
            graph.vectors[3 * e + k];
    floats_.assign(doubles_.begin(), doubles_.end());
    graph_.vectors =
        model.info().single_precision ? static_cast<const void *>(floats_.data()) : doubles_.data();
  }
  OnDevice(const OnDevice &) = delete;
  OnDevice &operator=(const OnDevice &) = delete;

  MaceDeviceGraph &graph() { return graph_; }

private:
  MaceGraph host_;
  MaceDeviceGraph graph_;
  std::vector<std::int64_t> ends_;
  std::vector<double> doubles_;
  std::vector<float> floats_;
};

std::vector<double> gradients_of(const MaceDeviceResult &result, std::int64_t n_edges,
                                 bool single_precision) {
  std::vector<double> gradients;
  for (std::int64_t e = 0; e < n_edges; ++e)
    for (int k = 0; k < 3; ++k) {
      const std::int64_t at = e * result.gradient_strides[0] + k * result.gradient_strides[1];
      gradients.push_back(single_precision
                              ? static_cast<const float *>(result.edge_gradients)[at]
                              : static_cast<const double *>(result.edge_gradients)[at]);
    }
  return gradients;
}

std::vector<double> energies_of(const MaceDeviceResult &result, std::int64_t n) {
  return {result.node_energies, result.node_energies + n};
}

// Nothing but where numbers lie differs: the results are the same but for the order of sums, which
// LibTorch may choose by strides.
double rounding(const MaceModel &model) {
  return model.info().single_precision ? 1e-4 : 1e-11;
}

MaceGraph two_structures(const std::string &name, const MaceModel &model) {
  MaceGraph graph;
  for (const char *which : {"slab", "triclinic"})
    golden_models::append(structure(name, which), model.info(), graph);
  return graph;
}

class MaceOnDevice : public testing::TestWithParam<MacePrecision> {
protected:
  MaceOptions options() const {
    MaceOptions options;
    options.precision = GetParam();
    return options;
  }
};

TEST_P(MaceOnDevice, IsWhatACopiedGraphGives) {
  for (const std::string &name : golden_models::names()) {
    SCOPED_TRACE(name);
    const auto model = load(name, options());
    MaceGraph graph = two_structures(name, *model);
    for (const bool some_count : {false, true}) {
      if (some_count) {
        graph.counted.assign(graph.species.size(), 1);
        graph.counted[1] = graph.counted.back() = 0;
      }
      MaceResult copied;
      model->evaluate(graph, true, copied);
      for (const bool columns : {false, true}) {
        OnDevice device(graph, *model, columns);
        MaceDeviceResult result;
        model->evaluate_on_device(device.graph(), true, result);
        EXPECT_LT(golden_models::largest_difference(energies_of(result, graph.n_nodes()),
                                                    copied.node_energies),
                  rounding(*model));
        EXPECT_LT(golden_models::largest_difference(
                      gradients_of(result, graph.n_edges(), model->info().single_precision),
                      copied.edge_gradients),
                  rounding(*model));
        model->evaluate_on_device(device.graph(), false, result);
        EXPECT_EQ(result.edge_gradients, nullptr);
        EXPECT_LT(golden_models::largest_difference(energies_of(result, graph.n_nodes()),
                                                    copied.node_energies),
                  rounding(*model));
      }
    }
  }
}

// One rank, whose ghosts are copies of all its nodes.
class Copies : public godiff::MaceExchange {
public:
  Copies(std::int64_t n_owned, bool on_device) : n_owned_(n_owned), on_device_(on_device) {}
  bool on_device() const override { return on_device_; }
  void to_ghosts(float *rows, int width) override { copy(rows, width); }
  void to_ghosts(double *rows, int width) override { copy(rows, width); }
  void to_owners(float *rows, int width) override { add(rows, width); }
  void to_owners(double *rows, int width) override { add(rows, width); }

private:
  template <class Number> void copy(Number *rows, int width) {
    std::copy(rows, rows + n_owned_ * width, rows + n_owned_ * width);
  }
  template <class Number> void add(Number *rows, int width) {
    for (std::int64_t k = 0; k < n_owned_ * width; ++k)
      rows[k] += rows[n_owned_ * width + k];
  }
  std::int64_t n_owned_;
  bool on_device_;
};

TEST_P(MaceOnDevice, ByLayersIsWhatTheWholeGives) {
  for (const std::string &name : golden_models::names()) {
    SCOPED_TRACE(name);
    const auto model = load(name, options());
    MaceGraph graph = golden_models::graph_of(structure(name, "slab"), model->info());
    MaceResult whole;
    model->evaluate(graph, true, whole);
    const std::int64_t n_owned = graph.n_nodes();
    const std::vector<std::int64_t> species = graph.species;
    graph.species.insert(graph.species.end(), species.begin(), species.end());
    graph.first_node.back() = graph.n_nodes();
    for (std::size_t e = 0; e < graph.senders.size(); e += 2)
      graph.senders[e] += n_owned;
    for (const bool rows_on_device : {false, true}) {
      OnDevice device(graph, *model, false);
      Copies exchange(n_owned, rows_on_device);
      MaceDeviceResult result;
      model->evaluate_layers_on_device(device.graph(), n_owned, true, exchange, result);
      EXPECT_LT(
          golden_models::largest_difference(energies_of(result, n_owned), whole.node_energies),
          rounding(*model));
      EXPECT_LT(golden_models::largest_difference(
                    gradients_of(result, graph.n_edges(), model->info().single_precision),
                    whole.edge_gradients),
                rounding(*model));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, MaceOnDevice,
                         testing::Values(MacePrecision::SINGLE, MacePrecision::DOUBLE),
                         [](const auto &info) {
                           return info.param == MacePrecision::SINGLE ? "Single" : "Double";
                         });

TEST(MaceDeviceGraphs, WithoutEdgesOrNodes) {
  const auto model = load("pt_two_layers");
  MaceGraph graph;
  graph.species = {0, 0};
  graph.first_node = {0, 2};
  MaceResult copied;
  model->evaluate(graph, true, copied);
  OnDevice device(graph, *model, false);
  MaceDeviceResult result;
  model->evaluate_on_device(device.graph(), true, result);
  EXPECT_EQ(result.edge_gradients, nullptr);
  EXPECT_EQ(energies_of(result, 2), copied.node_energies);
  device.graph().first_node = nullptr;  // one graph
  model->evaluate_on_device(device.graph(), true, result);
  EXPECT_EQ(energies_of(result, 2), copied.node_energies);

  MaceDeviceGraph nothing;
  nothing.n_graphs = 1;
  model->evaluate_on_device(nothing, true, result);
  EXPECT_EQ(result.node_energies, nullptr);
}

TEST(MaceDeviceGraphs, ThatMakeNoSenseAreRefused) {
  const auto model = load("pt_one_layer");
  const MaceGraph graph = two_structures("pt_one_layer", *model);
  const auto message = [&](auto change) {
    OnDevice device(graph, *model, false);
    change(device.graph());
    MaceDeviceResult result;
    return message_of<Error>([&] { model->evaluate_on_device(device.graph(), true, result); });
  };
  const std::string begin = "a graph on a device ";
  EXPECT_EQ(message([](MaceDeviceGraph &g) { g.n_edges = -1; }),
            begin + "has a negative number of graphs, nodes or edges");
  EXPECT_EQ(message([](MaceDeviceGraph &g) { g.first_node = nullptr; }),
            begin + "does not say where its 2 graphs begin");
  EXPECT_EQ(message([](MaceDeviceGraph &g) { g.n_nodes -= 1; }),
            begin + "does not have its " + std::to_string(graph.n_nodes() - 1) +
                " nodes between its graphs");
  EXPECT_EQ(message([](MaceDeviceGraph &g) { g.species = nullptr; }), begin + "has no numbers");
  EXPECT_EQ(message([](MaceDeviceGraph &g) { g.ends_stride = g.n_edges - 1; }),
            begin + "has " + std::to_string(graph.n_edges()) + " edges in rows of " +
                std::to_string(graph.n_edges() - 1));
}

}  // namespace
