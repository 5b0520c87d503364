// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/extxyz.hpp"

#include <limits>
#include <utility>

#include "core/base/elements.hpp"
#include "core/io/atom_table.hpp"
#include "core/io/number_text.hpp"

namespace godiff {

namespace {

constexpr int POSITION_DECIMALS = 10;
constexpr int TEMPERATURE_DIGITS = 10;

std::string vector_text(const Vec3 &v) {
  return exact_text(v[0]) + ' ' + exact_text(v[1]) + ' ' + exact_text(v[2]);
}

}  // namespace

ExtxyzWriter::ExtxyzWriter(AppendFile file, const System &system) :
    file_(std::move(file)),
    system_(system),
    order_(order_by_id(system)) {
  const auto &rows = system.cell.rows();
  head_ = std::to_string(system.n_atoms()) + "\nLattice=\"" + vector_text(rows[0]) + ' ' +
          vector_text(rows[1]) + ' ' + vector_text(rows[2]) + "\" Origin=\"" +
          vector_text(system.origin) + "\" Properties=species:S:1:pos:R:3:id:I:1:mobile:I:1";
  for (int k = 0; k < 3; ++k)
    pbc_ += std::string(k ? " " : "") + (system.cell.periodic(k) ? 'T' : 'F');
}

ExtxyzWriter ExtxyzWriter::create(const std::string &path, const System &system) {
  return ExtxyzWriter(AppendFile::create(path), system);
}

ExtxyzWriter ExtxyzWriter::resume(const std::string &path, const System &system,
                                  std::int64_t offset) {
  return ExtxyzWriter(AppendFile::resume(path, offset), system);
}

std::int64_t ExtxyzWriter::append(const FrameInfo &info, const Positions &mobile) {
  check_size(system_, mobile);
  const bool failed = info.status == Status::FAILED;
  std::string text = head_;
  text += " candidate=" + std::to_string(info.candidate);
  text += " evaluation=" + std::to_string(info.evaluation);
  text += " stage=" + std::to_string(info.stage);
  text += " temperature=" + short_text(info.temperature, TEMPERATURE_DIGITS);
  text += " energy=" + exact_text(failed ? std::numeric_limits<double>::quiet_NaN() : info.energy);
  text += std::string(" status=") + to_string(info.status) + " pbc=\"" + pbc_ + "\"\n";
  for (const std::int64_t i : order_) {
    const Vec3 r = absolute_position(system_, mobile, i);
    text += symbol(system_.atomic_numbers[i]);
    for (const double x : r)
      text += ' ' + fixed_text(x, POSITION_DECIMALS);
    text += ' ' + std::to_string(system_.ids[i]) + (i < system_.n_template ? " 0\n" : " 1\n");
  }
  return file_.append(text);
}

}  // namespace godiff
