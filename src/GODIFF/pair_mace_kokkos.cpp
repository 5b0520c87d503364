// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_kokkos.h"

#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "atom_kokkos.h"
#include "atom_masks.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "kokkos.h"
#include "memory_kokkos.h"
#include "neigh_list_kokkos.h"
#include "neigh_request.h"
#include "neighbor.h"
#include "platform.h"

#include "core/network/device_stream.hpp"
#include "godiff_glue.hpp"
#include "kokkos_styles.hpp"
#include "pair_mace_batch_kokkos.hpp"
#include "pair_mace_device.hpp"
#include "pair_mace_impl.hpp"

using namespace LAMMPS_NS;
using GODiff::MaceCheck;
using GODiff::MaceMode;

template <class DeviceType>
PairMACEKokkos<DeviceType>::PairMACEKokkos(LAMMPS *lmp) :
    PairMACE(lmp),
    rows(lmp, this),
    allocations(0),
    last_allocation(0) {
  if (!lmp->kokkos)
    error->all(FLERR,
               "Pair style mace/kk: KOKKOS is not running: start LAMMPS with -k on -sf kk, or "
               "use pair_style mace");
  respa_enable = 0;
  kokkosable = 1;
  reverse_comm_device = 1;
  atomKK = (AtomKokkos *) atom;
  execution_space = ExecutionSpaceFromDevice<DeviceType>::space;
  datamask_read = X_MASK | F_MASK | TYPE_MASK | ENERGY_MASK | VIRIAL_MASK;
  datamask_modify = F_MASK | ENERGY_MASK | VIRIAL_MASK;
}

template <class DeviceType> PairMACEKokkos<DeviceType>::~PairMACEKokkos() {
  if (copymode || !lmp->kokkos)
    return;
  memoryKK->destroy_kokkos(k_eatom, eatom);
  memoryKK->destroy_kokkos(k_vatom, vatom);
  memoryKK->destroy_kokkos(k_cvatom, cvatom);
}

namespace {

// As LibTorch names it.
template <class DeviceType> std::string kokkos_device() {
  if (std::is_same_v<DeviceType, LMPHostType>)
    return "cpu";
  return "cuda:" + std::to_string(Kokkos::device_id());
}

}  // namespace

template <class DeviceType> void PairMACEKokkos<DeviceType>::settings(int narg, char **arg) {
  PairMACE::settings(narg, arg);
  // Edges are not copied: the model has to be where they are.
  const std::string device = kokkos_device<DeviceType>();
  const std::string &word = impl->settings.device_word;
  std::string problem;
  if (word != "auto" && impl->settings.device != device && !(word == "cuda" && device != "cpu"))
    problem =
        fmt::format("device is {} but KOKKOS computes on {}: leave the word device out, or use "
                    "pair_style mace without the suffix kk",
                    impl->settings.device, device);
  else
    try {
      impl->settings.device = GODiff::mace_device(lmp, device);
    } catch (...) {
      problem = fmt::format("KOKKOS computes on {}, where the model cannot be: {}", device,
                            GODiff::caught_message());
    }
  problem = GODiff::first_problem(lmp, problem);
  if (!problem.empty())
    error->all(FLERR, "Pair style mace/kk: {}", problem);
}

template <class DeviceType> int PairMACEKokkos<DeviceType>::default_threads() {
  return lmp->kokkos->nthreads;
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::coeff(int narg, char **arg) {
  PairMACE::coeff(narg, arg);
  domain =
      std::make_unique<GODiff::MaceDomainKokkos<DeviceType>>(impl->model->info().single_precision);
  const std::vector<std::int64_t> &of_types = impl->species;
  species = Kokkos::View<std::int64_t *, DeviceType>("mace:species_of_types", of_types.size());
  Kokkos::deep_copy(species,
                    Kokkos::View<const std::int64_t *, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(
                        of_types.data(), of_types.size()));
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::init_style() {
  if (!force->newton_pair)
    error->all(FLERR,
               "Pair style mace/kk: newton on is needed, which KOKKOS allows together with half "
               "neighbor lists only: start LAMMPS with -pk kokkos newton on neigh half");
  PairMACE::init_style();
  if (impl->mode == MaceMode::GHOST && neighbor->style != Neighbor::BIN)
    error->all(FLERR, "Pair style mace/kk: mode ghost needs the command: neighbor {} bin",
               neighbor->skin);
  auto *const request = neighbor->find_request(this);
  request->set_kokkos_host(std::is_same_v<DeviceType, LMPHostType> &&
                           !std::is_same_v<DeviceType, LMPDeviceType>);
  request->set_kokkos_device(std::is_same_v<DeviceType, LMPDeviceType>);
  request->enable_full();  // whatever package kokkos says
  last_allocation = 0;
}

// Numbers of atoms that somebody asks for, at zero.
template <class DeviceType> void PairMACEKokkos<DeviceType>::make_room_for_atoms() {
  const auto clear = [](auto &k_array) {
    Kokkos::deep_copy(DeviceType(), k_array.template view<DeviceType>(), 0.0);
  };
  if (eflag_atom) {
    if (k_eatom.extent_int(0) < maxeatom) {
      memoryKK->destroy_kokkos(k_eatom, eatom);
      memoryKK->create_kokkos(k_eatom, eatom, maxeatom, "pair:eatom");
    }
    clear(k_eatom);
  }
  if (vflag_atom) {
    if (k_vatom.extent_int(0) < maxvatom) {
      memoryKK->destroy_kokkos(k_vatom, vatom);
      memoryKK->create_kokkos(k_vatom, vatom, maxvatom, "pair:vatom");
    }
    clear(k_vatom);
  }
  if (cvflag_atom) {
    if (k_cvatom.extent_int(0) < maxcvatom) {
      memoryKK->destroy_kokkos(k_cvatom, cvatom);
      memoryKK->create_kokkos(k_cvatom, cvatom, maxcvatom, "pair:cvatom");
    }
    clear(k_cvatom);
  }
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::compute(int eflag, int vflag) {
  ev_init(eflag, vflag, 0);
  make_room_for_atoms();
  atomKK->sync(execution_space, datamask_read);
  const double begin = platform::walltime();
  build();
  const GODiff::MaceEdgesKokkos<DeviceType> &edges = domain->edges();
  if (impl->announce)
    print_sizes(edges.n_nodes, edges.n_edges);
  impl->announce = false;
  const double built = platform::walltime();
  evaluate_on_device();
  const double evaluated = platform::walltime();
  if (impl->settings.check != MaceCheck::OFF)
    check_on_device();
  tally_on_device();
  add_times(begin, built, evaluated);
  if (const bigint taken = count_allocations(); taken != allocations) {
    allocations = taken;
    last_allocation = impl->calls;
  }
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::build() {
  const int n_atoms = atom->nlocal + atom->nghost;
  auto *const k_list = static_cast<NeighListKokkos<DeviceType> *>(list);
  GODiff::MaceNeighboursKokkos<DeviceType> neighbours;
  if (impl->mode == MaceMode::IMAGE) {
    // Ghosts change owners only when they are made anew.
    if (neighbor->ago == 0 || impl->owners_build != neighbor->ncalls ||
        static_cast<int>(owners.extent(0)) < n_atoms)
      rows.find_owners(atom->nlocal, n_atoms, owners);
    impl->owners_build = neighbor->ncalls;
    neighbours.owners = owners;
  }
  neighbours.n_atoms = n_atoms;
  neighbours.n_owned = list->inum;
  neighbours.owned = k_list->d_ilist;
  neighbours.counts = k_list->d_numneigh;
  neighbours.lists = k_list->d_neighbors;
  neighbours.positions = atomKK->k_x.template view<DeviceType>();
  neighbours.types = atomKK->k_type.template view<DeviceType>();
  neighbours.species = species;

  const godiff::MaceInfo &info = impl->model->info();
  const int layers = impl->mode == MaceMode::GHOST ? info.layers : 1;
  if (const auto contact = domain->build(neighbours, info.r_max, layers)) {
    atomKK->sync(Host, X_MASK | TAG_MASK);
    refuse_contact(contact->first, contact->second, contact->distance);
  }
  rows.set_edges(domain->edges(), n_atoms);
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::evaluate_on_device() {
  const godiff::DeviceStream stream;
  const GODiff::MaceEdgesKokkos<DeviceType> &edges = domain->edges();
  const double travelled = rows.seconds();
  call_model(edges.n_nodes, edges.n_edges, [&] {
    const godiff::MaceDeviceGraph graph = edges.graph();
    if (impl->mode == MaceMode::MESSAGE)
      impl->model->evaluate_layers_on_device(graph, edges.n_owned, true, rows, result);
    else
      impl->model->evaluate_on_device(graph, true, result);
  });
  impl->times[Impl::COMMUNICATION] += rows.seconds() - travelled;
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::check_on_device() {
  const GODiff::MaceEdgesKokkos<DeviceType> &edges = domain->edges();
  const auto refuse = [&](const char *what, std::int64_t node) {
    atomKK->sync(Host, X_MASK | TAG_MASK);
    refuse_number(what, GODiff::one_of(edges.atoms, node));
  };
  if (const std::int64_t node = tallies.bad_energy(edges, result); node >= 0)
    refuse("energy", node);
  if (const std::int64_t edge = tallies.bad_gradient(edges, result); edge >= 0)
    refuse("force", GODiff::one_of(edges.ends, edges.stride + edge));
  if (impl->settings.check != MaceCheck::FULL)
    return;
  double torque[4] = {0.0, 0.0, 0.0, 0.0};
  tallies.add_torque(edges, result, torque);
  check_torque(torque);
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::tally_on_device() {
  GODiff::MaceAtomsKokkos<DeviceType> atoms;
  atoms.forces = atomKK->k_f.template view<DeviceType>();
  if (eflag_atom)
    atoms.energies = k_eatom.template view<DeviceType>();
  if (vflag_atom)
    atoms.virials = k_vatom.template view<DeviceType>();
  if (cvflag_atom)
    atoms.centroid_virials = k_cvatom.template view<DeviceType>();
  double total[7];
  const bool wanted = eflag_global || vflag_global;
  tallies.add(domain->edges(), result, impl->energy, vflag_global, atoms, wanted ? total : nullptr);
  if (eflag_global)
    eng_vdwl += total[0];
  if (vflag_global)
    for (int k = 0; k < 6; ++k)
      virial[k] += total[1 + k];

  atomKK->modified(execution_space, eflag_either || vflag_either ? datamask_modify : F_MASK);
  // Computes of LAMMPS read them on the host.
  if (eflag_atom) {
    k_eatom.template modify<DeviceType>();
    k_eatom.sync_host();
  }
  if (vflag_atom) {
    k_vatom.template modify<DeviceType>();
    k_vatom.sync_host();
  }
  if (cvflag_atom) {
    k_cvatom.template modify<DeviceType>();
    k_cvatom.sync_host();
  }
}

template <class DeviceType> bigint PairMACEKokkos<DeviceType>::count_allocations() {
  return domain->allocations() + rows.allocations() + tallies.allocations();
}

template <class DeviceType> void PairMACEKokkos<DeviceType>::finish() {
  PairMACE::finish();
  if (!impl->settings.timing || impl->calls == 0)
    return;
  const bigint mine[2] = {allocations, last_allocation};
  bigint most[2];
  MPI_Reduce(mine, most, 2, MPI_LMP_BIGINT, MPI_MAX, 0, world);
  if (comm->me == 0)
    utils::logmesg(lmp, "  memory of the device was taken {} times, the last time in call {}\n",
                   most[0], most[1]);
}

template <class DeviceType> double PairMACEKokkos<DeviceType>::memory_usage() {
  return PairMACE::memory_usage() + (domain ? domain->memory() : 0.0) + rows.memory() +
         tallies.memory() + static_cast<double>(owners.extent(0) * sizeof(int));
}

template <class DeviceType> void *PairMACEKokkos<DeviceType>::extract(const char *name, int &dim) {
  if (std::strcmp(name, "mace_allocations") == 0) {
    dim = 0;
    return &allocations;
  }
  void *const found = PairMACE::extract(name, dim);
  if (found && std::strcmp(name, "godiff_batch") == 0 && !impl->service->has_device())
    impl->service->offer_device(std::make_unique<GODiff::MaceBatchKokkos<DeviceType>>(
        *impl->model, impl->service->options()));
  return found;
}

template <class DeviceType>
int PairMACEKokkos<DeviceType>::pack_forward_comm_kokkos(int n, DAT::tdual_int_1d k_sendlist,
                                                         DAT::tdual_double_1d &buffer, int, int *) {
  return rows.pack_forward(n, k_sendlist, buffer);
}

template <class DeviceType>
void PairMACEKokkos<DeviceType>::unpack_forward_comm_kokkos(int n, int first,
                                                            DAT::tdual_double_1d &buffer) {
  rows.unpack_forward(n, first, buffer);
}

template <class DeviceType>
int PairMACEKokkos<DeviceType>::pack_reverse_comm_kokkos(int n, int first,
                                                         DAT::tdual_double_1d &buffer) {
  return rows.pack_reverse(n, first, buffer);
}

template <class DeviceType>
void PairMACEKokkos<DeviceType>::unpack_reverse_comm_kokkos(int n, DAT::tdual_int_1d k_sendlist,
                                                            DAT::tdual_double_1d &buffer) {
  rows.unpack_reverse(n, k_sendlist, buffer);
}

template <class DeviceType>
int PairMACEKokkos<DeviceType>::pack_forward_comm(int n, int *list, double *buffer, int, int *) {
  return rows.pack_forward(n, list, buffer);
}

template <class DeviceType>
void PairMACEKokkos<DeviceType>::unpack_forward_comm(int n, int first, double *buffer) {
  rows.unpack_forward(n, first, buffer);
}

template <class DeviceType>
int PairMACEKokkos<DeviceType>::pack_reverse_comm(int n, int first, double *buffer) {
  return rows.pack_reverse(n, first, buffer);
}

template <class DeviceType>
void PairMACEKokkos<DeviceType>::unpack_reverse_comm(int n, int *list, double *buffer) {
  rows.unpack_reverse(n, list, buffer);
}

namespace LAMMPS_NS {

template class PairMACEKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class PairMACEKokkos<LMPHostType>;
#endif

namespace GODiff {

void *create_pair_mace_kk(void *lmp) {
  return new PairMACEKokkos<LMPDeviceType>(static_cast<LAMMPS *>(lmp));
}

void *create_pair_mace_kk_host(void *lmp) {
  return new PairMACEKokkos<LMPHostType>(static_cast<LAMMPS *>(lmp));
}

}  // namespace GODiff
}  // namespace LAMMPS_NS
