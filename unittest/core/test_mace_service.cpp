// SPDX-License-Identifier: GPL-2.0-only
// The batch service of MACE models as another plugin sees it: C functions, units of the run, return codes.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/mace/batch.hpp"
#include "fake_mace.hpp"
#include "godiff_batch.h"
// The service is glue that needs no LAMMPS, so that it can be tested here.
#include "pair_mace_batch.cpp"

namespace {

using godiff_test::FakeMace;
using LAMMPS_NS::GODiff::MaceBatchService;
using LAMMPS_NS::GODiff::MaceServiceOptions;

constexpr double KCAL = 23.06;  // any number but 1

// Two structures: a pair of atoms in a periodic cell, three atoms in none.
struct Call {
  std::vector<std::int64_t> ptr{0, 2, 5};
  std::vector<int> type{1, 3, 3, 3, 1};
  std::vector<double> x{0, 0, 0, 2, 0, 0, 9, 9, 9, 10.5, 9, 9, 9, 10.5, 9};
  std::vector<double> cell{5, 0, 0, 1, 5, 0, 0, 0, 5, 9, 0, 0, 0, 9, 0, 0, 0, 9};
  std::vector<std::uint8_t> pbc{1, 1, 0, 0, 0, 0};
  int want = GODIFF_BATCH_FORCES | GODIFF_BATCH_VIRIAL | GODIFF_BATCH_EATOM;
  std::vector<double> energy = std::vector<double>(2), f = std::vector<double>(15),
                      virial = std::vector<double>(12), eatom = std::vector<double>(5);

  int run(godiff_batch_v1 *service) {
    return service->compute(service->self, static_cast<std::int64_t>(ptr.size()) - 1, ptr.data(),
                            type.data(), x.data(), cell.data(), pbc.data(), want, energy.data(),
                            f.data(), virial.data(), eatom.data());
  }
};

MaceServiceOptions options() {
  MaceServiceOptions o;
  o.species = {-1, 2, -1, 0};
  o.energy_unit = KCAL;
  return o;
}

}  // namespace

TEST(MaceService, SaysWhatItIs) {
  FakeMace model(4.0);
  model.info_.layers = 3;
  MaceBatchService owner(model, options());
  const godiff_batch_v1 *service = owner.interface();
  EXPECT_EQ(service->abi, 1U);
  EXPECT_EQ(service->size, sizeof(godiff_batch_v1));
  EXPECT_EQ(service->cutoff, 12.0);
  EXPECT_EQ(service->caps, static_cast<unsigned>(GODIFF_BATCH_CAN_VIRIAL | GODIFF_BATCH_CAN_EATOM));
  EXPECT_EQ(service->max_atoms(service->self, 0), 0);
  EXPECT_STREQ(service->last_error(service->self), "");
}

TEST(MaceService, IsTheBatchInUnitsOfTheRun) {
  FakeMace model(4.0);
  MaceBatchService owner(model, options());
  Call call;
  ASSERT_EQ(call.run(owner.interface()), GODIFF_BATCH_OK);
  const std::vector<std::int64_t> species = {2, 0, 0, 0, 2};
  std::vector<double> energies(2), forces(15), virials(12), atoms(5);
  godiff::MaceBatch(model, 0).compute(
      {2, call.ptr.data(), species.data(), call.x.data(), call.cell.data(), call.pbc.data()},
      {energies.data(), forces.data(), virials.data(), atoms.data()});
  for (std::size_t k = 0; k < 2; ++k)
    EXPECT_EQ(call.energy[k], energies[k] * KCAL);
  for (std::size_t k = 0; k < 15; ++k)
    EXPECT_EQ(call.f[k], forces[k] * KCAL);
  for (std::size_t k = 0; k < 12; ++k)
    EXPECT_EQ(call.virial[k], virials[k] * KCAL);
  for (std::size_t k = 0; k < 5; ++k)
    EXPECT_EQ(call.eatom[k], atoms[k] * KCAL);
  EXPECT_NE(call.energy[0], call.energy[1]);
  EXPECT_NE(call.f[0], 0.0);
}

TEST(MaceService, LeavesAloneWhatIsNotWanted) {
  FakeMace model(4.0);
  MaceBatchService owner(model, options());
  Call call;
  call.want = 0;
  call.f.assign(15, 5.0);
  ASSERT_EQ(call.run(owner.interface()), GODIFF_BATCH_OK);
  EXPECT_FALSE(model.asked_for_gradients);
  EXPECT_EQ(call.f, std::vector<double>(15, 5.0));
  godiff_batch_v1 *service = owner.interface();
  EXPECT_EQ(service->compute(service->self, 2, call.ptr.data(), call.type.data(), call.x.data(),
                             call.cell.data(), call.pbc.data(), 0, call.energy.data(), nullptr,
                             nullptr, nullptr),
            GODIFF_BATCH_OK);
  EXPECT_EQ(service->compute(service->self, 0, nullptr, nullptr, nullptr, nullptr, nullptr, 0,
                             nullptr, nullptr, nullptr, nullptr),
            GODIFF_BATCH_OK);
}

TEST(MaceService, OneImpossibleStructureIsNoFailure) {
  FakeMace model(4.0);
  MaceBatchService owner(model, options());
  Call call;
  call.x[3] = 0.0;
  EXPECT_EQ(call.run(owner.interface()), GODIFF_BATCH_OK);
  EXPECT_TRUE(std::isnan(call.energy[0]));
  EXPECT_TRUE(std::isfinite(call.energy[1]));
}

TEST(MaceService, RefusesBadInput) {
  FakeMace model(4.0);
  MaceBatchService owner(model, options());
  godiff_batch_v1 *service = owner.interface();
  const auto expect = [&](const std::string &text, auto spoil) {
    Call call;
    spoil(call);
    EXPECT_EQ(call.run(service), GODIFF_BATCH_BAD_INPUT) << text;
    EXPECT_NE(std::string(service->last_error(service->self)).find(text), std::string::npos)
        << service->last_error(service->self);
  };
  expect("atom type 2 has no element in pair_coeff", [](Call &c) { c.type[1] = 2; });
  expect("atom type 4 has no element in pair_coeff", [](Call &c) { c.type[1] = 4; });
  expect("atom type 0 has no element in pair_coeff", [](Call &c) { c.type[1] = 0; });
  expect("want is 8", [](Call &c) { c.want = 8; });
  expect("structure 1 of a batch cannot be periodic", [](Call &c) { c.cell[4] = 0.0; });
  expect("structure 2 of a batch has -1 atoms", [](Call &c) { c.ptr[1] = 6; });
  Call call;
  EXPECT_EQ(service->compute(service->self, 2, call.ptr.data(), nullptr, call.x.data(),
                             call.cell.data(), call.pbc.data(), 0, call.energy.data(), nullptr,
                             nullptr, nullptr),
            GODIFF_BATCH_BAD_INPUT);
  EXPECT_EQ(service->compute(service->self, 2, call.ptr.data(), call.type.data(), call.x.data(),
                             call.cell.data(), call.pbc.data(), GODIFF_BATCH_FORCES,
                             call.energy.data(), nullptr, nullptr, nullptr),
            GODIFF_BATCH_BAD_INPUT);
  EXPECT_EQ(service->compute(service->self, -1, nullptr, nullptr, nullptr, nullptr, nullptr, 0,
                             nullptr, nullptr, nullptr, nullptr),
            GODIFF_BATCH_BAD_INPUT);
  // The next call is right, and says so.
  EXPECT_EQ(call.run(service), GODIFF_BATCH_OK);
  EXPECT_STREQ(service->last_error(service->self), "");
}

TEST(MaceService, ReturnsFailuresOfTheModel) {
  FakeMace model(4.0);
  MaceBatchService owner(model, options());
  godiff_batch_v1 *service = owner.interface();
  Call call;
  model.memory = 1;
  EXPECT_EQ(call.run(service), GODIFF_BATCH_OUT_OF_MEMORY);
  EXPECT_NE(std::string(service->last_error(service->self)).find("one structure alone"),
            std::string::npos);
  model.fails = true;
  EXPECT_EQ(call.run(service), GODIFF_BATCH_FAILED);
  EXPECT_STREQ(service->last_error(service->self), "the fake model fails");
}
