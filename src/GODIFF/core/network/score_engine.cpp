// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/score_engine.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include "core/base/error.hpp"
#include "core/geometry/structure_graphs.hpp"
#include "core/network/backbone.hpp"
#include "core/network/vector_head.hpp"
#include "kernels/flat_buffers.hpp"

namespace godiff {

namespace {

// Rows of a chunk's tables: enough for efficient matrix products, few enough for a core's cache.
constexpr std::int64_t FEWEST_ROWS = 80, MOST_ROWS = 1280;
// A batch is cut into at least this many chunks, as long as they do not get too small, so that as many
// threads have work. Each chunk of a training step costs a buffer of gradients.
constexpr std::int64_t CHUNKS = 8, TRAINING_CHUNKS = 4;
// Each part of a training batch has gradients of its own, to be summed in a fixed order.
constexpr std::int64_t MAX_GRADIENT_BYTES = 256 << 20;

enum class Head { SCORE, FORCE };

// What a pass computes, the same for all chunks of a batch.
struct Task {
  Head head;
  Wanted wanted;
  const double *positions;
  at::Tensor t;       // [B] in the network's precision; only for the score
  LeastSquares loss;  // on the device, in the network's precision; undefined without a loss
  bool gradient;
};

// A range of structures.
struct Chunk {
  std::int64_t begin, end;
  std::int64_t count() const { return end - begin; }
};

std::vector<Chunk> cut(std::int64_t count, std::int64_t size) {
  std::vector<Chunk> chunks;
  for (std::int64_t begin = 0; begin < count; begin += size)
    chunks.push_back({begin, std::min(begin + size, count)});
  return chunks;
}

}  // namespace

struct ScoreEngine::Impl {
  Impl(const System &given_system, ScoreNetwork &given_network) :
      system(given_system),
      network(given_network),
      settings(given_network.settings()),
      options(given_network.parameters().flat().options()),
      graphs(given_system, settings.cutoff, given_network.dtype()),
      weights(view_weights(settings, network.parameters(), network.parameters().flat())) {
    std::vector<std::int64_t> elements(system.atomic_numbers.begin(), system.atomic_numbers.end());
    std::sort(elements.begin(), elements.end());
    elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
    for (int z : system.atomic_numbers)
      element.push_back(static_cast<std::int32_t>(
          std::lower_bound(elements.begin(), elements.end(), z) - elements.begin()));
    shared =
        std::make_unique<SharedTemplate>(graphs.template_edges(), element, elements, settings,
                                         ReceptiveField::lone_levels(settings.nblock), options);
  }

  // Memory of one thread.
  struct Lane {
    explicit Lane(const at::TensorOptions &options) : work(options) {}
    ChunkGraph graph;
    Workspace work;
  };

  // Gradients of one part of a batch: weights, then the shared template.
  struct Part {
    at::Tensor flat;
    NetworkWeights weights;
    SharedGradient shared;
  };

  System system;
  ScoreNetwork &network;
  NetworkSettings settings;
  at::TensorOptions options;
  StructureGraphs graphs;
  std::vector<std::int32_t> element;  // of each atom, row among the system's elements
  NetworkWeights weights;
  std::unique_ptr<SharedTemplate> shared;
  at::Tensor filters;  // filter_matrix() of the weights
  std::int64_t version = -1;
  std::vector<Lane> lanes;
  std::vector<Part> parts;

  bool on_cpu() const { return options.device().is_cpu(); }

  void run(const std::vector<Chunk> &chunks, const std::function<void(std::size_t, Lane &)> &work);
  void refresh();
  std::vector<Chunk> chunks(std::int64_t count, bool gradient) const;
  at::Tensor forward(const Task &task, const Chunk &chunk, Lane &lane, BackbonePass &pass,
                     HeadTape &tape) const;
  at::Tensor by_atom(const at::Tensor &rows, const ChunkGraph &graph) const;
  void backward(const Task &task, const Lane &lane, const BackbonePass &pass, const HeadTape &tape,
                const at::Tensor &gradient, Part &part, Workspace &work) const;
  const HeadWeights &head(const NetworkWeights &w, Head which) const {
    return which == Head::SCORE ? w.score : w.force;
  }
  void make_parts(std::size_t count);

  at::Tensor evaluate(Task task, std::int64_t count, std::int64_t rows);
  at::Tensor loss(Task task, std::int64_t count);
};

void ScoreEngine::Impl::run(const std::vector<Chunk> &chunks,
                            const std::function<void(std::size_t, Lane &)> &work) {
  const auto n = static_cast<std::int64_t>(chunks.size());
  const auto lane = [&](std::size_t i) -> Lane & {
    while (lanes.size() <= i)
      lanes.emplace_back(options);
    return lanes[i];
  };
  if (!on_cpu()) {
    for (std::int64_t i = 0; i < n; ++i)
      work(i, lane(0));
    return;
  }
  lane(std::max(1, at::get_num_threads()) - 1);
  // At least two, one of them empty if need be: inside of a parallel region every matrix product runs
  // on one thread, so that its bits do not depend on their number.
  at::parallel_for(0, std::max<std::int64_t>(n, 2), 1, [&](std::int64_t begin, std::int64_t end) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    for (std::int64_t i = begin; i < end && i < n; ++i)
      work(i, lanes[at::get_thread_num()]);
  });
}

void ScoreEngine::Impl::refresh() {
  if (version == network.parameters().version())
    return;
  run({{0, 1}}, [&](std::size_t, Lane &) {
    filters = filter_matrix(weights.filter, settings);
    shared->update(weights);
  });
  version = network.parameters().version();
}

std::vector<Chunk> ScoreEngine::Impl::chunks(std::int64_t count, bool gradient) const {
  if (!on_cpu())
    return cut(count, std::max<std::int64_t>(count, 1));
  const std::int64_t N = system.n_atoms(), wanted = gradient ? TRAINING_CHUNKS : CHUNKS;
  std::int64_t size =
      std::max((FEWEST_ROWS + N - 1) / N, std::min(MOST_ROWS / N + 1, count / wanted));
  if (gradient) {
    const std::int64_t bytes =
        (network.parameters().size() + shared->gradient_size()) * options.dtype().itemsize();
    const std::int64_t most = std::max<std::int64_t>(1, MAX_GRADIENT_BYTES / bytes);
    size = std::max(size, (count + most - 1) / most);
  }
  return cut(count, size);
}

at::Tensor ScoreEngine::Impl::by_atom(const at::Tensor &rows, const ChunkGraph &graph) const {
  const at::Tensor atom = at::tensor(at::ArrayRef<std::int32_t>(graph.atom), at::kLong)
                              .view({graph.n_structures, graph.n_atoms(), 1})
                              .expand({graph.n_structures, graph.n_atoms(), 3})
                              .to(rows.device());
  const at::Tensor slots = rows.view({graph.n_structures, graph.n_atoms(), 3});
  return at::empty_like(slots).scatter_(1, atom, slots);
}

at::Tensor ScoreEngine::Impl::forward(const Task &task, const Chunk &chunk, Lane &lane,
                                      BackbonePass &pass, HeadTape &tape) const {
  const std::int64_t n = system.n_mobile;
  lane.work.clear();
  graphs.build(task.positions + 3 * n * chunk.begin, chunk.count(),
               ReceptiveField::hops_needed(settings.nblock, task.gradient), lane.graph);
  pass = backbone(settings, weights, filters, *shared, graphs.template_edges(), element, lane.graph,
                  task.wanted, task.gradient, lane.work);
  at::Tensor scalars = pass.q;
  if (task.head == Head::SCORE) {
    // Time features follow the backbone (method section 9).
    const at::Tensor angle =
        (task.t.narrow(0, chunk.begin, chunk.count()) * M_PI).repeat_interleave(n).unsqueeze(1);
    scalars = lane.work.take({pass.q.size(0), pass.q.size(1) + 2});
    at::cat_out(scalars, {pass.q, angle.sin(), angle.cos()}, 1);
  }
  const at::Tensor out = vector_head(head(weights, task.head), scalars, pass.mu, lane.work, tape);
  return task.wanted == Wanted::ALL ? by_atom(out, lane.graph) : out.view({chunk.count(), n, 3});
}

void ScoreEngine::Impl::backward(const Task &task, const Lane &lane, const BackbonePass &pass,
                                 const HeadTape &tape, const at::Tensor &gradient, Part &part,
                                 Workspace &work) const {
  at::Tensor by_slot = gradient;
  if (task.wanted == Wanted::ALL) {
    const ChunkGraph &graph = lane.graph;
    const at::Tensor atom = at::tensor(at::ArrayRef<std::int32_t>(graph.atom), at::kLong)
                                .view({graph.n_structures, graph.n_atoms(), 1})
                                .expand({graph.n_structures, graph.n_atoms(), 3})
                                .to(gradient.device());
    by_slot = gradient.gather(1, atom);
  }
  const HeadGradient g =
      vector_head_backward(head(weights, task.head), tape, by_slot.reshape({-1, 3}),
                           head(part.weights, task.head), work);
  at::Tensor gq = work.take(pass.q.sizes());
  gq.copy_(g.scalars.narrow(1, 0, settings.nfeat));
  backbone_backward(settings, weights, *shared, graphs.template_edges(), element, lane.graph,
                    task.wanted, pass, gq, g.vectors, part.weights, part.shared, work);
}

void ScoreEngine::Impl::make_parts(std::size_t count) {
  const std::int64_t n = network.parameters().size(), m = shared->gradient_size();
  while (parts.size() < count) {
    Part part;
    part.flat = at::empty({n + m}, options);
    part.weights = view_weights(settings, network.parameters(), part.flat.narrow(0, 0, n));
    part.shared = shared->view_gradient(part.flat.narrow(0, n, m));
    parts.push_back(part);
  }
}

at::Tensor ScoreEngine::Impl::evaluate(Task task, std::int64_t count, std::int64_t rows) {
  refresh();
  const at::Tensor result = at::empty({count, rows, 3}, options);
  const std::vector<Chunk> list = chunks(count, false);
  run(list, [&](std::size_t i, Lane &lane) {
    BackbonePass pass;
    HeadTape tape;
    result.narrow(0, list[i].begin, list[i].count())
        .copy_(forward(task, list[i], lane, pass, tape));
  });
  return result;
}

at::Tensor ScoreEngine::Impl::loss(Task task, std::int64_t count) {
  refresh();
  const std::vector<Chunk> list = chunks(count, task.gradient);
  const std::int64_t n = network.parameters().size();
  if (task.gradient)
    make_parts(list.size() + 1);
  std::vector<at::Tensor> values(list.size());
  run(list, [&](std::size_t i, Lane &lane) {
    const Chunk &chunk = list[i];
    BackbonePass pass;
    HeadTape tape;
    const at::Tensor out = forward(task, chunk, lane, pass, tape);
    const auto part_of = [&](const at::Tensor &whole) {
      return whole.narrow(0, chunk.begin, chunk.count());
    };
    const at::Tensor factor = part_of(task.loss.factor).view({-1, 1, 1});
    const at::Tensor weight = part_of(task.loss.weight).view({-1, 1, 1});
    const at::Tensor residual = part_of(task.loss.offset) + factor * out;
    values[i] = (weight * residual.square()).sum(at::kDouble);
    if (!task.gradient)
      return;
    Part &part = parts[i];
    part.flat.zero_();
    backward(task, lane, pass, tape, residual * (2.0 * weight * factor), part, lane.work);
  });
  at::Tensor value = at::zeros({}, options.dtype(at::kDouble));
  for (const at::Tensor &v : values)
    value += v;
  if (!task.gradient)
    return value;

  // The shared template's gradient is that of a further part, whose sum of all parts comes first.
  Part &last = parts[list.size()];
  std::vector<at::Tensor> flats;
  for (std::size_t i = 0; i < list.size(); ++i)
    flats.push_back(parts[i].flat.narrow(0, n, parts[i].flat.size(0) - n));
  sum_parts(flats, last.flat.narrow(0, n, last.flat.size(0) - n));
  last.flat.narrow(0, 0, n).zero_();
  run({{0, 1}}, [&](std::size_t, Lane &) { shared->backward(weights, last.shared, last.weights); });
  flats.clear();
  for (std::size_t i = 0; i <= list.size(); ++i)
    flats.push_back(parts[i].flat.narrow(0, 0, n));
  sum_parts(flats, network.parameters().flat_gradient());
  return value;
}

ScoreEngine::ScoreEngine(const System &system, ScoreNetwork &network) :
    impl_(std::make_unique<Impl>(system, network)) {}
ScoreEngine::~ScoreEngine() = default;
ScoreEngine::ScoreEngine(ScoreEngine &&) noexcept = default;

namespace {

at::Tensor checked_positions(const at::Tensor &positions, std::int64_t n_mobile) {
  if (positions.dim() != 3 || positions.size(1) != n_mobile || positions.size(2) != 3)
    throw Error("positions must have the shape [structures, mobile atoms, 3]");
  return positions.to(at::kCPU, at::kDouble).contiguous();
}

at::Tensor checked_times(const at::Tensor &t, std::int64_t count) {
  if (t.dim() != 1 || t.size(0) != count)
    throw Error("times must have the shape [structures]");
  return t;
}

const LeastSquares &checked_loss(const LeastSquares &loss, std::int64_t count, std::int64_t rows) {
  if (loss.offset.sizes() != at::IntArrayRef({count, rows, 3}) ||
      loss.factor.sizes() != at::IntArrayRef({count}) ||
      loss.weight.sizes() != at::IntArrayRef({count}))
    throw Error("a loss must have one offset per structure and row, one factor and one weight per "
                "structure");
  return loss;
}

LeastSquares on_device(const LeastSquares &loss, const at::TensorOptions &options) {
  return {loss.offset.to(options), loss.factor.to(options), loss.weight.to(options)};
}

}  // namespace

at::Tensor ScoreEngine::score(const at::Tensor &positions, const at::Tensor &t) {
  const at::Tensor x = checked_positions(positions, impl_->system.n_mobile);
  return impl_->evaluate({Head::SCORE,
                          Wanted::MOBILE,
                          x.const_data_ptr<double>(),
                          checked_times(t, x.size(0)).to(impl_->options),
                          {},
                          false},
                         x.size(0), impl_->system.n_mobile);
}

at::Tensor ScoreEngine::forces(const at::Tensor &positions, bool mobile_only) {
  if (!impl_->settings.force_head)
    throw Error("the network has no force head");
  const at::Tensor x = checked_positions(positions, impl_->system.n_mobile);
  return impl_->evaluate({Head::FORCE,
                          mobile_only ? Wanted::MOBILE : Wanted::ALL,
                          x.const_data_ptr<double>(),
                          {},
                          {},
                          false},
                         x.size(0), mobile_only ? impl_->system.n_mobile : impl_->system.n_atoms());
}

at::Tensor ScoreEngine::score_loss(const at::Tensor &positions, const at::Tensor &t,
                                   const LeastSquares &loss) {
  const at::Tensor x = checked_positions(positions, impl_->system.n_mobile);
  return impl_->loss(
      {Head::SCORE, Wanted::MOBILE, x.const_data_ptr<double>(),
       checked_times(t, x.size(0)).to(impl_->options),
       on_device(checked_loss(loss, x.size(0), impl_->system.n_mobile), impl_->options), false},
      x.size(0));
}

at::Tensor ScoreEngine::score_gradient(const at::Tensor &positions, const at::Tensor &t,
                                       const LeastSquares &loss) {
  const at::Tensor x = checked_positions(positions, impl_->system.n_mobile);
  return impl_->loss(
      {Head::SCORE, Wanted::MOBILE, x.const_data_ptr<double>(),
       checked_times(t, x.size(0)).to(impl_->options),
       on_device(checked_loss(loss, x.size(0), impl_->system.n_mobile), impl_->options), true},
      x.size(0));
}

at::Tensor ScoreEngine::force_loss(const at::Tensor &positions, const LeastSquares &loss) {
  if (!impl_->settings.force_head)
    throw Error("the network has no force head");
  const at::Tensor x = checked_positions(positions, impl_->system.n_mobile);
  const bool all = loss.offset.size(1) != impl_->system.n_mobile;
  return impl_->loss(
      {Head::FORCE,
       all ? Wanted::ALL : Wanted::MOBILE,
       x.const_data_ptr<double>(),
       {},
       on_device(
           checked_loss(loss, x.size(0), all ? impl_->system.n_atoms() : impl_->system.n_mobile),
           impl_->options),
       false},
      x.size(0));
}

at::Tensor ScoreEngine::force_gradient(const at::Tensor &positions, const LeastSquares &loss) {
  if (!impl_->settings.force_head)
    throw Error("the network has no force head");
  const at::Tensor x = checked_positions(positions, impl_->system.n_mobile);
  const bool all = loss.offset.size(1) != impl_->system.n_mobile;
  return impl_->loss(
      {Head::FORCE,
       all ? Wanted::ALL : Wanted::MOBILE,
       x.const_data_ptr<double>(),
       {},
       on_device(
           checked_loss(loss, x.size(0), all ? impl_->system.n_atoms() : impl_->system.n_mobile),
           impl_->options),
       true},
      x.size(0));
}

std::int64_t ScoreEngine::template_edges() const {
  return impl_->graphs.template_edges().n_edges();
}

}  // namespace godiff
