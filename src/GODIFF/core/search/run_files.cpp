// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/run_files.hpp"

#include <charconv>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/base/printable.hpp"
#include "core/io/atomic_file.hpp"
#include "core/io/best_dump.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/saved_numbers.hpp"

namespace godiff {

namespace {

// Metadata of a saved run; the offsets are bytes.
constexpr const char *PREFIX = "files.prefix";
constexpr const char *CSV_OFFSET = "files.csv";
constexpr const char *XYZ_OFFSET = "files.xyz";
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

}  // namespace

RunFiles::RunFiles(const RunFileOptions &options, const System &system) :
    options_(options),
    system_(system) {}

RunFiles RunFiles::create(const RunFileOptions &options, const System &system) {
  check_writable(options.prefix);
  RunFiles files(options, system);
  files.csv_ = CsvLog::create(options.prefix + ".csv");
  if (options.dump_all)
    files.xyz_ = ExtxyzWriter::create(options.prefix + ".xyz", system);
  files.csv_->flush();
  return files;
}

RunFiles RunFiles::resume(const RunFileOptions &options, const System &system,
                          const SafeTensors &state) {
  if (!state.has_metadata(PREFIX) || state.metadata(PREFIX) != options.prefix)
    return create(options, system);
  // Both before any file is cut.
  const std::int64_t csv_end = offset_of(state, CSV_OFFSET), end = offset_of(state, XYZ_OFFSET);
  check_writable(options.prefix);
  RunFiles files(options, system);
  files.csv_ = CsvLog::resume(options.prefix + ".csv", csv_end);
  if (options.dump_all) {
    const std::string path = options.prefix + ".xyz";
    files.xyz_ = end == NO_FILE ? ExtxyzWriter::create(path, system)
                                : ExtxyzWriter::resume(path, system, end);
  }
  return files;
}

std::vector<std::string> RunFiles::existing(const std::string &prefix) {
  std::vector<std::string> found;
  for (const char *ending : {".csv", ".xyz", ".best", ".ckpt"})
    if (std::filesystem::exists(prefix + ending))
      found.push_back(prefix + ending);
  return found;
}

std::vector<std::string> RunFiles::names() const {
  std::vector<std::string> names{options_.prefix + ".csv"};
  if (options_.dump_all)
    names.push_back(options_.prefix + ".xyz");
  names.push_back(options_.prefix + ".best");
  names.push_back(options_.prefix + ".ckpt");
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
    write_best_dump(options_.prefix + ".best", system_, structures, options_.triclinic);
}

void RunFiles::write_checkpoint(const Search &search) {
  SafeTensors state = search.save();
  save(state);
  state.write(options_.prefix + ".ckpt");
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
  state.put_metadata(XYZ_OFFSET, std::to_string(xyz_ ? xyz_->offset() : NO_FILE));
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
