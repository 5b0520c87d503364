// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/csv.hpp"

#include <cmath>
#include <cstdlib>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/io/number_text.hpp"
#include "small_disk.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::AppendFile;
using godiff::CsvLine;
using godiff::CsvLog;
using godiff::Error;
using godiff::Status;
using godiff_test::content;
using godiff_test::FileSizeLimit;
using godiff_test::message_of;
using godiff_test::put_content;
using godiff_test::SmallDisk;
using godiff_test::TemporaryFolder;

const std::string HEADER =
    "candidate,evaluation,stage,temperature,energy,weight,status,class,offset\n";

CsvLine line(int candidate, double energy = -110.1, Status status = Status::OK) {
  CsvLine result;
  result.candidate = candidate;
  result.evaluation = candidate;
  result.stage = 1;
  result.temperature = 58023.0;
  result.energy = energy;
  result.weight = 0.25;
  result.status = status;
  result.structure_class = 3;
  result.offset = 512;
  return result;
}

TEST(NumberText, ExactTextReadsBack) {
  for (const double x :
       {0.1, -110.1, 1.0 / 3.0, 1e-310, 1.7976931348623157e308, -0.0, 42.0, -432.47500000000002}) {
    const std::string text = godiff::exact_text(x);
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), x) << text;
    EXPECT_LE(text.size(), 24u);
  }
  EXPECT_EQ(godiff::exact_text(-110.1), "-110.1");
  EXPECT_EQ(godiff::exact_text(-std::nan("")), "nan");
  EXPECT_EQ(godiff::exact_text(-INFINITY), "-inf");
  EXPECT_EQ(godiff::short_text(58023.000000000007, 10), "58023");
  EXPECT_EQ(godiff::short_text(1.0 / 3.0), "0.333333");
  EXPECT_EQ(godiff::fixed_text(-1.0 / 3.0, 10), "-0.3333333333");
  EXPECT_EQ(godiff::fixed_text(1e300, 10).size(), 301u + 11u);
}

TEST(CsvLog, WritesOneLinePerCandidate) {
  TemporaryFolder folder;
  CsvLog log = CsvLog::create(folder.file("g.csv"));
  EXPECT_EQ(content(folder.file("g.csv")), HEADER);
  log.append(line(1));
  log.append(line(2, INFINITY, Status::FAILED));
  log.append(line(3, 12.5, Status::HIGH));
  log.append(line(4, -1e9, Status::LOW));
  EXPECT_EQ(content(folder.file("g.csv")), HEADER);
  log.flush();
  const std::string expected = HEADER + "1,1,1,58023,-110.1,0.25,ok,3,512\n"
                                        "2,2,1,58023,nan,nan,failed,-1,512\n"
                                        "3,3,1,58023,12.5,0.25,high,3,512\n"
                                        "4,4,1,58023,-1e+09,0.25,low,3,512\n";
  EXPECT_EQ(content(folder.file("g.csv")), expected);
  EXPECT_EQ(log.offset(), static_cast<std::int64_t>(expected.size()));
}

TEST(CsvLog, DestructorWritesTheRest) {
  TemporaryFolder folder;
  { CsvLog::create(folder.file("g.csv")).append(line(1)); }
  EXPECT_EQ(content(folder.file("g.csv")), HEADER + "1,1,1,58023,-110.1,0.25,ok,3,512\n");
}

TEST(CsvLog, AssignmentLosesNothing) {
  TemporaryFolder folder;
  CsvLog log = CsvLog::create(folder.file("a.csv"));
  log.append(line(1));
  log = CsvLog::create(folder.file("b.csv"));
  log.append(line(2));
  log.flush();
  EXPECT_EQ(content(folder.file("a.csv")), HEADER + "1,1,1,58023,-110.1,0.25,ok,3,512\n");
  EXPECT_EQ(content(folder.file("b.csv")), HEADER + "2,2,1,58023,-110.1,0.25,ok,3,512\n");
}

TEST(CsvLog, ContinuedRunEqualsUninterruptedRun) {
  TemporaryFolder folder;
  CsvLog whole = CsvLog::create(folder.file("whole.csv"));
  for (int k = 1; k <= 6; ++k)
    whole.append(line(k, -k / 3.0));
  whole.flush();

  std::int64_t checkpoint = 0;
  {
    CsvLog cut = CsvLog::create(folder.file("cut.csv"));
    for (int k = 1; k <= 3; ++k)
      cut.append(line(k, -k / 3.0));
    checkpoint = cut.offset();
    for (int k = 4; k <= 5; ++k)
      cut.append(line(k, 99.0));  // lost with the killed process
    cut.sync();
  }
  put_content(folder.file("torn.csv"), content(folder.file("cut.csv")) + "6,6,1,580");
  for (const char *name : {"cut.csv", "torn.csv"}) {
    CsvLog log = CsvLog::resume(folder.file(name), checkpoint);
    EXPECT_EQ(log.offset(), checkpoint);
    for (int k = 4; k <= 6; ++k)
      log.append(line(k, -k / 3.0));
    log.flush();
    EXPECT_EQ(content(folder.file(name)), content(folder.file("whole.csv"))) << name;
  }
}

TEST(CsvLog, CreateReplacesAnOldFile) {
  TemporaryFolder folder;
  put_content(folder.file("g.csv"), std::string(1000, 'x'));
  CsvLog log = CsvLog::create(folder.file("g.csv"));
  EXPECT_EQ(content(folder.file("g.csv")), HEADER);
}

TEST(CsvLog, RefusesToContinueWhatDoesNotFit) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.csv");
  const auto message = [&](std::int64_t offset) {
    return message_of<Error>([&] { CsvLog::resume(path, offset); });
  };
  EXPECT_EQ(message(100), "cannot continue " + path + ": No such file or directory");

  const std::string foreign = "time,money\n" + std::string(500, '1') + "\n";
  put_content(path, foreign);
  EXPECT_NE(message(100).find("its first line is not 'candidate,"), std::string::npos);
  EXPECT_EQ(content(path), foreign);

  put_content(path, HEADER + "1,1,1,58023,-110.1,0.25,ok,3,512\n");
  const auto before = content(path);
  EXPECT_NE(message(1000).find("it has 106 bytes, the checkpoint was written at byte 1000"),
            std::string::npos)
      << message(1000);
  EXPECT_NE(message(80).find("no line ends at byte 80"), std::string::npos);
  EXPECT_NE(message(-1).find("cannot continue"), std::string::npos);
  EXPECT_EQ(content(path), before);
}

TEST(CsvLog, FullDiskIsAnErrorAndLeavesWholeLines) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.csv");
  CsvLog log = CsvLog::create(path);
  std::string message;
  {
    // Header 73 bytes, 33 bytes a line: the third line would end at 172.
    FileSizeLimit limit(160);
    for (int k = 1; k <= 4; ++k)
      log.append(line(k));
    message = message_of<Error>([&] { log.flush(); });
  }
  EXPECT_EQ(message, "cannot write " + path + ": File too large");
  EXPECT_EQ(content(path), HEADER + "1,1,1,58023,-110.1,0.25,ok,3,512\n"
                                    "2,2,1,58023,-110.1,0.25,ok,3,512\n");
  EXPECT_EQ(log.offset(), static_cast<std::int64_t>(content(path).size()));
}

TEST(CsvLog, AFullDeviceLeavesWholeLines) {
  TemporaryFolder folder;
  SmallDisk disk(folder.file("disk"), 4096);
  if (!disk.why_not().empty())
    GTEST_SKIP() << disk.why_not();
  const std::string path = folder.file("disk/g.csv"), text = "1,1,1,58023,-110.1,0.25,ok,3,512\n";
  CsvLog log = CsvLog::create(path);
  std::string message;
  for (int k = 0; k < 1000 && message.empty(); ++k) {
    log.append(line(1));
    message = message_of<Error>([&] { log.flush(); });
  }
  EXPECT_EQ(message, "cannot write " + path + ": No space left on device");
  std::string expected = HEADER;
  while (expected.size() + text.size() <= 4096)
    expected += text;
  EXPECT_EQ(content(path), expected);
}

TEST(CsvLog, UnwritableFolder) {
  TemporaryFolder folder;
  const std::string path = folder.file("none/g.csv");
  EXPECT_EQ(message_of<Error>([&] { CsvLog::create(path); }),
            "cannot create " + path + ": No such file or directory");
}

TEST(AppendFile, ManyRecordsOfOneFlushAreCutBehindTheLastWholeOne) {
  TemporaryFolder folder;
  const std::string path = folder.file("many");
  AppendFile file = AppendFile::create(path);
  file.append("begin\n");
  file.flush();
  for (int k = 0; k < 2000; ++k)
    file.append(std::to_string(10000 + k) + "\n");
  {
    FileSizeLimit limit(1000);
    EXPECT_EQ(message_of<Error>([&] { file.flush(); }),
              "cannot write " + path + ": File too large");
  }
  EXPECT_EQ(file.offset(), 996);
  EXPECT_EQ(content(path).size(), 996u);
  EXPECT_EQ(content(path).substr(990), "10164\n");
  // What follows goes behind the last whole record.
  file.append("end\n");
  file.flush();
  EXPECT_EQ(content(path).substr(990), "10164\nend\n");
}

TEST(AppendFile, BigRecordsAreWrittenOnTheWay) {
  TemporaryFolder folder;
  AppendFile file = AppendFile::create(folder.file("big"));
  const std::string record(600000, 'x');
  EXPECT_EQ(file.append(record), 0);
  EXPECT_EQ(file.append(record), 600000);
  EXPECT_EQ(std::filesystem::file_size(folder.file("big")), 1200000u);
  EXPECT_EQ(file.append("y"), 1200000);
}

}  // namespace
