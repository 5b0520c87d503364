// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/device_graph.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include <ATen/Functions.h>

namespace godiff {

namespace {

constexpr std::int32_t GROUP = 32;     // edges of a group of a filter row, at most
constexpr std::size_t ALIGNMENT = 64;  // bytes
constexpr bool NON_BLOCKING = true;

// Collects arrays and copies them to a device in one piece.
class Package {
public:
  // Returns where the array will begin.
  template <class T> std::size_t add(const std::vector<T> &values) {
    const std::size_t begin = size_, bytes = values.size() * sizeof(T);
    pieces_.push_back({begin, values.data(), bytes});
    size_ = (size_ + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return begin;
  }

  // The host does not wait for the copy.
  at::Tensor send(c10::Device device) const {
    const at::TensorOptions bytes = at::TensorOptions().dtype(at::kByte);
    const at::Tensor staged =
        at::empty({static_cast<std::int64_t>(size_)}, bytes.pinned_memory(device.is_cuda()));
    auto *to = staged.data_ptr<std::uint8_t>();
    for (const Piece &piece : pieces_)
      if (piece.bytes > 0)
        std::memcpy(to + piece.begin, piece.data, piece.bytes);
    return device.is_cpu() ? staged : staged.to(device, at::kByte, NON_BLOCKING);
  }

private:
  struct Piece {
    std::size_t begin;
    const void *data;
    std::size_t bytes;
  };
  std::vector<Piece> pieces_;
  std::size_t size_ = 0;
};

// Pointers into the memory of a package.
struct Memory {
  std::uint8_t *data;
  explicit Memory(const at::Tensor &memory) : data(memory.data_ptr<std::uint8_t>()) {}
  const std::int32_t *ints(std::size_t begin) const {
    return reinterpret_cast<const std::int32_t *>(data + begin);
  }
};

std::size_t add_directions(const Directions &directions, at::ScalarType dtype, Package &package) {
  return dtype == at::kDouble ? package.add(directions.in_double)
                              : package.add(directions.in_single);
}

template <class Copy> bool fits(const std::shared_ptr<const Copy> &copy, const at::Tensor &like) {
  return copy && copy->dtype == like.scalar_type() && copy->memory.device() == like.device();
}

std::shared_ptr<const TemplateOnDevice> copy_of(const TemplateEdges &edges,
                                                const at::Tensor &like) {
  const auto D = static_cast<std::int32_t>(edges.distance.size());
  const auto E = static_cast<std::int32_t>(edges.n_edges());
  std::vector<std::int32_t> by_filter(E), group, first_group(D + 1);
  std::iota(by_filter.begin(), by_filter.end(), 0);
  std::stable_sort(by_filter.begin(), by_filter.end(), [&](std::int32_t a, std::int32_t b) {
    return edges.filter[a] < edges.filter[b];
  });
  std::int32_t k = 0;
  for (std::int32_t d = 0; d < D; ++d) {
    first_group[d] = static_cast<std::int32_t>(group.size());
    for (std::int32_t in_group = 0; k < E && edges.filter[by_filter[k]] == d; ++k, ++in_group)
      if (in_group % GROUP == 0)
        group.push_back(k);
  }
  first_group[D] = static_cast<std::int32_t>(group.size());
  group.push_back(k);

  Package package;
  const std::size_t element = package.add(edges.element), first = package.add(edges.first),
                    receiver = package.add(edges.receiver), sender = package.add(edges.sender),
                    filter = package.add(edges.filter), sorted = package.add(by_filter),
                    groups = package.add(group), groups_of = package.add(first_group),
                    direction = add_directions(edges.direction, like.scalar_type(), package);
  TemplateOnDevice copy;
  copy.memory = package.send(like.device());
  copy.dtype = like.scalar_type();
  const Memory at(copy.memory);
  copy.pointers = {static_cast<std::int32_t>(edges.n_atoms),
                   D,
                   first_group[D],
                   at.ints(element),
                   at.ints(first),
                   at.ints(receiver),
                   at.ints(sender),
                   at.ints(filter),
                   at.ints(sorted),
                   at.ints(groups),
                   at.ints(groups_of),
                   at.data + direction};
  return std::make_shared<const TemplateOnDevice>(std::move(copy));
}

std::shared_ptr<const ChunkOnDevice> copy_of(const ChunkGraph &graph, const at::Tensor &like) {
  const std::int64_t P = graph.n_pairs();
  std::vector<std::int32_t> pair_edge(P, -1), pair_structure(P, 0);
  for (std::int64_t g = 0; g < graph.n_structures; ++g)
    for (std::int32_t e = graph.first[graph.offset(1, g)]; e < graph.first[graph.offset(1, g + 1)];
         ++e)
      if (pair_edge[graph.pair[e]] < 0) {
        pair_edge[graph.pair[e]] = e;
        pair_structure[graph.pair[e]] = static_cast<std::int32_t>(g);
      }
  const bool in_double = like.scalar_type() == at::kDouble;
  const std::vector<float> single(in_double ? graph.distance.end() : graph.distance.begin(),
                                  graph.distance.end());
  Package package;
  const std::size_t atom = package.add(graph.atom), slot = package.add(graph.slot),
                    counts = package.add(graph.counts), offsets = package.add(graph.offsets),
                    first = package.add(graph.first), receiver = package.add(graph.receiver),
                    sender = package.add(graph.sender), pair = package.add(graph.pair),
                    edge_of_pair = package.add(pair_edge), structure = package.add(pair_structure),
                    direction = add_directions(graph.direction, like.scalar_type(), package),
                    distance = in_double ? package.add(graph.distance) : package.add(single);
  ChunkOnDevice copy;
  copy.memory = package.send(like.device());
  copy.dtype = like.scalar_type();
  const Memory at(copy.memory);
  copy.pointers = {static_cast<std::int32_t>(graph.n_structures),
                   static_cast<std::int32_t>(graph.n_atoms()),
                   static_cast<std::int32_t>(graph.n_template),
                   static_cast<std::int32_t>(P),
                   at.ints(atom),
                   at.ints(slot),
                   at.ints(counts),
                   at.ints(offsets),
                   at.ints(first),
                   at.ints(receiver),
                   at.ints(sender),
                   at.ints(pair),
                   at.ints(edge_of_pair),
                   at.ints(structure),
                   at.data + direction};
  copy.distance = copy.memory
                      .narrow(0, static_cast<std::int64_t>(distance),
                              P * static_cast<std::int64_t>(like.dtype().itemsize()))
                      .view(like.scalar_type());
  return std::make_shared<const ChunkOnDevice>(std::move(copy));
}

}  // namespace

const TemplateOnDevice &on_device(const TemplateEdges &edges, const at::Tensor &like) {
  if (!fits(edges.device_copy, like))
    edges.device_copy = copy_of(edges, like);
  return *edges.device_copy;
}

const ChunkOnDevice &on_device(const ChunkGraph &graph, const at::Tensor &like) {
  if (!fits(graph.device_copy, like))
    graph.device_copy = copy_of(graph, like);
  return *graph.device_copy;
}

}  // namespace godiff
