// SPDX-License-Identifier: GPL-2.0-only
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/base/error.hpp"

namespace godiff_bench {

namespace {

constexpr std::int64_t MAX_BATCH = 1 << 20;

std::vector<std::string> words(const std::string &text) {
  std::vector<std::string> found;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');)
    found.push_back(word);
  return found;
}

std::int64_t count(const std::string &name, const std::string &text) {
  std::int64_t value = 0;
  const char *end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value < 1 || value > MAX_BATCH)
    throw godiff::Error(name + " takes whole numbers from 1 on, got \"" + text + "\"");
  return value;
}

void set(Options &options, const std::string &name, const std::string &value) {
  if (name == "--systems") {
    options.systems = words(value);
  } else if (name == "--batches") {
    options.batches.clear();
    for (const std::string &word : words(value))
      options.batches.push_back(count(name, word));
  } else if (name == "--work") {
    options.work = words(value);
    for (const std::string &kind : options.work)
      if (kind != "training" && kind != "reverse" && kind != "start")
        throw godiff::Error("--work takes training, reverse and start, got \"" + kind + "\"");
  } else if (name == "--device") {
    if (value != "cpu" && value != "cuda")
      throw godiff::Error("--device takes cpu or cuda, got \"" + value + "\"");
    options.device = c10::Device(value);
  } else if (name == "--threads") {
    options.threads = static_cast<int>(count(name, value));
  } else {
    options.batch_file = value;
  }
}

}  // namespace

bool Options::has(const std::string &kind) const {
  return std::find(work.begin(), work.end(), kind) != work.end();
}

Options read_options(int &argc, char **argv, Options options) {
  const std::vector<std::string> known{"--systems", "--batches", "--work",
                                       "--device",  "--threads", "--write-batches"};
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      argv[kept++] = argv[i];
      continue;
    }
    if (++i == argc)
      throw godiff::Error(name + " needs a value");
    set(options, name, argv[i]);
  }
  argc = kept;
  return options;
}

}  // namespace godiff_bench
