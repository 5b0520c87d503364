// SPDX-License-Identifier: GPL-2.0-only
// Many searches in one process: they leave nothing behind, do not see each other, and can be thrown
// away at any moment, also after an error that the program has caught.
#include "library/instance.hpp"
#include "library/search_files.hpp"

#include <cstdio>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

using godiff::testing::Contents;
using godiff::testing::contents;
using godiff::testing::contents_alone;
using godiff::testing::definition;
using godiff::testing::expect_same_files;
using godiff::testing::Instance;
using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::resident_memory;
using godiff::testing::SmallSearch;
using godiff::testing::WorkingFolder;

namespace {

// A training that does not end by itself.
const char *const ENDLESS = "confine above 1.0 4.0 buffer 4 train 100000000 2 network 4.0 16 1 8 "
                            "sample em 5 0.01";

// The memory of the process after the 50th search, which `once` makes, is that after the 10th. A lost
// search costs 350 kB, 40 of them 14 MB, and a refused one 1 kB; the C library keeps some freed pages more
// or less.
void expect_flat_memory(const std::function<void()> &once) {
  long early = 0;
  for (int k = 1; k <= 50; ++k) {
    once();
    if (k == 10)
      early = resident_memory();
  }
  const long growth = resident_memory() - early;
  std::printf("40 more took %ld kB\n", growth);
#ifndef __SANITIZE_ADDRESS__  // it keeps what is freed for a while, and looks for what is lost itself
  EXPECT_LT(growth, 4000);
#endif
}

}  // namespace

TEST(LifeCycle, SearchesOfOneInstanceLeaveNothing) {
  const SmallSearch search;
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  lammps.run(definition(search));
  expect_flat_memory([&] { lammps.run("run 5 post no\nunfix s\n" + search.fix()); });
}

TEST(LifeCycle, ClearedSearchesLeaveNothing) {
  const SmallSearch search;
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  expect_flat_memory([&] { lammps.run(definition(search) + "run 5\nclear\n"); });
}

TEST(LifeCycle, InstancesLeaveNothing) {
  const SmallSearch search;
  const WorkingFolder folder(search.data());
  expect_flat_memory([&] {
    Instance lammps("lammps");
    lammps.run(definition(search) + "run 5\n");
  });
}

TEST(LifeCycle, RefusedSearchesLeaveNothing) {
  // The constructor of the fix throws.
  const SmallSearch search;
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  lammps.run(definition(search) + "unfix s\n");
  expect_flat_memory([&] {
    for (int k = 0; k < 100; ++k)
      lammps.error_of("fix s mobile godiff 2 3 1 20000 300 elements Pt explode 1");
  });
}

TEST(LifeCycle, TwoInstancesDoNotSeeEachOther) {
  SmallSearch first, second;
  second.seed = "99";
  second.temperatures = "8000 500";
  second.settings = "confine above 1.0 4.0 buffer 4 train 3 2 network 3.5 16 2 6 sample em 4 0.02 "
                    "guide 0.01 precision double";
  first.commands = second.commands = "run 1\nrun 1\nrun 1\nrun 1\nrun 1\nrun 1\n";
  const auto first_alone = contents_alone(first), second_alone = contents_alone(second);
  first.words = "save first";
  second.words = "save second";

  const WorkingFolder folder(first.data());
  {
    Instance a("a"), b("b");
    a.run(definition(first));
    b.run(definition(second));
    for (int k = 0; k < 6; ++k) {
      a.run("run 1");
      b.run("run 1");
    }
  }
  expect_same_files(contents("first"), first_alone);
  expect_same_files(contents("second"), second_alone);
}

// What has happened to a search before it is thrown away.
struct Moment {
  std::string name, commands;
  std::string error = "";     // that the commands end in, if they do
  std::string undo = "";      // what else they have defined
  const char *settings = "";  // of the search, if not the usual ones
};

void PrintTo(const Moment &moment, std::ostream *out) {
  *out << moment.name;
}

std::vector<Moment> moments() {
  return {
      {"BeforeTheFirstRun", ""},
      {"AfterSetup", "run 0\n"},
      {"InAStage", "run 2\n"},
      {"BeforeLearning", "run 3\n"},
      {"InTheNextStage", "run 4\n"},
      {"AtTheEnd", "run 6\n"},
      {"InTraining", "timer timeout 0:00:01 every 1\nrun 6\n", "", "timer timeout off\n", ENDLESS},
      {"RefusedAtInit", "fix other all nve\nrun 6\n", "moves atoms as well", "unfix other\n"},
      {"RefusedAtSetup", "run 6\n", "is not inside the box", "", "confine above 1.0 40.0"},
      {"NotFinite",
       "variable zero equal 0.0\nvariable bad atom exp(1000*(step>0))-1.0\n"
       "fix other mobile addforce v_zero 0.0 0.0 energy v_bad\nfix_modify other energy yes\n"
       "run 6\n",
       "is not finite", "unfix other\n"},
      {"Halted", "variable now equal step\nfix other all halt 1 v_now > 3 error hard\nrun 6\n",
       "Fix halt condition", "unfix other\n"}};
}

class AbandonedSearch : public ::testing::TestWithParam<Moment> {
protected:
  // Defines a search that goes as far as the moment.
  void abandon(Instance &lammps) {
    const Moment &moment = GetParam();
    SmallSearch abandoned;
    abandoned.seed = "5";
    if (*moment.settings)
      abandoned.settings = moment.settings;
    lammps.run(definition(abandoned));
    if (moment.error.empty())
      lammps.run(moment.commands);
    else
      EXPECT_NE(lammps.error_of(moment.commands).find(moment.error), std::string::npos);
  }

  const SmallSearch next_;
  const Contents alone_ = contents_alone(next_);
  const WorkingFolder folder_{next_.data()};
};

TEST_P(AbandonedSearch, Cleared) {
  Instance lammps("lammps");
  abandon(lammps);
  lammps.run("clear\ntimer timeout off\n" + next_.input());
  expect_same_files(contents(), alone_);
}

TEST_P(AbandonedSearch, Unfixed) {
  Instance lammps("lammps");
  abandon(lammps);
  lammps.run("unfix s\n" + GetParam().undo + next_.fix() + next_.commands);
  expect_same_files(contents(), alone_);
}

TEST_P(AbandonedSearch, ReplacedByAFixOfTheSameName) {
  Instance lammps("lammps");
  abandon(lammps);
  lammps.run(GetParam().undo + next_.fix() + next_.commands);
  expect_same_files(contents(), alone_);
}

TEST_P(AbandonedSearch, LeftBesideAnotherInstance) {
  Instance lammps("lammps");
  abandon(lammps);
  Instance other("other");
  const bool begun = std::filesystem::exists("godiff.s.csv");
  if (begun) {  // its files are taken
    EXPECT_NE(other.error_of(next_.input()).find("is being written by another run"),
              std::string::npos);
  }
  SmallSearch next = next_;
  next.words = "save other";
  other.run("clear\n" + next.input());
  expect_same_files(contents("other"), alone_);
}

INSTANTIATE_TEST_SUITE_P(LifeCycle, AbandonedSearch, ::testing::ValuesIn(moments()),
                         [](const auto &info) { return info.param.name; });

TEST(LifeCycle, ARunGoesOnAfterAnErrorOfAnotherFix) {
  const SmallSearch search;
  const auto alone = contents_alone(search);
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  lammps.run(definition(search));
  lammps.error_of("variable now equal step\nfix other all halt 1 v_now > 3 error hard\nrun 6\n");
  lammps.run("unfix other\nrun 6 upto\n");
  EXPECT_EQ(parse_csv(read_file("godiff.s.csv")).rows.size(), 6u);
  expect_same_files(contents(), alone);
}
