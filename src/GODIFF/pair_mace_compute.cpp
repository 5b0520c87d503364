// SPDX-License-Identifier: GPL-2.0-only
// One step of pair style mace: graph, model, sums over edges.
#include <cmath>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "update.h"

#include "godiff_glue.hpp"
#include "pair_mace_impl.hpp"

using namespace LAMMPS_NS;
using GODiff::MaceCheck;
using GODiff::MaceMode;

void PairMACE::compute(int eflag, int vflag) {
  ev_init(eflag, vflag);
  const double begin = platform::walltime();
  build_graph();
  if (impl->announce)
    print_sizes();
  impl->announce = false;
  const double built = platform::walltime();
  evaluate();
  const double evaluated = platform::walltime();
  if (impl->settings.check != MaceCheck::OFF)
    check_numbers();
  tally();
  const double tallied = platform::walltime();

  impl->times[Impl::GRAPH] += built - begin;
  impl->times[Impl::SCATTER] += tallied - evaluated;
  impl->calls++;
}

// How messages call an atom: by its ID, or by its place where atoms have none.
std::string PairMACE::name_of(int i) const {
  if (atom->tag_enable)
    return std::to_string(atom->tag[i]);
  const double *const x = atom->x[i];
  return fmt::format("at ({:.6g}, {:.6g}, {:.6g})", x[0], x[1], x[2]);
}

void PairMACE::build_graph() {
  const int n_atoms = atom->nlocal + atom->nghost;
  godiff::MaceNeighbours neighbours;
  if (impl->mode == MaceMode::IMAGE) {
    // Ghosts change owners only when they are made anew.
    if (neighbor->ago == 0 || impl->owners_build != neighbor->ncalls ||
        static_cast<int>(impl->owners.size()) != n_atoms)
      impl->rows.find_owners(atom->nlocal, n_atoms, impl->owners);
    impl->owners_build = neighbor->ncalls;
    neighbours.owners = impl->owners.data();
  }
  neighbours.n_atoms = n_atoms;
  neighbours.n_owned = list->inum;
  neighbours.owned = list->ilist;
  neighbours.counts = list->numneigh;
  neighbours.lists = list->firstneigh;
  neighbours.mask = NEIGHMASK;
  neighbours.positions = atom->x;
  neighbours.types = atom->type;
  neighbours.species = impl->species.data();

  const godiff::MaceInfo &info = impl->model->info();
  const int layers = impl->mode == MaceMode::GHOST ? info.layers : 1;
  if (const auto contact = impl->domain.build(neighbours, info.r_max, layers))
    error->one(FLERR,
               "Pair style mace: step {}, rank {}: atoms {} and {} are only {:.3g} Angstrom "
               "apart: delete one of them (delete_atoms overlap) or begin with another structure",
               update->ntimestep, comm->me, name_of(contact->first), name_of(contact->second),
               contact->distance);
  impl->rows.set_domain(impl->domain, n_atoms);
}

void PairMACE::evaluate() {
  const godiff::MaceGraph &graph = impl->domain.graph();
  const godiff::MaceTimes before = impl->model->times();
  const double travelled = impl->rows.seconds();
  std::string problem;
  const char *remedy = "";
  try {
    const GODiff::ThreadScope scope(impl->threads);
    if (impl->mode == MaceMode::MESSAGE)
      impl->model->evaluate_layers(graph, impl->domain.n_owned(), true, impl->rows, impl->result);
    else
      impl->model->evaluate(graph, true, impl->result);
  } catch (const godiff::MaceOutOfMemory &) {
    problem = GODiff::caught_message();
    remedy = impl->mode == MaceMode::GHOST
                 ? ": use more ranks, mode message or precision single"
                 : ": use more ranks, each with fewer atoms, or precision single";
  } catch (...) {
    problem = GODiff::caught_message();
  }
  if (!problem.empty())
    error->one(FLERR, "Pair style mace: step {}, rank {}, {} nodes, {} edges: {}{}",
               update->ntimestep, comm->me, graph.n_nodes(), graph.n_edges(), problem, remedy);

  const godiff::MaceTimes after = impl->model->times();
  impl->times[Impl::FORWARD] += after.forward - before.forward;
  impl->times[Impl::BACKWARD] += after.backward - before.backward;
  impl->times[Impl::COMMUNICATION] += impl->rows.seconds() - travelled;
}

namespace {

// The virial has no antisymmetric part: turning all edges together changes no energy. This relates the
// gradients of all ranks, so that wrong ones are seen.
void check_torque(LAMMPS *lmp, const godiff::MaceGraph &graph, const godiff::MaceResult &result,
                  bool single_precision) {
  double mine[4] = {0.0, 0.0, 0.0, 0.0}, all[4];
  const double *const v = graph.vectors.data(), *const g = result.edge_gradients.data();
  for (std::int64_t e = 0; e < 3 * graph.n_edges(); e += 3) {
    mine[0] += v[e] * g[e + 1] - v[e + 1] * g[e];
    mine[1] += v[e] * g[e + 2] - v[e + 2] * g[e];
    mine[2] += v[e + 1] * g[e + 2] - v[e + 2] * g[e + 1];
    mine[3] += std::hypot(v[e], v[e + 1], v[e + 2]) * std::hypot(g[e], g[e + 1], g[e + 2]);
  }
  MPI_Allreduce(mine, all, 4, MPI_DOUBLE, MPI_SUM, lmp->world);
  // Thousands of roundings of the model, in its precision.
  const double rounding = single_precision ? 1e-3 : 1e-9;
  const double torque = std::hypot(all[0], all[1], all[2]);
  if (torque > rounding * all[3])
    lmp->error->all(FLERR,
                    "Pair style mace: step {}: turning all atoms would change the energy by {:.3g} "
                    "eV per radian: the model is not invariant, or the ranks do not agree on its "
                    "features",
                    lmp->update->ntimestep, torque);
}

}  // namespace

void PairMACE::check_numbers() {
  const godiff::MaceGraph &graph = impl->domain.graph();
  const godiff::MaceResult &result = impl->result;
  const auto fail = [&](const char *what, std::int64_t node) {
    error->one(FLERR, "Pair style mace: step {}, rank {}: the {} of atom {} is not a finite number",
               update->ntimestep, comm->me, what, name_of(impl->domain.atom_of_node()[node]));
  };
  for (std::int64_t node = 0; node < impl->domain.n_owned(); ++node)
    if (!std::isfinite(result.node_energies[node]))
      fail("energy", node);
  for (std::int64_t k = 0; k < 3 * graph.n_edges(); ++k)
    if (!std::isfinite(result.edge_gradients[k]))
      fail("force", graph.receivers[k / 3]);
  if (impl->settings.check == MaceCheck::FULL)
    check_torque(lmp, graph, result, impl->model->info().single_precision);
}

void PairMACE::tally() {
  const godiff::MaceGraph &graph = impl->domain.graph();
  const std::vector<int> &atoms = impl->domain.atom_of_node();
  const double unit = impl->energy;
  double **const f = atom->f;

  if (eflag_global)
    for (std::int64_t node = 0; node < impl->domain.n_owned(); ++node)
      eng_vdwl += unit * impl->result.node_energies[node];
  if (eflag_atom)
    for (std::int64_t node = 0; node < impl->domain.n_owned(); ++node)
      eatom[atoms[node]] += unit * impl->result.node_energies[node];

  const double *v = graph.vectors.data(), *g = impl->result.edge_gradients.data();
  for (std::int64_t e = 0; e < graph.n_edges(); ++e, v += 3, g += 3) {
    const int r = atoms[graph.receivers[e]], s = atoms[graph.senders[e]];
    const double push[3] = {-unit * g[0], -unit * g[1], -unit * g[2]};  // on the receiver
    for (int k = 0; k < 3; ++k) {
      f[r][k] += push[k];
      f[s][k] -= push[k];
    }
    if (!vflag_either)
      continue;
    const double w[6] = {v[0] * push[0],
                         v[1] * push[1],
                         v[2] * push[2],
                         0.5 * (v[0] * push[1] + v[1] * push[0]),
                         0.5 * (v[0] * push[2] + v[2] * push[0]),
                         0.5 * (v[1] * push[2] + v[2] * push[1])};
    if (vflag_global)
      for (int k = 0; k < 6; ++k)
        virial[k] += w[k];
    if (vflag_atom)
      for (int k = 0; k < 6; ++k) {
        vatom[r][k] += 0.5 * w[k];
        vatom[s][k] += 0.5 * w[k];
      }
    if (cvflag_atom) {
      // All of it to the sender: the energy of the receiver changes at its place, the sender does the
      // work. The sum of cvatom times velocity is the heat flux of a model with one layer.
      double *const c = cvatom[s];
      c[0] += w[0];
      c[1] += w[1];
      c[2] += w[2];
      c[3] += v[0] * push[1];
      c[4] += v[0] * push[2];
      c[5] += v[1] * push[2];
      c[6] += v[1] * push[0];
      c[7] += v[2] * push[0];
      c[8] += v[2] * push[1];
    }
  }
}
