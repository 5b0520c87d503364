// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/owned_file.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/error.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::check_replaceable;
using godiff::Error;
using godiff::OwnedFile;
using godiff_test::content;
using godiff_test::message_of;
using godiff_test::put_content;
using godiff_test::TemporaryFolder;

OwnedFile own(const std::string &path) {
  return OwnedFile::open(path, OwnedFile::Missing::CREATE, "create");
}

std::string refusal(const std::string &path) {
  const std::string message = message_of<Error>([&] { own(path); });
  EXPECT_EQ(
      message_of<Error>([&] { OwnedFile::open(path, OwnedFile::Missing::REFUSE, "continue"); }),
      message);
  return message;
}

std::string busy(const std::string &path) {
  return path + " is being written by another run: wait for it to end or use another prefix "
                "(keyword save)";
}

TEST(OwnedFile, OpensWithoutAChange) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.csv");
  EXPECT_EQ(
      message_of<Error>([&] { OwnedFile::open(path, OwnedFile::Missing::REFUSE, "continue"); }),
      "cannot continue " + path + ": No such file or directory");
  put_content(path, "0123456789");
  OwnedFile file = own(path);
  EXPECT_EQ(content(path), "0123456789");
  EXPECT_EQ(file.size(), 10);
  char bytes[10] = {};
  EXPECT_EQ(file.read_at(7, bytes, 10), 3u);
  EXPECT_EQ(std::string(bytes), "789");
  file.cut(4);
  EXPECT_EQ(file.write("xy"), 2u);
  EXPECT_EQ(content(path), "0123xy");
  file.cut_back(1);
  EXPECT_EQ(file.write("z"), 1u);
  file.sync();
  EXPECT_EQ(content(path), "0z");
}

TEST(OwnedFile, OneOwnerInAProcess) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.csv");
  {
    OwnedFile first = own(path);
    EXPECT_TRUE(first.locked());
    EXPECT_EQ(first.write("first"), 5u);
    EXPECT_EQ(refusal(path), busy(path));
    OwnedFile moved = std::move(first);
    moved.cut(2);
    EXPECT_EQ(refusal(path), busy(path)) << "moved and cut it is still owned";
    EXPECT_EQ(content(path), "fi");
    std::filesystem::rename(path, folder.file("renamed"));
    EXPECT_EQ(refusal(folder.file("renamed")), busy(folder.file("renamed")));
    std::filesystem::create_symlink("renamed", folder.file("link"));
    EXPECT_EQ(refusal(folder.file("link")), busy(folder.file("link")));
  }
  EXPECT_NO_THROW(own(folder.file("renamed")));
}

TEST(OwnedFile, OneOwnerAmongProcessesAndNoneAfterAKill) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.csv");
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    OwnedFile file = own(path);
    if (write(pipes[1], "x", 1) == 1)
      pause();
    _exit(1);
  }
  char ready = 0;
  EXPECT_EQ(read(pipes[0], &ready, 1), 1);
  EXPECT_EQ(refusal(path), busy(path));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(own(path));
  close(pipes[0]);
  close(pipes[1]);
}

TEST(OwnedFile, RegularFilesOnly) {
  TemporaryFolder folder;
  const std::string advice = "; remove it or use another prefix (keyword save)";
  const std::string path = folder.file("g.csv"), begin = "cannot write " + path + ": it is ";
  EXPECT_NO_THROW(check_replaceable(path));
  std::filesystem::create_directory(path);
  EXPECT_EQ(refusal(path), begin + "a folder" + advice);
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0666), 0);
  EXPECT_EQ(refusal(path), begin + "not a regular file" + advice);
  std::filesystem::remove(path);
  std::filesystem::create_symlink("none", path);
  EXPECT_EQ(refusal(path), begin + "a link to a file that cannot be reached" + advice);
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.csv"});
  put_content(folder.file("none"), "there now");
  EXPECT_NO_THROW(own(path));
  std::filesystem::remove(path);
  std::filesystem::create_symlink("g.csv", path);
  EXPECT_EQ(refusal(path), begin + "a link to a file that cannot be reached" + advice);
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/dev/full", path);
  EXPECT_EQ(refusal(path), begin + "not a regular file" + advice);
  std::filesystem::remove(path);
  const int handle = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(handle, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  EXPECT_EQ(refusal(path), begin + "not a regular file" + advice);
  close(handle);
}

}  // namespace
