// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/archive_tensors.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <ATen/Functions.h>

#include "core/base/error.hpp"
#include "core/search/saved_numbers.hpp"

namespace godiff {

namespace {

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

}  // namespace

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
        i[3] >= classes || i[1] < LOADED_STAGE || i[1] > stage)
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

}  // namespace godiff
