// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/csv.hpp"

#include "core/base/error.hpp"
#include "core/io/number_text.hpp"

namespace godiff {

namespace {

const std::string HEADER =
    "candidate,evaluation,stage,temperature,energy,weight,status,class,offset\n";
constexpr int TEMPERATURE_DIGITS = 10;

}  // namespace

CsvLog CsvLog::create(const std::string &path) {
  return create(OwnedFile::open(path, OwnedFile::Missing::CREATE, "create"));
}

CsvLog CsvLog::create(OwnedFile file) {
  CsvLog log(AppendFile::create(std::move(file)));
  log.file_.append(HEADER);
  log.file_.flush();
  return log;
}

CsvLog CsvLog::resume(const std::string &path, std::int64_t offset) {
  return resume(OwnedFile::open(path, OwnedFile::Missing::REFUSE, "continue"), offset);
}

CsvLog CsvLog::resume(OwnedFile file, std::int64_t offset) {
  check_end(file, offset);
  return CsvLog(AppendFile::resume(std::move(file), offset));
}

void CsvLog::check_end(const OwnedFile &file, std::int64_t offset) {
  std::string begin(HEADER.size(), '\0');
  file.read_at(0, &begin[0], begin.size());
  if (begin != HEADER || offset < static_cast<std::int64_t>(HEADER.size()))
    throw Error("cannot continue " + file.path() + ": its first line is not '" +
                HEADER.substr(0, HEADER.size() - 1) + "'");
  AppendFile::check_end(file, offset);
}

void CsvLog::append(const CsvLine &line) {
  const bool failed = line.status == Status::FAILED;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::string text;
  text += std::to_string(line.candidate) + ',';
  text += std::to_string(line.evaluation) + ',';
  text += std::to_string(line.stage) + ',';
  text += short_text(line.temperature, TEMPERATURE_DIGITS) + ',';
  text += exact_text(failed ? nan : line.energy) + ',';
  text += short_text(failed ? nan : line.weight) + ',';
  text += std::string(to_string(line.status)) + ',';
  text += std::to_string(failed ? -1 : line.structure_class) + ',';
  text += std::to_string(line.offset) + '\n';
  file_.append(text);
}

}  // namespace godiff
