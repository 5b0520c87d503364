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
    print_sizes(impl->domain.graph().n_nodes(), impl->domain.graph().n_edges());
  impl->announce = false;
  const double built = platform::walltime();
  evaluate();
  const double evaluated = platform::walltime();
  if (impl->settings.check != MaceCheck::OFF)
    check_numbers();
  tally();
  add_times(begin, built, evaluated);
}

// A step is over.
void PairMACE::add_times(double begin, double built, double evaluated) {
  impl->times[Impl::GRAPH] += built - begin;
  impl->times[Impl::SCATTER] += platform::walltime() - evaluated;
  impl->calls++;
}

// How messages call an atom: by its ID, or by its place where atoms have none.
std::string PairMACE::name_of(int i) const {
  if (atom->tag_enable)
    return std::to_string(atom->tag[i]);
  const double *const x = atom->x[i];
  return fmt::format("at ({:.6g}, {:.6g}, {:.6g})", x[0], x[1], x[2]);
}

void PairMACE::refuse_contact(int i, int j, double distance) {
  error->one(FLERR,
             "Pair style mace: step {}, rank {}: atoms {} and {} are only {:.3g} Angstrom "
             "apart: delete one of them (delete_atoms overlap) or begin with another structure",
             update->ntimestep, comm->me, name_of(i), name_of(j), distance);
}

void PairMACE::refuse_number(const char *what, int i) {
  error->one(FLERR, "Pair style mace: step {}, rank {}: the {} of atom {} is not a finite number",
             update->ntimestep, comm->me, what, name_of(i));
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
    refuse_contact(contact->first, contact->second, contact->distance);
  impl->rows.set_domain(impl->domain, n_atoms);
}

// Calls the model; what goes wrong names the step and the size of the graph.
void PairMACE::call_model(bigint nodes, bigint edges, const std::function<void()> &call) {
  const godiff::MaceTimes before = impl->model->times();
  std::string problem;
  const char *remedy = "";
  try {
    const GODiff::ThreadScope scope(impl->threads);
    call();
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
               update->ntimestep, comm->me, nodes, edges, problem, remedy);

  const godiff::MaceTimes after = impl->model->times();
  impl->times[Impl::FORWARD] += after.forward - before.forward;
  impl->times[Impl::BACKWARD] += after.backward - before.backward;
}

void PairMACE::evaluate() {
  const godiff::MaceGraph &graph = impl->domain.graph();
  const double travelled = impl->rows.seconds();
  call_model(graph.n_nodes(), graph.n_edges(), [&] {
    if (impl->mode == MaceMode::MESSAGE)
      impl->model->evaluate_layers(graph, impl->domain.n_owned(), true, impl->rows, impl->result);
    else
      impl->model->evaluate(graph, true, impl->result);
  });
  impl->times[Impl::COMMUNICATION] += impl->rows.seconds() - travelled;
}

// The virial has no antisymmetric part: turning all edges together changes no energy. This relates the
// gradients of all ranks, so that wrong ones are seen. `mine`: sum v x dE/dv, sum |v| |dE/dv|.
void PairMACE::check_torque(const double *mine) {
  double all[4];
  MPI_Allreduce(mine, all, 4, MPI_DOUBLE, MPI_SUM, world);
  // Thousands of roundings of the model, in its precision.
  const double rounding = impl->model->info().single_precision ? 1e-3 : 1e-9;
  const double torque = std::hypot(all[0], all[1], all[2]);
  if (torque > rounding * all[3])
    error->all(FLERR,
               "Pair style mace: step {}: turning all atoms would change the energy by {:.3g} "
               "eV per radian: the model is not invariant, or the ranks do not agree on its "
               "features",
               update->ntimestep, torque);
}

void PairMACE::check_numbers() {
  const godiff::MaceGraph &graph = impl->domain.graph();
  const godiff::MaceResult &result = impl->result;
  const std::vector<int> &atoms = impl->domain.atom_of_node();
  for (std::int64_t node = 0; node < impl->domain.n_owned(); ++node)
    if (!std::isfinite(result.node_energies[node]))
      refuse_number("energy", atoms[node]);
  for (std::int64_t k = 0; k < 3 * graph.n_edges(); ++k)
    if (!std::isfinite(result.edge_gradients[k]))
      refuse_number("force", atoms[graph.receivers[k / 3]]);
  if (impl->settings.check != MaceCheck::FULL)
    return;
  double mine[4] = {0.0, 0.0, 0.0, 0.0};
  const double *const v = graph.vectors.data(), *const g = result.edge_gradients.data();
  for (std::int64_t e = 0; e < 3 * graph.n_edges(); e += 3) {
    mine[0] += v[e] * g[e + 1] - v[e + 1] * g[e];
    mine[1] += v[e] * g[e + 2] - v[e + 2] * g[e];
    mine[2] += v[e + 1] * g[e + 2] - v[e + 2] * g[e + 1];
    mine[3] += std::hypot(v[e], v[e + 1], v[e + 2]) * std::hypot(g[e], g[e + 1], g[e + 2]);
  }
  check_torque(mine);
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
