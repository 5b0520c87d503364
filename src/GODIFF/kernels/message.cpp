// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/message.hpp"

#include <optional>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/message_kernels.hpp"

namespace godiff {

namespace {

constexpr std::int64_t NODES_PER_TASK = 8;
constexpr std::int64_t PAIRS_PER_TASK = 16;

template <class T> kernels::Edges<T> view(const EdgeSet &edges, const at::Tensor &filter) {
  kernels::Edges<T> v;
  v.pair_i = edges.pair_i.const_data_ptr<std::int32_t>();
  v.pair_j = edges.pair_j.const_data_ptr<std::int32_t>();
  v.pair_direction = edges.pair_direction.const_data_ptr<T>();
  v.first = edges.first.const_data_ptr<std::int32_t>();
  v.sender = edges.sender.const_data_ptr<std::int32_t>();
  v.pair = edges.pair.const_data_ptr<std::int32_t>();
  v.direction = edges.direction.const_data_ptr<T>();
  v.filter = filter.const_data_ptr<T>();
  v.filter_stride = filter.stride(0);
  v.n_pairs = edges.n_pairs();
  return v;
}

template <class T>
kernels::MessageProblem<T> problem(const at::Tensor &x, const at::Tensor &mu,
                                   const at::Tensor &fixed_filter, const at::Tensor &mobile_filter,
                                   const BatchGraph &graph) {
  kernels::MessageProblem<T> p;
  p.n_feat = x.size(1) / 3;
  p.n_structures = graph.n_structures;
  p.n_template = graph.n_template;
  p.n_atoms = graph.n_atoms();
  p.fixed = view<T>(graph.fixed, fixed_filter);
  p.mobile = view<T>(graph.mobile, mobile_filter);
  p.x = x.const_data_ptr<T>();
  p.mu = mu.defined() ? mu.const_data_ptr<T>() : nullptr;
  return p;
}

// The kernels read whole filter rows of stride(0); only the columns must be contiguous.
at::Tensor with_contiguous_columns(const at::Tensor &filter) {
  return filter.size(0) == 0 || filter.stride(1) == 1 ? filter : filter.contiguous();
}

std::tuple<at::Tensor, at::Tensor> forward_cpu(const at::Tensor &x, const at::Tensor &mu,
                                               const at::Tensor &fixed_filter,
                                               const at::Tensor &mobile_filter,
                                               const BatchGraph &graph) {
  const std::int64_t nodes = x.size(0), F = x.size(1) / 3;
  at::Tensor dq = at::empty({nodes, F}, x.options());
  at::Tensor dmu = at::empty({nodes, 3, F}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "godiff::message", [&] {
    const auto p = problem<scalar_t>(x, mu, fixed_filter, mobile_filter, graph);
    scalar_t *q = dq.data_ptr<scalar_t>();
    scalar_t *m = dmu.data_ptr<scalar_t>();
    at::parallel_for(0, nodes, NODES_PER_TASK, [&](std::int64_t begin, std::int64_t end) {
      kernels::message_forward(p, begin, end, q, m);
    });
  });
  return {dq, dmu};
}

class MessageFunction : public torch::autograd::Function<MessageFunction> {
public:
  static torch::autograd::variable_list
  forward(torch::autograd::AutogradContext *context, const at::Tensor &x,
          const std::optional<at::Tensor> &optional_mu, const at::Tensor &fixed_filter,
          const at::Tensor &mobile_filter, const BatchGraph &graph) {
    const at::Tensor mu = optional_mu.value_or(at::Tensor());
    context->save_for_backward({x, mu, fixed_filter, mobile_filter});
    // The edge tensors are reference counted: this copy is shallow.
    context->saved_data["graph"] =
        c10::IValue::make_capsule(c10::make_intrusive<GraphHolder>(graph));
    auto [dq, dmu] = forward_cpu(x, mu, fixed_filter, mobile_filter, graph);
    return {dq, dmu};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &mu = saved[1], &fixed = saved[2], &mobile = saved[3];
    const auto holder = context->saved_data["graph"].toCapsule();
    const BatchGraph &graph = static_cast<const GraphHolder *>(holder.get())->graph;
    const std::int64_t nodes = x.size(0), F = x.size(1) / 3;
    const at::Tensor gq =
        grads[0].defined() ? grads[0].contiguous() : at::zeros({nodes, F}, x.options());
    const at::Tensor gmu =
        grads[1].defined() ? grads[1].contiguous() : at::zeros({nodes, 3, F}, x.options());
    at::Tensor gx = at::empty_like(x);
    at::Tensor gmu_in = mu.defined() ? at::empty_like(mu) : at::Tensor();
    at::Tensor gfixed = at::empty({fixed.size(0), 3 * F}, x.options());
    at::Tensor gmobile = at::empty({mobile.size(0), 3 * F}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "godiff::message_backward", [&] {
      const auto p = problem<scalar_t>(x, mu, fixed, mobile, graph);
      const scalar_t *q = gq.const_data_ptr<scalar_t>();
      const scalar_t *m = gmu.const_data_ptr<scalar_t>();
      at::parallel_for(0, nodes, NODES_PER_TASK, [&](std::int64_t begin, std::int64_t end) {
        kernels::message_backward_nodes(p, q, m, begin, end, gx.data_ptr<scalar_t>(),
                                        gmu_in.defined() ? gmu_in.data_ptr<scalar_t>() : nullptr);
      });
      for (const bool is_fixed : {true, false}) {
        scalar_t *out = (is_fixed ? gfixed : gmobile).template data_ptr<scalar_t>();
        const std::int64_t n = is_fixed ? p.fixed.n_pairs : p.mobile.n_pairs;
        at::parallel_for(0, n, PAIRS_PER_TASK, [&](std::int64_t begin, std::int64_t end) {
          kernels::message_backward_filters(p, is_fixed, q, m, begin, end, out);
        });
      }
    });
    return {gx, gmu_in, gfixed, gmobile, at::Tensor()};
  }

private:
  struct GraphHolder : torch::CustomClassHolder {
    explicit GraphHolder(const BatchGraph &g) : graph(g) {}
    BatchGraph graph;
  };
};

// Both directions of the pairs of one edge set, as node numbers of the whole batch.
struct DirectedEdges {
  at::Tensor receiver, sender, direction, filter;
};

DirectedEdges directed(const EdgeSet &edges, const at::Tensor &filter, const BatchGraph &graph,
                       bool fixed) {
  at::Tensor i = edges.pair_i.to(at::kLong), j = edges.pair_j.to(at::kLong);
  at::Tensor u = edges.pair_direction, w = filter;
  if (fixed) {
    const std::int64_t B = graph.n_structures;
    const at::Tensor shift = at::arange(B, i.options()).unsqueeze(1) * graph.n_atoms();
    i = (i.unsqueeze(0) + shift).reshape({-1});
    j = (j.unsqueeze(0) + shift).reshape({-1});
    u = u.repeat({B, 1});
    w = w.repeat({B, 1});
  }
  return {at::cat({i, j}), at::cat({j, i}), at::cat({u, -u}), at::cat({w, w})};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> message_reference(const at::Tensor &x, const at::Tensor &mu,
                                                     const at::Tensor &fixed_filter,
                                                     const at::Tensor &mobile_filter,
                                                     const BatchGraph &graph) {
  const std::int64_t nodes = x.size(0), F = x.size(1) / 3;
  at::Tensor dq = at::zeros({nodes, F}, x.options());
  at::Tensor dmu = at::zeros({nodes, 3, F}, x.options());
  for (const bool fixed : {true, false}) {
    const DirectedEdges e = directed(fixed ? graph.fixed : graph.mobile,
                                     fixed ? fixed_filter : mobile_filter, graph, fixed);
    const auto abc = (e.filter * x.index_select(0, e.sender)).chunk(3, 1);
    dq = dq.index_add(0, e.receiver, abc[0]);
    at::Tensor vector = e.direction.unsqueeze(2) * abc[1].unsqueeze(1);
    if (mu.defined())
      vector = vector + abc[2].unsqueeze(1) * mu.index_select(0, e.sender);
    dmu = dmu.index_add(0, e.receiver, vector);
  }
  return {dq, dmu};
}

std::tuple<at::Tensor, at::Tensor> message(const at::Tensor &x, const at::Tensor &mu,
                                           const at::Tensor &fixed_filter,
                                           const at::Tensor &mobile_filter,
                                           const BatchGraph &graph) {
  if (!x.device().is_cpu())
    return message_reference(x, mu, fixed_filter, mobile_filter, graph);
  const at::Tensor xc = x.contiguous();
  const at::Tensor muc = mu.defined() ? mu.contiguous() : mu;
  const at::Tensor fixed = with_contiguous_columns(fixed_filter);
  const at::Tensor mobile = with_contiguous_columns(mobile_filter);
  if (!at::GradMode::is_enabled())
    return forward_cpu(xc, muc, fixed, mobile, graph);
  const auto optional_mu = muc.defined() ? std::optional<at::Tensor>(muc) : std::nullopt;
  const auto out = MessageFunction::apply(xc, optional_mu, fixed, mobile, graph);
  return {out[0], out[1]};
}

}  // namespace godiff
