// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/extxyz.hpp"

#include <cstdint>
#include <limits>
#include <utility>

#include "core/base/elements.hpp"
#include "core/base/error.hpp"
#include "core/io/number_text.hpp"

namespace godiff {

namespace {

constexpr int POSITION_DECIMALS = 10;
constexpr int TEMPERATURE_DIGITS = 10;

AtomTable::Line line_of(const System &system) {
  return [numbers = system.atomic_numbers, ids = system.ids,
          n_template = system.n_template](std::string &text, std::int64_t i, const Vec3 &r) {
    text += symbol(numbers[i]);
    for (const double x : r)
      (text += ' ') += fixed_text(x, POSITION_DECIMALS);
    (text += ' ') += std::to_string(ids[i]);
    text += i < n_template ? " 0\n" : " 1\n";
  };
}

std::string vector_text(const Vec3 &v) {
  return exact_text(v[0]) + ' ' + exact_text(v[1]) + ' ' + exact_text(v[2]);
}

// How every frame begins.
std::string begin_of(const System &system) {
  const auto &rows = system.cell.rows();
  return std::to_string(system.n_atoms()) + "\nLattice=\"" + vector_text(rows[0]) + ' ' +
         vector_text(rows[1]) + ' ' + vector_text(rows[2]) + '"';
}

}  // namespace

ExtxyzWriter::ExtxyzWriter(AppendFile file, const System &system) :
    file_(std::move(file)),
    atoms_(system, line_of(system)) {
  head_ = begin_of(system) + " Origin=\"" + vector_text(system.origin) +
          "\" Properties=species:S:1:pos:R:3:id:I:1:mobile:I:1";
  for (int k = 0; k < 3; ++k)
    pbc_ += std::string(k ? " " : "") + (system.cell.periodic(k) ? 'T' : 'F');
}

ExtxyzWriter ExtxyzWriter::create(const std::string &path, const System &system) {
  return ExtxyzWriter(AppendFile::create(path), system);
}

ExtxyzWriter ExtxyzWriter::resume(const std::string &path, const System &system,
                                  std::int64_t offset) {
  return resume(OwnedFile::open(path, OwnedFile::Missing::REFUSE, "continue"), system, offset);
}

ExtxyzWriter ExtxyzWriter::create(OwnedFile file, const System &system) {
  return ExtxyzWriter(AppendFile::create(std::move(file)), system);
}

ExtxyzWriter ExtxyzWriter::resume(OwnedFile file, const System &system, std::int64_t offset) {
  check_end(file, system, offset);
  return ExtxyzWriter(AppendFile::resume(std::move(file), offset), system);
}

void ExtxyzWriter::check_end(const OwnedFile &file, const System &system, std::int64_t offset) {
  const std::string expected = begin_of(system);
  std::string begin(expected.size(), '\0');
  // Before the first frame the file is empty, or ends within a frame that came after the checkpoint.
  begin.resize(file.read_at(0, &begin[0], begin.size()));
  if (begin != expected.substr(0, begin.size()))
    throw Error("cannot continue " + file.path() + ": it does not begin with a frame of " +
                std::to_string(system.n_atoms()) +
                " atoms in this cell; put the file that belongs to the checkpoint back");
  AppendFile::check_end(file, offset);
}

std::int64_t ExtxyzWriter::append(const FrameInfo &info, const Positions &mobile) {
  const bool failed = info.status == Status::FAILED;
  frame_ = head_;
  frame_ += " candidate=" + std::to_string(info.candidate);
  frame_ += " evaluation=" + std::to_string(info.evaluation);
  frame_ += " stage=" + std::to_string(info.stage);
  frame_ += " temperature=" + short_text(info.temperature, TEMPERATURE_DIGITS);
  frame_ +=
      " energy=" + exact_text(failed ? std::numeric_limits<double>::quiet_NaN() : info.energy);
  frame_ += std::string(" status=") + to_string(info.status) + " pbc=\"" + pbc_ + "\"\n";
  atoms_.append(frame_, mobile);
  return file_.append(frame_);
}

}  // namespace godiff
