// SPDX-License-Identifier: GPL-2.0-only
// Three thousand damaged journals and five hundred states of a training: each is taken as far as it can
// be, or refused in one line.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "fuzz/journals.hpp"
#include "fuzz/saved_searches.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Journal;
using godiff::JournalRecord;
using godiff::Replay;
using godiff_test::bodies_of;
using godiff_test::Dice;
using godiff_test::JournaledSearch;
using godiff_test::JournalReader;
using godiff_test::put_content;
using godiff_test::Reader;
using godiff_test::RuleBroken;
using godiff_test::sealed_journal;
using godiff_test::TemporaryFolder;
using godiff_test::toy_system;

constexpr int JOURNALS = 3000, TRAININGS = 500;

const std::vector<JournaledSearch> &searches() {
  static const std::vector<JournaledSearch> all = godiff_test::journaled_searches();
  return all;
}

// What the writer writes, written by hand: the fuzzer seals its records in the same way.
TEST(FuzzJournal, SeedsAreRealJournals) {
  const TemporaryFolder folder;
  const std::string path = folder.file("run.journal");
  for (const JournaledSearch &search : searches()) {
    put_content(path, search.journal);
    const std::vector<JournalRecord> records = Journal::read(path, godiff_test::JOURNAL_IDENTITY);
    ASSERT_EQ(records.size(), bodies_of(search.journal).size());
    std::filesystem::remove(path);
    Journal again = Journal::create(path, godiff_test::JOURNAL_IDENTITY);
    for (const JournalRecord &record : records)
      again.append(record);
    EXPECT_EQ(godiff_test::content(path), search.journal);
  }
}

TEST(FuzzJournal, IntactOnesAreTaken) {
  const TemporaryFolder folder;
  const std::string path = folder.file("run.journal");
  const int expected[] = {1, 2, 12};  // the first has an energy that is not finite
  for (std::size_t k = 0; k < searches().size(); ++k) {
    put_content(path, searches()[k].journal);
    JournalReader reader(searches()[k]);
    EXPECT_EQ(reader.read(path, searches()[k].journal), "");
    EXPECT_EQ(reader.taken(), expected[k]);
  }
}

TEST(FuzzJournal, DamagedOnesAreTakenOrRefusedInOneLine) {
  const TemporaryFolder folder;
  const std::string path = folder.file("run.journal");
  std::vector<std::unique_ptr<JournalReader>> readers;
  for (const JournaledSearch &search : searches())
    readers.push_back(std::make_unique<JournalReader>(search));
  int refused = 0, taken = 0;
  for (int k = 0; k < JOURNALS; ++k) {
    JournalReader &reader = *readers[static_cast<std::size_t>(k) % readers.size()];
    Dice dice(static_cast<std::uint64_t>(k));
    const std::string bytes = godiff_test::damage_journal(reader.source().journal, dice);
    put_content(path, bytes);
    try {
      refused += !reader.read(path, bytes).empty();
      taken += reader.taken() > 0;
    } catch (const RuleBroken &broken) {
      ADD_FAILURE() << "damage " << k << ": " << broken.what();
    }
  }
  EXPECT_GT(refused, JOURNALS / 10);
  EXPECT_GT(taken, JOURNALS / 10);
}

TEST(FuzzJournal, DamagedTrainingsAreTakenOrRefusedInOneLine) {
  int refused = 0, taken = 0;
  for (const auto &saved : godiff_test::saved_in_training()) {
    Reader reader(saved);
    godiff::Search search(toy_system(), saved.settings);
    search.restore(godiff::SafeTensors::from_bytes(saved.bytes, "run.ckpt"));
    const std::string intact = search.save_training().to_bytes();
    EXPECT_EQ(reader.train(intact), "") << saved.name;
    for (int k = 0; k < TRAININGS / 2; ++k) {
      Dice dice(static_cast<std::uint64_t>(k));
      try {
        ++(reader.train(godiff_test::damage_checkpoint(intact, dice)).empty() ? taken : refused);
      } catch (const RuleBroken &broken) {
        ADD_FAILURE() << "damage " << k << " while " << saved.name << ": " << broken.what();
      }
    }
  }
  EXPECT_GT(refused, TRAININGS / 4);
  EXPECT_GT(taken, TRAININGS / 20);
}

// With the digest of the structure and other forces than the search needs.
TEST(Replay, LeavesOutWhatCannotBeOfTheSearch) {
  godiff::Settings plain = godiff_test::tiny_settings(), guided = plain;
  guided.guide = 0.2;
  const godiff::Positions x(6, 1.0);
  JournalRecord record;
  record.energy = -1.0;
  record.digest = godiff::digest(x);
  const std::size_t all = 3 * static_cast<std::size_t>(toy_system().n_atoms());
  for (const std::size_t forces : {std::size_t(0), std::size_t(1), all - 1, all, all + 1}) {
    record.forces.assign(forces, 0.5);
    EXPECT_EQ(Replay({record}, plain, toy_system()).find(0, 0, 0, x) != nullptr, forces == 0);
    EXPECT_EQ(Replay({record}, guided, toy_system()).find(0, 0, 0, x) != nullptr, forces == all);
  }
}

// The potential may have been repaired since.
TEST(Replay, LeavesOutWhatFailed) {
  godiff::Settings guided = godiff_test::tiny_settings();
  guided.guide = 0.2;
  const godiff::Positions x(6, 1.0);
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    JournalRecord record;
    record.digest = godiff::digest(x);
    record.energy = bad;
    EXPECT_TRUE(Replay({record}, godiff_test::tiny_settings(), toy_system()).empty());
    record.energy = -1.0;
    record.forces.assign(3 * static_cast<std::size_t>(toy_system().n_atoms()), 0.5);
    EXPECT_EQ(Replay({record}, guided, toy_system()).size(), 1);
    record.forces[2] = bad;
    EXPECT_TRUE(Replay({record}, guided, toy_system()).empty());
  }
}

}  // namespace
