// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/graph_builder.hpp"

#include "kernels/implementation.hpp"

namespace godiff {

std::unique_ptr<GraphBuilder> GraphBuilder::make(const System &system, std::int64_t n_structures,
                                                 int max_hops, const at::TensorOptions &options) {
#ifdef GODIFF_KOKKOS
  if (kernels::implementation(options.device()) == kernels::Implementation::KOKKOS)
    return kokkos::make_graph_builder(system, n_structures, max_hops, options);
#else
  static_cast<void>(system);
  static_cast<void>(n_structures);
  static_cast<void>(max_hops);
  static_cast<void>(options);
#endif
  return nullptr;
}

}  // namespace godiff
