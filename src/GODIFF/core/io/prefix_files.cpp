// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/prefix_files.hpp"

#include <memory>

#include <dirent.h>

namespace godiff {

std::vector<std::string> endings_of(const std::string &prefix) {
  const auto slash = prefix.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : prefix.substr(0, slash + 1);
  const std::string begin = slash == std::string::npos ? prefix : prefix.substr(slash + 1);
  std::vector<std::string> endings;
  const std::unique_ptr<DIR, int (*)(DIR *)> handle(opendir(folder.c_str()), closedir);
  while (handle) {
    const dirent *entry = readdir(handle.get());
    if (!entry)
      break;
    const std::string_view name = entry->d_name;
    if (name.substr(0, begin.size()) == begin)
      endings.emplace_back(name.substr(begin.size()));
  }
  return endings;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace godiff
