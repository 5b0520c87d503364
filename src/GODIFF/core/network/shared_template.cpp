// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/shared_template.hpp"

#include <numeric>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace godiff {

namespace {

// One structure of the template's atoms only: all of them, at every depth.
ChunkGraph lone_template(std::int64_t n) {
  ChunkGraph graph;
  graph.n_structures = 1;
  graph.n_template = n;
  graph.max_hops = 1;
  graph.atom.resize(n);
  std::iota(graph.atom.begin(), graph.atom.end(), 0);
  graph.slot = graph.atom;
  const auto rows = static_cast<std::int32_t>(n);
  graph.counts = {0, 0, rows};
  graph.offsets = {0, 0, 0, 0, 0, rows};
  graph.first = {0};
  return graph;
}

}  // namespace

SharedTemplate::SharedTemplate(const TemplateEdges &edges,
                               const std::vector<std::int64_t> &elements,
                               const NetworkSettings &settings, int n_levels,
                               const at::TensorOptions &options) :
    edges_(edges),
    settings_(settings),
    n_levels_(n_levels),
    lone_(lone_template(edges.n_atoms)),
    element_index_(at::tensor(elements, at::kLong).to(options.device())),
    work_(options),
    backward_work_(options) {
  const auto D = static_cast<std::int64_t>(edges.distance.size());
  const at::Tensor distance =
      at::tensor(at::ArrayRef<double>(edges.distance), at::kDouble).to(options);
  basis_ = at::empty({D, basis_columns(settings)}, options);
  radial_basis(distance, settings, basis_);
  filters_ = at::empty({D, settings.nblock * 3 * settings.nfeat}, options);
  no_pairs_ = at::empty({0, 3 * settings.nfeat}, options);
}

at::Tensor SharedTemplate::filters(int l) const {
  return filters_.narrow(1, l * 3 * settings_.nfeat, 3 * settings_.nfeat);
}

AtomRows SharedTemplate::level(int l) const {
  return l < n_levels_ ? levels_[l].rows : AtomRows();
}

void SharedTemplate::update(const NetworkWeights &weights) {
  const std::int64_t F = settings_.nfeat, n = edges_.n_atoms;
  work_.clear();
  at::mm_out(filters_, basis_, filter_matrix(weights.filter, settings_).t());

  first_.embedding = weights.embedding.index_select(0, element_index_);
  first_.x = context(weights.blocks[0], first_.embedding, work_, first_context_);
  levels_.assign(n_levels_, {});
  // The state after the first messages is what the first level's mixing starts from, and what every
  // structure starts from.
  MixingTape start;
  start.prepare(n, F, work_);
  first_.q_template = start.q();
  first_.mu_template = start.mu;
  template_first_messages(edges_, filters(0), first_);

  for (int l = 0; l < n_levels_; ++l) {
    Level &level = levels_[l];
    if (l == 0) {
      level.mixing = start;
    } else {
      level.mixing.prepare(n, F, work_);
      at::Tensor q = level.mixing.q();
      messages(edges_, lone_, lone_.all(), lone_.all(), levels_[l - 1].rows, {},
               {filters(l), no_pairs_}, q, level.mixing.mu);
    }
    level.rows.q = work_.take({n, F});
    level.rows.mu = work_.take({n, 3, F});
    mixing(weights.blocks[l], level.mixing, level.rows.q, level.rows.mu, work_);
    level.rows.x = context(weights.blocks[l + 1], level.rows.q, work_, level.context);
  }
}

void SharedTemplate::backward(const NetworkWeights &weights, SharedGradient &gradient,
                              const NetworkWeights &weight_gradient) {
  Workspace &work = backward_work_;
  work.clear();
  for (int l = n_levels_ - 1; l >= 0; --l) {
    Level &level = levels_[l];
    AtomRows &g = gradient.levels[l];
    context_backward(weights.blocks[l + 1], level.context, g.x, weight_gradient.blocks[l + 1], g.q,
                     work);
    mixing_backward(weights.blocks[l], level.mixing, weight_gradient.blocks[l], g.q, g.mu, work);
    if (l == 0) {
      gradient.first.q_template.add_(g.q);
      gradient.first.mu_template.add_(g.mu);
      break;
    }
    const AtomRows &rows = levels_[l - 1].rows;
    AtomRows back{work.take(rows.x.sizes()), work.take(rows.mu.sizes()), work.take(rows.q.sizes())};
    AtomRows none;
    Filters filter_gradient{
        gradient.filters.narrow(1, l * 3 * settings_.nfeat, 3 * settings_.nfeat), no_pairs_};
    messages_backward(edges_, lone_, lone_.all(), lone_.all(), rows, {}, {filters(l), no_pairs_},
                      g.q, g.mu, back, none, filter_gradient);
    AtomRows &below = gradient.levels[l - 1];
    below.x.add_(back.x);
    below.mu.add_(back.mu);
    below.q.add_(back.q);
  }
  at::Tensor first_filters = gradient.filters.narrow(1, 0, 3 * settings_.nfeat);
  template_first_messages_backward(edges_, filters(0), first_, gradient.first, first_filters);
  context_backward(weights.blocks[0], first_context_, gradient.first.x, weight_gradient.blocks[0],
                   gradient.first.embedding, work);
  weight_gradient.embedding.index_add_(0, element_index_, gradient.first.embedding);
  add_filter_gradient(at::mm(gradient.filters.t(), basis_), weight_gradient.filter);
}

std::int64_t SharedTemplate::gradient_size() const {
  const std::int64_t F = settings_.nfeat, elements = element_index_.size(0), n = edges_.n_atoms;
  return elements * 4 * F + n * 4 * F + filters_.numel() + n_levels_ * n * 7 * F;
}

SharedGradient SharedTemplate::view_gradient(const at::Tensor &flat) const {
  std::int64_t next = 0;
  const auto take = [&](at::IntArrayRef sizes) {
    std::int64_t length = 1;
    for (std::int64_t size : sizes)
      length *= size;
    const at::Tensor view = flat.narrow(0, next, length).view(sizes);
    next += length;
    return view;
  };
  const std::int64_t F = settings_.nfeat, elements = element_index_.size(0), n = edges_.n_atoms;
  SharedGradient gradient;
  gradient.first.x = take({elements, 3 * F});
  gradient.first.embedding = take({elements, F});
  gradient.first.q_template = take({n, F});
  gradient.first.mu_template = take({n, 3, F});
  gradient.filters = take(filters_.sizes());
  for (int l = 0; l < n_levels_; ++l) {
    const at::Tensor x = take({n, 3 * F}), mu = take({n, 3, F});
    gradient.levels.push_back({x, mu, take({n, F})});
  }
  return gradient;
}

}  // namespace godiff
