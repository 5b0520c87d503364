// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/messages.hpp"

#include <algorithm>

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>

#include "kernels/instruction_set.hpp"
#include "kernels/messages_plain.hpp"

namespace godiff {

namespace {

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

// Collects the edges of one atom, whose ends lie in different tables, for the row kernels. One per
// thread, so that its memory is allocated once.
template <class T> class EdgeList {
public:
  static EdgeList &of_this_thread() {
    thread_local EdgeList list;
    list.clear();
    return list;
  }

  void clear() {
    first_.clear();
    second_.clear();
    direction_.clear();
    run_end_.clear();
    filter_.clear();
    filter_gradient_.clear();
  }

  // first and second: x and mu of a sender, or the gradients of q and mu of a receiver.
  void add(const T *first, const T *second, const double *direction) {
    first_.push_back(first);
    second_.push_back(second);
    for (int k = 0; k < 3; ++k)
      direction_.push_back(static_cast<T>(direction[k]));
  }

  // Ends the run of edges with this filter; an empty run is none.
  void end_run(const T *filter, T *filter_gradient = nullptr) {
    const auto end = static_cast<std::int32_t>(first_.size());
    if (end == (run_end_.empty() ? 0 : run_end_.back()))
      return;
    run_end_.push_back(end);
    filter_.push_back(filter);
    filter_gradient_.push_back(filter_gradient);
  }

  void receive(std::int64_t n_feat, bool has_mu, T *q, T *mu) const {
    if (first_.empty())
      return;
    const auto runs = static_cast<std::int64_t>(run_end_.size());
    kernels::row_kernels<T>().receive({n_feat, runs, filter_.data(), run_end_.data(), first_.data(),
                                       has_mu ? second_.data() : nullptr, direction_.data()},
                                      q, mu);
  }

  void send_back(std::int64_t n_feat, const T *x, const T *mu, T *gx, T *gmu) const {
    if (first_.empty())
      return;
    const auto runs = static_cast<std::int64_t>(run_end_.size());
    kernels::row_kernels<T>().send_back({n_feat, runs, filter_.data(), filter_gradient_.data(),
                                         run_end_.data(), first_.data(), second_.data(),
                                         direction_.data(), x, mu},
                                        gx, gmu);
  }

private:
  std::vector<const T *> first_, second_, filter_;
  std::vector<T *> filter_gradient_;
  std::vector<T> direction_;
  std::vector<std::int32_t> run_end_;
};

// Adds the template edges of one atom for which `ends(neighbour, first, second)` finds rows.
template <class T, class Ends>
void add_template_edges(EdgeList<T> &list, const TemplateEdges &edges, std::int64_t atom,
                        const Table<const T> &filter, const Table<T> &filter_gradient, Ends ends) {
  std::int32_t e = edges.first[atom];
  const std::int32_t last = edges.first[atom + 1];
  while (e < last) {
    const std::int32_t row = edges.filter[e];
    for (; e < last && edges.filter[e] == row; ++e) {
      const T *first, *second;
      if (ends(edges.sender[e], first, second))
        list.add(first, second, edges.direction.data() + 3 * static_cast<std::size_t>(e));
    }
    list.end_run(filter[row], filter_gradient ? filter_gradient[row] : nullptr);
  }
}

// The same for the mobile edges of a row of depth 1; `ends` takes the neighbour's slot.
template <class T, class Ends>
void add_mobile_edges(EdgeList<T> &list, const ChunkGraph &graph, std::int64_t row,
                      const Table<const T> &filter, const Table<T> &filter_gradient, Ends ends) {
  for (std::int32_t e = graph.first[row]; e < graph.first[row + 1]; ++e) {
    const T *first, *second;
    if (!ends(graph.sender[e], first, second))
      continue;
    list.add(first, second, graph.direction.data() + 3 * static_cast<std::size_t>(e));
    list.end_run(filter[graph.pair[e]], filter_gradient ? filter_gradient[graph.pair[e]] : nullptr);
  }
}

template <class T> void copy_row(const T *from, std::int64_t n, T *to) {
  std::copy_n(from, n, to);
}

template <class T> void add_row(const T *from, std::int64_t n, T *to) {
  for (std::int64_t k = 0; k < n; ++k)
    to[k] += from[k];
}

bool on_cpu(const at::Tensor &tensor) {
  return tensor.device().is_cpu();
}

}  // namespace

void template_first_messages(const TemplateEdges &edges, const std::vector<std::int32_t> &element,
                             const at::Tensor &filter, FirstBlockRows &rows) {
  if (!on_cpu(rows.x))
    return plain::template_first_messages(edges, element, filter, rows);
  const std::int64_t F = rows.embedding.size(1);
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::template_first_messages", [&] {
    using T = scalar_t;
    const auto w = reading<T>(filter), x = reading<T>(rows.x), q0 = reading<T>(rows.embedding);
    const auto q = writing<T>(rows.q_template), mu = writing<T>(rows.mu_template);
    EdgeList<T> &list = EdgeList<T>::of_this_thread();
    for (std::int64_t i = 0; i < edges.n_atoms; ++i) {
      copy_row(q0[element[i]], F, q[i]);
      std::fill_n(mu[i], 3 * F, T(0));
      list.clear();
      add_template_edges<T>(list, edges, i, w, {}, [&](std::int32_t j, const T *&a, const T *&b) {
        a = x[element[j]];
        b = nullptr;
        return true;
      });
      list.receive(F, false, q[i], mu[i]);
    }
  });
}

void template_first_messages_backward(const TemplateEdges &edges,
                                      const std::vector<std::int32_t> &element,
                                      const at::Tensor &filter, const FirstBlockRows &rows,
                                      FirstBlockRows &gradient, at::Tensor &filter_gradient) {
  if (!on_cpu(rows.x))
    return plain::template_first_messages_backward(edges, element, filter, rows, gradient,
                                                   filter_gradient);
  const std::int64_t F = rows.embedding.size(1);
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::template_first_messages", [&] {
    using T = scalar_t;
    const auto w = reading<T>(filter), x = reading<T>(rows.x), gq = reading<T>(gradient.q_template),
               gmu = reading<T>(gradient.mu_template);
    const auto gw = writing<T>(filter_gradient), gx = writing<T>(gradient.x),
               gq0 = writing<T>(gradient.embedding);
    EdgeList<T> &list = EdgeList<T>::of_this_thread();
    for (std::int64_t j = 0; j < edges.n_atoms; ++j) {
      add_row(gq[j], F, gq0[element[j]]);
      list.clear();
      add_template_edges<T>(list, edges, j, w, gw, [&](std::int32_t i, const T *&a, const T *&b) {
        a = gq[i];
        b = gmu[i];
        return true;
      });
      list.send_back(F, x[element[j]], nullptr, gx[element[j]], nullptr);
    }
  });
}

void first_messages(const ChunkGraph &graph, int depth, const std::vector<std::int32_t> &element,
                    const FirstBlockRows &rows, const at::Tensor &pair_filter, at::Tensor &q,
                    at::Tensor &mu) {
  if (!on_cpu(rows.x))
    return plain::first_messages(graph, depth, element, rows, pair_filter, q, mu);
  const std::int64_t F = rows.embedding.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::first_messages", [&] {
    using T = scalar_t;
    const auto w = reading<T>(pair_filter), x = reading<T>(rows.x), q0 = reading<T>(rows.embedding),
               qt = reading<T>(rows.q_template), mut = reading<T>(rows.mu_template);
    const auto q_out = writing<T>(q), mu_out = writing<T>(mu);
    EdgeList<T> &list = EdgeList<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      for (std::int64_t s = 0; s < graph.count(depth, g); ++s) {
        T *qi = q_out[graph.offset(depth, g) + s], *mui = mu_out[graph.offset(depth, g) + s];
        if (atom[s] < graph.n_template) {
          copy_row(qt[atom[s]], F, qi);
          copy_row(mut[atom[s]], 3 * F, mui);
        } else {
          copy_row(q0[element[atom[s]]], F, qi);
          std::fill_n(mui, 3 * F, T(0));
        }
        if (s >= graph.count(1, g))
          continue;
        list.clear();
        add_mobile_edges<T>(list, graph, graph.offset(1, g) + s, w, {},
                            [&](std::int32_t slot, const T *&a, const T *&b) {
                              a = x[element[atom[slot]]];
                              b = nullptr;
                              return true;
                            });
        list.receive(F, false, qi, mui);
      }
    }
  });
}

void first_messages_backward(const ChunkGraph &graph, int depth,
                             const std::vector<std::int32_t> &element, const FirstBlockRows &rows,
                             const at::Tensor &pair_filter, const at::Tensor &gq,
                             const at::Tensor &gmu, FirstBlockRows &gradient,
                             at::Tensor &pair_filter_gradient) {
  if (!on_cpu(rows.x))
    return plain::first_messages_backward(graph, depth, element, rows, pair_filter, gq, gmu,
                                          gradient, pair_filter_gradient);
  const std::int64_t F = rows.embedding.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(rows.x.scalar_type(), "godiff::first_messages", [&] {
    using T = scalar_t;
    const auto w = reading<T>(pair_filter), x = reading<T>(rows.x), gq_out = reading<T>(gq),
               gmu_out = reading<T>(gmu);
    const auto gw = writing<T>(pair_filter_gradient), gx = writing<T>(gradient.x),
               gq0 = writing<T>(gradient.embedding), gqt = writing<T>(gradient.q_template),
               gmut = writing<T>(gradient.mu_template);
    EdgeList<T> &list = EdgeList<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      const std::int64_t begin = graph.offset(depth, g), count = graph.count(depth, g);
      for (std::int64_t s = 0; s < count; ++s) {
        if (atom[s] < graph.n_template) {
          add_row(gq_out[begin + s], F, gqt[atom[s]]);
          add_row(gmu_out[begin + s], 3 * F, gmut[atom[s]]);
        } else {
          add_row(gq_out[begin + s], F, gq0[element[atom[s]]]);
        }
      }
      for (std::int64_t s = 0; s < graph.count(1, g); ++s) {
        list.clear();
        add_mobile_edges<T>(list, graph, graph.offset(1, g) + s, w, gw,
                            [&](std::int32_t slot, const T *&a, const T *&b) {
                              if (slot >= count)
                                return false;
                              a = gq_out[begin + slot];
                              b = gmu_out[begin + slot];
                              return true;
                            });
        const std::int32_t e = element[atom[s]];
        list.send_back(F, x[e], nullptr, gx[e], nullptr);
      }
    }
  });
}

void messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in, int depth_out,
              const AtomRows &own, const AtomRows &base, const Filters &filters, at::Tensor &q,
              at::Tensor &mu) {
  if (!on_cpu(own.x))
    return plain::messages(edges, graph, depth_in, depth_out, own, base, filters, q, mu);
  const std::int64_t F = own.q.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(own.x.scalar_type(), "godiff::messages", [&] {
    using T = scalar_t;
    const auto wt = reading<T>(filters.of_template), wp = reading<T>(filters.of_pairs);
    const auto x = reading<T>(own.x), v = reading<T>(own.mu), q_in = reading<T>(own.q),
               x_base = reading<T>(base.x), v_base = reading<T>(base.mu),
               q_base = reading<T>(base.q);
    const auto q_out = writing<T>(q), mu_out = writing<T>(mu);
    EdgeList<T> &list = EdgeList<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      const std::int32_t *slot_of = graph.slot.data() + g * graph.n_template;
      const std::int64_t begin = graph.offset(depth_in, g), count = graph.count(depth_in, g);
      for (std::int64_t s = 0; s < graph.count(depth_out, g); ++s) {
        T *qi = q_out[graph.offset(depth_out, g) + s],
          *mui = mu_out[graph.offset(depth_out, g) + s];
        copy_row(s < count ? q_in[begin + s] : q_base[atom[s]], F, qi);
        copy_row(s < count ? v[begin + s] : v_base[atom[s]], 3 * F, mui);
        list.clear();
        if (atom[s] < graph.n_template)
          add_template_edges<T>(list, edges, atom[s], wt, {},
                                [&](std::int32_t j, const T *&a, const T *&b) {
                                  const std::int32_t slot = slot_of[j];
                                  a = slot < count ? x[begin + slot] : x_base[j];
                                  b = slot < count ? v[begin + slot] : v_base[j];
                                  return true;
                                });
        if (s < graph.count(1, g))
          add_mobile_edges<T>(list, graph, graph.offset(1, g) + s, wp, {},
                              [&](std::int32_t slot, const T *&a, const T *&b) {
                                a = x[begin + slot];
                                b = v[begin + slot];
                                return true;
                              });
        list.receive(F, true, qi, mui);
      }
    }
  });
}

void messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in,
                       int depth_out, const AtomRows &own, const AtomRows &base,
                       const Filters &filters, const at::Tensor &gq, const at::Tensor &gmu,
                       AtomRows &own_gradient, AtomRows &base_gradient, Filters &filter_gradients) {
  if (!on_cpu(own.x))
    return plain::messages_backward(edges, graph, depth_in, depth_out, own, base, filters, gq, gmu,
                                    own_gradient, base_gradient, filter_gradients);
  const std::int64_t F = own.q.size(1), N = graph.n_atoms();
  AT_DISPATCH_FLOATING_TYPES(own.x.scalar_type(), "godiff::messages", [&] {
    using T = scalar_t;
    const auto wt = reading<T>(filters.of_template), wp = reading<T>(filters.of_pairs);
    const auto gwt = writing<T>(filter_gradients.of_template),
               gwp = writing<T>(filter_gradients.of_pairs);
    const auto x = reading<T>(own.x), v = reading<T>(own.mu), x_base = reading<T>(base.x),
               v_base = reading<T>(base.mu), gq_out = reading<T>(gq), gmu_out = reading<T>(gmu);
    const auto gx = writing<T>(own_gradient.x), gv = writing<T>(own_gradient.mu),
               gq_in = writing<T>(own_gradient.q), gx_base = writing<T>(base_gradient.x),
               gv_base = writing<T>(base_gradient.mu), gq_base = writing<T>(base_gradient.q);
    EdgeList<T> &list = EdgeList<T>::of_this_thread();
    for (std::int64_t g = 0; g < graph.n_structures; ++g) {
      const std::int32_t *atom = graph.atom.data() + g * N;
      const std::int32_t *slot_of = graph.slot.data() + g * graph.n_template;
      const std::int64_t begin = graph.offset(depth_in, g), count = graph.count(depth_in, g);
      const std::int64_t out = graph.offset(depth_out, g), n_out = graph.count(depth_out, g);
      const auto receiver = [&](std::int32_t slot, const T *&a, const T *&b) {
        if (slot >= n_out)
          return false;
        a = gq_out[out + slot];
        b = gmu_out[out + slot];
        return true;
      };
      const auto template_receiver = [&](std::int32_t j, const T *&a, const T *&b) {
        return receiver(slot_of[j], a, b);
      };
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
        list.clear();
        if (atom[s] < graph.n_template)
          add_template_edges<T>(list, edges, atom[s], wt, gwt, template_receiver);
        if (s < graph.count(1, g))
          add_mobile_edges<T>(list, graph, graph.offset(1, g) + s, wp, gwp, receiver);
        list.send_back(F, x[begin + s], v[begin + s], gxs, gvs);
      }
      if (!gx_base)
        continue;
      for (std::int64_t s = count; s < n_out; ++s) {
        add_row(gq_out[out + s], F, gq_base[atom[s]]);
        add_row(gmu_out[out + s], 3 * F, gv_base[atom[s]]);
      }
      // The receivers lie within depth_out hops, so whoever sends to them is one hop further at most.
      for (std::int64_t s = count; s < graph.count(depth_out + 1, g); ++s) {
        list.clear();
        add_template_edges<T>(list, edges, atom[s], wt, gwt, template_receiver);
        list.send_back(F, x_base[atom[s]], v_base[atom[s]], gx_base[atom[s]], gv_base[atom[s]]);
      }
    }
  });
}

}  // namespace godiff
