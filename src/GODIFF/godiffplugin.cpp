// SPDX-License-Identifier: GPL-2.0-only
// Entry point of the plugin: checks the version of LAMMPS and registers the styles.

#include "lammpsplugin.h"

#include "core/base/version.hpp"
#include "fix_godiff.h"
#include "pair_mace.h"
#include "pair_mace_styles.hpp"

#include "library.h"

#include <string>

using namespace LAMMPS_NS;

namespace {

void *create_fix_godiff(void *lmp, int narg, char **arg) {
  return new FixGODiff(static_cast<LAMMPS *>(lmp), narg, arg);
}

void *create_pair_mace(void *lmp) {
  return new PairMACE(static_cast<LAMMPS *>(lmp));
}

std::string version_text(int version) {
  static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const int month = version / 100 % 100;
  return std::to_string(version % 100) + " " +
         (month >= 1 && month <= 12 ? MONTHS[month - 1] : "?") + " " +
         std::to_string(version / 10000);
}

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  // The layout of LAMMPS' classes changes between versions, so a style built for another one would
  // read garbage. Only C functions of the host are called before the versions are known to agree.
  const int found = lammps_version(lmp);
  if (found != GODIFF_LAMMPS_VERSION) {
    const std::string text = "GODIFF plugin was built for LAMMPS " +
                             version_text(GODIFF_LAMMPS_VERSION) + " and is not loaded into " +
                             version_text(found) +
                             ": build it with -D GODIFF_LAMMPS_INCLUDE_DIR=... of this LAMMPS";
    constexpr int WARNING = 0;
    lammps_error(lmp, WARNING, text.c_str());
    return;
  }

  static const std::string version = version_text(GODIFF_LAMMPS_VERSION);
  static const std::string info = std::string("GODIFF structure search ") + godiff::version();

  const auto add = reinterpret_cast<lammpsplugin_regfunc>(regfunc);
  lammpsplugin_t plugin;
  plugin.version = version.c_str();
  plugin.author = "The GODIFF developers";
  plugin.handle = handle;

  plugin.style = "fix";
  plugin.info = info.c_str();
  const auto add_fix = [&](const char *name, lammpsplugin_factory2 *create) {
    plugin.name = name;
    plugin.creator.v2 = create;
    add(&plugin, lmp);
  };
  add_fix("godiff", &create_fix_godiff);

  static const std::string pair_info = std::string("MACE potentials ") + godiff::version();
  plugin.style = "pair";
  plugin.info = pair_info.c_str();
  const auto add_pair = [&](const char *name, lammpsplugin_factory1 *create) {
    plugin.name = name;
    plugin.creator.v1 = create;
    add(&plugin, lmp);
  };
  add_pair("mace", &create_pair_mace);
#ifdef LMP_KOKKOS
  add_pair("mace/kk", &GODiff::create_pair_mace_kk);
  add_pair("mace/kk/device", &GODiff::create_pair_mace_kk);
  add_pair("mace/kk/host", &GODiff::create_pair_mace_kk_host);
#endif
}
