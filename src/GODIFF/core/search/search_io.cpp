// SPDX-License-Identifier: GPL-2.0-only
// Saving and restoring a search. The tensors are those of SafeTensors; numbers that are not tensors
// travel as float64 or int64 vectors, so that a restored search is the same bit for bit.
#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include <ATen/Functions.h>
#include <nlohmann/json.hpp>

#include "core/base/error.hpp"
#include "core/base/printable.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/saved_numbers.hpp"
#include "core/search/search_state.hpp"

namespace godiff {

namespace {

constexpr const char *FORMAT = "godiff-checkpoint";
constexpr const char *VERSION = "1";
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
  file.put(name + ".numbers", doubles({o.adamw.learning_rate, static_cast<double>(o.adamw.steps),
                                       o.plateau.best, static_cast<double>(o.plateau.bad)}));
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
  o.adamw.learning_rate = v[0];
  o.adamw.steps = whole_number(v[1], "the number of steps of " + name);
  o.plateau.best = v[2];
  o.plateau.bad = static_cast<int>(whole_number(v[3], "the patience of " + name, MAX_BAD));
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

void put_archive(SafeTensors &file, const Archive &archive, std::int64_t n_mobile,
                 std::int64_t n_force) {
  const auto n = static_cast<std::int64_t>(archive.size());
  const auto ints = at::TensorOptions().dtype(at::kLong);
  const auto reals = at::TensorOptions().dtype(at::kDouble);
  at::Tensor integers = at::empty({n, 5}, ints), numbers = at::empty({n, 3}, reals);
  at::Tensor positions = at::empty({n, 3 * n_mobile}, reals);
  at::Tensor forces = at::zeros({n, n_force}, at::kFloat);
  auto *i = integers.data_ptr<std::int64_t>();
  auto *d = numbers.data_ptr<double>();
  auto *x = positions.data_ptr<double>();
  auto *f = forces.data_ptr<float>();
  for (const Record &r : archive.records()) {
    const std::int64_t whole[5] = {r.evaluation, r.stage, static_cast<std::int64_t>(r.status),
                                   r.structure_class, r.offset};
    i = std::copy_n(whole, 5, i);
    const double real[3] = {r.kT, r.energy, r.weight};
    d = std::copy_n(real, 3, d);
    x = std::copy(r.positions.begin(), r.positions.end(), x);
    std::copy(r.forces.begin(), r.forces.end(), f);  // none for failed structures: zero
    f += n_force;
  }
  file.adopt("archive.integers", integers);
  file.adopt("archive.numbers", numbers);
  file.adopt("archive.positions", positions);
  if (n_force > 0)
    file.adopt("archive.forces", forces);
}

// A matrix of the archive with the expected width; the number of rows must agree with `rows` (< 0:
// not known yet).
at::Tensor archive_tensor(const SafeTensors &file, const std::string &name, at::ScalarType type,
                          std::int64_t columns, std::int64_t rows) {
  const at::Tensor t = file.get(name);
  if (t.scalar_type() != type || t.dim() != 2 || t.size(1) != columns ||
      (rows >= 0 && t.size(0) != rows))
    throw Error("checkpoint tensor " + name + " has the wrong shape or type");
  return t.contiguous();
}

Archive get_archive(const SafeTensors &file, std::int64_t n_mobile, std::int64_t n_force,
                    int classes, int stage) {
  const at::Tensor integers = archive_tensor(file, "archive.integers", at::kLong, 5, -1);
  const std::int64_t n = integers.size(0);
  const at::Tensor numbers = archive_tensor(file, "archive.numbers", at::kDouble, 3, n);
  const at::Tensor positions =
      archive_tensor(file, "archive.positions", at::kDouble, 3 * n_mobile, n);
  at::Tensor forces;
  if (n_force > 0)
    forces = archive_tensor(file, "archive.forces", at::kFloat, n_force, n);
  Archive archive;
  for (std::int64_t k = 0; k < n; ++k) {
    const auto *i = integers.const_data_ptr<std::int64_t>() + 5 * k;
    const auto *d = numbers.const_data_ptr<double>() + 3 * k;
    const auto *x = positions.const_data_ptr<double>() + 3 * n_mobile * k;
    if (i[2] < 0 || i[2] > static_cast<std::int64_t>(Status::FAILED) || i[3] < -1 ||
        i[3] >= classes || i[1] < 0 || i[1] > stage)
      throw Error("checkpoint tensor archive.integers holds an unknown status, class or stage");
    Record r;
    r.evaluation = i[0];
    r.stage = static_cast<int>(i[1]);
    r.status = static_cast<Status>(i[2]);
    r.structure_class = static_cast<int>(i[3]);
    r.offset = i[4];
    r.kT = d[0];
    r.energy = d[1];
    r.weight = d[2];
    r.positions.assign(x, x + 3 * n_mobile);
    if (n_force > 0 && r.status != Status::FAILED) {
      const auto *f = forces.const_data_ptr<float>() + n_force * k;
      r.forces.assign(f, f + n_force);
    }
    check_record(r, classes, stage);
    archive.append(std::move(r));
  }
  return archive;
}

}  // namespace

void Search::load_network(const SafeTensors &checkpoint) {
  State &s = *state_;
  if (!s.finished.empty() || s.sampled)
    throw Error("a network can only be loaded before the first stage");
  check_network(checkpoint, s.settings.network);
  // A checkpoint of an unguided search starts a guided one with a fresh force head.
  read_weights(checkpoint, s.network, checkpoint.has("force.0.mix.weight"));
}

SafeTensors Search::save() const {
  const State &s = *state_;
  SafeTensors file;
  file.put_metadata("format", FORMAT);
  file.put_metadata("format_version", VERSION);
  file.put_metadata("network", network_json(s.settings.network));
  file.put_metadata("settings", godiff::describe(s.settings));
  file.put_metadata("system", describe(s.system));
  for (const std::string &name : s.network.parameters().names())
    file.put(name, s.network.parameters()[name]);
  if (!s.settings.optim_reset) {
    put_optimiser(file, "optimiser.score", s.trainer.score_optimiser());
    put_optimiser(file, "optimiser.force", s.trainer.force_optimiser());
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
  file.put("search.relaxation", doubles(s.relaxing ? s.relaxation.state() : std::vector<double>{}));
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
  Relaxation resumed(s.system, s.settings.relax_steps, s.settings.relax_ftol);
  if (!relaxation.empty())
    resumed.restore(relaxation);
  Trainer::Optimiser score = s.trainer.score_optimiser(), force = s.trainer.force_optimiser();
  if (!s.settings.optim_reset) {
    get_optimiser(file, "optimiser.score", score);
    get_optimiser(file, "optimiser.force", force);
  }
  read_weights(file, s.network, s.settings.network.force_head);
  s.trainer.score_optimiser() = score;
  s.trainer.force_optimiser() = force;

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
  s.relaxing = !relaxation.empty();
  if (s.relaxing)
    s.relaxation.restore(relaxation);
  s.totals = t;
}

}  // namespace godiff
