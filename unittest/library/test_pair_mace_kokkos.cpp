// SPDX-License-Identifier: GPL-2.0-only
// What pair style mace/kk offers to other code in the process: a batch service for arrays on the device.
#include "library/instance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "../src/GODIFF/godiff_batch.h"
#include "testing/mace_run.hpp"

using godiff::testing::Instance;
using godiff::testing::kokkos_args;
using godiff::testing::MaceGolden;
using godiff::testing::MaceRun;
using godiff::testing::MaceStructure;
using godiff::testing::MaceValues;
using godiff::testing::WorkingFolder;

namespace {

const std::vector<std::string> KOKKOS = kokkos_args(2);

std::string definition(const MaceRun &run) {
  return "units metal\nboundary p p f\nread_data data.slab\n" + run.pair_commands() + "run 0\n";
}

// Structures one after the other, and what is said of them.
struct Batch {
  std::vector<std::int64_t> ptr{0};
  std::vector<int> type;
  std::vector<double> x, cell;
  std::vector<std::uint8_t> pbc;
  std::vector<double> energy, f, virial, eatom;
  int want = GODIFF_BATCH_FORCES | GODIFF_BATCH_VIRIAL | GODIFF_BATCH_EATOM;

  void add(const MaceStructure &s, double shift = 0.0) {
    ptr.push_back(ptr.back() + s.n_atoms());
    type.insert(type.end(), s.types.begin(), s.types.end());
    for (const double component : s.positions)
      x.push_back(component + shift);
    cell.insert(cell.end(), s.cell.begin(), s.cell.end());
    pbc.insert(pbc.end(), s.periodic.begin(), s.periodic.end());
  }

  int run(godiff_batch_v1 *service, bool on_device) {
    const std::size_t n = ptr.size() - 1;
    // Numbers that nobody has written are seen.
    energy.assign(n, 1e30);
    f.assign(x.size(), 1e30);
    virial.assign(6 * n, 1e30);
    eatom.assign(type.size(), 1e30);
    const auto compute = on_device ? service->compute_device : service->compute;
    return compute(service->self, static_cast<std::int64_t>(n), ptr.data(), type.data(), x.data(),
                   cell.data(), pbc.data(), want, energy.data(), f.data(), virial.data(),
                   eatom.data());
  }
};

void expect_same(const std::vector<double> &one, const std::vector<double> &other, double tolerance,
                 const char *what) {
  ASSERT_EQ(one.size(), other.size());
  for (std::size_t k = 0; k < one.size(); ++k)
    if (std::isnan(other[k]))
      EXPECT_TRUE(std::isnan(one[k])) << what << " " << k;
    else
      EXPECT_NEAR(one[k], other[k], tolerance) << what << " " << k;
}

void expect_same(const Batch &one, const Batch &other, double tolerance) {
  expect_same(one.energy, other.energy, tolerance, "energy");
  expect_same(one.f, other.f, tolerance, "force");
  expect_same(one.virial, other.virial, 10.0 * tolerance, "virial");
  expect_same(one.eatom, other.eatom, tolerance, "energy of atom");
}

godiff_batch_v1 *service_of(const Instance &lammps) {
  return static_cast<godiff_batch_v1 *>(lammps.of_pair("godiff_batch"));
}

}  // namespace

TEST(PairMaceKokkosLibrary, OnlyTheStyleOfKokkosComputesOnTheDevice) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  const MaceRun run(MaceGolden("pt_two_layers"), "slab");
  const WorkingFolder folder(run.data());
  Instance plain("plain");
  plain.run(definition(run));
  ASSERT_NE(service_of(plain), nullptr);
  EXPECT_EQ(service_of(plain)->compute_device, nullptr);
  EXPECT_EQ(service_of(plain)->caps & GODIFF_BATCH_CAN_DEVICE, 0u);
  Instance lammps("kokkos", KOKKOS);
  lammps.run(definition(run));
  ASSERT_NE(service_of(lammps), nullptr);
  EXPECT_NE(service_of(lammps)->compute_device, nullptr);
  EXPECT_EQ(service_of(lammps)->caps & GODIFF_BATCH_CAN_DEVICE, 4u);
  EXPECT_EQ(service_of(lammps)->size, sizeof(godiff_batch_v1));
}

// A model that need not be where KOKKOS computes is not given arrays of there.
TEST(PairMaceKokkosLibrary, ThePlainStyleUnderKokkosOffersTheHostAlone) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  const MaceGolden golden("pt_two_layers");
  const MaceRun run(golden, "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("host", KOKKOS);
  lammps.run("suffix off\n" + definition(run));
  godiff_batch_v1 *const service = service_of(lammps);
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->caps & GODIFF_BATCH_CAN_DEVICE, 0u);
  EXPECT_EQ(service->compute_device, nullptr);
  Batch batch;
  batch.add(golden.structure("triclinic"));
  ASSERT_EQ(batch.run(service, false), GODIFF_BATCH_OK) << service->last_error(service->self);
  EXPECT_NEAR(batch.energy[0], golden.values("triclinic", "Default", "float64").energy, 1e-9);
}

TEST(PairMaceKokkosLibrary, CallsOnTheDeviceAreThoseOnTheHost) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  for (const char *words : {"", "precision single", "maxedges 300"}) {
    SCOPED_TRACE(words);
    const MaceGolden golden("pt_two_layers");
    MaceRun run(golden, "slab");
    run.words = words;
    const WorkingFolder folder(run.data());
    Instance lammps("batch", KOKKOS);
    lammps.run(definition(run));
    godiff_batch_v1 *const service = service_of(lammps);
    ASSERT_NE(service, nullptr);

    Batch batch;
    for (const std::string &name : golden.structures())
      batch.add(golden.structure(name), 0.0);
    // Anywhere, with two atoms in one place, nowhere, and none at all.
    batch.add(golden.structure("triclinic"), -250.0);
    MaceStructure wrong = golden.structure("slab");
    for (int k = 0; k < 3; ++k)
      wrong.positions[3 + k] = wrong.positions[k];
    batch.add(wrong);
    MaceStructure empty = golden.structure("cluster");
    empty.types.clear();
    empty.positions.clear();
    batch.add(empty);
    wrong = golden.structure("cluster");
    wrong.positions[4] = std::numeric_limits<double>::quiet_NaN();
    batch.add(wrong);
    batch.add(golden.structure("slab"));
    Batch host = batch;
    ASSERT_EQ(host.run(service, false), GODIFF_BATCH_OK) << service->last_error(service->self);
    ASSERT_EQ(batch.run(service, true), GODIFF_BATCH_OK) << service->last_error(service->self);
    const bool single = std::string(words).find("single") != std::string::npos;
    // Sums in another order, of numbers of some 10 eV.
    expect_same(batch, host, single ? 2e-5 : 1e-9);
    if (single)
      continue;
    const std::vector<std::string> names = golden.structures();
    for (std::size_t k = 0; k < names.size(); ++k)
      EXPECT_NEAR(batch.energy[k], golden.values(names[k], "Default", "float64").energy, 1e-9)
          << names[k];
    EXPECT_TRUE(std::isnan(batch.energy[names.size() + 1]));
    EXPECT_EQ(batch.energy[names.size() + 2], 0.0);

    // What is not wanted is left alone.
    batch.want = 0;
    ASSERT_EQ(batch.run(service, true), GODIFF_BATCH_OK);
    expect_same(batch.energy, host.energy, 1e-9, "energy alone");
    EXPECT_EQ(batch.f, std::vector<double>(batch.f.size(), 1e30));
    EXPECT_EQ(batch.virial, std::vector<double>(batch.virial.size(), 1e30));
    EXPECT_EQ(batch.eatom, std::vector<double>(batch.eatom.size(), 1e30));
  }
}

TEST(PairMaceKokkosLibrary, UnitsOfTheRun) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  const MaceGolden golden("pt_two_layers");
  const MaceRun run(golden, "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("real", KOKKOS);
  std::string commands = definition(run);
  commands.replace(0, std::string("units metal").size(), "units real");
  lammps.run(commands);
  godiff_batch_v1 *const service = service_of(lammps);
  ASSERT_NE(service, nullptr);
  Batch batch;
  batch.add(golden.structure("triclinic"));
  Batch host = batch;
  ASSERT_EQ(host.run(service, false), GODIFF_BATCH_OK);
  ASSERT_EQ(batch.run(service, true), GODIFF_BATCH_OK);
  expect_same(batch, host, 1e-8);  // 23 times as large as eV
}

TEST(PairMaceKokkosLibrary, BadCallsAreRefused) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  const MaceGolden golden("pt_two_layers");
  const MaceRun run(golden, "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("bad", KOKKOS);
  lammps.run(definition(run));
  godiff_batch_v1 *const service = service_of(lammps);
  ASSERT_NE(service, nullptr);
  const auto refused = [&](auto change) -> std::string {
    Batch batch;
    batch.add(golden.structure("triclinic"));
    change(batch);
    EXPECT_EQ(batch.run(service, true), GODIFF_BATCH_BAD_INPUT);
    return service->last_error(service->self);
  };
  EXPECT_EQ(refused([](Batch &b) { b.type[5] = 2; }),
            "batch of structures: atom type 2 has no element in pair_coeff");
  EXPECT_EQ(refused([](Batch &b) { b.want = 8; }),
            "batch of structures: want is 8, which asks for something unknown");
  EXPECT_NE(refused([](Batch &b) { b.cell.assign(9, 1.0); }).find("cannot be periodic"),
            std::string::npos);
  Batch right;
  right.add(golden.structure("triclinic"));
  EXPECT_EQ(right.run(service, true), GODIFF_BATCH_OK);
}

// A step takes memory only until its arrays are large enough.
TEST(PairMaceKokkosLibrary, CountsItsAllocations) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  const MaceRun run(MaceGolden("pt_two_layers"), "slab");
  const WorkingFolder folder(run.data());
  Instance lammps("memory", KOKKOS);
  lammps.run(definition(run) + "velocity all create 300 7\nfix 1 all nve\nrun 3\n");
  const auto *const count = static_cast<const std::int64_t *>(lammps.of_pair("mace_allocations"));
  ASSERT_NE(count, nullptr);
  const std::int64_t before = *count;
  EXPECT_GT(before, 0);
  lammps.run("run 10\n");
  EXPECT_EQ(*count, before);
}
