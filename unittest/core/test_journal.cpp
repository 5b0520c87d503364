// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/journal.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "small_disk.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Digest;
using godiff::Error;
using godiff::Journal;
using godiff::JournalRecord;
using godiff_test::content;
using godiff_test::FileSizeLimit;
using godiff_test::message_of;
using godiff_test::put_content;
using godiff_test::SmallDisk;
using godiff_test::TemporaryFolder;

constexpr std::uint64_t IDENTITY = 0x1234567890abcdefull;
constexpr std::size_t HEADER = 24, EMPTY_RECORD = 16 + 32 + 8;  // bytes in the file

JournalRecord record(int k, std::size_t forces = 0) {
  JournalRecord r;
  r.stage = k / 10;
  r.candidate = k % 10;
  r.step = 3 * k;
  r.digest = godiff::digest({0.5 * k, -0.0});
  r.energy = k % 4 == 3 ? std::numeric_limits<double>::quiet_NaN() : -100.0 - k / 3.0;
  for (std::size_t i = 0; i < forces; ++i)
    r.forces.push_back(std::sin(k + 0.1 * static_cast<double>(i)));
  return r;
}

// Bits, so that nan equals nan.
bool same_bits(const double *a, const double *b, std::size_t n) {
  return n == 0 || std::memcmp(a, b, n * sizeof(double)) == 0;
}

bool equal(const JournalRecord &a, const JournalRecord &b) {
  return a.stage == b.stage && a.candidate == b.candidate && a.step == b.step &&
         a.digest == b.digest && same_bits(&a.energy, &b.energy, 1) &&
         a.forces.size() == b.forces.size() &&
         same_bits(a.forces.data(), b.forces.data(), a.forces.size());
}

// Records 0, 1, 2, ... as write_some() wrote them.
bool is_prefix(const std::vector<JournalRecord> &records) {
  for (std::size_t k = 0; k < records.size(); ++k)
    if (!equal(records[k], record(static_cast<int>(k), k % 3 * 4)))
      return false;
  return true;
}

void write_some(const std::string &path, int count) {
  Journal journal = Journal::create(path, IDENTITY);
  for (int k = 0; k < count; ++k)
    journal.append(record(k, static_cast<std::size_t>(k % 3) * 4));
}

TEST(Digest, IsFnv1aOfTheBytes) {
  // Published values of FNV-1a with 64 bits.
  EXPECT_EQ(Digest().value(), 0xcbf29ce484222325ull);
  EXPECT_EQ(Digest().add("a").value(), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(Digest().add("foobar").value(), 0x85944171f73967e8ull);
  EXPECT_EQ(Digest().add("foo").add("bar").value(), 0x85944171f73967e8ull);
  EXPECT_EQ(Digest().add(std::uint32_t(0x6f6f66)).value(),
            Digest().add(std::string_view("foo\0", 4)).value());
}

TEST(Digest, WordsNoticeEveryChangeOfOneOrTwoBits) {
  const std::string bytes = "forty bytes, which are five whole words.";
  ASSERT_EQ(bytes.size(), 40u);
  const std::uint64_t value = Digest().add_words(bytes).value();
  for (std::size_t i = 0; i < 8 * bytes.size(); ++i)
    for (std::size_t j = i; j < 8 * bytes.size(); ++j) {
      std::string other = bytes;
      other[i / 8] ^= static_cast<char>(1 << i % 8);
      if (j != i)
        other[j / 8] ^= static_cast<char>(1 << j % 8);
      ASSERT_NE(Digest().add_words(other).value(), value) << i << " " << j;
    }
  EXPECT_EQ(Digest().add_words("seven..").value(), Digest().add("seven..").value());
  EXPECT_NE(Digest().add_words("forty bytes").value(), Digest().add_words("forty byteS").value());
}

TEST(Digest, TellsPositionsApartByTheirBits) {
  EXPECT_EQ(godiff::digest({1.0, 2.0}), godiff::digest({1.0, 2.0}));
  EXPECT_NE(godiff::digest({1.0, 2.0}), godiff::digest({2.0, 1.0}));
  EXPECT_NE(godiff::digest({0.0}), godiff::digest({-0.0}));
  EXPECT_NE(godiff::digest({1.0}), godiff::digest({std::nextafter(1.0, 2.0)}));
  EXPECT_NE(godiff::digest({}), godiff::digest({0.0}));
  EXPECT_NE(Digest().add(std::vector<double>{1.0}).add(std::vector<double>{}).value(),
            Digest().add(std::vector<double>{}).add(std::vector<double>{1.0}).value());
}

TEST(Journal, ReadsBackWhatWasAppended) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  Journal journal = Journal::create(path, IDENTITY);
  EXPECT_TRUE(Journal::read(path, IDENTITY).empty());
  for (int k = 0; k < 25; ++k) {
    journal.append(record(k, static_cast<std::size_t>(k % 3) * 4));
    // At once: nothing waits in this process.
    ASSERT_EQ(Journal::read(path, IDENTITY).size(), static_cast<std::size_t>(k + 1));
  }
  EXPECT_TRUE(is_prefix(Journal::read(path, IDENTITY)));
  journal.sync();
  EXPECT_EQ(folder.list(), std::vector<std::string>{"g.journal"});
  EXPECT_EQ(journal.path(), path);
}

TEST(Journal, ClearedAfterACheckpoint) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  Journal journal = Journal::create(path, IDENTITY);
  journal.append(record(7, 30));
  journal.append(record(8));
  journal.clear();
  EXPECT_TRUE(Journal::read(path, IDENTITY).empty());
  EXPECT_EQ(content(path).size(), HEADER);
  journal.append(record(9));
  const auto records = Journal::read(path, IDENTITY);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(equal(records[0], record(9)));
}

TEST(Journal, CreateReplacesAnOldJournal) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  write_some(path, 4);
  put_content(folder.file("other"), "no journal, and longer than its header");
  EXPECT_NO_THROW(Journal::create(folder.file("other"), IDENTITY));
  Journal::create(path, IDENTITY + 1);
  EXPECT_EQ(content(path).size(), HEADER);
  EXPECT_TRUE(Journal::read(path, IDENTITY + 1).empty());
}

TEST(Journal, TornAnywhereItEndsWithTheLastWholeRecord) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal"), torn = folder.file("torn");
  write_some(path, 5);
  const std::string whole = content(path);
  std::vector<std::size_t> ends{HEADER};
  for (std::size_t k = 0; k < 5; ++k)
    ends.push_back(ends.back() + EMPTY_RECORD + 8 * (k % 3 * 4));
  ASSERT_EQ(ends.back(), whole.size());
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    put_content(torn, whole.substr(0, size));
    std::size_t expected = 0;
    while (expected < 5 && ends[expected + 1] <= size)
      ++expected;
    const auto records = Journal::read(torn, IDENTITY);
    ASSERT_EQ(records.size(), expected) << size;
    ASSERT_TRUE(is_prefix(records)) << size;
    Journal journal = Journal::resume(torn, IDENTITY);
    ASSERT_EQ(content(torn), whole.substr(0, ends[expected])) << size;
    for (int k = static_cast<int>(expected); k < 5; ++k)
      journal.append(record(k, static_cast<std::size_t>(k % 3) * 4));
    ASSERT_EQ(content(torn), whole) << size;
  }
}

TEST(Journal, ZerosAtTheEndAreATornRecord) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  write_some(path, 5);
  const std::string whole = content(path);
  for (const std::size_t zeros : {1u, 16u, 100u, 200000u}) {
    put_content(path, whole + std::string(zeros, '\0'));
    EXPECT_EQ(Journal::read(path, IDENTITY).size(), 5u) << zeros;
    // A record whose second half did not reach the disk either.
    put_content(path, whole.substr(0, whole.size() - 20) + std::string(zeros, '\0'));
    EXPECT_EQ(Journal::read(path, IDENTITY).size(), 4u) << zeros;
    { Journal::resume(path, IDENTITY); }
    EXPECT_EQ(content(path).size(), whole.size() - EMPTY_RECORD - 32);
  }
  put_content(path, std::string(100, '\0'));
  EXPECT_TRUE(Journal::read(path, IDENTITY).empty());
}

TEST(Journal, DamageInTheMiddleIsAnError) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  write_some(path, 4);
  const std::string whole = content(path);
  const std::size_t last = HEADER + 3 * EMPTY_RECORD + 8 * (4 + 8);
  for (std::size_t i = HEADER; i < last; ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
    put_content(path, bytes);
    const std::string message = message_of<Error>([&] { Journal::read(path, IDENTITY); });
    ASSERT_EQ(message.find(path + " is damaged at byte "), 0u) << i << ": " << message;
    ASSERT_EQ(message_of<Error>([&] { Journal::resume(path, IDENTITY); }), message);
    ASSERT_EQ(content(path), bytes);
  }
  // In the body of the last record it cannot be told from a torn one.
  std::string bytes = whole;
  bytes[last + 20] = static_cast<char>(bytes[last + 20] ^ 0x10);
  put_content(path, bytes);
  EXPECT_EQ(Journal::read(path, IDENTITY).size(), 3u);
}

TEST(Journal, RefusesWhatIsNotOfThisSearch) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  const auto message = [&] {
    const std::string result = message_of<Error>([&] { Journal::read(path, IDENTITY); });
    EXPECT_EQ(message_of<Error>([&] { Journal::resume(path, IDENTITY); }), result);
    return result;
  };
  write_some(path, 2);
  const std::string whole = content(path);
  EXPECT_EQ(message_of<Error>([&] { Journal::read(path, 5); }),
            path + " belongs to another search: remove it or use another prefix (keyword save)");
  std::string bytes = whole;
  bytes[8] = 2;
  put_content(path, bytes);
  EXPECT_EQ(message(), path + " is a journal of version 2, this program reads version 1: continue "
                              "with the program that wrote it, or remove it");
  for (const char *text : {"x", "candidate,evaluation,stage,temperature\n"}) {
    put_content(path, text);
    EXPECT_EQ(message(),
              path + " is not a journal: remove it or use another prefix (keyword save)");
    EXPECT_EQ(content(path), text);
  }
}

TEST(Journal, NotARegularFile) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  EXPECT_EQ(message_of<Error>([&] { Journal::read(path, IDENTITY); }),
            "cannot open " + path + ": No such file or directory");
  EXPECT_EQ(message_of<Error>([&] { Journal::resume(path, IDENTITY); }),
            "cannot continue " + path + ": No such file or directory");
  ASSERT_EQ(mkfifo(path.c_str(), 0666), 0);
  EXPECT_EQ(message_of<Error>([&] { Journal::read(path, IDENTITY); }),
            "cannot read " + path + ": not a regular file");
  EXPECT_EQ(message_of<Error>([&] { Journal::create(path, IDENTITY); }),
            "cannot write " + path +
                ": it is not a regular file; remove it or use another prefix (keyword save)");
  EXPECT_EQ(message_of<Error>([&] { Journal::read(folder.path(), IDENTITY); }),
            "cannot read " + folder.path() + ": not a regular file");
}

TEST(Journal, OneWriter) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  const std::string busy = path +
                           " is being written by another run: wait for it to end or use another "
                           "prefix (keyword save)";
  {
    Journal journal = Journal::create(path, IDENTITY);
    journal.append(record(0));
    EXPECT_EQ(message_of<Error>([&] { Journal::create(path, IDENTITY); }), busy);
    EXPECT_EQ(message_of<Error>([&] { Journal::resume(path, IDENTITY); }), busy);
    EXPECT_EQ(Journal::read(path, IDENTITY).size(), 1u) << "reading needs no lock";
  }
  EXPECT_NO_THROW(Journal::resume(path, IDENTITY));
}

TEST(Journal, AFullFileLosesOnlyTheNewRecord) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  Journal journal = Journal::create(path, IDENTITY);
  journal.append(record(0));
  const std::string before = content(path);
  {
    FileSizeLimit limit(before.size() + 40);
    for (int k = 0; k < 2; ++k) {
      EXPECT_EQ(message_of<Error>([&] { journal.append(record(1, 4)); }),
                "cannot write " + path + ": File too large");
      EXPECT_EQ(content(path), before);
    }
  }
  journal.append(record(1, 4));
  EXPECT_TRUE(is_prefix(Journal::read(path, IDENTITY)));
  EXPECT_EQ(Journal::read(path, IDENTITY).size(), 2u);
}

TEST(Journal, AFullDiskLosesOnlyTheNewRecord) {
  TemporaryFolder folder;
  SmallDisk disk(folder.file("disk"), 16384);
  if (!disk.why_not().empty())
    GTEST_SKIP() << disk.why_not();
  const std::string path = folder.file("disk/g.journal");
  Journal journal = Journal::create(path, IDENTITY);
  std::size_t whole = 0;
  std::string message;
  while (message.empty() && whole < 100) {
    message = message_of<Error>([&] { journal.append(record(static_cast<int>(whole), 100)); });
    whole += message.empty() ? 1 : 0;
  }
  EXPECT_EQ(message, "cannot write " + path + ": No space left on device");
  EXPECT_EQ(whole, (16384 - HEADER) / (EMPTY_RECORD + 800));
  EXPECT_EQ(content(path).size(), HEADER + whole * (EMPTY_RECORD + 800));
  EXPECT_EQ(Journal::read(path, IDENTITY).size(), whole);
}

TEST(Journal, SurvivesAKillAtAnyMoment) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  constexpr std::size_t FORCES = 300;
  for (int k = 0; k < 10; ++k) {
    std::filesystem::remove(path);
    // The child tells how many records it has appended, then it is killed while it goes on.
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Journal journal = Journal::create(path, IDENTITY);
      for (std::int32_t i = 0;; ++i) {
        journal.append(record(i, FORCES));
        if (write(pipes[1], &i, sizeof i) != sizeof i)
          _exit(1);
      }
    }
    std::int32_t told = -1;
    while (told < 20 * k + 5)
      ASSERT_EQ(read(pipes[0], &told, sizeof told), static_cast<ssize_t>(sizeof told));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(pipes[1]);
    std::int32_t more = 0;
    while (read(pipes[0], &more, sizeof more) == sizeof more)
      told = more;
    close(pipes[0]);
    const auto records = Journal::read(path, IDENTITY);
    ASSERT_GE(records.size(), static_cast<std::size_t>(told + 1));
    for (std::size_t i = 0; i < records.size(); ++i)
      ASSERT_TRUE(equal(records[i], record(static_cast<int>(i), FORCES))) << i;
    EXPECT_NO_THROW(Journal::resume(path, IDENTITY)) << "its lock has ended with it";
  }
}

TEST(Journal, NamesOfAllWorlds) {
  TemporaryFolder folder;
  const std::string prefix = folder.file("g");
  EXPECT_TRUE(godiff::journals_of(prefix).empty());
  EXPECT_TRUE(godiff::journals_of(folder.file("none/g")).empty());
  EXPECT_EQ(godiff::journal_path(prefix, 0), prefix + ".journal");
  EXPECT_EQ(godiff::journal_path(prefix, 12), prefix + ".journal.12");
  for (const char *name :
       {"g.journal.10", "g.journal.2", "g.journal", "gg.journal", "g.journal.x", "g.journal.02",
        "g.journal.0", "g.journal.1.2", "g.journal.", "g.journals",
        "g.journal.99999999999999999999", "h.journal", "g.journal.-1"})
    put_content(folder.file(name), "");
  EXPECT_EQ(godiff::journals_of(prefix),
            (std::vector<std::string>{prefix + ".journal", prefix + ".journal.2",
                                      prefix + ".journal.10"}));
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  EXPECT_EQ(godiff::journals_of("h"), std::vector<std::string>{"h.journal"});
  std::filesystem::current_path(here);
}

// One random change: cut, flip, overwrite by an extreme number, copy a part to another place, insert.
void mutate(std::string &bytes, std::mt19937_64 &random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  const std::uint64_t extremes[] = {
      0,          1,          8,          31,    32,         33,         40,
      0x7fffffff, 0xffffffff, 1ull << 40, ~0ull, ~0ull - 24, 1ull << 63, (1ull << 63) - 1};
  switch (below(6)) {
    case 0:
      bytes.resize(below(bytes.size() + 1));
      break;
    case 1:
      if (!bytes.empty())
        bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
      break;
    case 2: {
      const std::uint64_t value = extremes[below(std::size(extremes))];
      if (bytes.size() >= sizeof value)
        std::memcpy(&bytes[below(bytes.size() - sizeof value + 1)], &value, sizeof value);
      break;
    }
    case 3: {
      const std::string part = bytes.substr(below(bytes.size()), below(300));
      bytes.replace(below(bytes.size()), part.size(), part);
      break;
    }
    case 4: {
      const std::string part = bytes.substr(below(bytes.size()), below(300));
      bytes.insert(below(bytes.size()), part);
      break;
    }
    default:
      bytes.insert(below(bytes.size()), std::string(below(100), static_cast<char>(random())));
  }
}

// A size with a check that fits, as somebody who means harm would write it.
void forge_size(std::string &bytes, std::size_t offset, std::uint64_t size) {
  std::memcpy(&bytes[offset], &size, sizeof size);
  const std::uint64_t check = Digest()
                                  .add(IDENTITY)
                                  .add(static_cast<std::int64_t>(offset))
                                  .add_words(std::string_view(&bytes[offset], 8))
                                  .value();
  std::memcpy(&bytes[offset + 8], &check, sizeof check);
}

// Overwritten, not truncated and written again: that makes some file systems go to the disk each time.
class ReusedFile {
public:
  explicit ReusedFile(const std::string &path) :
      file_(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)) {}
  void put(const std::string &bytes) {
    ASSERT_EQ(pwrite(file_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(ftruncate(file_.get(), static_cast<off_t>(bytes.size())), 0);
  }

private:
  godiff::FileDescriptor file_;
};

TEST(Journal, AnyBytesGiveAnErrorOrWholeRecords) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  write_some(path, 8);
  const std::string whole = content(path);
  ReusedFile file(path);
  std::mt19937_64 random(20240607);
  int errors = 0, shorter = 0;
  for (int k = 0; k < 10000; ++k) {
    std::string bytes = whole;
    for (std::uint64_t changes = 1 + random() % 3; changes > 0; --changes)
      mutate(bytes, random);
    file.put(bytes);
    std::vector<JournalRecord> records;
    const std::string message = message_of<Error>([&] { records = Journal::read(path, IDENTITY); });
    ASSERT_EQ(message.find('\n'), std::string::npos);
    ASSERT_TRUE(is_prefix(records)) << k;
    std::size_t used = 0;
    for (const JournalRecord &r : records)
      used += EMPTY_RECORD + 8 * r.forces.capacity();
    ASSERT_LE(used, bytes.size()) << k;
    errors += message.empty() ? 0 : 1;
    shorter += message.empty() && records.size() < 8 ? 1 : 0;
  }
  EXPECT_GT(errors, 1000);
  EXPECT_GT(shorter, 1000);
}

TEST(Journal, ForgedSizesCannotAskForMemory) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.journal");
  write_some(path, 3);
  const std::string whole = content(path);
  const std::vector<std::uint64_t> sizes{0, 31, 33, ~0ull, ~0ull - 7, ~0ull - 23};
  for (const std::uint64_t size : sizes) {
    std::string bytes = whole;
    forge_size(bytes, HEADER, size);
    put_content(path, bytes);
    if (size % 8 != 0 || size < 32)
      EXPECT_NE(message_of<Error>([&] { Journal::read(path, IDENTITY); }), "") << size;
    else
      EXPECT_TRUE(Journal::read(path, IDENTITY).empty()) << size;
  }
  for (const std::uint64_t size : {1ull << 62, 1ull << 63, 1ull << 40, (1ull << 63) - 8}) {
    std::string bytes = whole;
    forge_size(bytes, HEADER, size);
    put_content(path, bytes);
    EXPECT_TRUE(Journal::read(path, IDENTITY).empty()) << size;
  }
}

}  // namespace
