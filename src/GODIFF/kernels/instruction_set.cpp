// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/instruction_set.hpp"

#include <cstdlib>
#include <cstring>

namespace godiff {
namespace kernels {

const RowKernels<float> &portable_kernels(float);
const RowKernels<double> &portable_kernels(double);
#ifdef GODIFF_X86_KERNELS
const RowKernels<float> &avx2_kernels(float);
const RowKernels<double> &avx2_kernels(double);
const RowKernels<float> &avx512_kernels(float);
const RowKernels<double> &avx512_kernels(double);
#endif

namespace {

InstructionSet choose() {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  const char *wanted = std::getenv("GODIFF_INSTRUCTION_SET");
  for (InstructionSet set : usable)
    if (wanted && std::strcmp(wanted, name(set)) == 0)
      return set;
  return usable.back();
}

}  // namespace

std::vector<InstructionSet> usable_instruction_sets() {
  std::vector<InstructionSet> sets{InstructionSet::PORTABLE};
#ifdef GODIFF_X86_KERNELS
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    sets.push_back(InstructionSet::AVX2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    sets.push_back(InstructionSet::AVX512);
#endif
  return sets;
}

const char *name(InstructionSet set) {
  switch (set) {
    case InstructionSet::AVX512:
      return "avx512";
    case InstructionSet::AVX2:
      return "avx2";
    default:
      return "portable";
  }
}

InstructionSet active_instruction_set() {
  static const InstructionSet set = choose();
  return set;
}

template <class T> const RowKernels<T> &row_kernels(InstructionSet set) {
#ifdef GODIFF_X86_KERNELS
  if (set == InstructionSet::AVX512)
    return avx512_kernels(T());
  if (set == InstructionSet::AVX2)
    return avx2_kernels(T());
#endif
  static_cast<void>(set);
  return portable_kernels(T());
}

template <class T> const RowKernels<T> &row_kernels() {
  return row_kernels<T>(active_instruction_set());
}

template const RowKernels<float> &row_kernels(InstructionSet);
template const RowKernels<double> &row_kernels(InstructionSet);
template const RowKernels<float> &row_kernels();
template const RowKernels<double> &row_kernels();

}  // namespace kernels
}  // namespace godiff
