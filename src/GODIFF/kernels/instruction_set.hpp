// SPDX-License-Identifier: GPL-2.0-only
// Which build of the row kernels runs on this machine.
#pragma once

#include <vector>

#include "kernels/row_kernels.hpp"

namespace godiff {
namespace kernels {

/// Those that this machine runs, slowest first; PORTABLE is always there.
std::vector<InstructionSet> usable_instruction_sets();

/// "portable", "avx2" or "avx512".
const char *name(InstructionSet set);

/// The best usable instruction set, or the usable one that the environment variable
/// GODIFF_INSTRUCTION_SET names. Looked up once.
InstructionSet active_instruction_set();

/// The kernels of one instruction set, T = float or double; it must be usable.
template <class T> const RowKernels<T> &row_kernels(InstructionSet set);

/// The kernels of the active instruction set.
template <class T> const RowKernels<T> &row_kernels();

}  // namespace kernels
}  // namespace godiff
