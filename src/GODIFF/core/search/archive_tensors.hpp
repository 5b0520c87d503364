// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

#include "core/io/safetensors.hpp"
#include "core/search/archive.hpp"

namespace godiff {

/// Adds the records of an archive to a file as tensors archive.*; n_force is the number of force
/// components that are kept of each, 0 for none.
void put_archive(SafeTensors &file, const Archive &archive, std::int64_t n_mobile,
                 std::int64_t n_force);

/// The archive that put_archive() has written, of a search with so many structure classes that is at
/// stage `stage`. Throws godiff::Error for anything that such a search cannot have.
Archive get_archive(const SafeTensors &file, std::int64_t n_mobile, std::int64_t n_force,
                    int classes, int stage);

}  // namespace godiff
