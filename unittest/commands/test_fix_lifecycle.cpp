// SPDX-License-Identifier: GPL-2.0-only
// The plugin loaded, unloaded and loaded again, and searches that follow each other in an input script.
#include "testing/small_search.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

constexpr const char *LOAD = "plugin load '" GODIFF_PLUGIN "'\n";
constexpr const char *UNLOAD = "plugin unload fix godiff\n";
constexpr const char *LOADED = "fix style plugin godiff";

// Runs a search with `commands`, on `ranks` ranks.
RunResult run(const std::string &commands, int ranks = 1) {
  SmallSearch search;
  search.thermo = "step pe";  // no fix that is deleted on the way
  search.commands = commands;
  RunOptions options;
  options.nprocs = ranks;
  return search.run(options);
}

void expect_same_search(const RunResult &found, const RunResult &expected) {
  ASSERT_TRUE(found.ok()) << found.output;
  ASSERT_TRUE(expected.ok()) << expected.output;
  for (const char *name : {"godiff.s.csv", "godiff.s.xyz", "godiff.s.best"})
    EXPECT_TRUE(found.file(name) == expected.file(name)) << name << " differs";
}

}  // namespace

TEST(LoadedPlugin, IsNotLoadedTwice) {
  const RunResult twice = run(LOAD + std::string("plugin list\nrun 6\n"));
  EXPECT_TRUE(twice.contains("Ignoring load of fix style godiff")) << twice.output;
  EXPECT_TRUE(twice.contains("Ignoring load of pair style mace")) << twice.output;
  EXPECT_TRUE(twice.contains("Currently loaded plugins: 2")) << twice.output;
  expect_same_search(twice, run("run 6\n"));
}

TEST(LoadedPlugin, TakesItsSearchAlongWhenItIsUnloaded) {
  // LAMMPS deletes the fixes of a style that goes.
  for (const char *unload : {UNLOAD, "plugin clear\n"}) {
    const RunResult gone = run("run 4\n" + std::string(unload) + "plugin list\nrun 2\n");
    EXPECT_TRUE(gone.ok()) << gone.output;
    EXPECT_FALSE(gone.contains(LOADED)) << gone.output;
    EXPECT_EQ(godiff::testing::parse_csv(gone.file("godiff.s.csv")).rows.size(), 4u);
  }
}

TEST(LoadedPlugin, LeavesAnUnknownStyleBehind) {
  const RunResult gone = run(UNLOAD + SmallSearch().fix());
  EXPECT_FALSE(gone.ok());
  EXPECT_NE(gone.error().find("Unrecognized fix style 'godiff'"), std::string::npos) << gone.output;
}

TEST(LoadedPlugin, ComesBack) {
  for (const int ranks : {1, 2}) {
    std::string commands = "run 4\n";
    for (int k = 0; k < 3; ++k)
      commands += UNLOAD + std::string(LOAD);
    const RunResult back = run(commands + "plugin list\n" + SmallSearch().fix() + "run 6\n", ranks);
    EXPECT_TRUE(back.contains(LOADED)) << back.output;
    expect_same_search(back, run("run 6\n", ranks));
  }
}

TEST(NextSearch, ReplacesTheOneOfTheSameName) {
  for (const int ranks : {1, 2})
    for (const char *before : {"", "run 2\n", "run 3\n", "run 6\n"}) {
      const RunResult next = run(before + SmallSearch().fix() + "run 6\n", ranks);
      EXPECT_TRUE(next.warnings().empty()) << next.output;
      expect_same_search(next, run("run 6\n", ranks));
    }
}

TEST(NextSearch, MayHaveAnotherGroup) {
  // LAMMPS warns of the group; an atom of the first search belongs to the template now.
  const std::string fix =
      "fix s one godiff 2 3 1 20000 300 elements Pt confine zone 2.9 5.9 train 2 2 "
      "network 4.0 16 1 8 sample em 5 0.01\n";
  const RunResult next = run("run 4\ngroup one id 19\n" + fix + "run 6\n");
  ASSERT_TRUE(next.ok()) << next.output;
  ASSERT_EQ(next.warnings().size(), 1u) << next.output;
  EXPECT_NE(next.warnings()[0].find("new group != old group"), std::string::npos);
  EXPECT_TRUE(next.contains("1 mobile (1 Pt), 19 template")) << next.output;
}

TEST(NextSearch, AfterClearOnTwoRanks) {
  SmallSearch search;
  search.thermo = "step pe";
  search.commands = "run 6\n";
  expect_same_search(run("run 4\nclear\n" + search.input(), 2), run("run 6\n", 2));
}
