// SPDX-License-Identifier: GPL-2.0-only
// Entry point of the plugin for a LAMMPS with KOKKOS. Styles of KOKKOS take symbols of Kokkos from the
// process, and a LAMMPS without them could not open their file: this one, which needs neither Kokkos nor
// LibTorch, looks at LAMMPS first and then opens godiff_styles.so, which lies beside it.

#include "lammpsplugin.h"

#include "plugin_host.hpp"

#include "library.h"

#include <dlfcn.h>

#include <string>

namespace {

// Its address tells the file this code is in. A function would not do: another plugin, loaded before with
// its symbols made global, has one of the same name.
const char in_this_file = 0;

std::string styles_file() {
  Dl_info info;
  const std::string file = dladdr(&in_this_file, &info) && info.dli_fname ? info.dli_fname : "";
  const auto slash = file.rfind('/');
  return (slash == std::string::npos ? "./" : file.substr(0, slash + 1)) + "godiff_styles.so";
}

void warn(void *lmp, const std::string &text) {
  constexpr int WARNING = 0;
  lammps_error(lmp, WARNING, text.c_str());
}

}  // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc) {
  const std::string problem = godiff::host_disagreement(lmp);
  if (!problem.empty()) {
    warn(lmp, problem);
    return;
  }

  // As LAMMPS itself opens plugins.
  dlerror();
  void *styles = dlopen(styles_file().c_str(), RTLD_NOW | RTLD_GLOBAL);
  void *init = styles ? dlsym(styles, "lammpsplugin_init") : nullptr;
  if (!init) {
    const char *why = dlerror();
    const std::string text =
        std::string("GODIFF plugin cannot load its styles: ") +
        (why ? why : styles_file().c_str()) +
        ": keep godiff_styles.so beside godiffplugin.so, and build both with -D "
        "GODIFF_LAMMPS_BUILD_DIR=... of this LAMMPS and -D GODIFF_TORCH_DIR=... of this LibTorch";
    // Without this the other ranks would wait for one that does not know the styles.
    if (lammps_extract_setting(lmp, "world_rank") > 0) {
      constexpr int ONE = 1;
      lammps_error(lmp, ONE, text.c_str());
    }
    warn(lmp, text);
    return;
  }
  reinterpret_cast<decltype(&lammpsplugin_init)>(init)(lmp, handle, regfunc);
}
