// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_parse.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <set>
#include <thread>

#include "error.h"
#include "input.h"

#include "godiff_glue.hpp"
#include "pair_mace_device.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

constexpr const char *MODES[] = {"auto", "image", "message", "ghost"};

class Parser {
public:
  Parser(LAMMPS *lmp, int narg, char **arg) : lmp(lmp), error(lmp->error), narg(narg), arg(arg) {}

  MaceSettings read();

  // One function a keyword: reads its value.
  void mode(int i) { s.mode = static_cast<MaceMode>(choice(i, MODES, 4)); }
  void head(int i);
  void device(int i);
  void precision(int i);
  void maxedges(int i);
  void threads(int i) { s.threads = static_cast<int>(whole(i, most_threads())); }
  void jit(int i) { s.jit = on(i); }
  void charge(int i) { s.charge = number(i); }
  void spin(int i) { s.spin = number(i); }
  void check(int i);
  void timing(int i) { s.timing = on(i); }

private:
  LAMMPS *lmp;
  Error *error;
  int narg;
  char **arg;
  MaceSettings s;
  std::string name;  // of the keyword being read

  std::string word(int i) const { return arg[i]; }

  [[noreturn]] void fail(int i, const std::string &text) const {
    error->all(FLERR, place_of_word(lmp, arg[i]), "Pair style mace: {}", text);
  }
  int choice(int i, const char *const *choices, int count) const {
    std::string all;
    for (int k = 0; k < count; ++k) {
      if (word(i) == choices[k])
        return k;
      all += std::string(k ? " " : "") + choices[k];
    }
    fail(i, fmt::format("unknown word '{}' of keyword {}, valid words: {}", word(i), name, all));
  }
  bool on(int i) const {
    constexpr const char *SWITCH[] = {"off", "on"};
    return choice(i, SWITCH, 2) == 1;
  }
  double number(int i) const {
    const double value = utils::is_double(word(i)) ? std::strtod(arg[i], nullptr) : HUGE_VAL;
    if (!std::isfinite(value))
      fail(i, fmt::format("{} is '{}' but must be a number", name, word(i)));
    return value;
  }
  std::int64_t whole(int i, int most = INT_MAX) const {
    if (!utils::is_integer(word(i)))
      fail(i, fmt::format("{} is '{}' but must be a whole number", name, word(i)));
    const double value = std::strtod(arg[i], nullptr);
    if (value < 1.0 || value > most)
      fail(i, fmt::format("{} is {} but must be from 1 to {}", name, word(i), most));
    return static_cast<std::int64_t>(value);
  }
  // Far more threads than processors wait for each other without an end. The machine with the fewest
  // decides, so that all ranks agree.
  int most_threads() const {
    const int mine = 4 * static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, lmp->world);
    return all;
  }
};

void Parser::head(int i) {
  s.head = word(i);
  if (s.head.empty())
    fail(i, "head is '' but must be the name of a head of the model");
}

// Each rank looks on its machine. What the first one without the device says is the message of all.
void Parser::device(int i) {
  s.device_word = word(i);
  std::string problem;
  try {
    s.device = mace_device(lmp, word(i));
  } catch (...) {
    problem = caught_message();
  }
  const std::string first = first_problem(lmp, problem);
  if (!first.empty())
    fail(i, first);
}

void Parser::precision(int i) {
  constexpr const char *WORDS[] = {"model", "single", "double"};
  s.precision = static_cast<MaceNumbers>(choice(i, WORDS, 3));
}

void Parser::maxedges(int i) {
  s.max_edges = word(i) == "auto" ? 0 : whole(i);
}

void Parser::check(int i) {
  constexpr const char *WORDS[] = {"off", "nan", "full"};
  s.check = static_cast<MaceCheck>(choice(i, WORDS, 3));
}

struct Entry {
  const char *name;
  void (Parser::*read)(int);
};

// In the order of the documentation.
constexpr Entry ENTRIES[] = {{"mode", &Parser::mode},         {"head", &Parser::head},
                             {"device", &Parser::device},     {"precision", &Parser::precision},
                             {"maxedges", &Parser::maxedges}, {"threads", &Parser::threads},
                             {"jit", &Parser::jit},           {"charge", &Parser::charge},
                             {"spin", &Parser::spin},         {"check", &Parser::check},
                             {"timing", &Parser::timing}};

MaceSettings Parser::read() {
  std::set<std::string> seen;
  s.device = mace_device(lmp, "auto");
  for (int i = 0; i < narg; i += 2) {
    const Entry *found = nullptr;
    std::string known;
    for (const Entry &entry : ENTRIES) {
      if (word(i) == entry.name)
        found = &entry;
      known += std::string(" ") + entry.name;
    }
    if (!found)
      fail(i, fmt::format("unknown word '{}', valid words:{}", word(i), known));
    if (!seen.insert(word(i)).second)
      fail(i, fmt::format("keyword {} is given twice", word(i)));
    name = word(i);
    if (i + 1 >= narg)
      fail(i, fmt::format("keyword {} needs a value", name));
    (this->*found->read)(i + 1);
  }
  return s;
}

}  // namespace

const char *mode_name(MaceMode mode) {
  return MODES[static_cast<int>(mode)];
}

MaceSettings parse_mace(LAMMPS *lmp, int narg, char **arg) {
  return Parser(lmp, narg, arg).read();
}

int place_of_word(LAMMPS *lmp, const char *word) {
  const Input *input = lmp->input;
  for (int i = 0; i < input->narg; ++i)
    if (input->arg[i] == word)
      return i;
  return Error::NOPOINTER;
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
