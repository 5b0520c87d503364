// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/messages.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>

#include "kernels/device_graph.hpp"
#include "kernels/implementation.hpp"
#include "kernels/instruction_set.hpp"
#include "kernels/kokkos_kernels.hpp"
#include "kernels/messages_plain.hpp"

namespace godiff {

namespace {

constexpr std::size_t CACHE_LINE = 64;  // bytes

// Rows of a table; T is const for tables that are only read.
template <class T> struct Table {
  T *data = nullptr;
  std::int64_t stride = 0;
  T *operator[](std::int64_t row) const { return data + row * stride; }
  explicit operator bool() const { return data != nullptr; }
};

template <class T> Table<const T> reading(const at::Tensor &tensor) {
  if (!tensor.defined())
    return {};
  return {tensor.const_data_ptr<T>(), tensor.stride(0)};
}

template <class T> Table<T> writing(const at::Tensor &tensor) {
  if (!tensor.defined())
    return {};
  return {tensor.data_ptr<T>(), tensor.stride(0)};
}

// The edges of some rows to those atoms that `receivers` has a pointer for; the others would only be in
// the way of the row kernels, which visit each edge once a lane.
template <class T> class EdgesToReceivers {
public:
  /// wanted(row): whether the row's edges are needed at all.
  template <class Wanted>
  kernels::EdgeRows<T> select(kernels::EdgeRows<T> edges, std::int64_t n_rows,
                              const std::vector<const T *> &receivers, Wanted wanted) {
    const std::size_t most = edges.first[n_rows] - edges.first[0];
    first_.resize(n_rows + 1);
    other_.resize(most);
    filter_.resize(most);
    direction_.resize(3 * most);
    std::int32_t n = 0;
    for (std::int64_t row = 0; row < n_rows; ++row) {
      first_[row] = n;
      if (!wanted(row))
        continue;
      for (std::int32_t e = edges.first[row]; e < edges.first[row + 1]; ++e) {
        // Written in any case, kept or not: without a branch that nobody can foresee.
        const T *u = edges.direction + 3 * static_cast<std::int64_t>(e);
        other_[n] = edges.other[e];
        filter_[n] = edges.filter[e];
        for (int k = 0; k < 3; ++k)
          direction_[3 * n + k] = u[k];
        n += receivers[edges.other[e]] != nullptr;
      }
    }
    first_[n_rows] = n;
    edges.first = first_.data();
    edges.other = other_.data();
    edges.filter = filter_.data();
    edges.direction = direction_.data();
    return edges;
  }

private:
  std::vector<std::int32_t> first_, other_, filter_;
  std::vector<T> direction_;
};

// The pointers to rows that the row kernels take, as the rows lie in different tables. One per thread, so
// that its memory is allocated once.
template <class T> struct RowPointers {
  // By atom: x and mu of senders, or the gradients of q and mu of receivers; nullptr: neither.
  std::vector<const T *> first, second;
  // By row.
  std::vector<std::int32_t> atom;
  std::vector<const T *> x, mu;
  std::vector<T *> out_first, out_second;
  std::vector<T> scratch;
  EdgesToReceivers<T> of_template, of_mobile;
  std::vector<char> sends;

  static RowPointers &of_this_thread() {
    thread_local RowPointers pointers;
    return pointers;
  }

  void clear(std::int64_t n_atoms) {
    first.assign(n_atoms, nullptr);
    second.assign(n_atoms, nullptr);
    atom.clear();
    x.clear();
    mu.clear();
    out_first.clear();
    out_second.clear();
    scratch.resize(kernels::scratch_size<T>(n_atoms) + CACHE_LINE / sizeof(T));
  }

  void add_row(std::int32_t of_atom, T *first_out, T *second_out) {
    atom.push_back(of_atom);
    out_first.push_back(first_out);
    out_second.push_back(second_out);
  }

  void add_sender(std::int32_t of_atom, const T *of_x, const T *of_mu, T *gx, T *gmu) {
    add_row(of_atom, gx, gmu);
    x.push_back(of_x);
    mu.push_back(of_mu);
  }

  kernels::StructureEdges<T> edges(std::int64_t n_feat, std::int64_t n_template,
                                   std::int64_t n_slots, const kernels::EdgeRows<T> &of_template,
                                   const kernels::EdgeRows<T> &of_mobile, bool has_mu) {
    const auto n_rows = static_cast<std::int64_t>(atom.size());
    return {n_feat,
            static_cast<std::int64_t>(first.size()),
            n_template,
            n_rows,
            std::min(n_slots, n_rows),
            atom.data(),
            of_template,
            of_mobile,
            has_mu,
            aligned_scratch()};
  }

  // A register that straddles two cache lines takes two loads.
  T *aligned_scratch() {
    void *start = scratch.data();
    std::size_t space = scratch.size() * sizeof(T);
    return static_cast<T *>(std::align(CACHE_LINE, sizeof(T), start, space));
  }

  void receive(const kernels::StructureEdges<T> &edges) {
    kernels::row_kernels<T>().receive(
        {edges, first.data(), second.data(), out_first.data(), out_second.data()});
  }

  // Leaves out the edges to atoms that receive nothing.
  void send_back(kernels::StructureEdges<T> edges) {
    const auto receives = [](const T *row) { return row != nullptr; };
    if (edges.of_template.first &&
        !std::all_of(first.begin(), first.begin() + edges.n_template, receives)) {
      sends.assign(edges.n_template, 0);
      for (std::int32_t i : atom)
        if (i < edges.n_template)
          sends[i] = 1;
      edges.of_template = of_template.select(edges.of_template, edges.n_template, first,
                                             [&](std::int64_t i) { return sends[i] != 0; });
    }
    if (edges.of_mobile.first)
      edges.of_mobile = of_mobile.select(edges.of_mobile, edges.n_slots, first,
                                         [](std::int64_t) { return true; });
    kernels::row_kernels<T>().send_back({edges, first.data(), second.data(), x.data(), mu.data(),
                                         out_first.data(), out_second.data()});
  }
};

template <class T>
kernels::EdgeRows<T> template_rows(const TemplateEdges &edges, const at::Tensor &filters,
                                   const at::Tensor &gradients) {
  const auto w = reading<T>(filters);
  const auto g = writing<T>(gradients);
  return {edges.first.data(),
          edges.sender.data(),
          edges.filter.data(),
          edges.direction.data(T()),
          w.data,
          w.stride,
          g.data,
          g.stride};
}

// Of one structure: its slots are rows of depth 1 of the chunk.
template <class T>
kernels::EdgeRows<T> mobile_rows(const ChunkGraph &graph, std::int64_t g, const at::Tensor &filters,
                                 const at::Tensor &gradients) {
  const auto w = reading<T>(filters);
  const auto gw = writing<T>(gradients);
  return {graph.first.data() + graph.offset(1, g),
          graph.sender.data(),
          graph.pair.data(),
          graph.direction.data(T()),
          w.data,
          w.stride,
          gw.data,
          gw.stride};
}

template <class T> void copy_row(const T *from, std::int64_t n, T *to) {
  std::copy_n(from, n, to);
}

template <class T> void add_row(const T *from, std::int64_t n, T *to) {
  for (std::int64_t k = 0; k < n; ++k)
    to[k] += from[k];
}

}  // namespace

at::Tensor pair_distances(const ChunkGraph &graph, const at::Tensor &like) {
  // One copy takes the whole chunk to the device of Kokkos.
  if (kernels::implementation(like.device()) == kernels::Implementation::KOKKOS)
    return on_device(graph, like).distance;
  return at::tensor(at::ArrayRef<double>(graph.distance), at::kDouble)
      .to(like.options(), /*non_blocking=*/true);
}

void template_first_messages(const TemplateEdges &edges, const at::Tensor &filter,
                             FirstBlockRows &rows) {
  GODIFF_RETURN_UNLESS_ROWS(rows.x, template_first_messages(edges, filter, rows))
  const std::vector<std::int32_t> &element = edges.element;
  const std::int64_t F = rows.embedding.size(1), n = edges.n_atoms;
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::template_first_messages", [&] {
    using T = scalar_t;
    const auto x = reading<T>(rows.x), q0 = reading<T>(rows.embedding);
    const auto q = writing<T>(rows.q_template), mu = writing<T>(rows.mu_template);
    auto &pointers = RowPointers<T>::of_this_thread();
    pointers.clear(n);
    for (std::int32_t i = 0; i < n; ++i) {
      pointers.first[i] = x[element[i]];
      copy_row(q0[element[i]], F, q[i]);
      std::fill_n(mu[i], 3 * F, T(0));
      pointers.add_row(i, q[i], mu[i]);
    }
    pointers.receive(pointers.edges(F, n, 0, template_rows<T>(edges, filter, {}), {}, false));
  });
}

void template_first_messages_backward(const TemplateEdges &edges, const at::Tensor &filter,
                                      const FirstBlockRows &rows, FirstBlockRows &gradient,
                                      at::Tensor &filter_gradient) {
  GODIFF_RETURN_UNLESS_ROWS(
      rows.x, template_first_messages_backward(edges, filter, rows, gradient, filter_gradient))
  const std::vector<std::int32_t> &element = edges.element;
  const std::int64_t F = rows.embedding.size(1), n = edges.n_atoms;
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::template_first_messages", [&] {
    using T = scalar_t;
    const auto x = reading<T>(rows.x), gq = reading<T>(gradient.q_template),
               gmu = reading<T>(gradient.mu_template);
    const auto gx = writing<T>(gradient.x), gq0 = writing<T>(gradient.embedding);
    auto &pointers = RowPointers<T>::of_this_thread();
    pointers.clear(n);
    for (std::int32_t i = 0; i < n; ++i) {
      pointers.first[i] = gq[i];
      pointers.second[i] = gmu[i];
      add_row(gq[i], F, gq0[element[i]]);
      pointers.add_sender(i, x[element[i]], nullptr, gx[element[i]], nullptr);
    }
    pointers.send_back(
        pointers.edges(F, n, 0, template_rows<T>(edges, filter, filter_gradient), {}, false));
  });
}

void first_messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                    const FirstBlockRows &rows, const at::Tensor &pair_filter, at::Tensor &q,
                    at::Tensor &mu) {
  GODIFF_RETURN_UNLESS_ROWS(rows.x, first_messages(edges, graph, depth, rows, pair_filter, q, mu))
  const std::vector<std::int32_t> &element = edges.element;
  const std::int64_t F = rows.embedding.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::first_messages", [&] {
    using T = scalar_t;
    const auto x = reading<T>(rows.x), q0 = reading<T>(rows.embedding),
               qt = reading<T>(rows.q_template), mut = reading<T>(rows.mu_template);
    const auto q_out = writing<T>(q), mu_out = writing<T>(mu);
    auto &pointers = RowPointers<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      pointers.clear(N);
      for (std::int64_t s = 0; s < graph.count(1, g); ++s)
        pointers.first[atom[s]] = x[element[atom[s]]];
      for (std::int64_t s = 0; s < graph.count(depth, g); ++s) {
        T *qi = q_out[graph.offset(depth, g) + s], *mui = mu_out[graph.offset(depth, g) + s];
        if (atom[s] < graph.n_template) {
          copy_row(qt[atom[s]], F, qi);
          copy_row(mut[atom[s]], 3 * F, mui);
        } else {
          copy_row(q0[element[atom[s]]], F, qi);
          std::fill_n(mui, 3 * F, T(0));
        }
        pointers.add_row(atom[s], qi, mui);
      }
      pointers.receive(pointers.edges(F, graph.n_template, graph.count(1, g), {},
                                      mobile_rows<T>(graph, g, pair_filter, {}), false));
    }
  });
}

void first_messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                             const FirstBlockRows &rows, const at::Tensor &pair_filter,
                             const at::Tensor &gq, const at::Tensor &gmu, FirstBlockRows &gradient,
                             at::Tensor &pair_filter_gradient) {
  GODIFF_RETURN_UNLESS_ROWS(rows.x,
                            first_messages_backward(edges, graph, depth, rows, pair_filter, gq, gmu,
                                                    gradient, pair_filter_gradient))
  const std::vector<std::int32_t> &element = edges.element;
  const std::int64_t F = rows.embedding.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::first_messages", [&] {
    using T = scalar_t;
    const auto x = reading<T>(rows.x), gq_out = reading<T>(gq), gmu_out = reading<T>(gmu);
    const auto gx = writing<T>(gradient.x), gq0 = writing<T>(gradient.embedding),
               gqt = writing<T>(gradient.q_template), gmut = writing<T>(gradient.mu_template);
    auto &pointers = RowPointers<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      const std::int64_t begin = graph.offset(depth, g), count = graph.count(depth, g);
      pointers.clear(N);
      for (std::int64_t s = 0; s < count; ++s) {
        if (atom[s] < graph.n_template) {
          add_row(gq_out[begin + s], F, gqt[atom[s]]);
          add_row(gmu_out[begin + s], 3 * F, gmut[atom[s]]);
        } else {
          add_row(gq_out[begin + s], F, gq0[element[atom[s]]]);
        }
        pointers.first[atom[s]] = gq_out[begin + s];
        pointers.second[atom[s]] = gmu_out[begin + s];
      }
      for (std::int64_t s = 0; s < graph.count(1, g); ++s) {
        const std::int32_t e = element[atom[s]];
        pointers.add_sender(atom[s], x[e], nullptr, gx[e], nullptr);
      }
      pointers.send_back(pointers.edges(F, graph.n_template, graph.count(1, g), {},
                                        mobile_rows<T>(graph, g, pair_filter, pair_filter_gradient),
                                        false));
    }
  });
}

void messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in, int depth_out,
              const AtomRows &own, const AtomRows &base, const Filters &filters, at::Tensor &q,
              at::Tensor &mu) {
  GODIFF_RETURN_UNLESS_ROWS(own.x,
                            messages(edges, graph, depth_in, depth_out, own, base, filters, q, mu))
  const std::int64_t F = own.q.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(own.x.scalar_type(), "godiff::messages", [&] {
    using T = scalar_t;
    const auto x = reading<T>(own.x), v = reading<T>(own.mu), q_in = reading<T>(own.q),
               x_base = reading<T>(base.x), v_base = reading<T>(base.mu),
               q_base = reading<T>(base.q);
    const auto q_out = writing<T>(q), mu_out = writing<T>(mu);
    auto &pointers = RowPointers<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      const std::int64_t begin = graph.offset(depth_in, g), count = graph.count(depth_in, g);
      const std::int64_t out = graph.offset(depth_out, g), n_out = graph.count(depth_out, g);
      pointers.clear(N);
      for (std::int64_t s = 0; s < count; ++s) {
        pointers.first[atom[s]] = x[begin + s];
        pointers.second[atom[s]] = v[begin + s];
      }
      if (x_base)
        for (std::int64_t s = count; s < N; ++s) {
          pointers.first[atom[s]] = x_base[atom[s]];
          pointers.second[atom[s]] = v_base[atom[s]];
        }
      for (std::int64_t s = 0; s < n_out; ++s) {
        T *qi = q_out[out + s], *mui = mu_out[out + s];
        copy_row(s < count ? q_in[begin + s] : q_base[atom[s]], F, qi);
        copy_row(s < count ? v[begin + s] : v_base[atom[s]], 3 * F, mui);
        pointers.add_row(atom[s], qi, mui);
      }
      // With mobile receivers only there are no messages between template atoms.
      pointers.receive(pointers.edges(
          F, graph.n_template, graph.count(1, g),
          depth_out > 0 ? template_rows<T>(edges, filters.of_template, {}) : kernels::EdgeRows<T>{},
          mobile_rows<T>(graph, g, filters.of_pairs, {}), true));
    }
  });
}

void messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in,
                       int depth_out, const AtomRows &own, const AtomRows &base,
                       const Filters &filters, const at::Tensor &gq, const at::Tensor &gmu,
                       AtomRows &own_gradient, AtomRows &base_gradient, Filters &filter_gradients) {
  GODIFF_RETURN_UNLESS_ROWS(own.x, messages_backward(edges, graph, depth_in, depth_out, own, base,
                                                     filters, gq, gmu, own_gradient, base_gradient,
                                                     filter_gradients))
  const std::int64_t F = own.q.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(own.x.scalar_type(), "godiff::messages", [&] {
    using T = scalar_t;
    const auto x = reading<T>(own.x), v = reading<T>(own.mu), x_base = reading<T>(base.x),
               v_base = reading<T>(base.mu), gq_out = reading<T>(gq), gmu_out = reading<T>(gmu);
    const auto gx = writing<T>(own_gradient.x), gv = writing<T>(own_gradient.mu),
               gq_in = writing<T>(own_gradient.q), gx_base = writing<T>(base_gradient.x),
               gv_base = writing<T>(base_gradient.mu), gq_base = writing<T>(base_gradient.q);
    auto &pointers = RowPointers<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      const std::int64_t begin = graph.offset(depth_in, g), count = graph.count(depth_in, g);
      const std::int64_t out = graph.offset(depth_out, g), n_out = graph.count(depth_out, g);
      pointers.clear(N);
      for (std::int64_t s = 0; s < n_out; ++s) {
        pointers.first[atom[s]] = gq_out[out + s];
        pointers.second[atom[s]] = gmu_out[out + s];
      }
      for (std::int64_t s = 0; s < count; ++s) {
        T *gxs = gx[begin + s], *gvs = gv[begin + s], *gqs = gq_in[begin + s];
        std::fill_n(gxs, 3 * F, T(0));
        if (s < n_out) {
          copy_row(gq_out[out + s], F, gqs);
          copy_row(gmu_out[out + s], 3 * F, gvs);
        } else {
          std::fill_n(gqs, F, T(0));
          std::fill_n(gvs, 3 * F, T(0));
        }
        pointers.add_sender(atom[s], x[begin + s], v[begin + s], gxs, gvs);
      }
      if (gx_base) {
        for (std::int64_t s = count; s < n_out; ++s) {
          add_row(gq_out[out + s], F, gq_base[atom[s]]);
          add_row(gmu_out[out + s], 3 * F, gv_base[atom[s]]);
        }
        // The receivers lie within depth_out hops, so whoever sends to them is one hop further at most.
        for (std::int64_t s = count; s < graph.count(depth_out + 1, g); ++s)
          pointers.add_sender(atom[s], x_base[atom[s]], v_base[atom[s]], gx_base[atom[s]],
                              gv_base[atom[s]]);
      }
      // With mobile receivers only, no message between template atoms has an effect.
      const bool between_template = depth_out > 0;
      pointers.send_back(pointers.edges(
          F, graph.n_template, graph.count(1, g),
          between_template
              ? template_rows<T>(edges, filters.of_template, filter_gradients.of_template)
              : kernels::EdgeRows<T>{},
          mobile_rows<T>(graph, g, filters.of_pairs, filter_gradients.of_pairs), true));
    }
  });
}

}  // namespace godiff
