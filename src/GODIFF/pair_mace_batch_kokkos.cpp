// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace_batch_kokkos.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "core/base/error.hpp"
#include "core/geometry/cell.hpp"
#include "core/network/device_stream.hpp"
#include "pair_mace_views_kokkos.hpp"

namespace LAMMPS_NS {
namespace GODiff {

namespace {

constexpr double CLOSEST = 1e-3;  // Angstrom; no potential means anything below
constexpr double FARTHEST = 1e9;  // Angstrom

// What is known of a cell, one after the other: rows, inverse, and the cutoff in units of the distance of
// its faces, negative where it is not periodic.
constexpr int INVERSE = 9;
constexpr int REACH = 18;
constexpr int GEOMETRY = 21;

// Calls visit(vector) for each image of a difference of two positions that is shorter than the cutoff.
template <class Visit>
KOKKOS_INLINE_FUNCTION void for_images(const double *geometry, const double *difference,
                                       double cutoff, const Visit &visit) {
  double from[3], to[3];
  for (int k = 0; k < 3; ++k) {
    from[k] = to[k] = 0.0;
    const double reach = geometry[REACH + k];
    if (reach < 0.0)
      continue;
    double fraction = 0.0;
    for (int l = 0; l < 3; ++l)
      fraction += difference[l] * geometry[INVERSE + 3 * l + k];
    from[k] = Kokkos::ceil(-reach - fraction);
    to[k] = Kokkos::floor(reach - fraction);
  }
  for (double a = from[0]; a <= to[0]; a += 1.0)
    for (double b = from[1]; b <= to[1]; b += 1.0)
      for (double c = from[2]; c <= to[2]; c += 1.0) {
        double vector[3], squared = 0.0;
        for (int k = 0; k < 3; ++k) {
          vector[k] = difference[k] + (a * geometry[k] + b * geometry[3 + k] + c * geometry[6 + k]);
          squared += vector[k] * vector[k];
        }
        if (squared < cutoff * cutoff)
          visit(vector, squared);
      }
}

// The structure that an atom is in.
template <class View>
KOKKOS_INLINE_FUNCTION std::int64_t structure_of(const View &first_atom, std::int64_t structures,
                                                 std::int64_t atom) {
  std::int64_t low = 0, high = structures;  // first_atom(low) <= atom < first_atom(high)
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (first_atom(middle) <= atom)
      low = middle;
    else
      high = middle;
  }
  return low;
}

// Copies numbers of the host to the device.
template <class View, class Number>
void upload_to(View &view, const char *name, const Number *numbers, std::int64_t size,
               bigint &allocations) {
  reserve(view, name, size, allocations);
  const auto count = static_cast<std::size_t>(size);
  if (count > 0)
    Kokkos::deep_copy(
        Kokkos::subview(view, Kokkos::make_pair(std::size_t(0), count)),
        Kokkos::View<const Number *, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(numbers, count));
}

template <class View, class Number>
void download(const View &view, std::vector<Number> &numbers, std::int64_t size) {
  const auto count = static_cast<std::size_t>(size);
  numbers.resize(count);
  if (count > 0)
    Kokkos::deep_copy(
        Kokkos::View<Number *, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(numbers.data(), count),
        Kokkos::subview(view, Kokkos::make_pair(std::size_t(0), count)));
}

}  // namespace

template <class DeviceType>
MaceBatchKokkos<DeviceType>::MaceBatchKokkos(godiff::MaceModel &model,
                                             const MaceServiceOptions &options) :
    model_(model),
    n_types_(static_cast<int>(options.species.size()) - 1),
    unit_(options.energy_unit),
    cutoff_(model.info().r_max),
    budget_(options.max_edges, model.info().device),
    edges_(model.info().single_precision) {
  upload_to(species_of_type_, "mace:species_of_types", options.species.data(),
            static_cast<std::int64_t>(options.species.size()), allocations_);
}

template <class DeviceType>
std::int64_t MaceBatchKokkos<DeviceType>::first_bad_type(const MaceBatchCall &call) const {
  constexpr std::int64_t NONE = std::numeric_limits<std::int64_t>::max();
  const int *const types = call.type;
  const auto species = species_of_type_;
  const int most = n_types_;
  std::int64_t first = NONE;
  Kokkos::parallel_reduce(
      "mace:bad_type", Policy(0, call.n_atoms()),
      KOKKOS_LAMBDA(const std::int64_t i, std::int64_t &least) {
        const int type = types[i];
        if (i < least && (type < 1 || type > most || species(type) < 0))
          least = i;
      },
      Kokkos::Min<std::int64_t>(first));
  return first == NONE ? -1 : first;
}

template <class DeviceType> void MaceBatchKokkos<DeviceType>::check(const MaceBatchCall &call) {
  // What is in order on the host first: kernels go where it says.
  const godiff::MaceInfo &info = model_.info();
  godiff::check_structures({call.nsys, call.ptr, nullptr, nullptr, call.cell, call.pbc}, cutoff_,
                           static_cast<std::int64_t>(info.atomic_numbers.size()));
  if (call.n_atoms() == 0)
    return;
  if (const std::int64_t i = first_bad_type(call); i >= 0) {
    const Kokkos::View<const int *, DeviceType, Kokkos::MemoryUnmanaged> types(
        call.type, static_cast<std::size_t>(call.n_atoms()));
    throw godiff::Error("batch of structures: atom type " + std::to_string(one_of(types, i)) +
                        " has no element in pair_coeff");
  }
}

template <class DeviceType> void MaceBatchKokkos<DeviceType>::upload(const MaceBatchCall &call) {
  std::vector<double> geometry(static_cast<std::size_t>(GEOMETRY * call.nsys), 0.0);
  for (std::int64_t s = 0; s < call.nsys; ++s) {
    double *const g = geometry.data() + GEOMETRY * s;
    const std::uint8_t *const periodic = call.pbc + 3 * s;
    std::fill_n(g + REACH, 3, -1.0);
    // The cell of a structure without periodic directions is not looked at.
    if (!periodic[0] && !periodic[1] && !periodic[2])
      continue;
    std::array<godiff::Vec3, 3> rows;
    for (int k = 0; k < 9; ++k)
      g[k] = rows[k / 3][k % 3] = call.cell[9 * s + k];
    const godiff::Cell cell(rows, {periodic[0] != 0, periodic[1] != 0, periodic[2] != 0});
    for (int k = 0; k < 3; ++k) {
      godiff::Vec3 unit{};
      unit[k] = 1.0;
      const godiff::Vec3 row = cell.fractional(unit);
      std::copy(row.begin(), row.end(), g + INVERSE + 3 * k);
      if (cell.periodic(k))
        g[REACH + k] = cutoff_ / cell.width(k);
    }
  }
  upload_to(geometry_, "mace:cells", geometry.data(), GEOMETRY * call.nsys, allocations_);
  upload_to(first_atom_, "mace:first_atom", call.ptr, call.nsys + 1, allocations_);
  reserve(bad_, "mace:bad", call.nsys, allocations_);
  reserve(edges_of_, "mace:edges_of", call.nsys, allocations_);
  reserve(counts_, "mace:counts", call.n_atoms() + 1, allocations_);
}

template <class DeviceType>
void MaceBatchKokkos<DeviceType>::find_bad_structures(const MaceBatchCall &call) {
  const auto bad = bad_;
  const auto first_atom = first_atom_;
  const double *const x = call.x;
  const std::int64_t structures = call.nsys;
  Kokkos::parallel_for(
      "mace:none_bad", Policy(0, structures), KOKKOS_LAMBDA(const std::int64_t s) { bad(s) = 0; });
  Kokkos::parallel_for(
      "mace:far_atoms", Policy(0, call.n_atoms()), KOKKOS_LAMBDA(const std::int64_t i) {
        bool here = true;
        for (int k = 0; k < 3; ++k)
          here = here && Kokkos::fabs(x[3 * i + k]) < FARTHEST;
        if (!here)
          Kokkos::atomic_store(&bad(structure_of(first_atom, structures, i)), 1);
      });
}

template <class DeviceType>
void MaceBatchKokkos<DeviceType>::count_edges(const MaceBatchCall &call) {
  const auto bad = bad_;
  const auto counts = counts_;
  const auto first_atom = first_atom_, edges_of = edges_of_;
  const auto geometry = geometry_;
  const double *const x = call.x;
  const std::int64_t structures = call.nsys;
  const double cutoff = cutoff_;
  Kokkos::parallel_for(
      "mace:count_edges", Policy(0, call.n_atoms()), KOKKOS_LAMBDA(const std::int64_t i) {
        const std::int64_t s = structure_of(first_atom, structures, i);
        counts(i) = 0;
        // It may become bad at any time: what is counted then is not used.
        if (Kokkos::atomic_load(&bad(s)))
          return;
        int count = 0;
        bool apart = true;
        for (std::int64_t j = first_atom(s); j < first_atom(s + 1); ++j) {
          const double difference[3] = {x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1],
                                        x[3 * i + 2] - x[3 * j + 2]};
          for_images(&geometry(GEOMETRY * s), difference, cutoff,
                     [&](const double *, double squared) {
                       if (i == j && squared == 0.0)
                         return;  // the atom itself
                       apart = apart && squared >= CLOSEST * CLOSEST;
                       ++count;
                     });
        }
        counts(i) = count;
        if (!apart)
          Kokkos::atomic_store(&bad(s), 1);
      });
  Kokkos::parallel_for(
      "mace:edges_of", Policy(0, structures), KOKKOS_LAMBDA(const std::int64_t s) {
        std::int64_t sum = 0;
        for (std::int64_t i = first_atom(s); i < first_atom(s + 1); ++i) {
          if (bad(s))
            counts(i) = 0;
          sum += counts(i);
        }
        edges_of(s) = sum;
      });
}

// NaN where a structure cannot be evaluated, else 0.
template <class DeviceType>
void MaceBatchKokkos<DeviceType>::begin_results(const MaceBatchCall &call) const {
  const auto bad = bad_;
  const auto first_atom = first_atom_;
  const std::int64_t structures = call.nsys;
  double *const energy = call.energy;
  double *const f = call.want & GODIFF_BATCH_FORCES ? call.f : nullptr;
  double *const virial = call.want & GODIFF_BATCH_VIRIAL ? call.virial : nullptr;
  double *const eatom = call.want & GODIFF_BATCH_EATOM ? call.eatom : nullptr;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Kokkos::parallel_for(
      "mace:begin_structures", Policy(0, structures), KOKKOS_LAMBDA(const std::int64_t s) {
        const double value = bad(s) ? nan : 0.0;
        energy[s] = value;
        for (int k = 0; virial && k < 6; ++k)
          virial[6 * s + k] = value;
      });
  if (!f && !eatom)
    return;
  Kokkos::parallel_for(
      "mace:begin_atoms", Policy(0, call.n_atoms()), KOKKOS_LAMBDA(const std::int64_t i) {
        const double value = bad(structure_of(first_atom, structures, i)) ? nan : 0.0;
        for (int k = 0; f && k < 3; ++k)
          f[3 * i + k] = value;
        if (eatom)
          eatom[i] = value;
      });
}

template <class DeviceType>
template <class Real>
void MaceBatchKokkos<DeviceType>::fill_edges(const MaceBatchCall &call, std::int64_t first) {
  const auto bad = bad_;
  const auto first_atom = first_atom_, species_of_type = species_of_type_;
  const auto geometry = geometry_;
  const auto first_in = edges_.first_in, ends = edges_.ends, species = edges_.species;
  const std::int64_t stride = edges_.stride, structures = call.nsys;
  const double *const x = call.x;
  const int *const types = call.type;
  const double cutoff = cutoff_;
  Real *const vectors = reinterpret_cast<Real *>(edges_.vectors.data());
  Kokkos::parallel_for(
      "mace:edges", Policy(0, edges_.n_nodes), KOKKOS_LAMBDA(const std::int64_t n) {
        const std::int64_t i = first + n;
        const std::int64_t s = structure_of(first_atom, structures, i);
        species(n) = species_of_type(types[i]);
        if (bad(s))
          return;
        std::int64_t e = first_in(n);
        for (std::int64_t j = first_atom(s); j < first_atom(s + 1); ++j) {
          const double difference[3] = {x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1],
                                        x[3 * i + 2] - x[3 * j + 2]};
          for_images(&geometry(GEOMETRY * s), difference, cutoff,
                     [&](const double *vector, double squared) {
                       if (i == j && squared == 0.0)
                         return;
                       for (int k = 0; k < 3; ++k)
                         vectors[3 * e + k] = static_cast<Real>(vector[k]);
                       ends(e) = j - first;
                       ends(stride + e) = n;
                       ++e;
                     });
        }
      });
}

template <class DeviceType>
void MaceBatchKokkos<DeviceType>::add_energies(const MaceBatchCall &call, std::int64_t begin,
                                               std::int64_t end,
                                               const godiff::MaceDeviceResult &result) const {
  const auto bad = bad_;
  const auto first_atom = first_atom_;
  const std::int64_t first = call.ptr[begin];
  const double *const node_energies = result.node_energies;
  const double unit = unit_;
  double *const energy = call.energy;
  double *const eatom = call.want & GODIFF_BATCH_EATOM ? call.eatom : nullptr;
  Kokkos::parallel_for(
      "mace:energies", Policy(begin, end), KOKKOS_LAMBDA(const std::int64_t s) {
        if (bad(s))
          return;
        double sum = 0.0;
        for (std::int64_t i = first_atom(s); i < first_atom(s + 1); ++i) {
          sum += node_energies[i - first];
          if (eatom)
            eatom[i] = unit * node_energies[i - first];
        }
        energy[s] = unit * sum;
      });
}

template <class DeviceType>
template <class Real>
void MaceBatchKokkos<DeviceType>::add_edges(const MaceBatchCall &call, std::int64_t begin,
                                            std::int64_t end,
                                            const godiff::MaceDeviceResult &result) {
  const auto bad = bad_;
  const auto first_atom = first_atom_;
  const std::int64_t first = call.ptr[begin], structures = call.nsys;
  const double unit = unit_;
  double *const f = call.want & GODIFF_BATCH_FORCES ? call.f : nullptr;
  double *const virial = call.want & GODIFF_BATCH_VIRIAL ? call.virial : nullptr;
  reserve(virials_, "mace:virials", 6 * edges_.n_nodes, allocations_);
  const auto virials = virials_;
  const auto pointers = edge_pointers<Real>(edges_, result);
  Kokkos::parallel_for(
      "mace:forces", Policy(0, edges_.n_nodes), KOKKOS_LAMBDA(const std::int64_t n) {
        const MaceNodeSums sums = node_sums<true>(pointers, n);
        for (int k = 0; k < 6; ++k)
          virials(6 * n + k) = symmetric(sums.in, k);
        if (!f || bad(structure_of(first_atom, structures, first + n)))
          return;
        for (int k = 0; k < 3; ++k)
          f[3 * (first + n) + k] = unit * sums.force[k];
      });
  if (!virial)
    return;
  Kokkos::parallel_for(
      "mace:virials", Policy(begin, end), KOKKOS_LAMBDA(const std::int64_t s) {
        if (bad(s))
          return;
        double sum[6] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
        for (std::int64_t i = first_atom(s); i < first_atom(s + 1); ++i)
          for (int k = 0; k < 6; ++k)
            sum[k] += virials(6 * (i - first) + k);
        for (int k = 0; k < 6; ++k)
          virial[6 * s + k] = unit * sum[k];
      });
}

// One call of the model, for the structures from `begin` to `end`. Those that cannot be evaluated take
// part without edges.
template <class DeviceType>
void MaceBatchKokkos<DeviceType>::evaluate(const MaceBatchCall &call, std::int64_t begin,
                                           std::int64_t end) {
  const std::int64_t first = call.ptr[begin];
  const bool gradients = call.want & (GODIFF_BATCH_FORCES | GODIFF_BATCH_VIRIAL);
  edges_.n_nodes = edges_.n_owned = edges_.n_receivers = call.ptr[end] - first;
  edges_.reserve_nodes(edges_.n_nodes);
  const auto place = static_cast<std::size_t>(first);
  edges_.n_edges = edges_.number_edges(Kokkos::subview(
      counts_, Kokkos::make_pair(place, place + static_cast<std::size_t>(edges_.n_nodes) + 1)));
  edges_.reserve_edges(edges_.n_edges);
  if (edges_.single)
    fill_edges<float>(call, first);
  else
    fill_edges<double>(call, first);
  if (gradients)
    edges_.sort_by_sender();
  first_node_.clear();
  for (std::int64_t s = begin; s <= end; ++s)
    first_node_.push_back(call.ptr[s] - first);
  godiff::MaceDeviceGraph graph = edges_.graph();
  graph.n_graphs = end - begin;
  graph.first_node = first_node_.data();
  godiff::MaceDeviceResult result;
  model_.evaluate_on_device(graph, gradients, result);
  add_energies(call, begin, end, result);
  if (result.edge_gradients && edges_.single)
    add_edges<float>(call, begin, end, result);
  else if (result.edge_gradients)
    add_edges<double>(call, begin, end, result);
  DeviceType().fence();  // the next call of the model takes the results away
}

template <class DeviceType> void MaceBatchKokkos<DeviceType>::compute(const MaceBatchCall &call) {
  const godiff::DeviceStream stream;
  if (call.nsys == 0)
    return;
  upload(call);
  find_bad_structures(call);
  count_edges(call);
  begin_results(call);
  std::vector<std::int64_t> edges_of;
  download(edges_of_, edges_of, call.nsys);
  for (std::int64_t begin = 0; begin < call.nsys;) {
    std::int64_t end = begin + 1, edges = edges_of[begin];
    while (end < call.nsys && edges + edges_of[end] <= budget_.most())
      edges += edges_of[end++];
    if (call.ptr[end] > call.ptr[begin])
      try {
        evaluate(call, begin, end);
        budget_.succeeded(edges);
      } catch (const godiff::MaceOutOfMemory &error) {
        budget_.failed(error, end - begin, call.ptr[end] - call.ptr[begin], edges);
        continue;  // the same once more, with fewer edges
      }
    begin = end;
  }
  DeviceType().fence();
}

template class MaceBatchKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class MaceBatchKokkos<LMPHostType>;
#endif

}  // namespace GODiff
}  // namespace LAMMPS_NS
