// SPDX-License-Identifier: GPL-2.0-only
// The layout of LAMMPS' classes depends on its version and on how it was compiled: a style built for another
// one would read garbage, and one that needs KOKKOS could not be loaded at all.

#include "plugin_host.hpp"

#include "library.h"

#include <initializer_list>

namespace godiff {

namespace {

#ifdef GODIFF_KOKKOS
const char *const OPTION = "GODIFF_LAMMPS_BUILD_DIR";
#else
const char *const OPTION = "GODIFF_LAMMPS_INCLUDE_DIR";
#endif

std::string refusal(const std::string &built_for, const std::string &found) {
  return "GODIFF plugin was built for " + built_for + " and is not loaded into " + found +
         ": build it with -D " + OPTION + "=... of this LAMMPS";
}

std::string ids_text(int bytes) {
  return "atom IDs of " + std::to_string(bytes) + " bytes (LAMMPS_" +
         (bytes == 8 ? "BIGBIG" : "SMALLBIG") + ")";
}

#ifdef GODIFF_KOKKOS
// Those of `settings` that KOKKOS of the host says it has, each followed by a space.
std::string kokkos_settings(const char *category, std::initializer_list<const char *> settings) {
  std::string found;
  for (const char *setting : settings)
    if (lammps_config_accelerator("KOKKOS", category, setting))
      found += std::string(setting) + " ";
  return found;
}

std::string kokkos_disagreement() {
  if (!lammps_config_has_package("KOKKOS"))
    return refusal("a LAMMPS with the KOKKOS package", "one without it");
  const struct {
    const char *name;
    std::string expected, found;
  } traits[] = {
      {"precision", GODIFF_KOKKOS_PRECISION " ",
       kokkos_settings("precision", {"double", "mixed", "single"})},
      {"view layout", GODIFF_KOKKOS_LAYOUT " ", kokkos_settings("layout", {"legacy", "default"})},
      {"execution spaces", GODIFF_KOKKOS_APIS,
       kokkos_settings("api", {"cuda", "hip", "sycl", "openmp", "serial", "pthreads"})},
  };
  for (const auto &trait : traits) {
    // A LAMMPS that knows no such category has no choice in it.
    if (trait.found.empty() || trait.found == trait.expected)
      continue;
    const auto text = [&](const std::string &settings) {
      return std::string("KOKKOS with ") + trait.name + " " +
             settings.substr(0, settings.size() - 1);
    };
    return refusal(text(trait.expected), text(trait.found));
  }
  return "";
}
#endif

}  // namespace

std::string version_text(int version) {
  static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const int month = version / 100 % 100;
  return std::to_string(version % 100) + " " +
         (month >= 1 && month <= 12 ? MONTHS[month - 1] : "?") + " " +
         std::to_string(version / 10000);
}

std::string host_disagreement(void *lmp) {
  const int version = lammps_version(lmp);
  if (version != GODIFF_LAMMPS_VERSION)
    return refusal("LAMMPS " + version_text(GODIFF_LAMMPS_VERSION), version_text(version));
  const int bytes = lammps_extract_setting(lmp, "tagint");
  if (bytes != GODIFF_LAMMPS_ID_BYTES)
    return refusal("a LAMMPS with " + ids_text(GODIFF_LAMMPS_ID_BYTES),
                   "one with " + ids_text(bytes));
#ifdef GODIFF_KOKKOS
  return kokkos_disagreement();
#else
  return "";
#endif
}

}  // namespace godiff
