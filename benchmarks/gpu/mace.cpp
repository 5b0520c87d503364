// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Functions.h>

#include "../systems.hpp"
#include "core/base/error.hpp"
#include "core/base/random.hpp"
#include "core/mace/batch.hpp"
#include "core/mace/model.hpp"
#include "measure.hpp"
#include "work.hpp"

namespace godiff_bench {

namespace {

using godiff::MacePrecision;

constexpr std::int64_t SLABS = 128;

std::shared_ptr<godiff::MaceModel> load(const std::string &path, MacePrecision precision,
                                        c10::Device device) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty())
    throw godiff::Error("cannot read the model \"" + path + "\" (--model)");
  godiff::MaceOptions options;
  options.precision = precision;
  options.device = device.str();
  return godiff::load_mace(bytes, path, options);
}

// Slabs S2 whose mobile atoms are off their sites, all with other numbers.
struct Slabs {
  explicit Slabs(const std::vector<int> &atomic_numbers) {
    constexpr double WIDTH = 0.3;  // Angstrom
    const Slab slab = make_slab("S2");
    const godiff::System &system = slab.system;
    const auto *island = slab.island.const_data_ptr<double>();
    for (std::int64_t k = 0; k < SLABS; ++k) {
      godiff::RandomStream random(1, godiff::Purpose::PRIOR, 0, static_cast<std::uint32_t>(k));
      positions.insert(positions.end(), system.template_positions.begin(),
                       system.template_positions.end());
      for (std::int64_t i = 0; i < 3 * system.n_mobile; ++i)
        positions.push_back(island[i] + WIDTH * random.normal());
      for (int axis = 0; axis < 3; ++axis) {
        cells.insert(cells.end(), system.cell.rows()[axis].begin(), system.cell.rows()[axis].end());
        periodic.push_back(system.cell.periodic(axis) ? 1 : 0);
      }
      for (int z : system.atomic_numbers) {
        const auto found = std::find(atomic_numbers.begin(), atomic_numbers.end(), z);
        if (found == atomic_numbers.end())
          throw godiff::Error("the MACE model does not know platinum (--model)");
        species.push_back(found - atomic_numbers.begin());
      }
      first_atom.push_back(static_cast<std::int64_t>(species.size()));
    }
  }
  godiff::MaceStructures view() const {
    return {SLABS,        first_atom.data(), species.data(), positions.data(),
            cells.data(), periodic.data()};
  }

  std::vector<std::int64_t> first_atom{0}, species;
  std::vector<double> positions, cells;
  std::vector<unsigned char> periodic;
};

struct Results {
  at::Tensor energies, forces, virials, atom_energies;
};

Results evaluate(godiff::MaceBatch &batch, const Slabs &slabs) {
  const auto atoms = static_cast<std::int64_t>(slabs.species.size());
  const auto zeros = [](std::int64_t n) { return at::zeros({n}, at::kDouble); };
  Results r{zeros(SLABS), zeros(3 * atoms), zeros(6 * SLABS), zeros(atoms)};
  batch.compute(slabs.view(), {r.energies.data_ptr<double>(), r.forces.data_ptr<double>(),
                               r.virials.data_ptr<double>(), r.atom_energies.data_ptr<double>()});
  return r;
}

}  // namespace

void check_mace(const CheckOptions &options, Report &report) {
  const std::string what = "MACE 128 slabs S2";
  report.attempt(what, [&] {
    const auto results = [&](MacePrecision precision, c10::Device device) {
      const auto model = load(options.model, precision, device);
      godiff::MaceBatch batch(*model, 0);
      return evaluate(batch, Slabs(model->info().atomic_numbers));
    };
    const c10::Device cpu(c10::kCPU);
    const Results exact = results(MacePrecision::DOUBLE, cpu),
                  rounded = results(MacePrecision::SINGLE, cpu),
                  in_double = results(MacePrecision::DOUBLE, options.device),
                  in_float = results(MacePrecision::SINGLE, options.device);
    const auto compare = [&](const char *name, at::Tensor Results::*part) {
      const at::Tensor &expected = exact.*part;
      report.check(what + ", " + name + " float64", deviation(in_double.*part, expected), 1e-10);
      // As for the network: no further off than a few times what the CPU is in float32.
      report.check(what + ", " + name + " float32", deviation(in_float.*part, expected),
                   10.0 * deviation(rounded.*part, expected) + 4e-6);
    };
    compare("energies", &Results::energies);
    compare("forces", &Results::forces);
    compare("virials", &Results::virials);
    compare("energies of atoms", &Results::atom_energies);
  });
}

void time_mace(const CheckOptions &options, Report &report) {
  for (const MacePrecision precision : {MacePrecision::SINGLE, MacePrecision::DOUBLE})
    time_case(
        std::string("MACE energies and forces of 128 slabs S2, ") +
            (precision == MacePrecision::SINGLE ? "float32" : "float64"),
        options, report, [&](c10::Device device) {
          const auto model = load(options.model, precision, device);
          auto slabs = std::make_shared<Slabs>(model->info().atomic_numbers);
          auto batch = std::make_shared<godiff::MaceBatch>(*model, 0);
          auto energies = std::make_shared<std::vector<double>>(SLABS);
          auto forces = std::make_shared<std::vector<double>>(slabs->positions.size());
          return [=] {
            // The batch refers to the model: both are kept.
            (void) model;
            batch->compute(slabs->view(), {energies->data(), forces->data(), nullptr, nullptr});
          };
        });
}

}  // namespace godiff_bench
