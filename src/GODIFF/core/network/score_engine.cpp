// SPDX-License-Identifier: GPL-2.0-only
#include "core/network/score_engine.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include "core/base/error.hpp"
#include "core/geometry/structure_graphs.hpp"
#include "core/network/backbone.hpp"
#include "core/network/ordered_sum.hpp"
#include "core/network/vector_head.hpp"
#include "kernels/flat_buffers.hpp"
#include "kernels/graph_builder.hpp"
#include "kernels/implementation.hpp"

namespace godiff {

namespace {

// Rows of a chunk's tables: enough for efficient matrix products, few enough for a core's cache.
constexpr std::int64_t FEWEST_ROWS = 80, MOST_ROWS = 1280;
// A batch is cut into at least this many chunks, as long as they do not get too small, so that as many
// threads and ranks have work. Each chunk of a training step costs a buffer of gradients.
constexpr std::int64_t CHUNKS = 16, TRAINING_CHUNKS = 4;
// Each part of a training batch has gradients of its own, to be summed in a fixed order.
constexpr std::int64_t MAX_GRADIENT_BYTES = 256 << 20;
// Elements of the largest tensor of a pass on a device other than the CPU.
constexpr std::int64_t DEVICE_ELEMENTS = 1 << 28;
// Of a mobile atom in a dense place, for an estimate of memory.
constexpr std::int64_t PAIRS_OF_AN_ATOM = 100;
// Uploads do not wait for the device.
constexpr bool NON_BLOCKING = true;

enum class Head { SCORE, FORCE };

// What is asked about a batch, the same for all its chunks.
struct Task {
  Head head;
  Wanted wanted;
  at::Tensor positions;  // [B, n_mobile, 3] float64, on the CPU or of `batch`
  at::Tensor t;          // [B] in the network's precision; only for the score
  bool gradient = false;
  ScoreEngine::DeviceBatch *batch = nullptr;  // the positions are on the device

  std::int64_t count() const { return positions.size(0); }
};

// A range of structures.
using Chunk = Share;

std::vector<Chunk> cut(std::int64_t count, std::int64_t size) {
  std::vector<Chunk> chunks;
  for (std::int64_t begin = 0; begin < count; begin += size)
    chunks.push_back({begin, std::min(begin + size, count)});
  return chunks;
}

std::int64_t chunks_in(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

at::Tensor checked_positions(const at::Tensor &positions, std::int64_t n_mobile) {
  if (positions.dim() != 3 || positions.size(1) != n_mobile || positions.size(2) != 3)
    throw Error("positions must have the shape [structures, mobile atoms, 3]");
  const at::Tensor checked = positions.to(at::kCPU, at::kDouble).contiguous();
  const double *x = checked.const_data_ptr<double>();
  for (std::int64_t k = 0; k < checked.numel(); ++k)
    if (!(std::abs(x[k]) <= FARTHEST))
      throw Error("a mobile atom is at coordinate " + std::to_string(x[k]) +
                  ", which is not a place in a cell");
  return checked;
}

// Whether the environment lets batches of Kokkos stay on the device.
bool stages_on_device() {
  const char *word = std::getenv("GODIFF_RECORD");
  return !word || std::string(word) != "no";
}

// Memory of one thread, or of a device batch.
struct Lane {
  explicit Lane(const at::TensorOptions &options) : work(options) {}
  ChunkGraph graph;
  Workspace work;
};

}  // namespace

class ScoreEngine::DeviceBatch {
public:
  DeviceBatch(std::unique_ptr<GraphBuilder> graphs, const at::TensorOptions &options) :
      builder(std::move(graphs)),
      lane(options) {}
  std::unique_ptr<GraphBuilder> builder;
  Lane lane;
  at::Tensor atoms_of_slots;  // of all structures
};

struct ScoreEngine::Impl {
  Impl(const System &given_system, ScoreNetwork &given_network) :
      system(given_system),
      network(given_network),
      settings(given_network.settings()),
      options(given_network.parameters().flat().options()),
      implementation(kernels::implementation(options.device())),
      graphs(given_system, settings.cutoff, given_network.dtype()),
      weights(view_weights(settings, network.parameters(), network.parameters().flat())) {
    std::vector<std::int64_t> elements(system.atomic_numbers.begin(), system.atomic_numbers.end());
    std::sort(elements.begin(), elements.end());
    elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
    shared =
        std::make_unique<SharedTemplate>(graphs.template_edges(), elements, settings,
                                         ReceptiveField::lone_levels(settings.nblock), options);
  }

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
  kernels::Implementation implementation;
  StructureGraphs graphs;
  NetworkWeights weights;
  std::unique_ptr<SharedTemplate> shared;
  at::Tensor filters;  // filter_matrix() of the weights
  std::int64_t version = -1;
  std::vector<Lane> lanes;
  std::vector<Part> parts;

  std::optional<std::int64_t> most_pairs(double z_low, double z_high) {
    const std::pair<double, double> range(z_low, z_high);
    if (known_range != range) {
      known_pairs = graphs.most_pairs(z_low, z_high);
      known_range = range;
    }
    return known_pairs;
  }
  std::optional<std::pair<double, double>> known_range;
  std::optional<std::int64_t> known_pairs;  // of known_range

  // The row kernels have a thread for each chunk; all others a device for one chunk.
  bool by_rows() const { return implementation == kernels::Implementation::ROWS; }

  // With the memory of a batch, or of this thread.
  void run(const std::vector<Chunk> &chunks, const std::function<void(std::size_t, Lane &)> &work,
           ScoreEngine::DeviceBatch *batch = nullptr);
  void refresh(const Task &task);
  std::int64_t gradient_bytes() const {
    return (network.parameters().size() + shared->gradient_size()) *
           static_cast<std::int64_t>(options.dtype().itemsize());
  }
  std::int64_t chunk_size(std::int64_t count, bool gradient) const;
  at::Tensor forward(const Task &task, const Chunk &chunk, Lane &lane, BackbonePass &pass,
                     HeadTape &tape);
  const ChunkGraph &build_graphs(const Task &task, const Chunk &chunk, Lane &lane);
  at::Tensor atoms_of_slots(const Task &task, const ChunkGraph &graph) const;
  void backward(const Task &task, const ChunkGraph &graph, const BackbonePass &pass,
                const HeadTape &tape, const at::Tensor &gradient, Part &part,
                Workspace &work) const;
  const HeadWeights &head(const NetworkWeights &w, Head which) const {
    return which == Head::SCORE ? w.score : w.force;
  }
  void make_parts(std::size_t count);

  Task score_task(const at::Tensor &positions, const at::Tensor &t, bool gradient = false) const;
  Task force_task(const at::Tensor &positions, bool mobile_only, bool gradient = false) const;
  void need_force_head() const {
    if (!settings.force_head)
      throw Error("the network has no force head");
  }
  Task device_task(ScoreEngine::DeviceBatch &batch, const at::Tensor &positions,
                   const at::Tensor &t, bool gradient) const {
    return {Head::SCORE, Wanted::MOBILE, positions, t.to(options), gradient, &batch};
  }
  Task device_task(ScoreEngine::DeviceBatch &batch, const at::Tensor &positions, bool mobile_only,
                   bool gradient) const {
    need_force_head();
    return {Head::FORCE, mobile_only ? Wanted::MOBILE : Wanted::ALL,
            positions,   at::Tensor(),
            gradient,    &batch};
  }
  std::int64_t rows(const Task &task) const {
    return task.wanted == Wanted::ALL ? system.n_atoms() : system.n_mobile;
  }
  bool has_mobile_rows(const LeastSquares &loss) const {
    return loss.offset.dim() == 3 && loss.offset.size(1) == system.n_mobile;
  }
  at::Tensor evaluate(const Task &task, std::int64_t whole);
  void check(const Task &task, const LeastSquares &given) const;
  std::vector<at::Tensor> losses(const Task &task, const LeastSquares &given,
                                 const std::vector<Chunk> &list);
  void close_gradient(std::vector<at::Tensor> flats, SharedGradient &shared_sum, Part &last);
  at::Tensor loss_alone(const Task &task, const LeastSquares &given);
  at::Tensor loss_together(const Task &task, const LeastSquares &given, Comm &comm);
  at::Tensor loss(const std::function<Task()> &make_task, const LeastSquares &given, Comm &comm);
};

void ScoreEngine::Impl::run(const std::vector<Chunk> &chunks,
                            const std::function<void(std::size_t, Lane &)> &work,
                            ScoreEngine::DeviceBatch *batch) {
  const auto n = static_cast<std::int64_t>(chunks.size());
  const auto lane = [&](std::size_t i) -> Lane & {
    while (lanes.size() <= i)
      lanes.emplace_back(options);
    return lanes[i];
  };
  if (!by_rows()) {
    for (std::int64_t i = 0; i < n; ++i)
      work(i, batch ? batch->lane : lane(0));
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

void ScoreEngine::Impl::refresh(const Task &task) {
  // A replay does not ask whether the weights have changed.
  if (!task.batch && version == network.parameters().version())
    return;
  run({{0, 1}}, [&](std::size_t, Lane &) {
    filters = filter_matrix(weights.filter, settings);
    shared->update(weights);
  });
  version = task.batch ? -1 : network.parameters().version();
}

std::int64_t ScoreEngine::Impl::chunk_size(std::int64_t count, bool gradient) const {
  if (!by_rows()) {
    // The plain twins spell out the template edges of every structure, the functors of Kokkos have one
    // set of gradients for each atom.
    const std::int64_t edges = graphs.template_edges().n_edges(), N = system.n_atoms();
    const std::int64_t rows = implementation == kernels::Implementation::PLAIN
                                  ? std::max<std::int64_t>(1, 3 * edges)
                                  : 7 * N + 3 * system.n_mobile * PAIRS_OF_AN_ATOM;
    return std::max<std::int64_t>(1, DEVICE_ELEMENTS / (rows * settings.nfeat));
  }
  const std::int64_t N = system.n_atoms(), wanted = gradient ? TRAINING_CHUNKS : CHUNKS;
  std::int64_t size =
      std::max((FEWEST_ROWS + N - 1) / N, std::min(MOST_ROWS / N + 1, count / wanted));
  if (gradient) {
    const std::int64_t most = std::max<std::int64_t>(1, MAX_GRADIENT_BYTES / gradient_bytes());
    size = std::max(size, (count + most - 1) / most);
  }
  return size;
}

const ChunkGraph &ScoreEngine::Impl::build_graphs(const Task &task, const Chunk &chunk,
                                                  Lane &lane) {
  if (task.batch) {
    task.batch->builder->build(task.positions);
    return task.batch->builder->graph();
  }
  graphs.build(task.positions.const_data_ptr<double>() + 3 * system.n_mobile * chunk.begin,
               chunk.count(), ReceptiveField::hops_needed(settings.nblock, task.gradient),
               lane.graph);
  return lane.graph;
}

// The atom of every slot, as the index of gather() and scatter() along the rows of [B,N,3].
at::Tensor ScoreEngine::Impl::atoms_of_slots(const Task &task, const ChunkGraph &graph) const {
  const auto index = [&] {
    return at::tensor(at::ArrayRef<std::int32_t>(graph.atom), at::kLong)
        .view({graph.n_structures, graph.n_atoms(), 1})
        .expand({graph.n_structures, graph.n_atoms(), 3})
        .to(options.device(), at::kLong, NON_BLOCKING);
  };
  if (!task.batch)
    return index();
  if (!task.batch->atoms_of_slots.defined())
    task.batch->atoms_of_slots = index();
  return task.batch->atoms_of_slots;
}

at::Tensor ScoreEngine::Impl::forward(const Task &task, const Chunk &chunk, Lane &lane,
                                      BackbonePass &pass, HeadTape &tape) {
  const std::int64_t n = system.n_mobile;
  lane.work.clear();
  const ChunkGraph &graph = build_graphs(task, chunk, lane);
  pass = backbone(settings, weights, filters, *shared, graphs.template_edges(), graph, task.wanted,
                  task.gradient, lane.work);
  at::Tensor scalars = pass.q;
  if (task.head == Head::SCORE) {
    // Time features follow the backbone (method section 9).
    const at::Tensor angle = (task.t.narrow(0, chunk.begin, chunk.count()) * M_PI)
                                 .unsqueeze(1)
                                 .expand({chunk.count(), n})
                                 .reshape({-1, 1});
    scalars = lane.work.take({pass.q.size(0), pass.q.size(1) + 2});
    at::cat_out(scalars, {pass.q, angle.sin(), angle.cos()}, 1);
  }
  const at::Tensor out = vector_head(head(weights, task.head), scalars, pass.mu, lane.work, tape);
  const at::Tensor by_slot = out.view({chunk.count(), rows(task), 3});
  if (task.wanted == Wanted::MOBILE)
    return by_slot;
  return at::empty_like(by_slot).scatter_(1, atoms_of_slots(task, graph), by_slot);
}

void ScoreEngine::Impl::backward(const Task &task, const ChunkGraph &graph,
                                 const BackbonePass &pass, const HeadTape &tape,
                                 const at::Tensor &gradient, Part &part, Workspace &work) const {
  at::Tensor by_slot = gradient;
  if (task.wanted == Wanted::ALL)
    by_slot = gradient.gather(1, atoms_of_slots(task, graph));
  const HeadGradient g =
      vector_head_backward(head(weights, task.head), tape, by_slot.reshape({-1, 3}),
                           head(part.weights, task.head), work);
  at::Tensor gq = work.take(pass.q.sizes());
  gq.copy_(g.scalars.narrow(1, 0, settings.nfeat));
  backbone_backward(settings, weights, *shared, graphs.template_edges(), graph, task.wanted, pass,
                    gq, g.vectors, part.weights, part.shared, work);
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

Task ScoreEngine::Impl::score_task(const at::Tensor &positions, const at::Tensor &t,
                                   bool gradient) const {
  Task task{Head::SCORE, Wanted::MOBILE, checked_positions(positions, system.n_mobile),
            t.to(options, NON_BLOCKING), gradient};
  if (t.dim() != 1 || t.size(0) != task.count())
    throw Error("times must have the shape [structures]");
  return task;
}

Task ScoreEngine::Impl::force_task(const at::Tensor &positions, bool mobile_only,
                                   bool gradient) const {
  need_force_head();
  return {Head::FORCE, mobile_only ? Wanted::MOBILE : Wanted::ALL,
          checked_positions(positions, system.n_mobile), at::Tensor(), gradient};
}

at::Tensor ScoreEngine::Impl::evaluate(const Task &task, std::int64_t whole) {
  refresh(task);
  const at::Tensor result = at::empty({task.count(), rows(task), 3}, options);
  const std::vector<Chunk> list =
      task.batch ? cut(task.count(), task.count())
                 : cut(task.count(), chunk_size(whole > 0 ? whole : task.count(), false));
  run(
      list,
      [&](std::size_t i, Lane &lane) {
        BackbonePass pass;
        HeadTape tape;
        result.narrow(0, list[i].begin, list[i].count())
            .copy_(forward(task, list[i], lane, pass, tape));
      },
      task.batch);
  return result;
}

void ScoreEngine::Impl::check(const Task &task, const LeastSquares &given) const {
  if (given.offset.sizes() != at::IntArrayRef({task.count(), rows(task), 3}) ||
      given.factor.sizes() != at::IntArrayRef({task.count()}) ||
      given.weight.sizes() != at::IntArrayRef({task.count()}))
    throw Error("a loss must have one offset per structure and row, one factor and one weight per "
                "structure");
}

// Of each of the chunks; parts[0], parts[1], ... get their gradients.
std::vector<at::Tensor> ScoreEngine::Impl::losses(const Task &task, const LeastSquares &given,
                                                  const std::vector<Chunk> &list) {
  const LeastSquares target{given.offset.to(options), given.factor.to(options),
                            given.weight.to(options, NON_BLOCKING)};
  refresh(task);
  std::vector<at::Tensor> values(list.size());
  run(
      list,
      [&](std::size_t i, Lane &lane) {
        const Chunk &chunk = list[i];
        BackbonePass pass;
        HeadTape tape;
        const at::Tensor out = forward(task, chunk, lane, pass, tape);
        const auto part_of = [&](const at::Tensor &whole) {
          return whole.narrow(0, chunk.begin, chunk.count());
        };
        const at::Tensor factor = part_of(target.factor).view({-1, 1, 1});
        const at::Tensor weight = part_of(target.weight).view({-1, 1, 1});
        const at::Tensor residual = part_of(target.offset) + factor * out;
        values[i] = (weight * residual.square()).sum(at::kDouble);
        if (!task.gradient)
          return;
        Part &part = parts[i];
        part.flat.zero_();
        backward(task, task.batch ? task.batch->builder->graph() : lane.graph, pass, tape,
                 residual * (2.0 * weight * factor), part, lane.work);
      },
      task.batch);
  return values;
}

// The shared template's gradient is that of a further part, whose sum of all parts comes first.
void ScoreEngine::Impl::close_gradient(std::vector<at::Tensor> flats, SharedGradient &shared_sum,
                                       Part &last) {
  const std::int64_t n = network.parameters().size();
  last.flat.narrow(0, 0, n).zero_();
  run({{0, 1}}, [&](std::size_t, Lane &) { shared->backward(weights, shared_sum, last.weights); });
  flats.push_back(last.flat);
  for (at::Tensor &flat : flats)
    flat = flat.narrow(0, 0, n);
  sum_parts(flats, network.parameters().flat_gradient());
}

// A rank that is alone has the gradients of all chunks where they are: it moves nothing.
at::Tensor ScoreEngine::Impl::loss_alone(const Task &task, const LeastSquares &given) {
  check(task, given);
  const std::vector<Chunk> list =
      cut(task.count(), task.batch ? task.count() : chunk_size(task.count(), task.gradient));
  if (task.gradient)
    make_parts(list.size() + 1);
  at::Tensor value = at::zeros({}, options.dtype(at::kDouble));
  for (const at::Tensor &v : losses(task, given, list))
    value += v;
  if (!task.gradient)
    return value;
  const std::int64_t n = network.parameters().size(), m = shared->gradient_size();
  Part &last = parts[list.size()];
  std::vector<at::Tensor> flats, of_template;
  for (std::size_t i = 0; i < list.size(); ++i) {
    flats.push_back(parts[i].flat);
    of_template.push_back(parts[i].flat.narrow(0, n, m));
  }
  sum_parts(of_template, last.flat.narrow(0, n, m));
  close_gradient(flats, last.shared, last);
  return value;
}

at::Tensor ScoreEngine::Impl::loss_together(const Task &task, const LeastSquares &given,
                                            Comm &comm) {
  std::vector<at::Tensor> flats;    // of the chunks of this rank
  std::vector<double> mine, all;    // losses of the chunks of this rank, of all
  std::vector<std::int64_t> bytes;  // of mine, on each rank
  std::optional<OrderedSum> sum;
  // Memory for what is exchanged is taken here as well: afterwards the ranks depend on each other.
  on_each(comm, [&] {
    check(task, given);
    const std::vector<Chunk> list = cut(task.count(), chunk_size(task.count(), task.gradient));
    const auto n_chunks = static_cast<std::int64_t>(list.size());
    const Share share = deal(n_chunks, comm.rank(), comm.size());
    if (task.gradient)
      make_parts(static_cast<std::size_t>(share.count()) + 2);
    for (const at::Tensor &v :
         losses(task, given, {list.begin() + share.begin, list.begin() + share.end}))
      mine.push_back(v.item<double>());
    for (int r = 0; r < comm.size(); ++r)
      bytes.push_back(deal(n_chunks, r, comm.size()).count() *
                      static_cast<std::int64_t>(sizeof(double)));
    all.resize(list.size());
    if (!task.gradient)
      return;
    for (std::size_t i = 0; i < mine.size(); ++i)
      flats.push_back(parts[i].flat);
    sum.emplace(comm, n_chunks, parts[0].flat.numel(), options);
  });
  if (task.gradient) {
    Part &last = parts[flats.size()], &whole = parts[flats.size() + 1];
    sum->run(flats, mine, all, whole.flat);
    close_gradient({whole.flat}, whole.shared, last);
  } else {
    comm.all_gather_v(mine.data(), bytes, all.data());
  }
  double value = 0.0;
  for (double v : all)
    value += v;
  return at::full({}, value, options.dtype(at::kDouble));
}

at::Tensor ScoreEngine::Impl::loss(const std::function<Task()> &make_task,
                                   const LeastSquares &given, Comm &comm) {
  const Task task = before_on_each(comm, make_task);
  return comm.size() == 1 ? loss_alone(task, given) : loss_together(task, given, comm);
}

ScoreEngine::ScoreEngine(const System &system, ScoreNetwork &network) :
    impl_(std::make_unique<Impl>(system, network)) {}
ScoreEngine::~ScoreEngine() = default;
ScoreEngine::ScoreEngine(ScoreEngine &&) noexcept = default;

at::Tensor ScoreEngine::score(const at::Tensor &positions, const at::Tensor &t,
                              std::int64_t whole) {
  return impl_->evaluate(impl_->score_task(positions, t), whole);
}

at::Tensor ScoreEngine::forces(const at::Tensor &positions, bool mobile_only, std::int64_t whole) {
  return impl_->evaluate(impl_->force_task(positions, mobile_only), whole);
}

Share ScoreEngine::share(std::int64_t whole, int rank, int size) const {
  const std::int64_t per_chunk = impl_->chunk_size(whole, false);
  const Share chunks = deal(chunks_in(whole, per_chunk), rank, size);
  return {std::min(whole, chunks.begin * per_chunk), std::min(whole, chunks.end * per_chunk)};
}

std::int64_t ScoreEngine::most_ranks(std::int64_t whole, bool gradient) const {
  return chunks_in(whole, impl_->chunk_size(whole, gradient));
}

at::Tensor ScoreEngine::score_loss(const at::Tensor &positions, const at::Tensor &t,
                                   const LeastSquares &loss, Comm &comm) {
  return impl_->loss([&] { return impl_->score_task(positions, t, false); }, loss, comm);
}

at::Tensor ScoreEngine::score_gradient(const at::Tensor &positions, const at::Tensor &t,
                                       const LeastSquares &loss, Comm &comm) {
  return impl_->loss([&] { return impl_->score_task(positions, t, true); }, loss, comm);
}

at::Tensor ScoreEngine::force_loss(const at::Tensor &positions, const LeastSquares &loss,
                                   Comm &comm) {
  const bool mobile_only = impl_->has_mobile_rows(loss);
  return impl_->loss([&] { return impl_->force_task(positions, mobile_only, false); }, loss, comm);
}

at::Tensor ScoreEngine::force_gradient(const at::Tensor &positions, const LeastSquares &loss,
                                       Comm &comm) {
  const bool mobile_only = impl_->has_mobile_rows(loss);
  return impl_->loss([&] { return impl_->force_task(positions, mobile_only, true); }, loss, comm);
}

std::shared_ptr<ScoreEngine::DeviceBatch> ScoreEngine::device_batch(std::int64_t count,
                                                                    double z_low, double z_high) {
  Impl &e = *impl_;
  if (!stages_on_device() || e.implementation != kernels::Implementation::KOKKOS || count < 1 ||
      count > e.chunk_size(count, true))
    return nullptr;
  const std::optional<std::int64_t> most_pairs = e.most_pairs(z_low, z_high);
  if (!most_pairs || *most_pairs > e.system.n_mobile * PAIRS_OF_AN_ATOM)
    return nullptr;
  const GraphBuilder::System system{e.system.cell.math(), e.settings.cutoff,
                                    e.system.template_positions, e.system.n_mobile, *most_pairs};
  return std::make_shared<DeviceBatch>(
      GraphBuilder::make(system, count, ReceptiveField::hops_needed(e.settings.nblock, true),
                         e.options),
      e.options);
}

void ScoreEngine::check(const DeviceBatch &batch) {
  try {
    batch.builder->check();
  } catch (const std::runtime_error &e) {
    throw Error(e.what());
  }
}

at::Tensor ScoreEngine::score(DeviceBatch &batch, const at::Tensor &positions,
                              const at::Tensor &t) {
  return impl_->evaluate(impl_->device_task(batch, positions, t, false), 0);
}

at::Tensor ScoreEngine::score_loss(DeviceBatch &batch, const at::Tensor &positions,
                                   const at::Tensor &t, const LeastSquares &loss) {
  return impl_->loss_alone(impl_->device_task(batch, positions, t, false), loss);
}

at::Tensor ScoreEngine::score_gradient(DeviceBatch &batch, const at::Tensor &positions,
                                       const at::Tensor &t, const LeastSquares &loss) {
  return impl_->loss_alone(impl_->device_task(batch, positions, t, true), loss);
}

at::Tensor ScoreEngine::force_loss(DeviceBatch &batch, const at::Tensor &positions,
                                   const LeastSquares &loss) {
  return impl_->loss_alone(
      impl_->device_task(batch, positions, impl_->has_mobile_rows(loss), false), loss);
}

at::Tensor ScoreEngine::force_gradient(DeviceBatch &batch, const at::Tensor &positions,
                                       const LeastSquares &loss) {
  return impl_->loss_alone(impl_->device_task(batch, positions, impl_->has_mobile_rows(loss), true),
                           loss);
}

std::int64_t ScoreEngine::gradient_bytes() const {
  return impl_->gradient_bytes();
}

std::int64_t ScoreEngine::template_edges() const {
  return impl_->graphs.template_edges().n_edges();
}

}  // namespace godiff
