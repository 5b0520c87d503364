// SPDX-License-Identifier: GPL-2.0-only
// The seam for tests of failures, and the faults that tests ask for.
#include "testing/faults.hpp"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

using godiff::fault_point;
using godiff::fault_value;
using godiff::testing::Fault;

namespace {

int here() {
  return 3;
}

int calls = 0;

class Faults : public ::testing::Test {
protected:
  void TearDown() override { Fault::clear(); }
};

using FaultsDeathTest = Faults;

}  // namespace

TEST_F(Faults, NothingHappensWithoutAHook) {
  EXPECT_NO_THROW(fault_point("sample"));
  EXPECT_EQ(fault_value("train", 1.5), 1.5);
}

TEST_F(Faults, HooksAreToldThePhase) {
  calls = 0;
  godiff::set_fault_hook([](const char *phase) { calls += std::strcmp(phase, "sample") == 0; });
  godiff::set_fault_value_hook(
      [](const char *phase, double value) { return value + std::strlen(phase); });
  fault_point("sample");
  fault_point("train");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(fault_value("train", 1.5), 6.5);
  godiff::set_fault_hook(nullptr);
  fault_point("sample");
  EXPECT_EQ(calls, 1);
}

TEST_F(Faults, ThrowsOnItsPassageOnly) {
  Fault::set("train:3:throw:2", &here);
  fault_point("sample");
  EXPECT_NO_THROW(fault_point("train"));
  try {
    fault_point("train");
    FAIL() << "the second passage must throw";
  } catch (const std::runtime_error &e) {
    EXPECT_STREQ(e.what(), "fault at train");
  }
  EXPECT_NO_THROW(fault_point("train"));
}

TEST_F(Faults, OtherRanksPass) {
  Fault::set("train:0:throw", &here);
  EXPECT_NO_THROW(fault_point("train"));
}

TEST_F(Faults, ReplacesAValue) {
  Fault::set("validate:3:nan:2", &here);
  EXPECT_NO_THROW(fault_point("validate"));
  EXPECT_EQ(fault_value("validate", 2.0), 2.0);
  EXPECT_TRUE(std::isnan(fault_value("validate", 2.0)));
  EXPECT_EQ(fault_value("validate", 2.0), 2.0);
}

TEST_F(Faults, Sleeps) {
  Fault::set("meet:3:sleep=0.05", &here);
  const auto start = std::chrono::steady_clock::now();
  fault_point("meet");
  // sleep_for never returns early.
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
}

TEST_F(FaultsDeathTest, EndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT((Fault::set("setup:3:exit", &here), fault_point("setup")),
              ::testing::ExitedWithCode(Fault::EXIT_STATUS), "FAULT exit at setup on rank 3");
  EXPECT_EXIT((Fault::set("setup:3:abort", &here), fault_point("setup")),
              ::testing::KilledBySignal(SIGABRT), "FAULT abort at setup on rank 3");
}

TEST_F(Faults, RefusesWhatItDoesNotKnow) {
  for (const char *text : {"", "train", "train:0", ":0:throw", "train:x:throw", "train:0:explode",
                           "train:0:sleep=long", "train:0:throw:-1", "train:0:throw:1:2"})
    EXPECT_THROW(Fault::set(text, &here), std::invalid_argument) << text;
}
