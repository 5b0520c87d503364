// SPDX-License-Identifier: GPL-2.0-only
// What is printed while a search works for long: progress for who looks at a terminal, and nothing but a
// line a stage in a file.
#include "library/instance.hpp"

#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "testing/small_search.hpp"

using godiff::testing::Instance;
using godiff::testing::lines_of;
using godiff::testing::SmallSearch;
using godiff::testing::WorkingFolder;

namespace {

// A terminal in the place of the file NAME.screen; what is written to it is read as it comes.
class Terminal {
public:
  explicit Terminal(const std::string &name) : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0)
      throw std::runtime_error("this system has no pseudo terminals");
    const std::string path = ptsname(master_);
    std::filesystem::create_symlink(path, name + ".screen");
    // Open until the end: what the instance wrote before it closed it is not lost.
    slave_ = open(path.c_str(), O_RDWR | O_NOCTTY);
    reader_ = std::thread([this] {
      char part[4096];
      for (ssize_t n = 0; (n = ::read(master_, part, sizeof part)) > 0;)
        text_.append(part, static_cast<std::size_t>(n));
    });
  }
  Terminal(const Terminal &) = delete;
  Terminal &operator=(const Terminal &) = delete;
  ~Terminal() {
    text();
    close(master_);
  }
  /// All of it, once the instance has ended.
  const std::string &text() {
    if (reader_.joinable()) {
      close(slave_);
      reader_.join();
    }
    return text_;
  }

private:
  int master_, slave_ = -1;
  std::string text_;
  std::thread reader_;
};

int count(const std::string &text, const std::string &part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

// Its training goes on until the time of the run is over. A progress line is due every second, and the
// time is looked at after the line: however slow the machine is, there is at least one.
SmallSearch endless() {
  SmallSearch search;
  search.settings = "confine above 1.0 4.0 buffer 4 train 100000000 2 network 4.0 16 1 8 "
                    "sample em 5 0.01";
  search.commands = "timer timeout 0:00:04 every 1\nrun 6\n";
  return search;
}

}  // namespace

TEST(Progress, OnATerminal) {
  const SmallSearch search = endless();
  const WorkingFolder folder(search.data());
  Terminal terminal("lammps");
  { Instance("lammps").run(search.input()); }
  const std::string &text = terminal.text();
  EXPECT_GE(count(text, "\rtraining for stage 1: "), 1) << text;
  // The line is wiped before the next text.
  const std::size_t last = text.rfind("training for stage 1: ");
  const std::size_t wiped = text.find("\r" + std::string(70, ' ') + "\r", last);
  EXPECT_NE(wiped, std::string::npos) << text;
  EXPECT_LT(wiped, text.find("wall time limit reached")) << text;
}

TEST(Progress, NotInAFile) {
  const SmallSearch search = endless();
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  lammps.run(search.input());
  const std::string text = lammps.screen();
  EXPECT_NE(text.find("wall time limit reached"), std::string::npos) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos) << text;
  EXPECT_EQ(text.find("training for stage"), std::string::npos) << text;
}

// Between the steps of the search nothing is printed but a line for each stage.
TEST(Progress, ALineAStage) {
  SmallSearch search;
  search.stages = 4;
  search.commands = "thermo 100\nrun 12\n";
  const WorkingFolder folder(search.data());
  Instance lammps("lammps");
  lammps.run(search.input());
  const std::string text = lammps.screen();
  const std::size_t begin = text.find("Per MPI rank memory"), end = text.find("Loop time of");
  ASSERT_NE(begin, std::string::npos) << text;
  ASSERT_NE(end, std::string::npos) << text;
  int stages = 0, others = 0;
  for (const std::string &line : lines_of(text.substr(begin, end - begin))) {
    const std::string expected = "Stage " + std::to_string(stages + 1) + "/4  T ";
    if (line.rfind(expected, 0) == 0)
      ++stages;
    else
      ++others;
  }
  EXPECT_EQ(stages, 4) << text;
  EXPECT_EQ(others, 8) << "memory, names of the columns, first and last step, four of the summary\n"
                       << text;
}
