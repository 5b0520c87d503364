// SPDX-License-Identifier: GPL-2.0-only
// What the files of a run survive: a second run, kills, full disks, names that are taken.
#include <filesystem>
#include <sstream>

#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.hpp"
#include "core/io/journal.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/run_files.hpp"
#include "small_disk.hpp"
#include "temporary_folder.hpp"
#include "toy_search.hpp"

namespace {

using godiff::Error;
using godiff::Journal;
using godiff::RunFileOptions;
using godiff::RunFiles;
using godiff::SafeTensors;
using godiff::Search;
using godiff::Settings;
using godiff_test::content;
using godiff_test::evaluate_one;
using godiff_test::message_of;
using godiff_test::put_content;
using godiff_test::SmallDisk;
using godiff_test::springs;
using godiff_test::TemporaryFolder;
using godiff_test::toy_settings;
using godiff_test::toy_system;
using godiff_test::WithoutRights;

Settings many_stages(int stages) {
  Settings s = toy_settings();
  s.stages = stages;
  s.samples = 5;
  s.sample = godiff::SampleKind::PRIOR;
  s.train = false;
  return s;
}

RunFileOptions options_for(const std::string &prefix) {
  RunFileOptions options;
  options.prefix = prefix;
  return options;
}

void run_stage(Search &search, RunFiles &files) {
  search.prepare({});
  while (search.has_request()) {
    evaluate_one(search, springs());
    files.record(search);
  }
}

/// Name and content of all files in a folder.
std::string snapshot(const TemporaryFolder &folder) {
  std::string text;
  for (const std::string &name : folder.list()) {
    text += name + "\n";
    if (std::filesystem::is_regular_file(folder.file(name)))
      text += content(folder.file(name)) + "\n";
  }
  return text;
}

SafeTensors some_state(double value) {
  SafeTensors state;
  state.put("x", at::full({3}, value));
  return state;
}

TEST(RunFilesKept, ASecondRunIsRefusedAndTouchesNothing) {
  TemporaryFolder folder;
  const RunFileOptions options = options_for(folder.file("g"));
  const std::string busy = folder.file("g.csv") +
                           " is being written by another run: wait for it to end or use another "
                           "prefix (keyword save)";
  Search search(toy_system(), many_stages(4));
  search.set_reference(0.0);
  SafeTensors state;
  {
    RunFiles files = RunFiles::create(options, toy_system());
    run_stage(search, files);
    files.write_best(search);
    files.write_checkpoint(search);
    state = search.save();
    files.save(state);
    run_stage(search, files);
    put_content(folder.file("g.ckpt.tmp.1.0"), "the first run is writing it");
    const std::string before = snapshot(folder);
    EXPECT_EQ(message_of<Error>([&] { RunFiles::create(options, toy_system()); }), busy);
    EXPECT_EQ(message_of<Error>([&] { RunFiles::resume(options, toy_system(), state); }), busy);
    EXPECT_EQ(snapshot(folder), before);
    RunFileOptions quiet = options;
    quiet.dump_all = false;
    EXPECT_EQ(message_of<Error>([&] { RunFiles::create(quiet, toy_system()); }), busy);
    EXPECT_EQ(snapshot(folder), before);
    EXPECT_NO_THROW(RunFiles::create(options_for(folder.file("h")), toy_system()));
    run_stage(search, files);
  }
  EXPECT_NO_THROW(RunFiles::resume(options, toy_system(), state));
}

TEST(RunFilesKept, LeftoversOfAKilledRunAreRemoved) {
  TemporaryFolder folder;
  const RunFileOptions options = options_for(folder.file("g"));
  for (const char *name : {"g.ckpt.tmp.1.0", "g.best.tmp.22.1", "g.training.tmp.3.0", "g.tmp.4.0",
                           "g.csv.tmp.5.0", "h.ckpt.tmp.1.0", "g.ckpt.tmp.mine", "g.journal.3"})
    put_content(folder.file(name), "x");
  { RunFiles::create(options, toy_system()); }
  EXPECT_EQ(folder.list(), (std::vector<std::string>{"g.ckpt.tmp.mine", "g.csv", "g.csv.tmp.5.0",
                                                     "g.xyz", "h.ckpt.tmp.1.0"}));
}

// Before a search begins, and before anything of an earlier one is lost.
TEST(RunFilesKept, NamesThatAreTakenAreRefused) {
  const auto folder_at = [](const std::string &path) { std::filesystem::create_directory(path); };
  const auto pipe_at = [](const std::string &path) { ASSERT_EQ(mkfifo(path.c_str(), 0666), 0); };
  const auto link_at = [](const std::string &path) { std::filesystem::create_symlink("no", path); };
  const std::vector<std::function<void(const std::string &)>> makers{folder_at, pipe_at, link_at};
  const char *reasons[] = {"a folder", "not a regular file",
                           "a link to a file that cannot be reached"};
  for (std::size_t k = 0; k < makers.size(); ++k)
    for (const char *name :
         {"g.csv", "g.xyz", "g.best", "g.ckpt", "g.training", "g.journal", "g.journal.4"}) {
      TemporaryFolder folder;
      const RunFileOptions options = options_for(folder.file("g"));
      Search search(toy_system(), many_stages(2));
      search.set_reference(0.0);
      SafeTensors state;
      {
        RunFiles files = RunFiles::create(options, toy_system());
        run_stage(search, files);
        files.write_best(search);
        state = search.save();
        files.save(state);
      }
      std::filesystem::remove(folder.file(name));
      makers[k](folder.file(name));
      const std::string before = snapshot(folder);
      const std::string expected = "cannot write " + folder.file(name) + ": it is " + reasons[k] +
                                   "; remove it or use another prefix (keyword save)";
      EXPECT_EQ(message_of<Error>([&] { RunFiles::create(options, toy_system()); }), expected);
      EXPECT_EQ(message_of<Error>([&] { RunFiles::resume(options, toy_system(), state); }),
                expected);
      EXPECT_EQ(snapshot(folder), before);
      if (std::string(name) == "g.ckpt") {
        EXPECT_EQ(message_of<Error>([&] { RunFiles::read_checkpoint(options.prefix); }), expected);
      }
    }
}

TEST(RunFilesKept, FoldersThatCannotBeWritten) {
  TemporaryFolder folder;
  const auto message = [&](const std::string &prefix) {
    return message_of<Error>([&] { RunFiles::create(options_for(prefix), toy_system()); });
  };
  EXPECT_EQ(message(folder.file("none/g")), "cannot create files that begin with '" +
                                                folder.file("none/g") +
                                                "': No such file or directory");
  put_content(folder.file("file"), "x");
  EXPECT_EQ(message(folder.file("file/g")),
            "cannot create files that begin with '" + folder.file("file/g") + "': Not a directory");
  EXPECT_TRUE(RunFiles::existing(folder.file("file/g")).empty());
  EXPECT_FALSE(RunFiles::read_checkpoint(folder.file("file/g")).has_value());
  EXPECT_EQ(folder.list(), std::vector<std::string>{"file"});
}

TEST(RunFilesKept, ReadOnlyDisk) {
  TemporaryFolder folder;
  SmallDisk disk(folder.file("disk"), 1 << 20);
  if (!disk.why_not().empty())
    GTEST_SKIP() << disk.why_not();
  put_content(folder.file("disk/g.csv"), "kept");
  ASSERT_TRUE(disk.make_read_only());
  const std::string prefix = folder.file("disk/g");
  EXPECT_EQ(message_of<Error>([&] { RunFiles::create(options_for(prefix), toy_system()); }),
            "cannot create files that begin with '" + prefix + "': Read-only file system");
  EXPECT_EQ(content(folder.file("disk/g.csv")), "kept");
}

TEST(RunFilesKept, AFileThatCannotBeOpenedLeavesTheOthers) {
  TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 0777), 0);
  const RunFileOptions options = options_for(folder.file("g"));
  put_content(folder.file("g.csv"), "kept");
  ASSERT_EQ(chmod(folder.file("g.csv").c_str(), 0666), 0);
  put_content(folder.file("g.xyz"), "kept as well");
  put_content(folder.file("g.ckpt"), "a checkpoint");
  for (const char *name : {"g.xyz", "g.ckpt"})
    ASSERT_EQ(chmod(folder.file(name).c_str(), 0000), 0);
  std::string create, read;
  {
    WithoutRights guard;
    create = message_of<Error>([&] { RunFiles::create(options, toy_system()); });
    read = message_of<Error>([&] { RunFiles::read_checkpoint(options.prefix); });
  }
  for (const char *name : {"g.xyz", "g.ckpt"})
    ASSERT_EQ(chmod(folder.file(name).c_str(), 0644), 0);
  EXPECT_EQ(create, "cannot create " + folder.file("g.xyz") + ": Permission denied");
  EXPECT_EQ(read, "cannot open " + folder.file("g.ckpt") + ": Permission denied");
  EXPECT_EQ(content(folder.file("g.csv")), "kept");
  EXPECT_EQ(content(folder.file("g.xyz")), "kept as well");
}

TEST(RunFilesKept, AFrameFileThatDoesNotFitLeavesTheLines) {
  TemporaryFolder folder;
  const RunFileOptions options = options_for(folder.file("g"));
  Search search(toy_system(), many_stages(4));
  search.set_reference(0.0);
  SafeTensors state;
  {
    RunFiles files = RunFiles::create(options, toy_system());
    run_stage(search, files);
    state = search.save();
    files.save(state);
    run_stage(search, files);
  }
  std::filesystem::resize_file(folder.file("g.xyz"), 100);
  const std::string before = snapshot(folder);
  EXPECT_EQ(message_of<Error>([&] {
              RunFiles::resume(options, toy_system(), state);
            }).find("cannot continue " + folder.file("g.xyz") + ": it has 100 bytes"),
            0u);
  EXPECT_EQ(snapshot(folder), before);
}

TEST(RunFilesKept, StateOfATraining) {
  TemporaryFolder folder;
  const RunFileOptions options = options_for(folder.file("g"));
  {
    RunFiles files = RunFiles::create(options, toy_system());
    EXPECT_FALSE(files.read_training().has_value());
    EXPECT_NO_THROW(files.remove_training());
    files.write_training(some_state(1.5));
    files.write_training(some_state(2.5));
    EXPECT_EQ(files.read_training()->get("x")[0].item<double>(), 2.5);
  }
  EXPECT_EQ(folder.list(), (std::vector<std::string>{"g.csv", "g.training", "g.xyz"}));
  RunFiles files = RunFiles::create(options, toy_system());
  EXPECT_FALSE(files.read_training().has_value()) << "it belongs to another search";
  put_content(folder.file("g.training"), "damaged");
  EXPECT_NE(message_of<Error>([&] { files.read_training(); }).find(folder.file("g.training")),
            std::string::npos);
}

TEST(RunFilesKept, CheckpointsAndJournalsOfAPrefix) {
  TemporaryFolder folder;
  const RunFileOptions options = options_for(folder.file("g"));
  EXPECT_FALSE(RunFiles::read_checkpoint(options.prefix).has_value());
  some_state(4.0).write(folder.file("g.ckpt"));
  EXPECT_EQ(RunFiles::read_checkpoint(options.prefix)->get("x")[0].item<double>(), 4.0);
  RunFiles files = RunFiles::create(options, toy_system());
  EXPECT_FALSE(RunFiles::read_checkpoint(options.prefix).has_value())
      << "it belongs to another search";
  some_state(5.0).write(folder.file("g.ckpt"));
  for (const int world : {0, 1, 7})
    Journal::create(godiff::journal_path(options.prefix, world), 1);
  const std::string &p = options.prefix;
  EXPECT_EQ(RunFiles::existing(p),
            (std::vector<std::string>{p + ".csv", p + ".xyz", p + ".ckpt", p + ".journal",
                                      p + ".journal.1", p + ".journal.7"}));
  EXPECT_EQ(files.names(),
            (std::vector<std::string>{p + ".csv", p + ".xyz", p + ".best", p + ".ckpt",
                                      p + ".training", p + ".journal"}));
  files.remove_journals();
  EXPECT_EQ(folder.list(), (std::vector<std::string>{"g.ckpt", "g.csv", "g.xyz"}));
  EXPECT_NO_THROW(files.remove_journals());
}

std::vector<std::string> fields_of(const std::string &line) {
  std::vector<std::string> fields;
  std::istringstream text(line);
  for (std::string field; std::getline(text, field, ',');)
    fields.push_back(field);
  return fields;
}

// Every whole line of the .csv file, and the whole frame in the .xyz file that it names.
int whole_records(const TemporaryFolder &folder, const std::string &prefix) {
  const std::string csv = content(folder.file(prefix + ".csv"));
  const std::string xyz = content(folder.file(prefix + ".xyz"));
  const int lines_of_a_frame = toy_system().n_atoms() + 2;
  int records = 0;
  std::size_t begin = csv.find('\n') + 1;
  for (std::size_t end; (end = csv.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto fields = fields_of(csv.substr(begin, end - begin));
    EXPECT_EQ(fields.size(), 9u);
    EXPECT_EQ(fields[0], std::to_string(++records));
    std::size_t place = std::stoul(fields[8]);
    EXPECT_NE(xyz.find(" candidate=" + fields[0] + " ", place), std::string::npos);
    for (int k = 0; k < lines_of_a_frame && place != std::string::npos; ++k)
      place = xyz.find('\n', place + (k > 0));
    EXPECT_NE(place, std::string::npos) << "the frame of line " << records << " is not whole";
  }
  return records;
}

TEST(RunFilesKept, AKillAtAnyMomentLeavesWholeRecords) {
  int continued = 0;
  for (int k = 0; k < 5; ++k) {
    TemporaryFolder folder;
    const RunFileOptions options = options_for(folder.file("g"));
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Search search(toy_system(), many_stages(100000));
      search.set_reference(0.0);
      RunFiles files = RunFiles::create(options, toy_system());
      for (std::int32_t done = 0;;) {
        search.prepare({});
        while (search.has_request()) {
          evaluate_one(search, springs());
          files.record(search);
          if (write(pipes[1], &++done, sizeof done) != sizeof done)
            _exit(1);
        }
        files.write_best(search);
        files.update_checkpoint(search);
      }
    }
    close(pipes[1]);
    std::int32_t told = 0, more = 0;
    while (told < 13 * k + 2 && read(pipes[0], &told, sizeof told) == sizeof told) {
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipes[0], &more, sizeof more) == sizeof more)
      told = more;
    close(pipes[0]);
    ASSERT_GE(told, 13 * k + 2);
    EXPECT_GE(whole_records(folder, "g"), told);
    const auto saved = RunFiles::read_checkpoint(options.prefix);
    if (!saved)
      continue;
    Search search(toy_system(), many_stages(100000));
    search.restore(*saved);
    RunFiles files = RunFiles::resume(options, toy_system(), *saved);
    EXPECT_EQ(whole_records(folder, "g"), static_cast<int>(search.archive().size()));
    ++continued;
    for (const std::string &name : folder.list())
      EXPECT_EQ(name.find(".tmp."), std::string::npos) << name;
  }
  EXPECT_GT(continued, 0) << "no kill came behind a checkpoint";
}

TEST(RunFilesKept, AFullDiskLeavesWholeRecordsAndTheCheckpoint) {
  TemporaryFolder folder;
  SmallDisk disk(folder.file("disk"), 64 << 10);
  if (!disk.why_not().empty())
    GTEST_SKIP() << disk.why_not();
  const RunFileOptions options = options_for(folder.file("disk/g"));
  Search search(toy_system(), many_stages(1000));
  search.set_reference(0.0);
  RunFiles files = RunFiles::create(options, toy_system());
  files.write_checkpoint(search);
  const std::string checkpoint = content(folder.file("disk/g.ckpt"));
  std::string message;
  for (int k = 0; k < 1000 && message.empty(); ++k)
    message = message_of<Error>([&] { run_stage(search, files); });
  EXPECT_NE(message.find("No space left on device"), std::string::npos) << message;
  EXPECT_EQ(message.find("cannot write " + options.prefix), 0u) << message;
  EXPECT_GE(whole_records(folder, "disk/g"), static_cast<int>(search.archive().size()) - 1);
  EXPECT_EQ(message_of<Error>([&] { files.write_checkpoint(search); }),
            "cannot write " + options.prefix + ".ckpt: No space left on device");
  EXPECT_EQ(content(folder.file("disk/g.ckpt")), checkpoint);
}

}  // namespace
