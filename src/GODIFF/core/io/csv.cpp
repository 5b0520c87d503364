// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/csv.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/base/error.hpp"
#include "core/io/number_text.hpp"

namespace godiff {

namespace {

const std::string HEADER =
    "candidate,evaluation,stage,temperature,energy,weight,status,class,offset\n";
constexpr int TEMPERATURE_DIGITS = 10;

}  // namespace

CsvLog CsvLog::create(const std::string &path) {
  AppendFile file = AppendFile::create(path);
  file.append(HEADER);
  file.flush();
  return CsvLog(std::move(file));
}

CsvLog CsvLog::resume(const std::string &path, std::int64_t offset) {
  // Before the file is cut: it might be somebody else's.
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw Error("cannot continue " + path + ": " + std::strerror(errno));
  std::string begin(HEADER.size(), '\0');
  file.read(&begin[0], static_cast<std::streamsize>(begin.size()));
  if (!file || begin != HEADER || offset < static_cast<std::int64_t>(HEADER.size()))
    throw Error("cannot continue " + path + ": its first line is not '" +
                HEADER.substr(0, HEADER.size() - 1) + "'");
  return CsvLog(AppendFile::resume(path, offset));
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
