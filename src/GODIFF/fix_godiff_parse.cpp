// SPDX-License-Identifier: GPL-2.0-only
#include "fix_godiff_parse.hpp"

#include <climits>
#include <cstdlib>
#include <utility>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "input.h"
#include "universe.h"
#include "variable.h"

#include "core/base/elements.hpp"
#include "core/base/error.hpp"
#include "core/network/device.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

constexpr int FIRST_KEYWORD = 8;  // fix ID group godiff M N seed Tstart Tstop: words 0 to 7

class Parser {
public:
  Parser(LAMMPS *lmp, int narg, char **arg, const Units &units, godiff::Settings &settings,
         FixOptions &options) :
      lmp(lmp),
      error(lmp->error),
      comm(lmp->comm),
      ntypes(lmp->atom->ntypes),
      narg(narg),
      arg(arg),
      units(units),
      s(settings),
      o(options) {}

  void required();
  void keyword(int &iarg);

  // One function a keyword: reads its values from word i on, returns the number of words read.
  int elements(int i);
  int confine(int i);
  int mindist(int i);
  int energy(int i);
  int buffer(int i);
  int train(int i);
  int optim(int i);
  int network(int i);
  int sample(int i);
  int guide(int i);
  int relax(int i);
  int unique(int i);
  int evaluate(int i);
  int anneal(int i);
  int device(int i);
  int precision(int i);
  int load(int i);
  int resume(int i);
  int mode(int i);
  int replica(int i);
  int best(int i);
  int save(int i);
  int log(int i);
  int dumpall(int i);
  int final(int i);
  int set_switch(int i);

private:
  LAMMPS *lmp;
  Error *error;
  Comm *comm;
  int ntypes;
  int narg;
  char **arg;
  Units units;
  godiff::Settings &s;
  FixOptions &o;
  std::string name;    // of the keyword being read
  std::string syntax;  // its values

  std::string word(int i) const { return arg[i]; }
  bool is(int i, const char *text) const { return i < narg && word(i) == text; }

  [[noreturn]] void fail(int i, const std::string &text) const {
    error->all(FLERR, i, "Fix godiff: {}", text);
  }
  [[noreturn]] void bad_choice(int i, const std::string &allowed) const {
    fail(i, fmt::format("{} is '{}' but must be {}", name, word(i), allowed));
  }
  void need(int i, int count) const {
    if (i + count > narg)
      fail(i - 1, fmt::format("keyword {} needs more values: {} {}", name, name, syntax));
  }
  double number(int i, const std::string &what) const {
    if (!utils::is_double(word(i)))
      fail(i, fmt::format("{} is '{}' but must be a number", what, word(i)));
    return std::strtod(arg[i], nullptr);
  }
  int integer(int i, const std::string &what) const {
    if (!utils::is_integer(word(i)))
      fail(i, fmt::format("{} is '{}' but must be a whole number", what, word(i)));
    const double value = std::strtod(arg[i], nullptr);
    if (value < -INT_MAX || value > INT_MAX)
      fail(i, fmt::format("{} is {} but must be below {}", what, word(i), INT_MAX));
    return std::atoi(arg[i]);
  }
  bool yes(int i) const {
    if (!is(i, "yes") && !is(i, "no"))
      bad_choice(i, "yes or no");
    return is(i, "yes");
  }
  // The core knows the ranges; the word that broke one is the one just read.
  void check(int i) const {
    try {
      godiff::validate(s);
    } catch (const godiff::Error &e) {
      fail(i, e.what());
    }
  }
};

void Parser::required() {
  static const char *const NAMES[] = {"the number of stages M", "the number of candidates N",
                                      "the seed", "Tstart", "Tstop"};
  if (narg < FIRST_KEYWORD)
    error->all(FLERR,
               "Fix godiff: {} is missing: fix ID group-ID godiff M N seed Tstart Tstop "
               "keyword values ...",
               NAMES[narg - 3]);
  s.stages = integer(3, NAMES[0]);
  check(3);
  s.samples = integer(4, NAMES[1]);
  check(4);
  if (static_cast<double>(s.stages) * s.samples > INT_MAX)
    fail(4,
         fmt::format("{} stages of {} candidates are more than {}", s.stages, s.samples, INT_MAX));
  constexpr std::size_t MAX_DIGITS = 18;  // of a 64-bit number
  if (!utils::is_integer(word(5)) || word(5)[0] == '-' || word(5).size() > MAX_DIGITS ||
      std::strtoull(arg[5], nullptr, 10) == 0)
    fail(5, fmt::format("the seed is '{}' but must be a positive whole number", word(5)));
  s.seed = std::strtoull(arg[5], nullptr, 10);
  const double start = number(6, NAMES[3]), stop = number(7, NAMES[4]);
  if (start <= 0.0)
    fail(6, fmt::format("Tstart is {} but must be positive", word(6)));
  if (stop <= 0.0)
    fail(7, fmt::format("Tstop is {} but must be positive", word(7)));
  if (start <= stop && s.stages > 1)
    fail(7,
         fmt::format("Tstop {} must be below Tstart {}: the search cools down", word(7), word(6)));
  s.kT_start = start * units.temperature;
  s.kT_stop = stop * units.temperature;
  check(6);
}

int Parser::elements(int i) {
  o.elements.clear();
  for (int type = 1; type <= ntypes; ++type) {
    const int at = i + type - 1;
    const std::string wanted =
        fmt::format("keyword elements needs a symbol for each of the {} atom types", ntypes);
    if (at >= narg)
      fail(i - 1, fmt::format("{}, type {} has none", wanted, type));
    if (!is(at, "NULL")) {
      try {
        godiff::atomic_number(word(at));
      } catch (const godiff::Error &) {
        fail(at, fmt::format("{}: '{}' of type {} is no element", wanted, word(at), type));
      }
    }
    o.elements.push_back(word(at));
  }
  return ntypes;
}

int Parser::confine(int i) {
  need(i, 3);
  if (!is(i, "above") && !is(i, "zone"))
    bad_choice(i, "above or zone");
  o.confine_above = is(i, "above");
  o.confine_lo = number(i + 1, "confine lo");
  o.confine_hi = number(i + 2, "confine hi");
  if (o.confine_lo >= o.confine_hi)
    fail(i + 2, fmt::format("the confinement window is empty: hi {} must be above lo {}",
                            word(i + 2), word(i + 1)));
  return 3;
}

int Parser::mindist(int i) {
  need(i, 1);
  s.mindist = number(i, "mindist");
  check(i);
  return 1;
}

int Parser::energy(int i) {
  need(i, 2);
  s.energy_lo = is(i, "NULL") ? -godiff::OPEN : number(i, "energy lo") * units.energy;
  s.energy_hi = is(i + 1, "NULL") ? godiff::OPEN : number(i + 1, "energy hi") * units.energy;
  check(i + 1);
  s.energy_absolute = is(i + 2, "absolute");
  return s.energy_absolute ? 3 : 2;
}

int Parser::buffer(int i) {
  need(i, 1);
  s.buffer = integer(i, "buffer");
  check(i);
  return 1;
}

int Parser::train(int i) {
  need(i, 2);
  s.train_steps = integer(i, "train steps");
  check(i);
  s.batch = integer(i + 1, "train batch");
  check(i + 1);
  return 2;
}

int Parser::optim(int i) {
  need(i, 4);
  s.learning_rate = number(i, "optim lr");
  check(i);
  s.lr_factor = number(i + 1, "optim factor");
  check(i + 1);
  s.patience = integer(i + 2, "optim patience");
  check(i + 2);
  s.clip = number(i + 3, "optim clip");
  check(i + 3);
  return 4;
}

int Parser::network(int i) {
  need(i, 4);
  s.network.cutoff = number(i, "network cutoff");
  check(i);
  s.network.nfeat = integer(i + 1, "network nfeat");
  check(i + 1);
  s.network.nblock = integer(i + 2, "network nblock");
  check(i + 2);
  s.network.nrbf = integer(i + 3, "network nrbf");
  check(i + 3);
  return 4;
}

int Parser::sample(int i) {
  need(i, 1);
  if (is(i, "prior")) {
    s.sample = godiff::SampleKind::PRIOR;
    check(i);
    return 1;
  }
  if (!is(i, "em"))
    bad_choice(i, "em or prior");
  need(i, 3);
  s.sample = godiff::SampleKind::EULER_MARUYAMA;
  s.sample_steps = integer(i + 1, "sample em steps");
  check(i + 1);
  s.sample_eps = number(i + 2, "sample em eps");
  check(i + 2);
  return 3;
}

int Parser::guide(int i) {
  need(i, 1);
  s.guide = number(i, "guide scale");
  s.guide_extra = 0;
  check(i);
  if (!is(i + 1, "extra"))
    return 1;
  need(i, 3);
  s.guide_extra = integer(i + 2, "guide extra");
  check(i + 2);
  return 3;
}

int Parser::relax(int i) {
  need(i, 2);
  s.relax_steps = integer(i, "relax nmax");
  check(i);
  s.relax_ftol = number(i + 1, "relax ftol") * units.energy;
  check(i + 1);
  return 2;
}

int Parser::unique(int i) {
  need(i, 1);
  s.unique_tolerance = number(i, "unique");
  check(i);
  return 1;
}

int Parser::evaluate(int i) {
  need(i, 1);
  if (is(i, "step")) {
    o.evaluate = Evaluate::STEP;
    return 1;
  }
  if (!is(i, "batch"))
    bad_choice(i, "step or batch");
  o.evaluate = Evaluate::AUTO;
  for (const auto &[text, how] :
       {std::pair{"auto", Evaluate::AUTO}, std::pair{"direct", Evaluate::DIRECT},
        std::pair{"stacked", Evaluate::STACKED}})
    if (is(i + 1, text)) {
      o.evaluate = how;
      return 2;
    }
  return 1;
}

int Parser::anneal(int i) {
  need(i, 1);
  if (is(i, "geometric")) {
    s.annealing = godiff::Annealing::GEOMETRIC;
    return 1;
  }
  if (!is(i, "adaptive"))
    bad_choice(i, "geometric or adaptive");
  need(i, 2);
  s.annealing = godiff::Annealing::ADAPTIVE_ESS;
  s.adaptive_ess = number(i + 1, "anneal adaptive ess");
  if (s.adaptive_ess < 1.0)
    fail(i + 1, fmt::format("anneal adaptive ess is {} but must be at least 1", word(i + 1)));
  return 2;
}

int Parser::device(int i) {
  need(i, 1);
  o.device = word(i);
  // The network runs on rank 0, the only one whose machine needs the device.
  std::string problem;
  if (comm->me == 0) {
    try {
      godiff::choose_device(o.device, godiff::cuda_devices());
    } catch (...) {
      problem = caught_message();
    }
  }
  problem = shared_text(lmp, problem);
  if (!problem.empty())
    fail(i, problem);
  return 1;
}

int Parser::precision(int i) {
  need(i, 1);
  if (!is(i, "single") && !is(i, "double"))
    bad_choice(i, "single or double");
  s.double_precision = is(i, "double");
  return 1;
}

int Parser::load(int i) {
  need(i, 1);
  o.load = word(i);
  o.load_archive = is(i + 1, "archive");
  return o.load_archive ? 2 : 1;
}

int Parser::resume(int i) {
  need(i, 1);
  o.resume = yes(i);
  return 1;
}

int Parser::mode(int i) {
  need(i, 1);
  if (!is(i, "search") && !is(i, "sample"))
    bad_choice(i, "search or sample");
  s.train = is(i, "search");
  return 1;
}

int Parser::replica(int i) {
  need(i, 1);
  if (!is(i, "shared") && !is(i, "independent"))
    bad_choice(i, "shared or independent");
  o.shared = is(i, "shared");
  return 1;
}

int Parser::best(int i) {
  need(i, 1);
  o.best = integer(i, "best");
  if (o.best < 1)
    fail(i, fmt::format("best is {} but must be at least 1", word(i)));
  return 1;
}

int Parser::save(int i) {
  need(i, 1);
  o.prefix = word(i);
  if (!is(i + 1, "every"))
    return 1;
  need(i, 3);
  o.save_every = number(i + 2, "save every");
  if (!(o.save_every >= 0.0))
    fail(i + 2, fmt::format("save every is {} but must be a number of seconds", word(i + 2)));
  return 3;
}

int Parser::log(int i) {
  need(i, 1);
  o.log = yes(i);
  return 1;
}

int Parser::dumpall(int i) {
  need(i, 1);
  o.dump_all = yes(i);
  return 1;
}

int Parser::final(int i) {
  need(i, 1);
  if (!is(i, "best") && !is(i, "last"))
    bad_choice(i, "best or last");
  o.final_best = is(i, "best");
  return 1;
}

int Parser::set_switch(int i) {
  need(i, 2);
  try {
    godiff::set_switch(s, word(i), word(i + 1));
  } catch (const godiff::Error &e) {
    bool known = false;
    for (const auto &entry : godiff::switches())
      known = known || word(i) == entry.name;
    fail(known ? i + 1 : i, e.what());
  }
  return 2;
}

// One keyword as documented: name, values, default; and how to read it.
struct Entry {
  const char *name;
  const char *values;
  const char *default_values;
  int (Parser::*read)(int);
};

// In the order of the documentation.
const std::vector<Entry> &entries() {
  static const std::vector<Entry> table = {
      {"elements", "E1 .. Entypes", "label map", &Parser::elements},
      {"confine", "above lo hi | zone lo hi", "above 1.0 6.0", &Parser::confine},
      {"mindist", "d", "1.0", &Parser::mindist},
      {"energy", "lo hi [absolute]", "NULL NULL", &Parser::energy},
      {"buffer", "n", "64", &Parser::buffer},
      {"train", "steps batch", "8000 16", &Parser::train},
      {"optim", "lr factor patience clip", "1e-4 0.95 100 10.0", &Parser::optim},
      {"network", "cutoff nfeat nblock nrbf", "6.0 64 4 30", &Parser::network},
      {"sample", "em steps eps | prior", "em 500 0.005", &Parser::sample},
      {"guide", "scale [extra n]", "0.0", &Parser::guide},
      {"relax", "nmax ftol", "0 0.05", &Parser::relax},
      {"unique", "tol", "0.0", &Parser::unique},
      {"evaluate", "step | batch [auto | direct | stacked]", "step", &Parser::evaluate},
      {"anneal", "geometric | adaptive ess", "geometric", &Parser::anneal},
      {"device", "auto | cpu | cuda | cuda:N", "auto", &Parser::device},
      {"precision", "single | double", "single", &Parser::precision},
      {"load", "file [archive]", "none", &Parser::load},
      {"mode", "search | sample", "search", &Parser::mode},
      {"replica", "shared | independent", "shared", &Parser::replica},
      {"resume", "yes | no", "no", &Parser::resume},
      {"best", "K", "10", &Parser::best},
      {"save", "prefix [every seconds]", "godiff.ID every 60", &Parser::save},
      {"log", "yes | no", "yes", &Parser::log},
      {"dumpall", "yes | no", "yes", &Parser::dumpall},
      {"final", "best | last", "best", &Parser::final},
      {"switch", "name value", "see the table of switches", &Parser::set_switch},
  };
  return table;
}

void Parser::keyword(int &iarg) {
  for (const Entry &entry : entries()) {
    if (!is(iarg, entry.name))
      continue;
    name = entry.name;
    syntax = entry.values;
    iarg += 1 + (this->*entry.read)(iarg + 1);
    return;
  }
  std::string known;
  for (const Entry &entry : entries())
    known += std::string(" ") + entry.name;
  fail(iarg, fmt::format("unknown keyword '{}', known are:{}", word(iarg), known));
}

// Element symbols among the type labels, through the functions that LAMMPS offers to input scripts
// (its LabelMap class is not among the installed headers).
std::vector<int> labelled_elements(LAMMPS *lmp) {
  std::vector<int> numbers(lmp->atom->ntypes + 1, 0);
  if (!lmp->atom->labelmapflag)
    return numbers;
  Variable *variable = lmp->input->variable;
  for (int z = 1; z <= godiff::MAX_ATOMIC_NUMBER; ++z) {
    const std::string label = std::string("(atom,") + godiff::symbol(z) + ")";
    if (variable->compute_equal("is_typelabel" + label) == 0.0)
      continue;
    numbers[static_cast<int>(variable->compute_equal("label2type" + label))] = z;
  }
  return numbers;
}

}  // namespace

void parse(LAMMPS *lmp, int narg, char **arg, const Units &units, godiff::Settings &settings,
           FixOptions &options) {
  options.prefix = std::string("godiff.") + arg[0];
  Parser parser(lmp, narg, arg, units, settings, options);
  parser.required();
  for (int iarg = FIRST_KEYWORD; iarg < narg;)
    parser.keyword(iarg);
  if (lmp->universe->existflag && !options.shared) {
    // Worlds would draw the same candidates and write the same files.
    settings.seed += static_cast<std::uint64_t>(lmp->universe->iworld);
    options.prefix += "." + std::to_string(lmp->universe->iworld);
  }
}

std::vector<int> elements_of_types(LAMMPS *lmp, const FixOptions &options) {
  if (options.elements.empty())
    return labelled_elements(lmp);
  std::vector<int> numbers(1, 0);
  for (const std::string &symbol : options.elements)
    numbers.push_back(symbol == "NULL" ? 0 : godiff::atomic_number(symbol));
  return numbers;
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
