// SPDX-License-Identifier: GPL-2.0-only
// Saving and restoring a search. The tensors are those of SafeTensors; numbers that are not tensors
// travel as float64 or int64 vectors, so that a restored search is the same bit for bit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <utility>

#include <ATen/Functions.h>
#include <nlohmann/json.hpp>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/printable.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/archive_tensors.hpp"
#include "core/search/saved_numbers.hpp"
#include "core/search/search_state.hpp"

namespace godiff {

namespace {

constexpr const char *FORMAT = "godiff-checkpoint";
constexpr const char *VERSION = "1";
constexpr const char *TRAINING_FORMAT = "godiff-training";
constexpr const char *TRAINING = "search.training";
constexpr const char *IDENTITY = "training.identity";
constexpr int SUMMARY_COLUMNS = 18;
constexpr std::size_t MAX_NETWORK_TEXT = 1000;  // a JSON tree takes a hundred times its text
constexpr std::size_t READABLE = 60;            // characters of a foreign text in a message

at::Tensor doubles(const std::vector<double> &values) {
  return at::tensor(values, at::kDouble);
}

// The rows one behind the other.
at::Tensor joined(const std::vector<std::vector<double>> &rows) {
  std::size_t size = 0;
  for (const std::vector<double> &row : rows)
    size += row.size();
  at::Tensor t = at::empty({static_cast<std::int64_t>(size)}, at::kDouble);
  double *p = t.data_ptr<double>();
  for (const std::vector<double> &row : rows)
    p = std::copy(row.begin(), row.end(), p);
  return t;
}

std::vector<double> doubles(const SafeTensors &file, const std::string &name) {
  const at::Tensor t = file.get(name);
  if (t.scalar_type() != at::kDouble || t.dim() != 1)
    throw Error("checkpoint tensor " + name + " must be a vector of float64");
  const double *p = t.const_data_ptr<double>();
  return {p, p + t.numel()};
}

std::vector<double> doubles(const SafeTensors &file, const std::string &name, std::size_t size) {
  std::vector<double> values = doubles(file, name);
  if (values.size() != size)
    throw Error("checkpoint tensor " + name + " has " + std::to_string(values.size()) +
                " numbers instead of " + std::to_string(size));
  return values;
}

// Counts are far below 2^53, where float64 is exact.
std::vector<double> pack(const StageSummary &s) {
  return {static_cast<double>(s.stage),
          s.kT,
          static_cast<double>(s.evaluations),
          static_cast<double>(s.drawn),
          static_cast<double>(s.rejected),
          static_cast<double>(s.outside),
          static_cast<double>(s.duplicates),
          static_cast<double>(s.failed),
          s.lowest,
          s.mean,
          s.best,
          s.ess,
          static_cast<double>(s.buffer),
          s.score_loss,
          s.force_loss,
          s.seconds_sampling,
          s.seconds_training,
          s.seconds_evaluating};
}

// Throws godiff::Error unless all counts are counts.
StageSummary unpack(const double *v) {
  constexpr double MAX_STAGES = 1e9;  // fits into an int
  const std::string COUNT = "a count of a stage";
  StageSummary s;
  s.stage = static_cast<int>(whole_number(v[0], "the number of a stage", MAX_STAGES));
  check_temperature(v[1]);
  s.kT = v[1];
  s.evaluations = whole_number(v[2], COUNT);
  s.drawn = whole_number(v[3], COUNT);
  s.rejected = whole_number(v[4], COUNT);
  s.outside = whole_number(v[5], COUNT);
  s.duplicates = whole_number(v[6], COUNT);
  s.failed = whole_number(v[7], COUNT);
  s.lowest = v[8];
  s.mean = v[9];
  s.best = v[10];
  s.ess = v[11];
  s.buffer = whole_number(v[12], COUNT);
  s.score_loss = v[13];
  s.force_loss = v[14];
  s.seconds_sampling = v[15];
  s.seconds_training = v[16];
  s.seconds_evaluating = v[17];
  return s;
}

std::string network_json(const NetworkSettings &n) {
  return nlohmann::json{{"cutoff", n.cutoff},
                        {"nfeat", n.nfeat},
                        {"nblock", n.nblock},
                        {"nrbf", n.nrbf},
                        {"force_head", n.force_head}}
      .dump();
}

// Refuses files of other programs, other versions and networks of another shape.
void check_network(const SafeTensors &file, const NetworkSettings &wanted) {
  if (!file.has_metadata("format") || file.metadata("format") != FORMAT)
    throw Error("the file is not a GODIFF checkpoint: its metadata has no format " +
                std::string(FORMAT));
  if (file.metadata("format_version") != VERSION)
    throw Error("the checkpoint has format version " +
                printable(file.metadata("format_version"), READABLE) +
                ", this program reads version " + VERSION);
  const std::string &network = file.metadata("network");
  if (network.size() > MAX_NETWORK_TEXT)
    throw Error("the checkpoint describes its network with " + std::to_string(network.size()) +
                " characters, more than " + std::to_string(MAX_NETWORK_TEXT));
  const nlohmann::json json = nlohmann::json::parse(network, nullptr, false);
  const auto number = [&](const char *key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number())
      throw Error(std::string("the checkpoint does not say the ") + key + " of its network");
    return json[key].get<double>();
  };
  const std::pair<const char *, double> entries[] = {{"cutoff", wanted.cutoff},
                                                     {"nfeat", static_cast<double>(wanted.nfeat)},
                                                     {"nblock", static_cast<double>(wanted.nblock)},
                                                     {"nrbf", static_cast<double>(wanted.nrbf)}};
  for (const auto &[key, value] : entries)
    if (number(key) != value) {
      std::ostringstream message;
      message << "the network of the checkpoint has " << key << " " << number(key)
              << ", this search has " << value << ": set keyword network to that of the checkpoint";
      throw Error(message.str());
    }
}

void read_weights(const SafeTensors &file, ScoreNetwork &network, bool with_force_head) {
  Parameters &parameters = network.parameters();
  // All tensors are checked before the first one is copied.
  for (const std::string &name : parameters.names()) {
    if (name.rfind("force.", 0) == 0 && !with_force_head)
      continue;
    const at::Tensor t = file.get(name);
    if (t.sizes() != at::IntArrayRef(parameters.shape(name)) || !t.is_floating_point())
      throw Error("checkpoint tensor " + name + " has the wrong shape or type");
    if (!t.to(parameters[name].scalar_type()).isfinite().all().item<bool>())
      throw Error("checkpoint tensor " + name +
                  " contains numbers that are not finite in the precision of this search");
  }
  for (const std::string &name : parameters.names())
    if (with_force_head || name.rfind("force.", 0) != 0)
      parameters[name].copy_(file.get(name));
  parameters.touch();
}

void put_optimiser(SafeTensors &file, const std::string &name, const Trainer::Optimiser &o) {
  file.put(name + ".first_moment", o.adamw.first_moment);
  file.put(name + ".second_moment", o.adamw.second_moment);
  file.put(name + ".numbers",
           doubles({o.adamw.learning_rate.item<double>(), o.adamw.steps.item<double>(),
                    o.plateau.best.item<double>(), o.plateau.bad.item<double>()}));
}

void get_optimiser(const SafeTensors &file, const std::string &name, Trainer::Optimiser &o) {
  for (const char *part : {".first_moment", ".second_moment"}) {
    const at::Tensor t = file.get(name + part);
    at::Tensor &into = part[1] == 'f' ? o.adamw.first_moment : o.adamw.second_moment;
    if (t.sizes() != into.sizes() || t.scalar_type() != into.scalar_type())
      throw Error("checkpoint tensor " + name + part + " has the wrong shape or type");
    if (!t.isfinite().all().item<bool>() || (part[1] == 's' && t.lt(0.0).any().item<bool>()))
      throw Error("checkpoint tensor " + name + part + " holds what no optimiser has");
    into = t.to(into.device(), into.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  }
  const std::vector<double> v = doubles(file, name + ".numbers", 4);
  constexpr double FASTEST = 1e6, MAX_BAD = 1e9;
  if (!(v[0] > 0.0 && v[0] <= FASTEST) || std::isnan(v[2]))
    throw Error("checkpoint tensor " + name + ".numbers holds what no optimiser has");
  // Tensors of its own: what `o` was copied from stays as it is.
  const auto replace = [](at::Tensor &scalar, const at::Scalar &value) {
    scalar = at::full({}, value, scalar.options());
  };
  replace(o.adamw.learning_rate, v[0]);
  replace(o.adamw.steps, whole_number(v[1], "the number of steps of " + name));
  replace(o.plateau.best, v[2]);
  replace(o.plateau.bad, whole_number(v[3], "the patience of " + name, MAX_BAD));
}

// The optimisers and the position: with the weights all of a training under way.
void put_training(SafeTensors &file, const Trainer &trainer) {
  put_optimiser(file, "optimiser.score", trainer.score_optimiser());
  put_optimiser(file, "optimiser.force", trainer.force_optimiser());
  const TrainingPosition at = trainer.position();
  file.put(TRAINING,
           doubles({static_cast<double>(at.part), static_cast<double>(at.stage),
                    static_cast<double>(at.epoch), static_cast<double>(at.done),
                    static_cast<double>(at.steps), static_cast<double>(at.skipped), at.epoch_loss,
                    at.force_loss, static_cast<double>(at.force_skipped)}));
}

TrainingPosition get_training(const SafeTensors &file, int stage, bool guided) {
  const std::vector<double> v = doubles(file, TRAINING, 9);
  constexpr double LARGEST = 9007199254740992.0;  // 2^53: float64 holds all integers up to it
  for (int k : {0, 1, 2, 3, 4, 5, 8})
    if (!(v[k] >= 0.0 && v[k] <= LARGEST) || v[k] != std::floor(v[k]))
      throw Error("checkpoint tensor " + std::string(TRAINING) +
                  " holds a counter that is no whole number from 0 to 2^53");
  TrainingPosition at;
  at.part = static_cast<TrainingPosition::Part>(static_cast<std::int64_t>(v[0]));
  at.stage = static_cast<std::int64_t>(v[1]);
  at.epoch = static_cast<std::int64_t>(v[2]);
  at.done = static_cast<std::int64_t>(v[3]);
  at.steps = static_cast<std::int64_t>(v[4]);
  at.skipped = static_cast<std::int64_t>(v[5]);
  at.epoch_loss = v[6];
  at.force_loss = v[7];
  at.force_skipped = static_cast<std::int64_t>(v[8]);
  const bool known = at.part == TrainingPosition::Part::SCORE ||
                     (guided && at.part == TrainingPosition::Part::FORCE);
  if (!known || at.stage != stage || at.skipped > at.steps)
    throw Error("checkpoint tensor " + std::string(TRAINING) +
                " does not belong to the rest of the file");
  return at;
}

// Stage that is being learned, number of structures, their digest.
at::Tensor stage_identity(int stage, const Archive &archive) {
  Digest all;
  for (const Record &record : archive.records())
    all.add(record.energy).add(record.positions);
  const std::uint64_t value = all.value();
  std::int64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return at::tensor(
      {static_cast<std::int64_t>(stage), static_cast<std::int64_t>(archive.size()), bits},
      at::kLong);
}

std::string describe(const System &system) {
  std::ostringstream out;
  out.precision(17);
  out << "mobile atoms=" << system.n_mobile << "\ntemplate atoms=" << system.n_template
      << "\ncell=";
  for (const Vec3 &row : system.cell.rows())
    for (double x : row)
      out << x << " ";
  out << "\nperiodicity=";
  for (int k = 0; k < 3; ++k)
    out << (system.cell.periodic(k) ? "p" : "f");
  out << "\nconfinement=" << system.z_lo << " " << system.z_hi << "\nelements=";
  for (int z : system.atomic_numbers)
    out << z << " ";
  out << "\natom IDs=";
  for (std::int64_t id : system.ids)
    out << id << " ";
  out << "\n";
  return out.str();
}

// Compares "name=value" lines and names the first that differs.
void compare(const std::string &saved, const std::string &now, const std::string &what) {
  std::istringstream a(saved), b(now);
  std::string x, y;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(a, x));
    const bool more_b = static_cast<bool>(std::getline(b, y));
    if (!more_a && !more_b)
      return;
    if (more_a != more_b)
      throw Error("the saved " + what + " and the present one cannot be compared");
    if (x == y)
      continue;
    const std::size_t equals = y.find('=');
    std::string had = x.substr(std::min(x.size(), equals + 1)), has = y.substr(equals + 1);
    // Long lists are named, not printed.
    if (had.size() > READABLE || has.size() > READABLE)
      throw Error("the saved search has another " + y.substr(0, equals));
    throw Error("the saved search has " + y.substr(0, equals) + " " + printable(had, READABLE) +
                ", this one has " + has);
  }
}

constexpr const char *TEMPLATE = "search.template_positions";
constexpr double MOVED = 1e-6;  // Angstrom; what writing and reading a data file may do

}  // namespace

void Search::load_network(const SafeTensors &checkpoint) {
  State &s = *state_;
  if (!s.finished.empty() || s.sampled)
    throw Error("a network can only be loaded before the first stage");
  check_network(checkpoint, s.settings.network);
  // A checkpoint of an unguided search starts a guided one with a fresh force head.
  read_weights(checkpoint, s.learner.network(), checkpoint.has("force.0.mix.weight"));
}

SafeTensors Search::save() const {
  const State &s = *state_;
  SafeTensors file;
  file.put_metadata("format", FORMAT);
  file.put_metadata("format_version", VERSION);
  file.put_metadata("network", network_json(s.settings.network));
  file.put_metadata("settings", godiff::describe(s.settings));
  file.put_metadata("system", describe(s.system));
  for (const std::string &name : s.learner.network().parameters().names())
    file.put(name, s.learner.network().parameters()[name]);
  if (training_under_way()) {
    put_training(file, s.learner.trainer());
  } else if (!s.settings.optim_reset) {
    put_optimiser(file, "optimiser.score", s.learner.trainer().score_optimiser());
    put_optimiser(file, "optimiser.force", s.learner.trainer().force_optimiser());
  }
  const std::int64_t n_force = s.settings.guided() ? 3 * s.system.n_atoms() : 0;
  put_archive(file, s.archive, s.system.n_mobile, n_force);
  std::vector<double> stages;
  for (const StageSummary &stage : s.finished) {
    const std::vector<double> row = pack(stage);
    stages.insert(stages.end(), row.begin(), row.end());
  }
  file.adopt("search.classes", joined(s.classes.representatives()));
  file.put("search.stages", doubles(stages));
  file.put("search.current", doubles(pack(s.current)));
  file.adopt("search.queue", joined(s.queue));
  file.put(TEMPLATE, doubles(s.system.template_positions));
  file.put("search.relaxation", doubles(s.evaluation.relaxation()));
  const Totals &t = s.totals;
  file.put("search.totals",
           doubles({static_cast<double>(t.evaluations), static_cast<double>(t.drawn),
                    static_cast<double>(t.rejected), static_cast<double>(t.outside),
                    static_cast<double>(t.duplicates), static_cast<double>(t.failed),
                    static_cast<double>(t.network_calls), static_cast<double>(t.non_finite_scores),
                    static_cast<double>(t.skipped_steps), t.seconds_sampling, t.seconds_training,
                    t.seconds_evaluating}));
  file.put("search.position",
           doubles({s.reference, s.sampled ? 1.0 : 0.0, static_cast<double>(s.learned),
                    static_cast<double>(s.next), static_cast<double>(s.stage_begin)}));
  return file;
}

void Search::restore(const SafeTensors &file) {
  State &s = *state_;
  check_network(file, s.settings.network);
  compare(file.metadata("settings"), godiff::describe(s.settings), "settings");
  compare(file.metadata("system"), describe(s.system), "system");
  if (doubles(file, TEMPLATE) != s.system.template_positions)
    throw Error("the template atoms are not where the saved search had them");

  // Everything is read and checked before anything is changed.
  const auto width = static_cast<std::size_t>(s.system.n_mobile);
  const std::vector<double> classes = doubles(file, "search.classes");
  const std::vector<double> stages = doubles(file, "search.stages");
  const std::vector<double> queue = doubles(file, "search.queue");
  const std::vector<double> current = doubles(file, "search.current", SUMMARY_COLUMNS);
  const std::vector<double> totals = doubles(file, "search.totals", 12);
  const std::vector<double> position = doubles(file, "search.position", 5);
  const std::vector<double> relaxation = doubles(file, "search.relaxation");
  if (classes.size() % width != 0 || stages.size() % SUMMARY_COLUMNS != 0 ||
      queue.size() % (3 * width) != 0)
    throw Error("the checkpoint is damaged: its lists have broken rows");
  check_places(queue, "a candidate");
  check_eigenvalues(classes, s.system.n_mobile);
  std::vector<Fingerprint> representatives;
  for (std::size_t k = 0; k < classes.size(); k += width)
    representatives.emplace_back(classes.begin() + static_cast<std::ptrdiff_t>(k),
                                 classes.begin() + static_cast<std::ptrdiff_t>(k + width));
  const std::int64_t n_force = s.settings.guided() ? 3 * s.system.n_atoms() : 0;
  const auto n_stages = stages.size() / SUMMARY_COLUMNS;
  if (n_stages > static_cast<std::size_t>(s.settings.stages))
    throw Error("the checkpoint is damaged: it has " + std::to_string(n_stages) + " stages of " +
                std::to_string(s.settings.stages));
  Archive archive =
      get_archive(file, s.system.n_mobile, n_force, static_cast<int>(representatives.size()),
                  static_cast<int>(n_stages));
  std::vector<Positions> candidates;
  for (std::size_t k = 0; k < queue.size(); k += 3 * width)
    candidates.emplace_back(queue.begin() + static_cast<std::ptrdiff_t>(k),
                            queue.begin() + static_cast<std::ptrdiff_t>(k + 3 * width));
  const bool sampled = whole_number(position[1], "the mark of a drawn stage", 1.0) == 1;
  const std::int64_t learned = whole_number(position[2], "the number of learned stages"),
                     next = whole_number(position[3], "the number of the next candidate"),
                     stage_begin = whole_number(position[4], "the begin of the stage");
  std::vector<StageSummary> finished;
  for (std::size_t k = 0; k < n_stages; ++k)
    finished.push_back(unpack(&stages[k * SUMMARY_COLUMNS]));
  const StageSummary now = unpack(current.data());
  if (sampled && !candidates.empty() && next == static_cast<std::int64_t>(candidates.size()))
    State::refuse_failed(candidates.size(), now.stage);
  const bool ordered =
      std::all_of(finished.begin(), finished.end(), [&](const StageSummary &stage) {
        return stage.stage == &stage - finished.data();
      });
  if (!ordered || now.stage != static_cast<int>(n_stages) || std::isinf(position[0]) ||
      learned > static_cast<std::int64_t>(n_stages) ||
      stage_begin > static_cast<std::int64_t>(archive.size()) ||
      sampled != (next < static_cast<std::int64_t>(candidates.size())) ||
      next > static_cast<std::int64_t>(candidates.size()) ||
      (sampled && now.stage >= s.settings.stages) ||
      (!relaxation.empty() && !(sampled && s.settings.relax_steps > 0)))
    throw Error("the checkpoint is damaged: its counters contradict each other");
  Totals t;
  const std::string TOTAL = "a count of the search";
  t.evaluations = whole_number(totals[0], TOTAL);
  t.drawn = whole_number(totals[1], TOTAL);
  t.rejected = whole_number(totals[2], TOTAL);
  t.outside = whole_number(totals[3], TOTAL);
  t.duplicates = whole_number(totals[4], TOTAL);
  t.failed = whole_number(totals[5], TOTAL);
  t.network_calls = whole_number(totals[6], TOTAL);
  t.non_finite_scores = whole_number(totals[7], TOTAL);
  t.skipped_steps = whole_number(totals[8], TOTAL);
  t.seconds_sampling = totals[9];
  t.seconds_training = totals[10];
  t.seconds_evaluating = totals[11];
  Evaluation resumed(s.system, s.settings);
  if (!relaxation.empty())
    resumed.restore(0, relaxation);
  Trainer &trainer = s.learner.trainer();
  Trainer::Optimiser score = trainer.score_optimiser(), force = trainer.force_optimiser();
  TrainingPosition training;
  const bool under_way = file.has(TRAINING);
  if (under_way) {
    if (!s.settings.train || learned == static_cast<std::int64_t>(n_stages))
      throw Error("the checkpoint is damaged: it has a training of a stage that is not full");
    training = get_training(file, static_cast<int>(learned), s.settings.guided());
  }
  if (under_way || !s.settings.optim_reset) {
    get_optimiser(file, "optimiser.score", score);
    get_optimiser(file, "optimiser.force", force);
  }
  read_weights(file, s.learner.network(), s.settings.network.force_head);
  trainer.score_optimiser() = score;
  trainer.force_optimiser() = force;
  trainer.set_position(training);

  s.classes = ClassRegistry(representatives);
  s.archive = std::move(archive);
  s.finished = std::move(finished);
  s.current = now;
  s.queue = std::move(candidates);
  s.reference = position[0];
  s.sampled = sampled;
  s.learned = static_cast<int>(learned);
  s.next = static_cast<std::size_t>(next);
  s.stage_begin = stage_begin;
  if (!relaxation.empty())
    s.evaluation.restore(next, relaxation);
  s.totals = t;
}

std::uint64_t Search::identity() const {
  const State &s = *state_;
  return Digest()
      .add(godiff::describe(s.settings))
      .add(describe(s.system))
      .add(s.system.template_positions)
      .value();
}

bool Search::goes_on_from(const SafeTensors &later, const SafeTensors &earlier) {
  for (const char *key : {"settings", "system"})
    if (later.metadata(key) != earlier.metadata(key))
      return false;
  for (const char *name : {"archive.numbers", "archive.positions"}) {
    const at::Tensor a = later.get(name), b = earlier.get(name);
    if (a.dim() != 2 || b.dim() != 2 || a.scalar_type() != at::kDouble ||
        b.scalar_type() != at::kDouble || a.size(1) != b.size(1) || a.size(0) < b.size(0))
      return false;
    // Bit by bit: energies of failed candidates are no numbers.
    if (b.numel() > 0 && std::memcmp(a.contiguous().const_data_ptr(),
                                     b.contiguous().const_data_ptr(), b.nbytes()) != 0)
      return false;
  }
  return true;
}

void Search::load_archive(const SafeTensors &checkpoint) {
  State &s = *state_;
  if (!s.finished.empty() || s.sampled || s.archive.size() > 0)
    throw Error("an archive can only be loaded before the first stage");
  // The window may be another one: what is outside of it is not learned from.
  const auto without_window = [](std::string text) {
    const std::size_t begin = text.find("\nconfinement=");
    return begin == std::string::npos ? text
                                      : text.erase(begin, text.find('\n', begin + 1) - begin);
  };
  compare(without_window(checkpoint.metadata("system")), without_window(describe(s.system)),
          "system");
  const std::vector<double> place = doubles(checkpoint, TEMPLATE);
  for (std::size_t k = 0; k < place.size() && k < s.system.template_positions.size(); ++k)
    if (!(std::abs(place[k] - s.system.template_positions[k]) <= MOVED))
      throw Error("the template atoms are not where the search of the checkpoint had them");
  const std::int64_t n_force = s.settings.guided() ? 3 * s.system.n_atoms() : 0;
  if (n_force > 0 && !checkpoint.has("archive.forces"))
    throw Error("the checkpoint has no forces, which a guided search learns from: load it without "
                "its archive, or leave out guide");
  const std::size_t n_classes =
      doubles(checkpoint, "search.classes").size() / static_cast<std::size_t>(s.system.n_mobile);
  const Archive old = get_archive(checkpoint, s.system.n_mobile, n_force,
                                  static_cast<int>(n_classes), std::numeric_limits<int>::max());
  for (Record record : old.records()) {
    record.stage = LOADED_STAGE;
    record.evaluation = 0;
    record.offset = -1;
    if (record.status != Status::FAILED)
      record.structure_class = s.classes.classify(fingerprint(s.system, record.positions));
    s.archive.append(std::move(record));
  }
  s.stage_begin = static_cast<std::int64_t>(s.archive.size());
  s.current.best = s.archive.best_energy();
}

SafeTensors Search::save_training() const {
  const State &s = *state_;
  if (!training_under_way())
    throw Error("there is no training under way to be saved");
  SafeTensors file;
  file.put_metadata("format", TRAINING_FORMAT);
  file.put_metadata("format_version", VERSION);
  for (const std::string &name : s.learner.network().parameters().names())
    file.put(name, s.learner.network().parameters()[name]);
  put_training(file, s.learner.trainer());
  file.adopt(IDENTITY, stage_identity(s.learned, s.archive));
  return file;
}

bool Search::restore_training(const SafeTensors &file) {
  State &s = *state_;
  if (!file.has_metadata("format") || file.metadata("format") != TRAINING_FORMAT)
    throw Error("the file does not hold the state of a training: its metadata has no format " +
                std::string(TRAINING_FORMAT));
  if (file.metadata("format_version") != VERSION)
    throw Error("the state of the training has format version " + file.metadata("format_version") +
                ", this program reads version " + VERSION);
  const at::Tensor saved = file.get(IDENTITY);
  if (saved.scalar_type() != at::kLong || saved.sizes() != at::IntArrayRef({3}))
    throw Error("checkpoint tensor " + std::string(IDENTITY) + " has the wrong shape or type");
  if (!s.learning_due() || !at::equal(saved, stage_identity(s.learned, s.archive)))
    return false;
  const TrainingPosition training = get_training(file, s.learned, s.settings.guided());
  Trainer &trainer = s.learner.trainer();
  Trainer::Optimiser score = trainer.score_optimiser(), force = trainer.force_optimiser();
  get_optimiser(file, "optimiser.score", score);
  get_optimiser(file, "optimiser.force", force);
  read_weights(file, s.learner.network(), s.settings.network.force_head);
  trainer.score_optimiser() = score;
  trainer.force_optimiser() = force;
  trainer.set_position(training);
  return true;
}

}  // namespace godiff
