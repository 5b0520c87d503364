// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/best_dump.hpp"

#include <algorithm>
#include <cstdint>

#include "core/base/error.hpp"
#include "core/io/atom_table.hpp"
#include "core/io/atomic_file.hpp"
#include "core/io/number_text.hpp"

namespace godiff {

namespace {

constexpr int POSITION_DECIMALS = 12;

// The "ITEM: BOX BOUNDS" block. For a triclinic box LAMMPS writes the bounds of the orthogonal box
// around it and the tilts; reading takes the same sums off again (LAMMPS manual, Howto_triclinic).
std::string box_text(const System &system, bool triclinic) {
  const auto &rows = system.cell.rows();
  if (rows[0][1] != 0.0 || rows[0][2] != 0.0 || rows[1][2] != 0.0)
    throw Error("a LAMMPS dump needs a cell with its vector a along x and b in the xy plane");
  const double xy = rows[1][0], xz = rows[2][0], yz = rows[2][1];
  triclinic = triclinic || xy != 0.0 || xz != 0.0 || yz != 0.0;

  double lo[3], hi[3];
  for (int k = 0; k < 3; ++k) {
    lo[k] = system.origin[k];
    hi[k] = system.origin[k] + rows[k][k];
  }
  lo[0] += std::min({0.0, xy, xz, xy + xz});
  hi[0] += std::max({0.0, xy, xz, xy + xz});
  lo[1] += std::min(0.0, yz);
  hi[1] += std::max(0.0, yz);

  std::string text = triclinic ? "ITEM: BOX BOUNDS xy xz yz" : "ITEM: BOX BOUNDS";
  for (int k = 0; k < 3; ++k)
    text += system.cell.periodic(k) ? " pp" : " ff";
  const double tilts[3] = {xy, xz, yz};
  for (int k = 0; k < 3; ++k) {
    text += '\n' + exact_text(lo[k]) + ' ' + exact_text(hi[k]);
    if (triclinic)
      text += ' ' + exact_text(tilts[k]);
  }
  return text + '\n';
}

}  // namespace

std::string best_dump_text(const System &system, const std::vector<Positions> &structures,
                           bool triclinic) {
  const std::string box = box_text(system, triclinic);
  const AtomTable atoms(system, [&](std::string &text, std::int64_t i, const Vec3 &r) {
    text += std::to_string(system.ids[i]) + ' ' + std::to_string(system.types[i]);
    for (const double x : r)
      (text += ' ') += fixed_text(x, POSITION_DECIMALS);
    text += '\n';
  });
  std::string text;
  int rank = 0;
  for (const Positions &mobile : structures) {
    text += "ITEM: TIMESTEP\n" + std::to_string(++rank);
    text += "\nITEM: NUMBER OF ATOMS\n" + std::to_string(system.n_atoms()) + '\n' + box;
    text += "ITEM: ATOMS id type xu yu zu\n";
    atoms.append(text, mobile);
  }
  return text;
}

void write_best_dump(const std::string &path, const System &system,
                     const std::vector<Positions> &structures, bool triclinic) {
  write_atomically(path, best_dump_text(system, structures, triclinic));
}

}  // namespace godiff
