// SPDX-License-Identifier: GPL-2.0-only
// Journals of interrupted searches, damages that know their format, and the rules for whoever reads one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/io/journal.hpp"
#include "core/search/replay.hpp"
#include "damage.hpp"
#include "saved_searches.hpp"

namespace godiff_test {

/// All journals here belong to one search. The reader has seen to it before it trusts a record.
constexpr std::uint64_t JOURNAL_IDENTITY = 0x1234567890abcdefull;

inline void put_word(std::string &bytes, std::uint64_t word) {
  bytes.append(reinterpret_cast<const char *>(&word), sizeof word);
}

inline std::uint64_t seal(std::size_t offset, std::string_view bytes) {
  return godiff::Digest()
      .add(JOURNAL_IDENTITY)
      .add(static_cast<std::int64_t>(offset))
      .add_words(bytes)
      .value();
}

/// A journal with these bodies of records, sealed as the writer does.
inline std::string sealed_journal(const std::vector<std::string> &bodies) {
  std::string bytes = "GODIFFJN";
  put_word(bytes, 1);
  put_word(bytes, JOURNAL_IDENTITY);
  for (const std::string &body : bodies) {
    const std::size_t begin = bytes.size();
    std::string size;
    put_word(size, body.size());
    bytes += size;
    put_word(bytes, seal(begin, size));
    bytes += body;
    put_word(bytes, seal(begin, body));
  }
  return bytes;
}

/// The bodies of the records, as far as the sizes make sense.
inline std::vector<std::string> bodies_of(const std::string &bytes) {
  std::vector<std::string> bodies;
  for (std::size_t at = 24; at + 24 <= bytes.size();) {
    std::uint64_t size = 0;
    std::memcpy(&size, &bytes[at], sizeof size);
    if (size > bytes.size() - at - 24)
      break;
    bodies.push_back(bytes.substr(at + 16, size));
    at += size + 24;
  }
  return bodies;
}

/// Damages what the records say and seals them again; every third damage is to the bytes as they are.
inline std::string damage_journal(const std::string &bytes, Dice &dice) {
  std::vector<std::string> bodies = bodies_of(bytes);
  if (bodies.empty() || dice.one_in(3))
    return damage_bytes(bytes, dice);
  const std::size_t k = dice.below(bodies.size());
  std::string &body = bodies[k];
  switch (dice.below(7)) {
    case 0:  // one of the numbers of a record
    case 1:
    case 2:
      if (const std::size_t words = body.size() / 8; words > 0) {
        const std::size_t word = dice.below(words);
        const std::int64_t whole = odd_integer(dice);
        const double real = odd_double(dice);
        std::memcpy(&body[8 * word], word >= 3 ? static_cast<const void *>(&real) : &whole, 8);
      }
      break;
    case 3:  // other forces, or a size that no record has
      body.resize(dice.one_in(2) ? 8 * dice.below(60) : dice.below(500));
      break;
    case 4:
      body = damage_bytes(body, dice);
      break;
    case 5:
      bodies.insert(bodies.begin() + static_cast<std::ptrdiff_t>(dice.below(bodies.size() + 1)),
                    std::string(body));
      break;
    default:
      bodies.erase(bodies.begin() + static_cast<std::ptrdiff_t>(k));
  }
  return sealed_journal(bodies);
}

/// A search that was killed, what it had saved before, and the journal of its energies since.
struct JournaledSearch {
  SavedSearch saved;
  std::string journal;
};

/// The searches are stopped in their first stage, with plain energies, with forces, and relaxing.
inline std::vector<JournaledSearch> journaled_searches() {
  std::vector<JournaledSearch> all;
  for (const int kind : {0, 1, 2}) {
    godiff::Settings settings = tiny_settings();
    settings.guide = kind == 1 ? 0.2 : 0.0;
    settings.relax_steps = kind == 2 ? 9 : 0;
    godiff::Search search(toy_system(), settings);
    search.set_reference(-10.0);
    search.prepare({});
    JournaledSearch one{{"journaled", settings, search.save().to_bytes()}, ""};
    std::vector<std::string> bodies;
    std::vector<double> forces;
    for (int k = 0; k < (kind == 2 ? 12 : 2); ++k) {
      std::string body;
      const std::int32_t head[2] = {0, static_cast<std::int32_t>(search.request_step())};
      body.append(reinterpret_cast<const char *>(head), sizeof head);
      put_word(body, static_cast<std::uint64_t>(search.next_candidate()));
      put_word(body, godiff::digest(search.request()));
      double energy = toy_energy(search.system(), search.request(), forces);
      if (kind == 0 && k == 1)
        energy = std::nan("");
      body.append(reinterpret_cast<const char *>(&energy), sizeof energy);
      if (kind > 0)
        body.append(reinterpret_cast<const char *>(forces.data()), forces.size() * sizeof(double));
      bodies.push_back(body);
      search.report(energy, forces.data());
    }
    one.journal = sealed_journal(bodies);
    all.push_back(one);
  }
  return all;
}

/// Goes on with a killed search from damaged journals, as `fix godiff` does.
class JournalReader {
public:
  explicit JournalReader(const JournaledSearch &source) :
      source_(source),
      search_(toy_system(), source.saved.settings),
      state_(godiff::SafeTensors::from_bytes(source.saved.bytes, "run.ckpt")) {}

  const JournaledSearch &source() const { return source_; }
  /// Energies that were taken over from the journal that was read last.
  int taken() const { return taken_; }

  /// Reads the journal in the file `path`, which holds `bytes`. Returns the message of a refusal, ""
  /// if there was none. Throws RuleBroken.
  std::string read(const std::string &path, const std::string &bytes) {
    std::vector<godiff::JournalRecord> records;
    taken_ = 0;
    const std::string refusal =
        keeps_the_rules([&] { records = godiff::Journal::read(path, JOURNAL_IDENTITY); });
    const std::string second =
        keeps_the_rules([&] { godiff::Journal::resume(path, JOURNAL_IDENTITY); });
    const std::string left = content_of(path);
    if (refusal != second)
      throw RuleBroken("read() says '" + refusal + "', resume() '" + second + "'");
    if (!refusal.empty()) {
      if (left != bytes)
        throw RuleBroken("a refused journal was changed");
      return refusal;
    }
    std::size_t size = 24;
    for (const godiff::JournalRecord &record : records)
      size += 56 + 8 * record.forces.size();
    // A journal without a whole header is begun anew.
    if (left.size() != size ||
        (bytes.size() >= size && left != bytes.substr(0, size) && left != sealed_journal({})))
      throw RuleBroken("a continued journal does not end behind its last whole record");
    append_one(path, records.size());
    go_on(records);
    return "";
  }

private:
  static std::string content_of(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  void append_one(const std::string &path, std::size_t before) {
    std::size_t after = 0;
    const std::string refusal = keeps_the_rules([&] {
      godiff::Journal::resume(path, JOURNAL_IDENTITY).append({});
      after = godiff::Journal::read(path, JOURNAL_IDENTITY).size();
    });
    if (!refusal.empty() || after != before + 1)
      throw RuleBroken("a continued journal cannot be read: " + refusal);
  }

  void go_on(const std::vector<godiff::JournalRecord> &records) {
    keeps_the_rules([&] {
      search_.restore(state_);
      const godiff::Replay replay(records, source_.saved.settings, search_.system());
      while (search_.has_request()) {
        const godiff::JournalRecord *known =
            replay.find(search_.current_stage().stage, search_.next_candidate(),
                        search_.request_step(), search_.request());
        if (known) {
          ++taken_;
          search_.report(known->energy, known->forces.data());
        } else {
          evaluate_one(search_, springs());
        }
      }
      // As worlds that share a search do.
      search_.restore(state_);
      godiff::Evaluation evaluation(search_.system(), source_.saved.settings);
      for (std::size_t k = 0; k < search_.candidates().size(); ++k) {
        evaluation.start(static_cast<std::int64_t>(k), search_.candidates()[k]);
        replay.report(0, evaluation);
      }
    });
  }

  JournaledSearch source_;
  godiff::Search search_;
  godiff::SafeTensors state_;
  int taken_ = 0;
};

}  // namespace godiff_test
