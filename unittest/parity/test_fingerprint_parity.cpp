// SPDX-License-Identifier: GPL-2.0-only
// The fingerprint against the Python implementation in tools/godiff_fingerprint.py; the data are
// made by make_fingerprint_golden.py.
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/elements.hpp"
#include "core/geometry/fingerprint.hpp"

namespace {

using godiff::Fingerprint;
using godiff::Positions;
using godiff::System;
using nlohmann::json;

json golden() {
  std::ifstream file(std::string(GODIFF_SOURCE_DIR) + "/unittest/parity/fingerprint.json");
  return json::parse(file);
}

System system_of(const json &entry) {
  const auto numbers = entry["numbers"].get<std::vector<int>>();
  System system;
  system.cell = godiff::Cell(entry["cell"].get<std::array<godiff::Vec3, 3>>(),
                             entry["pbc"].get<std::array<bool, 3>>());
  system.n_template = 1;  // takes no part
  system.n_mobile = static_cast<std::int64_t>(numbers.size());
  system.atomic_numbers = {78};
  system.template_positions = {0, 0, 0};
  system.atomic_numbers.insert(system.atomic_numbers.end(), numbers.begin(), numbers.end());
  system.ids.resize(numbers.size() + 1);
  system.types.resize(numbers.size() + 1);
  return system;
}

TEST(FingerprintParity, CovalentRadii) {
  const json data = golden();
  EXPECT_GE(data["radii"].size(), 5u);
  for (const auto &entry : data["radii"].items())
    EXPECT_EQ(godiff::covalent_radius(std::stoi(entry.key())), entry.value().get<double>());
}

TEST(FingerprintParity, BondsAndEigenvalues) {
  const json data = golden();
  ASSERT_GE(data["clusters"].size(), 20u);
  for (const auto &entry : data["clusters"]) {
    SCOPED_TRACE(entry["name"].get<std::string>());
    const System system = system_of(entry);
    const std::int64_t n = system.n_mobile;
    Positions positions;
    for (const auto &row : entry["positions"])
      for (const auto &x : row)
        positions.push_back(x.get<double>());

    std::vector<char> bonds(n * n, 0);
    for (const auto &pair : entry["bonds"]) {
      const auto i = pair[0].get<std::int64_t>(), j = pair[1].get<std::int64_t>();
      bonds[i * n + j] = bonds[j * n + i] = 1;
    }
    EXPECT_EQ(bond_matrix(system, positions), bonds);
    // The data have ten decimals; two eigenvalue solvers differ by about 1e-13.
    EXPECT_LT(godiff::fingerprint_distance(fingerprint(system, positions),
                                           entry["eigenvalues"].get<Fingerprint>()),
              1e-9);
  }
}

}  // namespace
