// SPDX-License-Identifier: GPL-2.0-only
// Two thousand damaged .csv and .xyz files, and places in them that a checkpoint claims: the run goes on
// behind a whole line, or is refused in one line with the files as they were.
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/io/csv.hpp"
#include "core/io/extxyz.hpp"
#include "core/search/run_files.hpp"
#include "fuzz/damage.hpp"
#include "fuzz/saved_searches.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::CsvLog;
using godiff::ExtxyzWriter;
using godiff::RunFileOptions;
using godiff::RunFiles;
using godiff::SafeTensors;
using godiff::Search;
using godiff_test::content;
using godiff_test::Dice;
using godiff_test::keeps_the_rules;
using godiff_test::put_content;
using godiff_test::TemporaryFolder;
using godiff_test::toy_system;

constexpr int MUTATIONS = 2000;

// The files of a run of some candidates, and the metadata of its checkpoint.
struct FinishedRun {
  TemporaryFolder folder;
  RunFileOptions options;
  SafeTensors state;
  std::string csv, xyz;

  FinishedRun() {
    options.prefix = folder.file("g");
    Search search(toy_system(), godiff_test::tiny_settings());
    search.set_reference(-10.0);
    search.prepare({});
    RunFiles files = RunFiles::create(options, toy_system());
    for (int k = 0; k < 3; ++k) {
      godiff_test::evaluate_one(search, godiff_test::springs());
      files.record(search);
    }
    files.save(state);
    files.sync();
    csv = content(path("csv"));
    xyz = content(path("xyz"));
  }

  std::string path(const std::string &ending) const { return options.prefix + "." + ending; }
};

std::int64_t odd_offset(std::int64_t end, Dice &dice) {
  switch (dice.below(4)) {
    case 0:
      return odd_integer(dice);
    case 1:
      return end + static_cast<std::int64_t>(dice.below(9)) - 4;
    case 2:
      return end;
    default:
      return static_cast<std::int64_t>(dice.below(static_cast<std::size_t>(end) + 20));
  }
}

// What is left of a file: all of it after a refusal, else its beginning up to the end of a line.
void check_left(const std::string &before, const std::string &after, const std::string &refusal,
                std::int64_t offset, int k) {
  if (!refusal.empty()) {
    EXPECT_EQ(after, before) << k << ": " << refusal;
    return;
  }
  ASSERT_EQ(static_cast<std::int64_t>(after.size()), offset) << k;
  EXPECT_EQ(after, before.substr(0, after.size())) << k;
  if (offset > 0) {
    EXPECT_EQ(after.back(), '\n') << k;
  }
}

TEST(FuzzRunFiles, DamagedFilesAndPlaces) {
  const FinishedRun run;
  int refused = 0, continued = 0;
  for (int k = 0; k < MUTATIONS; ++k) {
    Dice dice(k);
    const bool csv = dice.one_in(2);
    const std::string path = run.path(csv ? "csv" : "xyz");
    const std::string &whole = csv ? run.csv : run.xyz;
    const std::string before = dice.one_in(3) ? whole : godiff_test::damage_bytes(whole, dice);
    const std::int64_t offset = odd_offset(static_cast<std::int64_t>(whole.size()), dice);
    put_content(path, before);
    const std::string refusal = keeps_the_rules([&] {
      if (csv)
        CsvLog::resume(path, offset);
      else
        ExtxyzWriter::resume(path, toy_system(), offset);
    });
    ++(refusal.empty() ? continued : refused);
    check_left(before, content(path), refusal, offset, k);
  }
  EXPECT_GT(refused, MUTATIONS / 4);
  EXPECT_GT(continued, MUTATIONS / 10);
}

// Refuses when the state says this of the place; neither file may change. With `later` the .csv file has
// a line from after the checkpoint.
void expect_refused(const std::string &key, const std::string &value, bool later) {
  FinishedRun run;
  if (later)
    run.csv += "later\n";
  put_content(run.path("csv"), run.csv);
  SafeTensors state = run.state;
  state.put_metadata(key, value);
  const std::string where = key + " '" + value.substr(0, 40) + "'";
  std::string refusal;
  EXPECT_NO_THROW(refusal =
                      keeps_the_rules([&] { RunFiles::resume(run.options, toy_system(), state); }))
      << where;
  EXPECT_NE(refusal, "") << where;
  EXPECT_EQ(content(run.path("csv")), run.csv) << where;
  EXPECT_EQ(content(run.path("xyz")), run.xyz) << where;
}

TEST(FuzzRunFiles, IntactOnesGoOn) {
  const FinishedRun run;
  EXPECT_EQ(keeps_the_rules([&] { RunFiles::resume(run.options, toy_system(), run.state); }), "");
  EXPECT_EQ(content(run.path("csv")), run.csv);
  EXPECT_EQ(content(run.path("xyz")), run.xyz);
}

TEST(FuzzRunFiles, PlacesOfTheStateMustBeWholeNumbers) {
  for (const char *key : {"files.csv", "files.xyz"})
    for (const std::string &value :
         {std::string("x"), std::string(""), std::string("1e3"), std::string("0x10"),
          std::string("9223372036854775808"), std::string("two\nlines\x1b[31m"),
          std::string(5000, '9'), std::string(" 300"), std::string("300 "), std::string("+300"),
          std::string("-2"), std::string("-9223372036854775808")})
      expect_refused(key, value, /*later=*/true);
}

TEST(FuzzRunFiles, PlacesOfTheStateMustBeInTheFile) {
  for (const char *key : {"files.csv", "files.xyz"})
    for (const char *value : {"99999", "77", "9223372036854775807"})
      expect_refused(key, value, /*later=*/false);
  for (const char *value : {"-1", "0"})
    expect_refused("files.csv", value, /*later=*/true);
}

}  // namespace
