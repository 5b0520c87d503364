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
#include "medium.hpp"
#include "work.hpp"

namespace godiff_bench {

namespace {

using godiff::MacePrecision;

// What is compared and timed of a model.
struct Model {
  std::string name;  // in what is reported
  std::string path;
  std::string bytes;  // content of the file
  std::int64_t slabs = 0;
  std::vector<MacePrecision> timed;
};

std::string read(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty())
    throw godiff::Error("cannot read the model \"" + path + "\" (--model)");
  return bytes;
}

std::vector<Model> models(const CheckOptions &options, std::int64_t most_of_medium) {
  std::vector<Model> found;
  if (!options.model.empty())
    found.push_back({"MACE",
                     options.model,
                     read(options.model),
                     options.slabs,
                     {MacePrecision::SINGLE, MacePrecision::DOUBLE}});
  if (!options.medium.empty())
    found.push_back({"medium MACE",
                     options.medium,
                     with_random_weights(options.medium),
                     std::min(options.slabs, most_of_medium),
                     {MacePrecision::SINGLE}});
  return found;
}

std::shared_ptr<godiff::MaceModel> load(const Model &model, MacePrecision precision,
                                        c10::Device device) {
  godiff::MaceOptions options;
  options.precision = precision;
  options.device = device.str();
  return godiff::load_mace(model.bytes, model.path, options);
}

const char *name_of(MacePrecision precision) {
  return precision == MacePrecision::SINGLE ? "float32" : "float64";
}

// Slabs S2 whose mobile atoms are off their sites, all with other numbers.
struct Slabs {
  Slabs(const std::vector<int> &atomic_numbers, std::int64_t slabs) : count(slabs) {
    constexpr double WIDTH = 0.3;  // Angstrom
    const Slab slab = make_slab("S2");
    const godiff::System &system = slab.system;
    const auto *island = slab.island.const_data_ptr<double>();
    for (std::int64_t k = 0; k < slabs; ++k) {
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
    return {count,        first_atom.data(), species.data(), positions.data(),
            cells.data(), periodic.data()};
  }

  std::int64_t count;
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
  Results r{zeros(slabs.count), zeros(3 * atoms), zeros(6 * slabs.count), zeros(atoms)};
  batch.compute(slabs.view(), {r.energies.data_ptr<double>(), r.forces.data_ptr<double>(),
                               r.virials.data_ptr<double>(), r.atom_energies.data_ptr<double>()});
  return r;
}

void check(const Model &model, c10::Device device, Report &report) {
  const std::string what = model.name + " " + std::to_string(model.slabs) + " slabs S2";
  report.attempt(what, [&] {
    const auto results = [&](MacePrecision precision, c10::Device where) {
      const auto loaded = load(model, precision, where);
      godiff::MaceBatch batch(*loaded, 0);
      return evaluate(batch, Slabs(loaded->info().atomic_numbers, model.slabs));
    };
    const c10::Device cpu(c10::kCPU);
    const Results exact = results(MacePrecision::DOUBLE, cpu),
                  rounded = results(MacePrecision::SINGLE, cpu),
                  in_double = results(MacePrecision::DOUBLE, device),
                  in_float = results(MacePrecision::SINGLE, device);
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

void time(const Model &model, MacePrecision precision, const CheckOptions &options,
          Report &report) {
  const std::string what = model.name + " energies and forces of " + std::to_string(model.slabs) +
                           " slabs S2, " + name_of(precision);
  time_case(what, options, report, [&](c10::Device device) {
    const auto loaded = load(model, precision, device);
    auto slabs = std::make_shared<Slabs>(loaded->info().atomic_numbers, model.slabs);
    auto batch = std::make_shared<godiff::MaceBatch>(*loaded, 0);
    auto energies = std::make_shared<std::vector<double>>(slabs->count);
    auto forces = std::make_shared<std::vector<double>>(slabs->positions.size());
    return [=] {
      // The batch refers to the model: both are kept.
      (void) loaded;
      batch->compute(slabs->view(), {energies->data(), forces->data(), nullptr, nullptr});
    };
  });
}

}  // namespace

void check_mace(const CheckOptions &options, Report &report) {
  // Two of them take the CPU seconds in float64.
  constexpr std::int64_t MEDIUM = 2;
  report.attempt("models of MACE", [&] {
    for (const Model &model : models(options, MEDIUM))
      check(model, options.device, report);
  });
}

void time_mace(const CheckOptions &options, Report &report) {
  report.attempt("models of MACE", [&] {
    for (const Model &model : models(options, options.slabs))
      for (const MacePrecision precision : model.timed)
        time(model, precision, options, report);
  });
}

}  // namespace godiff_bench
