// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/io/prefix_files.hpp"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "journals are little endian: this reader and writer copies memory as it is"
#endif

namespace godiff {

namespace {

// Layout: a header of magic, version and identity; then records of
//   size of the body (8 bytes), check of the size (8), body, check of the body (8).
// A body has stage (4), step (4), candidate (8), digest (8), energy (8) and the forces (8 each).
// The checks cover the identity and the place in the file as well, so that no bytes of another
// journal or place pass for a record. The size has its own: a record that reaches beyond the end of
// the file has been torn only if its size can be trusted.
constexpr std::string_view MAGIC = "GODIFFJN";
constexpr std::uint64_t VERSION = 1;
constexpr std::int64_t NUMBER = 8, HEADER = 3 * NUMBER;
constexpr std::int64_t HEAD = 2 * NUMBER, FIXED = 4 * NUMBER, TAIL = NUMBER;
constexpr std::int64_t PIECE = 1 << 16;
constexpr std::size_t MAX_DIGITS = 9;  // of the number of a world

template <class T> void put(std::string &bytes, T value) {
  bytes.append(reinterpret_cast<const char *>(&value), sizeof value);
}

template <class T> T get(const char *bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::string header(std::uint64_t identity) {
  std::string bytes(MAGIC);
  put(bytes, VERSION);
  put(bytes, identity);
  return bytes;
}

std::uint64_t check(std::uint64_t identity, std::int64_t offset, std::string_view bytes) {
  return Digest().add(identity).add(offset).add_words(bytes).value();
}

JournalRecord record_of(const std::string &body) {
  JournalRecord record;
  const char *p = body.data();
  record.stage = get<std::int32_t>(p);
  record.step = get<std::int32_t>(p + 4);
  record.candidate = get<std::int64_t>(p + NUMBER);
  record.digest = get<std::uint64_t>(p + 2 * NUMBER);
  record.energy = get<double>(p + 3 * NUMBER);
  record.forces.resize((body.size() - FIXED) / NUMBER);
  if (!record.forces.empty())
    std::memcpy(record.forces.data(), p + FIXED, body.size() - FIXED);
  return record;
}

// Goes through an open file record by record; never holds more of it than one record.
class Reader {
public:
  Reader(const std::string &path, int descriptor, std::uint64_t identity) :
      path_(path),
      descriptor_(descriptor),
      identity_(identity) {
    struct stat status;
    if (fstat(descriptor, &status) != 0)
      throw Error("cannot read " + path + ": " + std::strerror(errno));
    if (!S_ISREG(status.st_mode))
      throw Error("cannot read " + path + ": not a regular file");
    size_ = status.st_size;
    read_header();
  }

  // False at the end of the whole records.
  bool next(JournalRecord &record) {
    if (size_ - end_ < HEAD + FIXED + TAIL)
      return false;
    const std::string head = bytes_at(end_, HEAD);
    if (head.size() < HEAD)
      return false;
    const auto size = get<std::uint64_t>(head.data());
    if (get<std::uint64_t>(head.data() + NUMBER) !=
            check(identity_, end_, head.substr(0, NUMBER)) ||
        size < FIXED || (size - FIXED) % NUMBER != 0) {
      if (!zeros_from(end_))
        damaged();
      return false;
    }
    if (size > static_cast<std::uint64_t>(size_ - end_ - HEAD - TAIL))
      return false;
    const auto body_size = static_cast<std::int64_t>(size);
    const std::string body = bytes_at(end_ + HEAD, body_size);
    const std::string tail = bytes_at(end_ + HEAD + body_size, TAIL);
    const std::int64_t end = end_ + HEAD + body_size + TAIL;
    if (tail.size() < TAIL)
      return false;
    if (get<std::uint64_t>(tail.data()) != check(identity_, end_, body)) {
      if (!zeros_from(end))
        damaged();
      return false;
    }
    record = record_of(body);
    end_ = end;
    return true;
  }

  // Where the whole records end; 0 when not even the header is there.
  std::int64_t end() const { return end_; }

private:
  void read_header() {
    const std::string expected = header(identity_), bytes = bytes_at(0, HEADER);
    if (bytes == expected) {
      end_ = HEADER;
      return;
    }
    // What a process that was killed while it created the journal leaves.
    if (bytes == expected.substr(0, bytes.size()) || zeros_from(0)) {
      end_ = size_ = 0;
      return;
    }
    if (bytes.compare(0, MAGIC.size(), MAGIC) != 0)
      throw Error(path_ + " is not a journal: remove it or use another prefix (keyword save)");
    if (bytes.size() < HEADER)
      damaged();
    const auto version = get<std::uint64_t>(bytes.data() + NUMBER);
    if (version != VERSION)
      throw Error(path_ + " is a journal of version " + std::to_string(version) +
                  ", this program reads version " + std::to_string(VERSION) +
                  ": continue with the program that wrote it, or remove it");
    throw Error(path_ + " belongs to another search: remove it or use another prefix (keyword "
                        "save)");
  }

  // A piece of the file, or less where it ends.
  std::string bytes_at(std::int64_t offset, std::int64_t count) const {
    const std::int64_t there = std::max<std::int64_t>(0, std::min(count, size_ - offset));
    std::string bytes(static_cast<std::size_t>(there), '\0');
    const std::size_t done = read_at(descriptor_, offset, &bytes[0], bytes.size());
    if (done < bytes.size() && errno != 0)
      throw Error("cannot read " + path_ + ": " + std::strerror(errno));
    bytes.resize(done);
    return bytes;
  }

  // A power failure can leave zeros where bytes were on their way to the disk.
  bool zeros_from(std::int64_t offset) const {
    while (offset < size_) {
      const std::string bytes = bytes_at(offset, PIECE);
      if (bytes.empty())
        return true;
      if (bytes.find_first_not_of('\0') != std::string::npos)
        return false;
      offset += static_cast<std::int64_t>(bytes.size());
    }
    return true;
  }

  [[noreturn]] void damaged() const {
    throw Error(path_ + " is damaged at byte " + std::to_string(end_) +
                ": put an intact copy back, or remove it to compute its energies again");
  }

  std::string path_;
  int descriptor_;
  std::uint64_t identity_;
  std::int64_t size_ = 0;
  std::int64_t end_ = 0;
};

}  // namespace

std::uint64_t digest(const Positions &positions) {
  return Digest().add(positions).value();
}

Journal::Journal(OwnedFile file, std::uint64_t identity, std::int64_t end) :
    file_(std::move(file)),
    identity_(identity),
    end_(end) {
  file_.cut(end_);
  if (end_ > 0)
    return;
  const std::string bytes = header(identity);
  if (file_.write(bytes) != bytes.size()) {
    file_.cut_back(0);
    file_.fail("write");
  }
  end_ = HEADER;
}

Journal Journal::create(const std::string &path, std::uint64_t identity) {
  return Journal(OwnedFile::open(path, OwnedFile::Missing::CREATE, "create"), identity, 0);
}

Journal Journal::resume(const std::string &path, std::uint64_t identity) {
  OwnedFile file = OwnedFile::open(path, OwnedFile::Missing::REFUSE, "continue");
  Reader reader(path, file.descriptor(), identity);
  JournalRecord record;
  while (reader.next(record)) {
  }
  return Journal(std::move(file), identity, reader.end());
}

std::vector<JournalRecord> Journal::read(const std::string &path, std::uint64_t identity) {
  // O_NONBLOCK: a pipe is refused instead of waited for.
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open())
    throw Error("cannot open " + path + ": " + std::strerror(errno));
  Reader reader(path, file.get(), identity);
  std::vector<JournalRecord> records;
  JournalRecord record;
  while (reader.next(record))
    records.push_back(std::move(record));
  return records;
}

void Journal::append(const JournalRecord &record) {
  const std::size_t forces = record.forces.size() * sizeof(double);
  bytes_.clear();
  put(bytes_, static_cast<std::uint64_t>(FIXED + forces));
  put(bytes_, check(identity_, end_, bytes_));
  put(bytes_, record.stage);
  put(bytes_, record.step);
  put(bytes_, record.candidate);
  put(bytes_, record.digest);
  put(bytes_, record.energy);
  bytes_.append(reinterpret_cast<const char *>(record.forces.data()), forces);
  put(bytes_, check(identity_, end_, std::string_view(bytes_).substr(HEAD)));
  if (file_.write(bytes_) != bytes_.size()) {
    file_.cut_back(end_);
    file_.fail("write");
  }
  end_ += static_cast<std::int64_t>(bytes_.size());
}

void Journal::clear() {
  file_.cut(HEADER);
  end_ = HEADER;
}

void Journal::sync() {
  file_.sync();
}

std::string journal_path(const std::string &prefix, int world) {
  std::string path = prefix + ".journal";
  if (world > 0)
    path.append(".").append(std::to_string(world));
  return path;
}

std::vector<std::string> journals_of(const std::string &prefix) {
  std::vector<int> worlds;
  const std::string first = ".journal";
  for (const std::string &ending : endings_of(prefix)) {
    if (ending == first)
      worlds.push_back(0);
    else if (ending.size() > first.size() + 1 && ending.size() <= first.size() + 1 + MAX_DIGITS &&
             ending.compare(0, first.size() + 1, first + ".") == 0) {
      const std::string number = ending.substr(first.size() + 1);
      if (is_number(number) && number[0] != '0')
        worlds.push_back(std::stoi(number));
    }
  }
  std::sort(worlds.begin(), worlds.end());
  std::vector<std::string> paths;
  for (const int world : worlds)
    paths.push_back(journal_path(prefix, world));
  return paths;
}

}  // namespace godiff
