// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/atomic_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::check_writable;
using godiff::Error;
using godiff::read_file;
using godiff::remove_temporaries;
using godiff::write_atomically;
using godiff_test::content;
using godiff_test::FileSizeLimit;
using godiff_test::message_of;
using godiff_test::put_content;
using godiff_test::TemporaryFolder;
using godiff_test::WithoutRights;

const std::string NULL_BYTES("a\0b\n\xff", 5);

TEST(AtomicFile, WritesAndReplaces) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.ckpt");
  write_atomically(path, NULL_BYTES);
  EXPECT_EQ(content(path), NULL_BYTES);
  EXPECT_EQ(read_file(path), NULL_BYTES);
  write_atomically(path, "");
  EXPECT_EQ(content(path), "");
  const std::string large(3 << 20, 'x');
  write_atomically(path, large);
  EXPECT_EQ(content(path), large);
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.ckpt"});
}

TEST(AtomicFile, PiecesOneBehindTheOther) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.ckpt");
  write_atomically(path, {NULL_BYTES, "", "rest"});
  EXPECT_EQ(content(path), NULL_BYTES + "rest");
  {
    FileSizeLimit limit(10000);
    const std::string large(6000, 'x');
    EXPECT_EQ(message_of<Error>([&] {
                write_atomically(path, {large, large});
              }),
              "cannot write " + path + ": File too large");
  }
  EXPECT_EQ(content(path), NULL_BYTES + "rest");
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.ckpt"});
}

TEST(AtomicFile, KeepsTheUsualPermissions) {
  TemporaryFolder folder;
  const mode_t mask = umask(022);
  write_atomically(folder.file("g.best"), "x");
  umask(mask);
  struct stat status;
  ASSERT_EQ(stat(folder.file("g.best").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644u);
}

TEST(AtomicFile, RelativePath) {
  TemporaryFolder folder;
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_atomically("g.best", "x");
  std::filesystem::current_path(here);
  EXPECT_EQ(content(folder.file("g.best")), "x");
}

TEST(AtomicFile, FullDiskLeavesTheOldFile) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.ckpt");
  write_atomically(path, "old");
  std::string message;
  {
    FileSizeLimit limit(10000);
    message = message_of<Error>([&] { write_atomically(path, std::string(20000, 'x')); });
  }
  EXPECT_EQ(message, "cannot write " + path + ": File too large");
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.ckpt"});
}

TEST(AtomicFile, MissingFolder) {
  TemporaryFolder folder;
  const std::string path = folder.file("none/g.ckpt");
  EXPECT_EQ(message_of<Error>([&] { write_atomically(path, "x"); }),
            "cannot create " + path + ": No such file or directory");
  EXPECT_EQ(message_of<Error>([&] { check_writable(path); }),
            "cannot create files that begin with '" + path + "': No such file or directory");
}

TEST(AtomicFile, UnwritableFolder) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.ckpt");
  ASSERT_EQ(chmod(folder.path().c_str(), 0555), 0);
  std::string message, check;
  {
    WithoutRights guard;
    message = message_of<Error>([&] { write_atomically(path, "x"); });
    check = message_of<Error>([&] { check_writable(path); });
  }
  chmod(folder.path().c_str(), 0755);
  EXPECT_EQ(message, "cannot create " + path + ": Permission denied");
  EXPECT_EQ(check, "cannot create files that begin with '" + path + "': Permission denied");
}

TEST(AtomicFile, NameIsAFolder) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("g.ckpt"));
  const std::string message =
      message_of<Error>([&] { write_atomically(folder.file("g.ckpt"), "x"); });
  EXPECT_EQ(message, "cannot write " + folder.file("g.ckpt") + ": Is a directory");
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.ckpt"});
}

TEST(AtomicFile, CheckWritableLeavesNothing) {
  TemporaryFolder folder;
  put_content(folder.file("g.csv"), "kept");
  EXPECT_NO_THROW(check_writable(folder.file("g")));
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.csv"});
  EXPECT_EQ(content(folder.file("g.csv")), "kept");
}

TEST(AtomicFile, CheckWritableSeesAFullDisk) {
  TemporaryFolder folder;
  std::string message;
  {
    FileSizeLimit limit(100);
    message = message_of<Error>([&] { check_writable(folder.file("g")); });
  }
  EXPECT_EQ(message,
            "cannot write files that begin with '" + folder.file("g") + "': File too large");
  EXPECT_TRUE(folder.list().empty());
}

TEST(AtomicFile, ReadErrors) {
  TemporaryFolder folder;
  EXPECT_EQ(message_of<Error>([&] { read_file(folder.file("none")); }),
            "cannot open " + folder.file("none") + ": No such file or directory");
  EXPECT_EQ(message_of<Error>([&] { read_file(folder.path()); }),
            "cannot read " + folder.path() + ": not a regular file");
  EXPECT_EQ(message_of<Error>([&] { read_file("/dev/zero"); }),
            "cannot read /dev/zero: not a regular file");
  // Nobody writes into it: it must not be waited for.
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0666), 0);
  EXPECT_EQ(message_of<Error>([&] { read_file(folder.file("pipe")); }),
            "cannot read " + folder.file("pipe") + ": not a regular file");
}

TEST(AtomicFile, RemovesTemporariesOfKilledRunsOnly) {
  TemporaryFolder folder;
  const std::vector<std::string> stale{"g.ckpt.tmp.123.0", "g.best.tmp.9.14", "g.tmp.77.3"};
  const std::vector<std::string> kept{
      "g.ckpt",          "g.ckpt.tmp.",      "g.ckpt.tmp.1",     "g.ckpt.tmp.1.",
      "g.ckpt.tmp.x.0",  "g.ckpt.tmp.1.0.1", "g.csv.tmp.1.0",    "gg.ckpt.tmp.1.0",
      "g.ckpt.tmp.-1.0", "g.ckpt.tmp.1.0~",  "a.g.ckpt.tmp.1.0", "g.ckpt.tmp.1.tmp.1.0"};
  for (const auto *names : {&stale, &kept})
    for (const std::string &name : *names)
      put_content(folder.file(name), "x");
  std::filesystem::create_directory(folder.file("g.ckpt.tmp.5.5"));
  std::filesystem::create_symlink("g.ckpt", folder.file("g.ckpt.tmp.6.6"));
  remove_temporaries(folder.file("g"), {".ckpt", ".best"});
  std::vector<std::string> expected = kept;
  expected.insert(expected.end(), {"g.ckpt.tmp.5.5", "g.ckpt.tmp.6.6"});
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(folder.list(), expected);
  EXPECT_NO_THROW(remove_temporaries(folder.file("none/g"), {".ckpt"}));
}

}  // namespace
