// SPDX-License-Identifier: GPL-2.0-only
// Entry point of the plugin: looks whether LAMMPS is the one it was built for and registers the
// styles.

#include "lammpsplugin.h"

#include "core/base/version.hpp"
#include "fix_godiff.h"
#include "pair_mace.h"
#include "plugin_host.hpp"

#include "library.h"

#include <string>

// Not LMP_KOKKOS, which says what LAMMPS has: a build for it may be without these styles.
#ifdef GODIFF_KOKKOS
#include "kokkos_styles.hpp"
#endif

using namespace LAMMPS_NS;

namespace {

void *create_fix_godiff(void *lmp, int narg, char **arg) {
  return new FixGODiff(static_cast<LAMMPS *>(lmp), narg, arg);
}

void *create_pair_mace(void *lmp) {
  return new PairMACE(static_cast<LAMMPS *>(lmp));
}

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  // Only C functions of LAMMPS are called before it is known to agree.
  const std::string problem = godiff::host_disagreement(lmp);
  if (!problem.empty()) {
    constexpr int WARNING = 0;
    lammps_error(lmp, WARNING, problem.c_str());
    return;
  }

  static const std::string version = godiff::version_text(GODIFF_LAMMPS_VERSION);
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
#ifdef GODIFF_KOKKOS
  add_fix("godiff/kk", &GODiff::create_fix_godiff_kk);
  add_fix("godiff/kk/device", &GODiff::create_fix_godiff_kk);
  add_fix("godiff/kk/host", &GODiff::create_fix_godiff_kk_host);
#endif

  static const std::string pair_info = std::string("MACE potentials ") + godiff::version();
  plugin.style = "pair";
  plugin.info = pair_info.c_str();
  const auto add_pair = [&](const char *name, lammpsplugin_factory1 *create) {
    plugin.name = name;
    plugin.creator.v1 = create;
    add(&plugin, lmp);
  };
  add_pair("mace", &create_pair_mace);
#ifdef GODIFF_KOKKOS
  add_pair("mace/kk", &GODiff::create_pair_mace_kk);
  add_pair("mace/kk/device", &GODiff::create_pair_mace_kk);
  add_pair("mace/kk/host", &GODiff::create_pair_mace_kk_host);
#endif
}
