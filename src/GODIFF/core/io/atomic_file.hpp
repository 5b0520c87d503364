// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace godiff {

/// Replaces the file `path` by one with these bytes, or leaves it as it was.
///
/// The bytes go to a new file in the same folder, to the disk (fsync) and then under the final name
/// (rename). Throws godiff::Error with the path and the system's reason (unwritable folder, full
/// disk, ...); no temporary file is left behind then.
void write_atomically(const std::string &path, std::string_view bytes);
/// The same for bytes that lie in several places.
void write_atomically(const std::string &path, const std::vector<std::string_view> &pieces);

/// Throws godiff::Error with the reason when no file with a name that begins with `prefix` can be
/// created and filled. Creates such a file and removes it again.
void check_writable(const std::string &prefix);

/// Removes the new files that a process killed inside of write_atomically(PREFIX + ending) or
/// check_writable(PREFIX) left behind. Nobody else may write the files of this prefix meanwhile.
void remove_temporaries(const std::string &prefix, const std::vector<std::string> &endings);

/// The whole content of the regular file `path`; throws godiff::Error with the system's reason.
std::string read_file(const std::string &path);

}  // namespace godiff
