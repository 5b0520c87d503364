// SPDX-License-Identifier: GPL-2.0-only
// A search that a signal, the wall time limit, a full disk or damaged files have ended: what it says, what
// it leaves, and that it goes on as if nothing had happened.
#include "restart/same_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>
#include <tuple>
#include <vector>

#include <sys/stat.h>

#include "core/small_disk.hpp"

namespace fs = std::filesystem;

using godiff::testing::continuation;
using godiff::testing::expect_equal;
using godiff::testing::fresh_folder;
using godiff::testing::lines_of;
using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;
using godiff_test::SmallDisk;

namespace {

// How a search runs: in one world of some ranks, or in two worlds that share it.
enum class Layout { ONE, TWO_RANKS, TWO_WORLDS };

RunOptions options_of(Layout layout, const fs::path &folder = fresh_folder()) {
  RunOptions options;
  options.folder = folder;
  options.nprocs = layout == Layout::ONE ? 1 : 2;
  if (layout == Layout::TWO_WORLDS)
    options.args = {"-partition", "2x1"};
  return options;
}

// Saves the position of every training at once and goes on from whatever is there.
SmallSearch resumable(const std::string &words = "") {
  SmallSearch search;
  search.samples = 5;  // enough for two ranks to share
  search.settings = "confine above 1.0 4.0 buffer 8 train 8 5 network 4.0 16 1 8 sample em 5 0.01";
  search.words = words + " save godiff.s every 0 resume yes";
  search.commands = "run 100\n";
  return search;
}

// The screen and what worlds have logged.
std::string all_output(const RunResult &run) {
  std::string text = run.output;
  for (const char *name : {"screen.0", "screen.1", "log.lammps", "log.lammps.0", "log.lammps.1"})
    if (fs::exists(run.folder / name))
      text += read_file(run.folder / name);
  return text;
}

void expect_failure(const RunResult &run, const std::string &message) {
  EXPECT_NE(run.exit_code, 0);
  EXPECT_FALSE(run.timed_out);
  EXPECT_NE(all_output(run).find(message), std::string::npos) << "expected: " << message << "\n"
                                                              << all_output(run);
}

void expect_success(const RunResult &run) {
  ASSERT_TRUE(run.ok()) << all_output(run);
}

// The first run ends by the fault, the second one goes on from what it has left.
void expect_resumable(const SmallSearch &search, Layout layout, const std::string &fault,
                      const std::string &message, Layout afterwards) {
  SCOPED_TRACE(fault);
  const RunResult whole =
      search.run(options_of(layout == Layout::TWO_RANKS ? Layout::TWO_RANKS : Layout::ONE));
  expect_success(whole);
  RunOptions options = options_of(layout);
  options.fault = fault;
  const RunResult ended = search.run(options);
  EXPECT_TRUE(ended.contains("FAULT")) << ended.output;
  expect_failure(ended, message);
  const RunResult resumed = search.run(options_of(afterwards, options.folder));
  expect_success(resumed);
  expect_equal(whole, resumed);
  for (const char *ending : {".journal", ".journal.1", ".training"})
    EXPECT_FALSE(fs::exists(options.folder / (std::string("godiff.s") + ending))) << ending;
}

const std::string TERMINATED = "ended by signal SIGTERM; everything is saved: run the same input "
                               "with keyword resume yes to go on";

void copy_files(const fs::path &from, const fs::path &to) {
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

void write(const fs::path &path, const std::string &text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A folder with a search that SIGTERM has ended in the training of its second stage.
RunResult interrupted(const SmallSearch &search) {
  RunOptions options = options_of(Layout::ONE);
  options.fault = "train:0:term:11";
  return search.run(options);
}

}  // namespace

TEST(Terminated, InSamplingTrainingAndEvaluation) {
  for (const char *phase : {"sample:0:term:3", "sample:0:term:8", "train:0:term:3",
                            "evaluate:0:term:2", "evaluate:0:term:3"})
    expect_resumable(resumable(), Layout::ONE, phase, TERMINATED, Layout::ONE);
}

TEST(Terminated, InARelaxation) {
  const SmallSearch search = resumable("relax 3 1e-6 energy -1000.0 50.0");
  expect_resumable(search, Layout::ONE, "evaluate:0:term:2", TERMINATED, Layout::ONE);
  expect_resumable(search, Layout::ONE, "evaluate:0:term:6", TERMINATED, Layout::ONE);
}

TEST(Terminated, WithGuidance) {
  const SmallSearch search = resumable("guide 0.2 extra 2 switch optim_reset no");
  expect_resumable(search, Layout::ONE, "train:0:term:4", TERMINATED, Layout::ONE);
  expect_resumable(search, Layout::ONE, "train:0:term:12", TERMINATED, Layout::ONE);
}

TEST(Terminated, OnEitherOfTwoRanks) {
  for (const char *fault : {"sample:0:term:8", "train:1:term:3", "evaluate:1:term:2"})
    expect_resumable(resumable(), Layout::TWO_RANKS, fault, TERMINATED, Layout::TWO_RANKS);
}

TEST(Terminated, InEitherOfTwoWorlds) {
  for (const char *fault : {"sample:1:term:8", "train:1:term:3", "train:0:term:3"})
    expect_resumable(resumable(), Layout::TWO_WORLDS, fault, TERMINATED, Layout::TWO_WORLDS);
  // So many that none of the worlds comes too late to get one.
  SmallSearch search = resumable("relax 3 1e-6");
  search.samples = 200;
  search.commands = "thermo 1000\nrun 10000\n";
  for (const char *fault : {"evaluate:1:term:3", "evaluate:0:term:7"})
    expect_resumable(search, Layout::TWO_WORLDS, fault, TERMINATED, Layout::TWO_WORLDS);
}

TEST(Terminated, GoesOnWithOtherWorlds) {
  SmallSearch search = resumable("relax 3 1e-6");
  search.samples = 200;  // see above
  search.commands = "thermo 1000\nrun 10000\n";
  expect_resumable(search, Layout::ONE, "evaluate:0:term:6", TERMINATED, Layout::TWO_WORLDS);
  expect_resumable(search, Layout::TWO_WORLDS, "evaluate:1:term:2", TERMINATED, Layout::ONE);
}

TEST(KilledInARelaxation, GoesOnFromARestartFileWithTheSameZeroOfTheEnergyWindow) {
  SmallSearch search = resumable("relax 3 1e-6 energy -1000.0 50.0");
  const RunResult whole = search.run();
  expect_success(whole);
  RunOptions options = options_of(Layout::ONE);
  options.fault = "evaluate:0:kill:3";
  search.commands = "restart 1 a.restart b.restart\nrun 100\n";
  EXPECT_TRUE(search.run(options).contains("FAULT kill"));
  options.fault = "";
  const RunResult resumed =
      godiff::testing::run_lammps(continuation(search, "b.restart", "run 100\n"), options);
  expect_success(resumed);
  expect_equal(whole, resumed);
}

TEST(TimeLimit, InSamplingAndTraining) {
  for (const char *fault : {"sample:0:sleep=1.5:8", "train:0:sleep=1.5:3"}) {
    SCOPED_TRACE(fault);
    SmallSearch search = resumable();
    const RunResult whole = search.run();
    expect_success(whole);
    RunOptions options = options_of(Layout::ONE);
    options.fault = fault;
    search.commands = "timer timeout 0:00:01 every 1\nrun 100\nwrite_restart end.restart\n";
    const RunResult first = search.run(options);
    expect_success(first);
    EXPECT_TRUE(first.contains("wall time limit reached")) << first.output;
    options.fault = "";

    RunOptions other = options_of(Layout::ONE);
    copy_files(options.folder, other.folder);
    search.commands = "run 100\n";
    const RunResult resumed = search.run(options);
    expect_success(resumed);
    expect_equal(whole, resumed);

    search.words = "";
    const RunResult restarted =
        godiff::testing::run_lammps(continuation(search, "end.restart", "run 100\n"), other);
    expect_success(restarted);
    expect_equal(whole, restarted);
  }
}

TEST(FullDisk, AtAnyTimeGivesOneErrorAndCanBeResumed) {
  const fs::path folder = fresh_folder();
  SmallDisk disk((folder / "disk").string(), 1 << 20);
  if (!disk.why_not().empty())
    GTEST_SKIP() << disk.why_not();
  SmallSearch search = resumable();
  search.words = "save disk/k every 0 resume yes";
  RunOptions options = options_of(Layout::ONE);
  fs::create_directories(options.folder / "disk");
  const RunResult whole = search.run(options);
  expect_success(whole);
  options.folder = folder;
  int ended = 0;
  for (const int pages : {1, 3, 9, 11, 12, 14, 16, 18, 20}) {
    SCOPED_TRACE(std::to_string(pages) + " pages");
    for (const auto &entry : fs::directory_iterator(folder / "disk"))
      fs::remove(entry.path());
    ASSERT_TRUE(disk.resize(4096 * pages));
    const RunResult full = search.run(options);
    if (!full.ok()) {
      ++ended;
      EXPECT_NE(full.error().find("No space left on device"), std::string::npos) << full.output;
      const auto lines = lines_of(full.output);
      EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                              [](const auto &line) { return line.rfind("ERROR", 0) == 0; }),
                1)
          << full.output;
    }
    ASSERT_TRUE(disk.resize(1 << 20));
    const RunResult resumed = search.run(options);
    expect_success(resumed);
    expect_equal(whole, resumed, "disk/k");
  }
  EXPECT_GT(ended, 5);
}

TEST(ReadOnlyFolder, IsRefusedBeforeTheFirstEnergy) {
  const fs::path folder = fresh_folder();
  SmallDisk disk((folder / "disk").string(), 1 << 20);
  if (!disk.why_not().empty())
    GTEST_SKIP() << disk.why_not();
  SmallSearch search = resumable();
  search.words = "save disk/k resume yes";
  RunOptions options = options_of(Layout::ONE, folder);
  options.fault = "train:0:term:3";
  expect_failure(search.run(options), TERMINATED);
  options.fault = "";
  if (!disk.make_read_only())
    GTEST_SKIP() << "a file system cannot be made read-only";
  expect_failure(search.run(options), "cannot create files that begin with 'disk/k': Read-only");
  search.words = "save disk/other resume yes";
  expect_failure(search.run(options),
                 "cannot create files that begin with 'disk/other': Read-only");
}

TEST(StrangeFiles, AreRefusedByName) {
  const SmallSearch search = resumable();
  const RunResult first = interrupted(search);
  expect_failure(first, TERMINATED);
  for (const char *ending : {".ckpt", ".csv", ".xyz", ".best", ".journal", ".training"}) {
    SCOPED_TRACE(ending);
    RunOptions options = options_of(Layout::ONE);
    copy_files(first.folder, options.folder);
    const fs::path path = options.folder / (std::string("godiff.s") + ending);
    fs::remove(path);
    fs::create_directory(path);
    expect_failure(search.run(options), path.filename().string() + ": it is a folder");
    fs::remove(path);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    expect_failure(search.run(options), path.filename().string() + ": it is not a regular file");
    SmallSearch another = search;
    another.words = "resume no";
    expect_failure(another.run(options), path.filename().string() + ": it is not a regular file");
  }
}

TEST(DamagedFiles, AreNamed) {
  const SmallSearch search = resumable();
  const RunResult first = interrupted(search);
  const RunResult whole = search.run();
  expect_failure(first, TERMINATED);
  const auto refused = [&](const std::string &ending, const std::string &text,
                           const std::string &message) {
    SCOPED_TRACE(ending);
    RunOptions options = options_of(Layout::ONE);
    copy_files(first.folder, options.folder);
    const fs::path path = options.folder / ("godiff.s" + ending);
    fs::remove(path);
    if (!text.empty())
      write(path, text);
    expect_failure(search.run(options), message);
    // Nothing has been touched: with the file put back the search goes on.
    fs::remove(path);
    if (fs::exists(first.folder / path.filename()))
      fs::copy_file(first.folder / path.filename(), path);
    const RunResult again = search.run(options);
    expect_success(again);
    expect_equal(whole, again);
  };
  const std::string csv = first.file("godiff.s.csv"), checkpoint = first.file("godiff.s.ckpt");
  refused(".csv", "", "cannot continue godiff.s.csv: No such file or directory");
  refused(".csv", csv.substr(0, csv.size() - 10), "cannot continue godiff.s.csv");
  refused(".csv", "x" + csv, "cannot continue godiff.s.csv");
  refused(".xyz", "", "cannot continue godiff.s.xyz: No such file or directory");
  refused(".ckpt", "not a checkpoint", "godiff.s.ckpt");
  refused(".ckpt", checkpoint.substr(0, checkpoint.size() / 2), "godiff.s.ckpt");
  refused(".journal", "not a journal at all, but long enough for one",
          "godiff.s.journal is not a journal");
}

TEST(DamagedFiles, FilesOfAnotherSearch) {
  SmallSearch search = resumable(), other = search;
  other.seed = "4712";
  const RunResult first = interrupted(search);
  expect_failure(first, TERMINATED);
  RunOptions options = options_of(Layout::ONE);
  options.fault = "evaluate:0:kill:2";
  const RunResult killed = other.run(options);
  ASSERT_TRUE(fs::exists(killed.folder / "godiff.s.journal"));

  options = options_of(Layout::ONE);
  copy_files(first.folder, options.folder);
  write(options.folder / "godiff.s.journal", killed.file("godiff.s.journal"));
  expect_failure(search.run(options), "godiff.s.journal belongs to another search");

  write(options.folder / "godiff.s.journal", first.file("godiff.s.journal"));
  write(options.folder / "godiff.s.ckpt", killed.file("godiff.s.ckpt"));
  expect_failure(search.run(options), "the saved search has seed 4712, this one has 4711");
}

TEST(DamagedFiles, ATrainingIsOnlyAShortcut) {
  const SmallSearch search = resumable();
  const RunResult whole = search.run();
  RunOptions options = options_of(Layout::ONE);
  options.fault = "train:0:kill:11";
  const RunResult killed = search.run(options);
  ASSERT_TRUE(killed.contains("FAULT kill")) << killed.output;
  const std::string training = killed.file("godiff.s.training");
  std::string other_format = training;
  other_format.replace(other_format.find("godiff-training"), 15, "godiff-trainind");
  for (const std::string &text :
       {std::string("nonsense"), training.substr(0, training.size() / 2), other_format}) {
    options = options_of(Layout::ONE);
    copy_files(killed.folder, options.folder);
    write(options.folder / "godiff.s.training", text);
    const RunResult resumed = search.run(options);
    expect_success(resumed);
    const auto warnings = resumed.warnings();
    EXPECT_EQ(std::count_if(warnings.begin(), warnings.end(),
                            [](const std::string &line) {
                              return line.find("the training begins anew") != std::string::npos;
                            }),
              1)
        << resumed.output;
    expect_equal(whole, resumed);
  }
}

TEST(ChangedInput, IsRefusedByName) {
  const SmallSearch search = resumable();
  const RunResult first = interrupted(search);
  const auto refused = [&](const SmallSearch &other, const std::string &message) {
    RunOptions options = options_of(Layout::ONE, first.folder);
    expect_failure(other.run(options), message);
  };
  SmallSearch other = search;
  other.samples = 6;
  refused(other, "the saved search has samples 5, this one has 6");
  other = search;
  other.stages = 3;
  refused(other, "the saved search has stages 2, this one has 3");
  other = search;
  other.mobile = 3;
  refused(other, "the saved search has mobile atoms 2, this one has 3");
  other = search;
  other.words += " train 9 2";
  refused(other, "the saved search has train");
  other = search;
  other.words += " relax 2 0.1";
  refused(other, "the saved search has relax");
  other = search;
  other.words += " guide 0.1";
  refused(other, "the saved search has guide");
  other = search;
  other.words += " network 4.0 32 1 8";
  refused(other, "the network of the checkpoint has nfeat 16, this search has 32");
  other = search;
  other.height = 13.0;
  refused(other, "the saved search has cell");
  other = search;
  other.before = "displace_atoms template move 0.1 0 0\n";
  refused(other, "is not where the search");
  expect_equal(search.run(), search.run(options_of(Layout::ONE, first.folder)));
}

TEST(ChangedInput, MayDifferInWhatTheSearchDoesNotDependOn) {
  const SmallSearch search = resumable();
  const RunResult whole = search.run();
  const RunResult first = interrupted(search);
  RunOptions options = options_of(Layout::ONE, first.folder);
  options.threads = 2;
  SmallSearch other = search;
  other.words = "log no best 3 final last save godiff.s every 1000 resume yes";
  const RunResult resumed = other.run(options);
  expect_success(resumed);
  EXPECT_EQ(whole.file("godiff.s.csv"), resumed.file("godiff.s.csv"));
  EXPECT_EQ(whole.file("godiff.s.xyz"), resumed.file("godiff.s.xyz"));
}

TEST(SecondRun, IsRefusedAndTheFirstOneUnharmed) {
  for (const Layout layout : {Layout::ONE, Layout::TWO_WORLDS}) {
    SmallSearch search = resumable();
    const fs::path base = fresh_folder();
    RunOptions options = options_of(Layout::ONE, base / "alone");
    search.words = "save k every 0 resume yes";
    const RunResult whole = search.run(options);
    expect_success(whole);

    search.words = "save ../files/k every 0 resume yes";
    fs::create_directories(base / "files");
    RunResult first;
    options = options_of(layout, base / "first");
    options.fault = "train:0:sleep=6:3";
    std::thread running([&] { first = search.run(options); });
    const auto begin = std::chrono::steady_clock::now();
    while (!fs::exists(base / "files" / "k.training") &&
           std::chrono::steady_clock::now() - begin < std::chrono::seconds(60))
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::string busy = "k.csv is being written by another run";
    expect_failure(search.run(options_of(Layout::ONE, base / "second")), busy);
    expect_failure(search.run(options_of(Layout::TWO_WORLDS, base / "third")), busy);
    SmallSearch another = search;
    another.words = "save ../files/k";
    expect_failure(another.run(options_of(Layout::ONE, base / "fourth")), busy);
    running.join();
    expect_success(first);
    for (const char *ending : {".csv", ".xyz", ".best"})
      EXPECT_EQ(read_file(base / "alone" / (std::string("k") + ending)),
                read_file(base / "files" / (std::string("k") + ending)))
          << ending;
  }
}

TEST(LoadedArchive, StartsAColderAndLongerSearch) {
  SmallSearch hot;
  hot.words = "save hot";
  const RunResult first = hot.run();
  expect_success(first);
  SmallSearch cold = resumable();
  cold.stages = 3;
  cold.temperatures = "1000 100";
  cold.words = "load hot.ckpt archive best 20 save cold every 0 resume yes";
  RunOptions options = options_of(Layout::ONE);
  options.files["hot.ckpt"] = first.file("hot.ckpt");
  const RunResult whole = cold.run(options);
  expect_success(whole);
  const auto csv = parse_csv(whole.file("cold.csv"));
  ASSERT_EQ(csv.rows.size(), 15u);
  EXPECT_EQ(csv.numbers("evaluation").front(), 1.0);
  EXPECT_EQ(csv.numbers("evaluation").back(), 15.0);
  // The numbers of the candidates go on behind those of the archive.
  EXPECT_EQ(csv.numbers("candidate").front(), 7.0);
  EXPECT_EQ(csv.numbers("candidate").back(), 21.0);
  // Its best structure is the better one of both searches.
  const auto before = parse_csv(first.file("hot.csv")).numbers("energy");
  const auto after = csv.numbers("energy");
  const double best = std::min(*std::min_element(before.begin(), before.end()),
                               *std::min_element(after.begin(), after.end()));
  EXPECT_NEAR(whole.thermo().back().last("f_s"), best, 1e-9);

  // Killed in its first stage and later, it does not need the old file any more.
  for (const char *fault : {"evaluate:0:kill:2", "train:0:kill:11"}) {
    options.folder = fresh_folder();
    options.fault = fault;
    EXPECT_TRUE(cold.run(options).contains("FAULT kill"));
    options.fault = "";
    const RunResult resumed = cold.run(options);
    expect_success(resumed);
    expect_equal(whole, resumed, "cold");
  }
}
