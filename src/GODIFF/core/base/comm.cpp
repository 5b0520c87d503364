// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/comm.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include <c10/util/Exception.h>

#include "core/base/error.hpp"

namespace godiff {

namespace {

// memcpy() must not be called with the null pointer of an empty buffer.
void copy(const void *from, std::int64_t bytes, void *to) {
  if (bytes > 0)
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

// What a rank says in agree().
struct Word {
  std::int64_t text;  // length of its failure
  std::int64_t mine;
};

}  // namespace

void SerialComm::all_gather(const void *mine, std::int64_t bytes, void *all) {
  copy(mine, bytes, all);
}

void SerialComm::all_gather_v(const void *mine, const std::vector<std::int64_t> &bytes, void *all) {
  copy(mine, bytes.at(0), all);
}

void SerialComm::all_to_all_v(const void *send, const std::vector<std::int64_t> &send_bytes,
                              void *receive, const std::vector<std::int64_t> &) {
  copy(send, send_bytes.at(0), receive);
}

Comm &serial_comm() {
  static SerialComm alone;
  return alone;
}

bool agree(Comm &comm, const std::string &failure, bool mine) {
  const Word word{static_cast<std::int64_t>(failure.size()), mine};
  std::vector<Word> words(static_cast<std::size_t>(comm.size()));
  comm.all_gather(&word, sizeof word, words.data());
  const auto failed =
      std::find_if(words.begin(), words.end(), [](const Word &w) { return w.text > 0; });
  if (failed != words.end()) {
    std::string text = failure;
    text.resize(static_cast<std::size_t>(failed->text));
    comm.broadcast(&text[0], failed->text, static_cast<int>(failed - words.begin()));
    throw Error(text);
  }
  return std::all_of(words.begin(), words.end(), [](const Word &w) { return w.mine != 0; });
}

std::string failure_text() {
  std::string text;
  try {
    throw;
  } catch (const c10::Error &e) {
    text = std::string("LibTorch: ") + e.what_without_backtrace();
  } catch (const std::bad_alloc &) {
    text = "not enough memory: use a smaller network, fewer atoms or a smaller training batch";
  } catch (const std::exception &e) {
    text = e.what();
  } catch (...) {
  }
  return text.empty() ? "unknown failure" : text;
}

Share deal(std::int64_t count, int rank, int size) {
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace godiff
