// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/printable.hpp"

namespace godiff {

std::string printable(std::string text, std::size_t most) {
  if (text.size() > most)
    text.replace(most, std::string::npos, "...");
  for (char &c : text)
    if (c < ' ' || c > '~')  // of UTF-8 too: some of it turns the direction of the line around
      c = '?';
  return text;
}

}  // namespace godiff
