// SPDX-License-Identifier: GPL-2.0-only
#include "kernels/messages_plain.hpp"

#include <tuple>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace godiff {
namespace plain {

namespace {

using Features = std::pair<at::Tensor, at::Tensor>;  // q [rows,F], mu [rows,3,F]

// Copies to the device of `like` without waiting for it: pageable memory is staged before the call
// returns, so the vector may be reused at once.
constexpr bool NON_BLOCKING = true;

at::Tensor upload(const std::vector<std::int32_t> &values, const at::Tensor &like) {
  return at::tensor(at::ArrayRef<std::int32_t>(values), at::kLong)
      .to(like.device(), at::kLong, NON_BLOCKING);
}

at::Tensor upload(const Directions &directions, const at::Tensor &like) {
  return at::tensor(at::ArrayRef<double>(directions.in_double), at::kDouble)
      .to(like.options(), NON_BLOCKING)
      .view({-1, 3});
}

// Edges between rows of tables; `filter` has one row per edge.
struct Edges {
  at::Tensor receiver, sender, filter, direction;
};

// q and mu of the receivers plus the messages; mu undefined: the senders' mu is zero.
Features add_messages(const Features &state, const Edges &edges, const at::Tensor &x,
                      const at::Tensor &mu) {
  const auto abc = (edges.filter * x.index_select(0, edges.sender)).chunk(3, 1);
  at::Tensor vector = edges.direction.unsqueeze(2) * abc[1].unsqueeze(1);
  if (mu.defined())
    vector = vector + abc[2].unsqueeze(1) * mu.index_select(0, edges.sender);
  return {state.first.index_add(0, edges.receiver, abc[0]),
          state.second.index_add(0, edges.receiver, vector)};
}

// Where a slot of each structure is found: rows of the tables of two depths.
//
// `state` lists [own rows | template rows]; an output table has one row more than it needs, which
// takes what no row is wanted for. So all shapes are known on the host.
class Layout {
public:
  Layout(const ChunkGraph &graph, int depth_in, int depth_out, const at::Tensor &like) :
      B_(graph.n_structures),
      N_(graph.n_atoms()),
      rows_in_(depth_in < 0 ? 0 : graph.rows(depth_in)),
      rows_out_(graph.rows(depth_out)) {
    const at::Tensor counts = upload(graph.counts, like).view({-1, B_});
    const at::Tensor offsets = upload(graph.offsets, like).view({-1, B_ + 1}).narrow(1, 0, B_);
    count_out_ = counts[depth_out];
    offset_out_ = offsets[depth_out];
    count_in_ = depth_in < 0 ? at::zeros_like(count_out_) : counts[depth_in];
    offset_in_ = depth_in < 0 ? at::zeros_like(count_out_) : offsets[depth_in];
    atom_ = upload(graph.atom, like).view({B_, N_});
    slot_ = upload(graph.slot, like).view({B_, -1});
  }

  std::int64_t rows_out() const { return rows_out_; }

  // structure, slot [...] -> row of the output table, or its extra row.
  at::Tensor out_row(const at::Tensor &structure, const at::Tensor &slot) const {
    return at::where(slot < count_out_.index_select(0, structure),
                     offset_out_.index_select(0, structure) + slot, rows_out_);
  }

  // structure, slot, atom [...] -> row of the state table.
  at::Tensor in_row(const at::Tensor &structure, const at::Tensor &slot,
                    const at::Tensor &atom) const {
    return at::where(slot < count_in_.index_select(0, structure),
                     offset_in_.index_select(0, structure) + slot, rows_in_ + atom);
  }

  // All slots of all structures: structure, slot, atom, flattened.
  std::tuple<at::Tensor, at::Tensor, at::Tensor> slots() const {
    const at::Tensor structure =
        at::arange(B_, atom_.options()).unsqueeze(1).expand({B_, N_}).reshape({-1});
    const at::Tensor slot = at::arange(N_, atom_.options()).repeat({B_});
    return {structure, slot, atom_.flatten()};
  }

  // The template edges of all structures.
  Edges template_edges(const TemplateEdges &edges, const at::Tensor &filter) const {
    const auto E = edges.n_edges();
    const at::Tensor structure =
        at::arange(B_, atom_.options()).unsqueeze(1).expand({B_, E}).reshape({-1});
    const at::Tensor from = upload(edges.sender, filter), to = upload(edges.receiver, filter);
    const at::Tensor from_slot = slot_.index_select(1, from).flatten();
    const at::Tensor to_slot = slot_.index_select(1, to).flatten();
    return {out_row(structure, to_slot), in_row(structure, from_slot, from.repeat({B_})),
            filter.index_select(0, upload(edges.filter, filter)).repeat({B_, 1}),
            upload(edges.direction, filter).repeat({B_, 1})};
  }

  // The mobile edges; `sender_row(structure, atom)` finds the row of a sender.
  template <class SenderRow>
  Edges mobile_edges(const ChunkGraph &graph, const at::Tensor &filter,
                     SenderRow sender_row) const {
    std::vector<std::int32_t> structures;
    for (std::int64_t g = 0; g < B_; ++g)
      structures.insert(structures.end(),
                        graph.first[graph.offset(1, g + 1)] - graph.first[graph.offset(1, g)],
                        static_cast<std::int32_t>(g));
    const at::Tensor structure = upload(structures, filter);
    const at::Tensor sender = upload(graph.sender, filter);
    return {out_row(structure, upload(graph.receiver, filter)), sender_row(structure, sender),
            filter.index_select(0, upload(graph.pair, filter)), upload(graph.direction, filter)};
  }

  // Slots of atoms: mobile atoms come first.
  at::Tensor slot_of(const at::Tensor &structure, const at::Tensor &atom) const {
    const std::int64_t n_template = slot_.size(1), n_mobile = N_ - n_template;
    const at::Tensor all =
        at::cat({slot_, at::arange(n_mobile, slot_.options()).expand({B_, n_mobile})}, 1);
    return all.flatten().index_select(0, structure * N_ + atom);
  }

private:
  std::int64_t B_, N_, rows_in_, rows_out_;
  at::Tensor count_in_, offset_in_, count_out_, offset_out_, atom_, slot_;
};

// Drops the extra row.
Features without_extra_row(const Features &f, std::int64_t rows) {
  return {f.first.narrow(0, 0, rows), f.second.narrow(0, 0, rows)};
}

Features template_first(const TemplateEdges &edges, const at::Tensor &filter, const at::Tensor &x,
                        const at::Tensor &embedding) {
  const at::Tensor elements = upload(edges.element, x);
  const at::Tensor q = embedding.index_select(0, elements.narrow(0, 0, edges.n_atoms));
  const at::Tensor mu = at::zeros({q.size(0), 3, q.size(1)}, q.options());
  const Edges list{upload(edges.receiver, x), elements.index_select(0, upload(edges.sender, x)),
                   filter.index_select(0, upload(edges.filter, x)), upload(edges.direction, x)};
  return add_messages({q, mu}, list, x, {});
}

Features first(const TemplateEdges &template_edges, const ChunkGraph &graph, int depth,
               const FirstBlockRows &rows, const at::Tensor &filter) {
  const Layout layout(graph, -1, depth, rows.x);
  const at::Tensor elements = upload(template_edges.element, rows.x);
  const auto [structure, slot, atom] = layout.slots();
  const std::int64_t F = rows.embedding.size(1);
  // Every slot is written once; those beyond the depth all go to the extra row.
  const at::Tensor q_mobile =
      rows.embedding.index_select(0, elements.narrow(0, graph.n_template, graph.n_mobile));
  const at::Tensor q_all = at::cat({rows.q_template, q_mobile});
  const at::Tensor mu_all =
      at::cat({rows.mu_template, at::zeros({graph.n_mobile, 3, F}, rows.mu_template.options())});
  const at::Tensor out = layout.out_row(structure, slot);
  const Features state{at::zeros({layout.rows_out() + 1, F}, q_all.options())
                           .index_add(0, out, q_all.index_select(0, atom)),
                       at::zeros({layout.rows_out() + 1, 3, F}, q_all.options())
                           .index_add(0, out, mu_all.index_select(0, atom))};
  const Edges edges =
      layout.mobile_edges(graph, filter, [&](const at::Tensor &, const at::Tensor &of_atom) {
        return elements.index_select(0, of_atom);
      });
  return without_extra_row(add_messages(state, edges, rows.x, {}), layout.rows_out());
}

Features later(const TemplateEdges &template_edges, const ChunkGraph &graph, int depth_in,
               int depth_out, const AtomRows &own, const AtomRows &base, const Filters &filters) {
  const Layout layout(graph, depth_in, depth_out, own.x);
  const auto both = [](const at::Tensor &a, const at::Tensor &b) {
    return b.defined() ? at::cat({a, b}) : a;
  };
  const at::Tensor x = both(own.x, base.x), mu = both(own.mu, base.mu), q = both(own.q, base.q);
  const auto [structure, slot, atom] = layout.slots();
  const at::Tensor out = layout.out_row(structure, slot);
  // Slots that neither table has are not wanted either: any row will do for them.
  const at::Tensor in = layout.in_row(structure, slot, atom).clamp_max(x.size(0) - 1);
  const std::int64_t F = q.size(1), rows = layout.rows_out();
  Features state{
      at::zeros({rows + 1, F}, q.options()).index_add(0, out, q.index_select(0, in)),
      at::zeros({rows + 1, 3, F}, q.options()).index_add(0, out, mu.index_select(0, in))};
  Edges edges = layout.template_edges(template_edges, filters.of_template);
  edges.sender = edges.sender.clamp_max(x.size(0) - 1);
  state = add_messages(state, edges, x, mu);
  state = add_messages(
      state,
      layout.mobile_edges(graph, filters.of_pairs,
                          [&](const at::Tensor &of_structure, const at::Tensor &of_atom) {
                            // Senders lie within one hop, and depth_in is 1 or more.
                            return layout.in_row(of_structure,
                                                 layout.slot_of(of_structure, of_atom), of_atom);
                          }),
      x, mu);
  return without_extra_row(state, rows);
}

at::Tensor leaf(const at::Tensor &value) {
  return value.defined() ? value.detach().requires_grad_() : value;
}

// Gradients of q and mu of `out` with respect to the leaves that are defined; undefined where no path
// leads.
std::vector<at::Tensor> gradients(const Features &out, const at::Tensor &gq, const at::Tensor &gmu,
                                  const std::vector<at::Tensor> &leaves) {
  std::vector<at::Tensor> inputs;
  for (const at::Tensor &l : leaves)
    if (l.defined())
      inputs.push_back(l);
  const auto found = torch::autograd::grad({out.first, out.second}, inputs, {gq, gmu},
                                           /*retain_graph=*/false, /*create_graph=*/false,
                                           /*allow_unused=*/true);
  std::vector<at::Tensor> result;
  std::size_t next = 0;
  for (const at::Tensor &l : leaves)
    result.push_back(l.defined() ? found[next++] : at::Tensor());
  return result;
}

void add_to(const at::Tensor &total, const at::Tensor &part) {
  if (total.defined() && part.defined())
    total.detach().add_(part);
}

void write_to(const at::Tensor &total, const at::Tensor &part) {
  if (part.defined())
    total.copy_(part);
  else
    total.zero_();
}

}  // namespace

void template_first_messages(const TemplateEdges &edges, const at::Tensor &filter,
                             FirstBlockRows &rows) {
  at::NoGradGuard no_grad;
  const auto [q, mu] = template_first(edges, filter, rows.x, rows.embedding);
  rows.q_template.copy_(q);
  rows.mu_template.copy_(mu);
}

void template_first_messages_backward(const TemplateEdges &edges, const at::Tensor &filter,
                                      const FirstBlockRows &rows, FirstBlockRows &gradient,
                                      at::Tensor &filter_gradient) {
  const at::AutoGradMode with_grad(true);
  const at::Tensor w = leaf(filter), x = leaf(rows.x), embedding = leaf(rows.embedding);
  const auto g = gradients(template_first(edges, w, x, embedding), gradient.q_template,
                           gradient.mu_template, {w, x, embedding});
  add_to(filter_gradient, g[0]);
  add_to(gradient.x, g[1]);
  add_to(gradient.embedding, g[2]);
}

void first_messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                    const FirstBlockRows &rows, const at::Tensor &pair_filter, at::Tensor &q,
                    at::Tensor &mu) {
  at::NoGradGuard no_grad;
  const auto [q_new, mu_new] = first(edges, graph, depth, rows, pair_filter);
  q.copy_(q_new);
  mu.copy_(mu_new);
}

void first_messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth,
                             const FirstBlockRows &rows, const at::Tensor &pair_filter,
                             const at::Tensor &gq, const at::Tensor &gmu, FirstBlockRows &gradient,
                             at::Tensor &pair_filter_gradient) {
  const at::AutoGradMode with_grad(true);
  const FirstBlockRows leaves{leaf(rows.x), leaf(rows.embedding), leaf(rows.q_template),
                              leaf(rows.mu_template)};
  const at::Tensor w = leaf(pair_filter);
  const auto g = gradients(first(edges, graph, depth, leaves, w), gq, gmu,
                           {leaves.x, leaves.embedding, leaves.q_template, leaves.mu_template, w});
  add_to(gradient.x, g[0]);
  add_to(gradient.embedding, g[1]);
  add_to(gradient.q_template, g[2]);
  add_to(gradient.mu_template, g[3]);
  add_to(pair_filter_gradient, g[4]);
}

void messages(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in, int depth_out,
              const AtomRows &own, const AtomRows &base, const Filters &filters, at::Tensor &q,
              at::Tensor &mu) {
  at::NoGradGuard no_grad;
  const auto [q_new, mu_new] = later(edges, graph, depth_in, depth_out, own, base, filters);
  q.copy_(q_new);
  mu.copy_(mu_new);
}

void messages_backward(const TemplateEdges &edges, const ChunkGraph &graph, int depth_in,
                       int depth_out, const AtomRows &own, const AtomRows &base,
                       const Filters &filters, const at::Tensor &gq, const at::Tensor &gmu,
                       AtomRows &own_gradient, AtomRows &base_gradient, Filters &filter_gradients) {
  const at::AutoGradMode with_grad(true);
  const AtomRows own_leaves{leaf(own.x), leaf(own.mu), leaf(own.q)};
  const AtomRows base_leaves{leaf(base.x), leaf(base.mu), leaf(base.q)};
  const Filters w{leaf(filters.of_template), leaf(filters.of_pairs)};
  const auto g =
      gradients(later(edges, graph, depth_in, depth_out, own_leaves, base_leaves, w), gq, gmu,
                {own_leaves.x, own_leaves.mu, own_leaves.q, base_leaves.x, base_leaves.mu,
                 base_leaves.q, w.of_template, w.of_pairs});
  write_to(own_gradient.x, g[0]);
  write_to(own_gradient.mu, g[1]);
  write_to(own_gradient.q, g[2]);
  add_to(base_gradient.x, g[3]);
  add_to(base_gradient.mu, g[4]);
  add_to(base_gradient.q, g[5]);
  add_to(filter_gradients.of_template, g[6]);
  add_to(filter_gradients.of_pairs, g[7]);
}

}  // namespace plain
}  // namespace godiff
