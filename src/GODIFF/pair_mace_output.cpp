// SPDX-License-Identifier: GPL-2.0-only
// What pair style mace says: the model, the mode, sizes, times.
#include <algorithm>

#include "atom.h"
#include "comm.h"
#include "neighbor.h"

#include "core/base/elements.hpp"
#include "pair_mace_impl.hpp"

using namespace LAMMPS_NS;
using GODiff::MaceMode;

void PairMACE::print_model(const char *file) {
  if (comm->me != 0)
    return;
  const godiff::MaceInfo &info = impl->model->info();
  std::string types, heads;
  for (int type = 1; type <= atom->ntypes; ++type)
    types += fmt::format(" {}={}", type,
                         impl->species[type] < 0
                             ? "NULL"
                             : godiff::symbol(info.atomic_numbers[impl->species[type]]));
  for (std::size_t k = 0; k < info.heads.size(); ++k)
    heads += fmt::format(" {}{}", info.heads[k], static_cast<int>(k) == info.head ? " (used)" : "");
  utils::logmesg(lmp,
                 "MACE model {}: {}, {} parameters\n"
                 "  {} layers, cutoff {:.6g} Angstrom{}, {} precision on {}, {} thread{} a rank\n"
                 "  atom types:{}; heads:{}\n",
                 file, info.kind, info.parameters, info.layers, info.r_max,
                 info.pair_repulsion ? ", ZBL repulsion included" : "",
                 info.single_precision ? "single" : "double", info.device, impl->threads,
                 impl->threads == 1 ? "" : "s", types, heads);
  if (!info.single_precision)
    utils::logmesg(lmp, "  precision single would be faster, with forces right to about 1e-4 "
                        "eV/Angstrom\n");
}

void PairMACE::print_mode() {
  const godiff::MaceInfo &info = impl->model->info();
  const std::string &why_not = impl->why_not_by_layers;
  std::string why = "as asked";
  if (impl->settings.mode == MaceMode::AUTO)
    why = impl->mode == MaceMode::IMAGE     ? "one rank"
          : impl->mode == MaceMode::MESSAGE ? fmt::format("{} ranks", comm->nprocs)
                                            : "mode message is not possible: " + why_not;
  const double depth = impl->mode == MaceMode::GHOST ? info.layers * info.r_max : info.r_max;
  std::string text = fmt::format(
      "MACE mode {} ({}): ghost atoms to {:.4g} Angstrom, neighbors to {:.4g}\n",
      GODiff::mode_name(impl->mode), why, std::max(depth + neighbor->skin, comm->cutghostuser),
      info.r_max + neighbor->skin);
  // Said once, not at each of many short runs.
  impl->announce = text != impl->printed_mode;
  if (impl->announce && comm->me == 0)
    utils::logmesg(lmp, text);
  impl->printed_mode = text;
}

void PairMACE::print_sizes(bigint nodes, bigint edges) {
  const bigint mine[2] = {nodes, edges};
  bigint sum[2], most[2];
  MPI_Reduce(mine, sum, 2, MPI_LMP_BIGINT, MPI_SUM, 0, world);
  MPI_Reduce(mine, most, 2, MPI_LMP_BIGINT, MPI_MAX, 0, world);
  if (comm->me != 0)
    return;
  std::string text = fmt::format("MACE graph: {} nodes, {} edges", sum[0], sum[1]);
  if (comm->nprocs > 1)
    text += fmt::format(" on {} ranks, at most {} nodes, {} edges on one", comm->nprocs, most[0],
                        most[1]);
  utils::logmesg(lmp, text + "\n");
}

void PairMACE::finish() {
  if (!impl->settings.timing || impl->calls == 0)
    return;
  std::array<double, Impl::NTIMES> sum{}, most{};
  MPI_Reduce(impl->times.data(), sum.data(), Impl::NTIMES, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(impl->times.data(), most.data(), Impl::NTIMES, MPI_DOUBLE, MPI_MAX, 0, world);
  if (comm->me != 0)
    return;
  static const char *const NAMES[] = {"graph", "forward", "backward", "scatter", "communication"};
  std::string text =
      fmt::format("MACE timing of {} calls: seconds of a rank, average and most\n", impl->calls);
  double total = 0.0;
  for (const double seconds : sum)
    total += seconds;
  for (int k = 0; k < Impl::NTIMES; ++k)
    text += fmt::format("  {:<14}{:>10.4g} {:>10.4g} {:>5.1f}%\n", NAMES[k], sum[k] / comm->nprocs,
                        most[k], total > 0.0 ? 100.0 * sum[k] / total : 0.0);
  const double calls = static_cast<double>(impl->calls);
  if (atom->natoms > 0)
    text += fmt::format("  {:.4g} us per atom and call\n",
                        1e6 * total / comm->nprocs / calls / static_cast<double>(atom->natoms));
  utils::logmesg(lmp, text);
}

double PairMACE::memory_usage() {
  const godiff::MaceResult &result = impl->result;
  const std::size_t doubles = result.energies.capacity() + result.node_energies.capacity() +
                              result.edge_gradients.capacity();
  return Pair::memory_usage() + impl->domain.memory() + impl->rows.memory() +
         static_cast<double>(impl->owners.capacity() * sizeof(int) + doubles * sizeof(double));
}
