// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/run_files.hpp"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "core/base/error.hpp"
#include "core/base/printable.hpp"
#include "core/io/atomic_file.hpp"
#include "core/io/best_dump.hpp"
#include "core/io/journal.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/saved_numbers.hpp"

namespace godiff {

namespace {

// Metadata of a saved run; the offsets are bytes.
constexpr const char *PREFIX = "files.prefix";
constexpr const char *CSV_OFFSET = "files.csv";
constexpr const char *XYZ_OFFSET = "files.xyz";
constexpr const char *ELAPSED = "run.seconds";
constexpr std::int64_t NO_FILE = -1;  // in place of an offset

std::int64_t offset_of(const SafeTensors &state, const char *key) {
  const std::string &text = state.metadata(key);
  const char *end = text.data() + text.size();
  std::int64_t offset = 0;
  const auto [last, error] = std::from_chars(text.data(), end, offset);
  if (error != std::errc() || last != end || offset < NO_FILE)
    throw Error(std::string("the saved run is damaged: ") + key + " is '" + printable(text, 60) +
                "', not a place in a file");
  return offset;
}

double seconds_of(const SafeTensors &state) {
  const std::string &text = state.metadata(ELAPSED);
  char *end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0.0 && std::isfinite(value)))
    throw Error(std::string("the saved run is damaged: ") + ELAPSED + " is '" +
                printable(text, 60) + "', not a time");
  return value;
}

// The files of a run, without its journals.
constexpr const char *CSV = ".csv", *XYZ = ".xyz", *BEST = ".best", *CHECKPOINT = ".ckpt",
                     *TRAINING = ".training";

std::vector<std::string> endings(bool dump_all) {
  return dump_all ? std::vector<std::string>{CSV, XYZ, BEST, CHECKPOINT, TRAINING}
                  : std::vector<std::string>{CSV, BEST, CHECKPOINT, TRAINING};
}

bool exists(const std::string &path) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::symlink_status(path, error));
}

// Before anything is touched: what would stop the run later.
void check_names(const RunFileOptions &options) {
  check_writable(options.prefix);
  for (const std::string &ending : endings(options.dump_all))
    check_replaceable(options.prefix + ending);
  for (const std::string &path : journals_of(options.prefix))
    check_replaceable(path);
}

// With the lock of `csv` nobody else is about to rename such a file.
void clean_up(const RunFileOptions &options, const OwnedFile &csv) {
  if (csv.locked())
    remove_temporaries(options.prefix, {BEST, CHECKPOINT, TRAINING});
}

OwnedFile own(const std::string &path) {
  return OwnedFile::open(path, OwnedFile::Missing::CREATE, "create");
}

std::optional<SafeTensors> read_state(const std::string &path) {
  if (!exists(path))
    return std::nullopt;
  check_replaceable(path);
  return SafeTensors::read(path);
}

void remove_file(const std::string &path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    throw Error("cannot remove " + path + ": " + std::strerror(errno));
}

}  // namespace

RunFiles::RunFiles(const RunFileOptions &options, const System &system) :
    options_(options),
    system_(system) {}

// All files are opened before the first of them is changed.
RunFiles RunFiles::create(const RunFileOptions &options, const System &system) {
  check_names(options);
  RunFiles files(options, system);
  OwnedFile csv = own(options.prefix + CSV);
  OwnedFile xyz = options.dump_all ? own(options.prefix + XYZ) : OwnedFile();
  clean_up(options, csv);
  // What could be taken for the state of the new files.
  remove_file(options.prefix + CHECKPOINT);
  files.remove_training();
  files.remove_journals();
  files.csv_ = CsvLog::create(std::move(csv));
  if (options.dump_all)
    files.xyz_ = ExtxyzWriter::create(std::move(xyz), system);
  return files;
}

RunFiles RunFiles::resume(const RunFileOptions &options, const System &system,
                          const SafeTensors &state) {
  const double elapsed = seconds_of(state);
  if (!belongs_to(state, options.prefix)) {
    RunFiles files = create(options, system);
    files.elapsed_ = elapsed;
    return files;
  }
  check_names(options);
  RunFiles files(options, system);
  files.elapsed_ = elapsed;
  const auto open = [&](const char *ending) {
    return OwnedFile::open(options.prefix + ending, OwnedFile::Missing::REFUSE, "continue");
  };
  const std::int64_t csv_end = offset_of(state, CSV_OFFSET), xyz_end = offset_of(state, XYZ_OFFSET);
  OwnedFile csv = open(CSV), xyz;
  CsvLog::check_end(csv, csv_end);
  if (options.dump_all) {
    xyz = xyz_end < 0 ? own(options.prefix + XYZ) : open(XYZ);
    if (xyz_end >= 0)
      ExtxyzWriter::check_end(xyz, system, xyz_end);
  }
  clean_up(options, csv);
  files.csv_ = CsvLog::resume(std::move(csv), csv_end);
  if (options.dump_all)
    files.xyz_ = xyz_end < 0 ? ExtxyzWriter::create(std::move(xyz), system)
                             : ExtxyzWriter::resume(std::move(xyz), system, xyz_end);
  return files;
}

bool RunFiles::belongs_to(const SafeTensors &state, const std::string &prefix) {
  return state.has_metadata(PREFIX) && state.metadata(PREFIX) == prefix;
}

std::vector<std::string> RunFiles::existing(const std::string &prefix) {
  std::vector<std::string> found;
  for (const std::string &ending : endings(true))
    if (exists(prefix + ending))
      found.push_back(prefix + ending);
  for (const std::string &path : journals_of(prefix))
    found.push_back(path);
  return found;
}

std::optional<SafeTensors> RunFiles::read_checkpoint(const std::string &prefix) {
  return read_state(prefix + CHECKPOINT);
}

std::vector<std::string> RunFiles::names() const {
  std::vector<std::string> names;
  for (const std::string &ending : endings(options_.dump_all))
    names.push_back(options_.prefix + ending);
  names.push_back(journal_path(options_.prefix, 0));
  return names;
}

void RunFiles::record(Search &search) {
  const Record &record = search.archive().back();
  CsvLine line;
  line.candidate = static_cast<std::int64_t>(search.archive().size());
  line.evaluation = record.evaluation;
  line.stage = record.stage + 1;
  line.temperature = record.kT / options_.temperature_unit;
  line.energy = record.energy / options_.energy_unit;
  line.weight = record.weight;
  line.status = record.status;
  line.structure_class = record.structure_class;
  if (xyz_) {
    FrameInfo info;
    info.candidate = line.candidate;
    info.evaluation = line.evaluation;
    info.stage = line.stage;
    info.temperature = line.temperature;
    info.energy = line.energy;
    info.status = line.status;
    line.offset = xyz_->append(info, record.positions);
    xyz_->flush();
    search.set_last_offset(line.offset);
  }
  // The frame first: a line of the .csv file never points behind the end of the .xyz file.
  csv_->append(line);
  csv_->flush();
}

void RunFiles::write_best(const Search &search) const {
  std::vector<Positions> structures;
  for (const std::int64_t i : search.best_distinct(options_.best))
    structures.push_back(search.archive()[static_cast<std::size_t>(i)].positions);
  if (!structures.empty())
    write_best_dump(options_.prefix + BEST, system_, structures, options_.triclinic);
}

void RunFiles::write_checkpoint(const Search &search) {
  SafeTensors state = search.save();
  save(state);
  // A checkpoint on the disk must not name places that its files have not reached there.
  sync();
  state.write(options_.prefix + CHECKPOINT);
  in_checkpoint_ = search.archive().bytes();
}

bool RunFiles::update_checkpoint(const Search &search) {
  const std::int64_t bytes = search.archive().bytes();
  if (bytes > options_.small_archive && bytes < in_checkpoint_ + in_checkpoint_ / 8)
    return false;
  write_checkpoint(search);
  return true;
}

void RunFiles::save(SafeTensors &state) const {
  state.put_metadata(PREFIX, options_.prefix);
  state.put_metadata(CSV_OFFSET, std::to_string(csv_->offset()));
  state.put_metadata(ELAPSED, std::to_string(elapsed_));
  state.put_metadata(XYZ_OFFSET, std::to_string(xyz_ ? xyz_->offset() : NO_FILE));
}

void RunFiles::write_training(const SafeTensors &state) const {
  state.write(options_.prefix + TRAINING);
}

std::optional<SafeTensors> RunFiles::read_training() const {
  return read_state(options_.prefix + TRAINING);
}

void RunFiles::remove_training() const {
  remove_file(options_.prefix + TRAINING);
}

void RunFiles::remove_journals() const {
  for (const std::string &path : journals_of(options_.prefix))
    remove_file(path);
}

void RunFiles::sync() {
  csv_->sync();
  if (xyz_)
    xyz_->sync();
}

std::vector<double> template_positions(const SafeTensors &state) {
  const at::Tensor t = state.get("search.template_positions");
  if (t.scalar_type() != at::kDouble)
    throw Error("the saved run is damaged: its template is not of type float64");
  const double *x = t.const_data_ptr<double>();
  std::vector<double> positions(x, x + t.numel());
  check_places(positions, "the template");
  return positions;
}

}  // namespace godiff
