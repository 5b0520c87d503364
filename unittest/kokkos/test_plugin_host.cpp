// SPDX-License-Identifier: GPL-2.0-only
// The loader in a process that is a LAMMPS only as far as its C functions go, and answers what a test wants:
// for hosts that are not at hand, such as a LAMMPS without KOKKOS.
#include "library.h"

#include <dlfcn.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace {

std::set<std::string> words(const std::string &text) {
  std::set<std::string> found;
  for (std::size_t from = 0, to; (to = text.find(' ', from)) != std::string::npos; from = to + 1)
    found.insert(text.substr(from, to - from));
  return found;
}

// What the plugin was built for; a test changes a part of it.
struct Host {
  int version = GODIFF_LAMMPS_VERSION;
  int rank = 0;
  bool has_kokkos = true;
  std::set<std::string> precision = {GODIFF_KOKKOS_PRECISION};
  std::set<std::string> layout = {GODIFF_KOKKOS_LAYOUT};
  std::set<std::string> apis = words(GODIFF_KOKKOS_APIS);
  std::vector<std::pair<int, std::string>> errors;  // kind and text
  int registered = 0;
};

Host host;

void register_style(void *, void *) {
  ++host.registered;
}

// Loads the plugin as LAMMPS does; the lines it has written.
std::vector<std::pair<int, std::string>> load_into(const Host &wanted) {
  host = wanted;
  void *plugin = dlopen(GODIFF_PLUGIN, RTLD_NOW | RTLD_GLOBAL);
  if (!plugin) {
    ADD_FAILURE() << dlerror();
    return {};
  }
  using Init = void(void *, void *, void *);
  const auto init = reinterpret_cast<Init *>(dlsym(plugin, "lammpsplugin_init"));
  if (init)
    init(&host, plugin, reinterpret_cast<void *>(&register_style));
  else
    ADD_FAILURE() << dlerror();
  dlclose(plugin);
  return host.errors;
}

bool styles_are_open() {
  return dlopen(GODIFF_STYLES, RTLD_NOW | RTLD_NOLOAD) != nullptr;
}

// One line that has all of `parts`, and no style.
void expect_refused(const Host &wanted, const std::vector<std::string> &parts) {
  const auto errors = load_into(wanted);
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].first, 0) << "not a warning";
  for (const auto &part : parts)
    EXPECT_NE(errors[0].second.find(part), std::string::npos)
        << part << " is not in " << errors[0].second;
  EXPECT_EQ(errors[0].second.find('\n'), std::string::npos) << errors[0].second;
  EXPECT_EQ(host.registered, 0);
  EXPECT_FALSE(styles_are_open());
}

}  // namespace

#define GODIFF_OF_LAMMPS extern "C" __attribute__((visibility("default")))

GODIFF_OF_LAMMPS int lammps_version(void *) {
  return host.version;
}

GODIFF_OF_LAMMPS int lammps_extract_setting(void *, const char *keyword) {
  if (std::string(keyword) == "world_rank")
    return host.rank;
  return std::string(keyword) == "tagint" ? GODIFF_LAMMPS_ID_BYTES : -1;
}

GODIFF_OF_LAMMPS int lammps_config_has_package(const char *name) {
  return std::string(name) == "KOKKOS" && host.has_kokkos;
}

GODIFF_OF_LAMMPS int lammps_config_accelerator(const char *package, const char *category,
                                               const char *setting) {
  const std::string name = category;
  const auto &settings = name == "precision" ? host.precision
                         : name == "layout"  ? host.layout
                                             : host.apis;
  return std::string(package) == "KOKKOS" && settings.count(setting) != 0;
}

GODIFF_OF_LAMMPS void lammps_error(void *, int kind, const char *text) {
  host.errors.emplace_back(kind, text);
}

TEST(PluginHost, WithoutKokkosIsRefused) {
  Host wanted;
  wanted.has_kokkos = false;
  expect_refused(
      wanted, {"built for a LAMMPS with the KOKKOS package and is not loaded into one without it",
               "-D GODIFF_LAMMPS_BUILD_DIR="});
}

TEST(PluginHost, OfAnotherVersionIsRefused) {
  Host wanted;
  wanted.version = 20240829;
  expect_refused(wanted, {"is not loaded into 29 Aug 2024", "-D GODIFF_LAMMPS_BUILD_DIR="});
}

TEST(PluginHost, OfAnotherPrecisionIsRefused) {
  Host wanted;
  wanted.precision = {host.precision.count("mixed") ? "double" : "mixed"};
  expect_refused(wanted, {"built for KOKKOS with precision " GODIFF_KOKKOS_PRECISION
                          " and is not loaded into KOKKOS with precision " +
                          *wanted.precision.begin() + ":"});
}

TEST(PluginHost, OfAnotherViewLayoutIsRefused) {
  Host wanted;
  wanted.layout = {host.layout.count("legacy") ? "default" : "legacy"};
  expect_refused(wanted, {"built for KOKKOS with view layout " GODIFF_KOKKOS_LAYOUT,
                          " with view layout " + *wanted.layout.begin() + ":"});
}

// The headers of a Kokkos with a device name other types than those of one without.
TEST(PluginHost, WithAnotherDeviceIsRefused) {
  Host wanted;
  wanted.apis.insert("hip");
  expect_refused(wanted, {"built for KOKKOS with execution spaces ", "is not loaded into", " hip"});
}

// A LAMMPS that has only one layout has no name for it.
TEST(PluginHost, ThatKnowsNoLayoutsIsNotRefusedForThem) {
  Host wanted;
  wanted.layout.clear();
  expect_refused(wanted, {"cannot load its styles", "undefined symbol"});
}

// This process agrees in all it says, but it has no classes of LAMMPS and no Kokkos.
TEST(PluginHost, WithoutTheSymbolsIsRefused) {
  expect_refused(Host(), {"cannot load its styles", "godiff_styles.so", "undefined symbol",
                          "-D GODIFF_LAMMPS_BUILD_DIR=", "-D GODIFF_TORCH_DIR="});
}

// Rank 0, which has the styles, would wait for the other for ever.
TEST(PluginHost, EndsTheJobWhereAnotherRankHasNoStyles) {
  Host wanted;
  wanted.rank = 1;
  const auto errors = load_into(wanted);
  ASSERT_FALSE(errors.empty());
  constexpr int ONE = 1;
  EXPECT_EQ(errors[0].first, ONE);
  EXPECT_NE(errors[0].second.find("cannot load its styles"), std::string::npos) << errors[0].second;
  EXPECT_EQ(host.registered, 0);
}
