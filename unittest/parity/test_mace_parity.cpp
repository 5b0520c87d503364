// SPDX-License-Identifier: GPL-2.0-only
// Energies, forces and virials against those of mace-torch (unittest/mace/README.md).
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/mace/model.hpp"
#include "mace/golden_models.hpp"

namespace {

using godiff::MaceGraph;
using godiff::MaceOptions;
using godiff::MacePrecision;
using godiff::MaceResult;
using golden_models::largest_difference;

// Deviations that rounding explains: of energies (eV per atom), forces (eV/Angstrom) and, relative to
// what the terms of their sums have together, virials.
struct Tolerances {
  double energy, force, virial;
};
constexpr Tolerances DOUBLE{1e-9, 1e-9, 1e-8};
constexpr Tolerances SINGLE{1e-6, 1e-5, 1e-5};

void expect_golden(const nlohmann::json &golden, const MaceGraph &graph, const MaceResult &result,
                   const Tolerances &tolerances) {
  const auto atoms = static_cast<double>(graph.n_nodes());
  // Single precision rounds the energy of an atom relative to its size.
  const auto energies = golden.at("node_energies").get<std::vector<double>>();
  double size = 1.0;
  for (const double energy : energies)
    size = std::max(size, std::fabs(energy));
  EXPECT_NEAR(result.energies.at(0), golden.at("energy").get<double>(),
              atoms * size * tolerances.energy);
  EXPECT_LE(largest_difference(result.node_energies, energies), size * tolerances.energy);
  EXPECT_LE(largest_difference(golden_models::forces(graph, result.edge_gradients),
                               golden.at("forces").get<std::vector<double>>()),
            tolerances.force);
  double terms = 1.0;
  for (std::size_t k = 0; k < graph.vectors.size(); ++k)
    terms += std::fabs(graph.vectors[k] * result.edge_gradients[k]);
  EXPECT_LE(largest_difference(golden_models::virial(graph, result.edge_gradients),
                               golden.at("virial").get<std::vector<double>>()),
            terms * tolerances.virial);
}

class MaceParity : public testing::TestWithParam<std::string> {};

TEST_P(MaceParity, EveryHeadPrecisionAndStructure) {
  const nlohmann::json json = golden_models::read_json(GetParam());
  for (const std::string head : json.at("heads"))
    for (const std::string precision : {"float64", "float32"}) {
      MaceOptions options;
      options.head = head;
      options.precision = precision == "float64" ? MacePrecision::DOUBLE : MacePrecision::SINGLE;
      const auto model = golden_models::load(GetParam(), options);
      int compared = 0;
      for (const auto &structure : json.at("structures"))
        for (const auto &golden : structure.at("results")) {
          if (golden.at("head") != head || golden.at("precision") != precision)
            continue;
          SCOPED_TRACE(head + " " + precision + " " + structure.at("name").get<std::string>());
          const MaceGraph graph = golden_models::graph_of(structure, model->info());
          EXPECT_EQ(graph.n_edges(), structure.at("n_edges"));
          MaceResult result;
          model->evaluate(graph, true, result);
          expect_golden(golden, graph, result, precision == "float64" ? DOUBLE : SINGLE);
          ++compared;
        }
      // Models in double precision have no golden values in single precision.
      EXPECT_TRUE(compared > 0 || (precision == "float32" && json.at("dtype") == "float64"));
    }
}

// The weights rounded to single precision are another, slightly different model: the values that are
// promised for it are 2e-5 eV per atom and 1e-4 eV/Angstrom.
TEST_P(MaceParity, SinglePrecisionIsCloseToDouble) {
  const nlohmann::json json = golden_models::read_json(GetParam());
  MaceOptions options;
  options.precision = MacePrecision::SINGLE;
  const auto model = golden_models::load(GetParam(), options);
  for (const auto &structure : json.at("structures"))
    for (const auto &golden : structure.at("results")) {
      if (golden.at("head") != json.at("exported_head") || golden.at("precision") != "float64")
        continue;
      SCOPED_TRACE(structure.at("name").get<std::string>());
      const MaceGraph graph = golden_models::graph_of(structure, model->info());
      MaceResult result;
      model->evaluate(graph, true, result);
      expect_golden(golden, graph, result, {2e-5, 1e-4, 1e-4});
    }
}

TEST_P(MaceParity, WhatTheModelIs) {
  const nlohmann::json json = golden_models::read_json(GetParam());
  const auto model = golden_models::load(GetParam());
  const godiff::MaceInfo &info = model->info();
  EXPECT_EQ(info.kind, json.at("kind"));
  EXPECT_EQ(info.single_precision, json.at("dtype") == "float32");
  // 4.5 is exact in single precision too, 3.4 is not.
  EXPECT_NEAR(info.r_max, json.at("r_max").get<double>(), info.single_precision ? 1e-6 : 0.0);
  EXPECT_EQ(info.layers, json.at("layers"));
  EXPECT_EQ(info.atomic_numbers, json.at("atomic_numbers").get<std::vector<int>>());
  EXPECT_EQ(info.heads, json.at("heads").get<std::vector<std::string>>());
  EXPECT_EQ(info.heads.at(info.head), json.at("exported_head"));
  EXPECT_EQ(info.pair_repulsion, json.at("pair_repulsion"));
  EXPECT_EQ(info.parameters, json.at("parameters"));
  EXPECT_EQ(info.device, "cpu");
  EXPECT_EQ(info.why_not_by_layers, "");
  EXPECT_EQ(info.exchange_widths.size() + 1, static_cast<std::size_t>(info.layers));
}

INSTANTIATE_TEST_SUITE_P(Models, MaceParity, testing::ValuesIn(golden_models::names()),
                         [](const auto &model) { return model.param; });

}  // namespace
