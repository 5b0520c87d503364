// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_tally_kokkos.hpp"

#include <limits>

namespace LAMMPS_NS {
namespace GODiff {

namespace {

constexpr std::int64_t NONE = std::numeric_limits<std::int64_t>::max();

}  // namespace

template <class DeviceType>
std::int64_t MaceTallyKokkos<DeviceType>::bad_energy(const MaceEdgesKokkos<DeviceType> &edges,
                                                     const godiff::MaceDeviceResult &result) {
  const double *const energies = result.node_energies;
  std::int64_t first = NONE;
  Kokkos::parallel_reduce(
      "mace:bad_energy", Policy(0, edges.n_owned),
      KOKKOS_LAMBDA(const std::int64_t n, std::int64_t &least) {
        if (n < least && !Kokkos::isfinite(energies[n]))
          least = n;
      },
      Kokkos::Min<std::int64_t>(first));
  return first == NONE ? -1 : first;
}

template <class DeviceType>
template <class Real>
std::int64_t MaceTallyKokkos<DeviceType>::bad_gradient_of(const MaceEdgesKokkos<DeviceType> &edges,
                                                          const godiff::MaceDeviceResult &result) {
  const auto pointers = edge_pointers<Real>(edges, result);
  std::int64_t first = NONE;
  Kokkos::parallel_reduce(
      "mace:bad_gradient", Policy(0, edges.n_edges),
      KOKKOS_LAMBDA(const std::int64_t e, std::int64_t &least) {
        for (int k = 0; k < 3; ++k)
          if (e < least && !Kokkos::isfinite(pointers.gradients[e * pointers.gradient_strides[0] +
                                                                k * pointers.gradient_strides[1]]))
            least = e;
      },
      Kokkos::Min<std::int64_t>(first));
  return first == NONE ? -1 : first;
}

template <class DeviceType>
std::int64_t MaceTallyKokkos<DeviceType>::bad_gradient(const MaceEdgesKokkos<DeviceType> &edges,
                                                       const godiff::MaceDeviceResult &result) {
  if (!result.edge_gradients)
    return -1;
  return edges.single ? bad_gradient_of<float>(edges, result)
                      : bad_gradient_of<double>(edges, result);
}

template <class DeviceType>
template <class Real>
void MaceTallyKokkos<DeviceType>::torque_of(const MaceEdgesKokkos<DeviceType> &edges,
                                            const godiff::MaceDeviceResult &result, double *sum) {
  const auto pointers = edge_pointers<Real>(edges, result);
  torques_(
      "mace:torque", edges.n_edges,
      KOKKOS_LAMBDA(const std::int64_t e, double *s) {
        double v[3], g[3];
        for (int k = 0; k < 3; ++k) {
          v[k] = pointers.vectors[3 * e + k];
          g[k] =
              pointers
                  .gradients[e * pointers.gradient_strides[0] + k * pointers.gradient_strides[1]];
        }
        s[0] += v[0] * g[1] - v[1] * g[0];
        s[1] += v[0] * g[2] - v[2] * g[0];
        s[2] += v[1] * g[2] - v[2] * g[1];
        s[3] += Kokkos::sqrt((v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) *
                             (g[0] * g[0] + g[1] * g[1] + g[2] * g[2]));
      },
      sum);
}

template <class DeviceType>
void MaceTallyKokkos<DeviceType>::add_torque(const MaceEdgesKokkos<DeviceType> &edges,
                                             const godiff::MaceDeviceResult &result, double *sum) {
  double mine[4] = {0.0, 0.0, 0.0, 0.0};
  if (result.edge_gradients && edges.single)
    torque_of<float>(edges, result, mine);
  else if (result.edge_gradients)
    torque_of<double>(edges, result, mine);
  for (int k = 0; k < 4; ++k)
    sum[k] += mine[k];
}

template <class DeviceType>
template <bool TENSORS, class Real>
void MaceTallyKokkos<DeviceType>::add_edges(const MaceEdgesKokkos<DeviceType> &edges,
                                            const godiff::MaceDeviceResult &result, double unit,
                                            const MaceAtomsKokkos<DeviceType> &to) {
  const auto pointers = edge_pointers<Real>(edges, result);
  const auto atoms = edges.atoms;
  const auto forces = to.forces;
  const auto virials = to.virials;
  const auto centroid_virials = to.centroid_virials;
  const auto virial_of_node = virials_;
  const bool of_atoms = virials.data() != nullptr, centroid = centroid_virials.data() != nullptr;
  // Known when compiled, but nvcc warns of loops that a constant leaves unreached.
  bool tensors = TENSORS;
  // A node is one atom: no two threads add to the same one.
  Kokkos::parallel_for(
      "mace:forces", Policy(0, edges.n_nodes), KOKKOS_LAMBDA(const std::int64_t n) {
        const MaceNodeSums sums = node_sums<TENSORS>(pointers, n);
        const int i = atoms(n);
        for (int k = 0; k < 3; ++k)
          forces(i, k) += static_cast<KK_ACC_FLOAT>(unit * sums.force[k]);
        if (!tensors)
          return;
        for (int k = 0; k < 6; ++k)
          virial_of_node(6 * n + k) = unit * symmetric(sums.in, k);
        for (int k = 0; of_atoms && k < 6; ++k)
          virials(i, k) += static_cast<KK_ACC_FLOAT>(
              0.5 * unit * (symmetric(sums.in, k) + symmetric(sums.out, k)));
        // All of an edge to its sender, as in pair_mace_compute.cpp.
        for (int k = 0; centroid && k < 9; ++k)
          centroid_virials(i, k) += static_cast<KK_ACC_FLOAT>(unit * sums.out[k]);
      });
}

template <class DeviceType>
void MaceTallyKokkos<DeviceType>::add_energies(const MaceEdgesKokkos<DeviceType> &edges,
                                               const godiff::MaceDeviceResult &result, double unit,
                                               const MaceAtomsKokkos<DeviceType> &to) {
  const auto atoms = edges.atoms;
  const auto energies = to.energies;
  const double *const node_energies = result.node_energies;
  Kokkos::parallel_for(
      "mace:energies", Policy(0, edges.n_owned), KOKKOS_LAMBDA(const std::int64_t n) {
        energies(atoms(n)) += static_cast<KK_ACC_FLOAT>(unit * node_energies[n]);
      });
}

template <class DeviceType>
void MaceTallyKokkos<DeviceType>::sum_up(const MaceEdgesKokkos<DeviceType> &edges,
                                         const godiff::MaceDeviceResult &result, double unit,
                                         bool virial, double *total) {
  const double *const node_energies = result.node_energies;
  const std::int64_t n_owned = edges.n_owned;
  const auto virial_of_node = virials_;
  totals_(
      "mace:totals", virial ? edges.n_receivers : edges.n_owned,
      KOKKOS_LAMBDA(const std::int64_t n, double *s) {
        if (n < n_owned)
          s[0] += unit * node_energies[n];
        for (int k = 0; virial && k < 6; ++k)
          s[1 + k] += virial_of_node(6 * n + k);
      },
      total);
}

template <class DeviceType>
void MaceTallyKokkos<DeviceType>::add(const MaceEdgesKokkos<DeviceType> &edges,
                                      const godiff::MaceDeviceResult &result, double unit,
                                      bool virial, const MaceAtomsKokkos<DeviceType> &to,
                                      double *total) {
  const bool gradients = result.edge_gradients != nullptr;
  const bool tensors = virial || to.virials.data() || to.centroid_virials.data();
  if (gradients && tensors) {
    reserve(virials_, "mace:virials", 6 * edges.n_nodes, allocations_);
    if (edges.single)
      add_edges<true, float>(edges, result, unit, to);
    else
      add_edges<true, double>(edges, result, unit, to);
  } else if (gradients) {
    if (edges.single)
      add_edges<false, float>(edges, result, unit, to);
    else
      add_edges<false, double>(edges, result, unit, to);
  }
  if (to.energies.data())
    add_energies(edges, result, unit, to);
  if (total)
    sum_up(edges, result, unit, virial && gradients, total);
}

template <class DeviceType> bigint MaceTallyKokkos<DeviceType>::allocations() const {
  return allocations_ + totals_.allocations() + torques_.allocations();
}

template <class DeviceType> double MaceTallyKokkos<DeviceType>::memory() const {
  return static_cast<double>(virials_.extent(0) * sizeof(double)) + totals_.memory() +
         torques_.memory();
}

template class MaceTallyKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class MaceTallyKokkos<LMPHostType>;
#endif

}  // namespace GODiff
}  // namespace LAMMPS_NS
