// SPDX-License-Identifier: GPL-2.0-only
// Where the ranks that search together meet: results go to the leader, all learn and sample together,
// new candidates come back. A search in one world meets between stages and at the end of a run; worlds
// that share a search meet when no candidate of the stage is left to begin with.
#include "fix_godiff_impl.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "comm.h"
#include "error.h"
#include "timer.h"
#include "universe.h"

#include "core/base/error.hpp"
#include "core/base/fault.hpp"
#include "core/io/safetensors.hpp"
#include "core/network/device_stream.hpp"

using namespace LAMMPS_NS;

namespace {

constexpr double TICK = 1.0;  // seconds between two progress lines on a terminal

// What the worlds bring to a meeting, added up.
enum Flag { LEAVING, TERMINATED, OPEN, LOST, FLAGS };

// Results as bytes: what ranks of one program send each other.
class Packer {
public:
  template <class T> void put(const T &value) {
    bytes_.append(reinterpret_cast<const char *>(&value), sizeof value);
  }
  template <class T> void put(const std::vector<T> &values) {
    put(static_cast<std::int64_t>(values.size()));
    bytes_.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T));
  }
  const std::string &bytes() const { return bytes_; }

private:
  std::string bytes_;
};

class Unpacker {
public:
  explicit Unpacker(const std::string &bytes) : bytes_(bytes) {}
  template <class T> void get(T &value) { copy(&value, sizeof value); }
  template <class T> void get(std::vector<T> &values) {
    std::int64_t size = 0;
    get(size);
    values.resize(static_cast<std::size_t>(size));
    copy(values.data(), values.size() * sizeof(T));
  }

private:
  void copy(void *to, std::size_t size) {
    if (size > 0)  // memcpy takes no null pointer, even for nothing
      std::memcpy(to, bytes_.data() + at_, size);
    at_ += size;
  }
  const std::string &bytes_;
  std::size_t at_ = 0;
};

}  // namespace

// What the leader has decided.
struct FixGODiff::Plan {
  std::int64_t stop = 0;         // this run ends
  std::int64_t out_of_time = 0;  // for the wall time limit
  std::int64_t terminated = 0;   // for a signal
  std::int64_t saved = 0;        // a checkpoint holds all results: journals begin anew
  std::int64_t stage = 0;        // whose candidates follow
  std::int64_t candidates = 0;   // how many it has
  std::int64_t dealt = 0;        // of these, left to be evaluated
  double reference = 0.0;        // eV, energy of the input structure
};

int FixGODiff::Impl::complete_stages() const {
  return settings.train ? search->learned_stages() : static_cast<int>(search->stages().size());
}

std::vector<std::int64_t> FixGODiff::Impl::under_way() const {
  std::vector<std::int64_t> candidates;
  if (evaluation && evaluation->open())
    candidates.push_back(evaluation->candidate());
  if (batch) {
    for (const godiff::Evaluation &e : batch->open)
      candidates.push_back(e.candidate());
    for (const godiff::Evaluated &e : batch->done)
      candidates.push_back(e.candidate);
  }
  return candidates;
}

/* ----------------------------------------------------------------------
   all ranks that search together learn of a failure and end with it
------------------------------------------------------------------------- */

void FixGODiff::agree(const std::string &failure) {
  std::string message;
  try {
    godiff::agree(*impl->everyone, failure);
  } catch (const godiff::Error &e) {
    message = e.what();
  }
  if (message.empty())
    return;
  if (impl->shared) {
    // The screen of a world is a file that nobody looks at, and the first world to end aborts the job.
    if (impl->leader && universe->uscreen) {
      utils::print(universe->uscreen, "ERROR: Fix godiff: {}\n", message);
      fflush(universe->uscreen);
      constexpr int PASS_ON =
          200000;  // microseconds for the launcher, which drops what comes with the abort
      platform::usleep(PASS_ON);
    }
    MPI_Barrier(impl->everyone->get());
  }
  error->all(FLERR, "Fix godiff: {}", message);
}

/* ----------------------------------------------------------------------
   what goes wrong on this rank ends the search at the next meeting
------------------------------------------------------------------------- */

void FixGODiff::in_trouble_if(const std::function<void()> &work) {
  if (!impl->trouble.empty())
    return;
  try {
    work();
  } catch (...) {
    impl->trouble = GODiff::caught_message();
  }
}

/* ----------------------------------------------------------------------
   true when this is the end of the run in all worlds
------------------------------------------------------------------------- */

bool FixGODiff::meet(bool leaving) {
  GODiff::patient_barrier(impl->everyone->get());
  in_trouble_if([] { godiff::fault_point("meet"); });
  agree(impl->trouble);
  const int mine[FLAGS] = {impl->root && leaving, impl->terminated,
                           impl->root && !impl->under_way().empty(), impl->root && impl->lost};
  int all[FLAGS];
  MPI_Allreduce(mine, all, FLAGS, MPI_INT, MPI_SUM, impl->everyone->get());
  if (impl->shared && impl->root)
    bring_results();

  Plan plan;
  std::string failure;
  if (impl->leader) {
    try {
      lead(all, plan);
    } catch (...) {
      failure = GODiff::caught_message();
    }
    impl->search->dismiss_helpers();
  } else if (!impl->alone) {
    const GODiff::ThreadScope threads(impl->threads);
    impl->helper->serve();
  }
  agree(failure);
  impl->everyone->await(&plan, sizeof(plan));
  if (impl->leader)
    update_outputs();
  share_outputs();
  if (impl->root)
    in_trouble_if([&] {
      if (plan.saved)
        impl->journal->clear();
    });
  if (impl->shared && impl->root)
    share_candidates(plan.stage, plan.candidates, plan.dealt);
  impl->reference = plan.reference;
  impl->anything_open = all[OPEN] > 0;
  impl->out_of_time = impl->out_of_time || plan.out_of_time;
  impl->terminated = impl->terminated || plan.terminated;
  if (plan.stop && !leaving && !impl->stopped)
    stop_run();
  return all[LEAVING] == (impl->shared ? universe->nworlds : 1);
}

/* ----------------------------------------------------------------------
   leader: takes the results, learns and samples as far as due, decides
------------------------------------------------------------------------- */

void FixGODiff::lead(const int *flags, Plan &plan) {
  const godiff::DeviceStream stream;
  const int worlds = impl->shared ? universe->nworlds : 1;
  if (flags[LOST] == worlds)
    throw godiff::Error("all worlds have lost atoms: check the pair style and the other fixes");
  if (flags[LOST] > impl->lost_worlds)
    announce(
        fmt::format("WARNING: Fix godiff: {} of {} worlds have lost atoms while a candidate was "
                    "evaluated, which is recorded as failed; they evaluate no more\n",
                    flags[LOST], worlds));
  impl->lost_worlds = flags[LOST];
  take_results();

  plan.terminated = flags[TERMINATED] > 0;
  plan.stop = flags[LEAVING] > 0 || plan.terminated;
  // The last stage is learned from when all have left.
  const bool last = flags[LEAVING] == worlds && impl->search->finished();
  impl->saved_now = false;
  if ((!plan.stop || last) && !plan.terminated && !impl->out_of_time)
    if (!work(last ? "before the last stage was learned" : "before the next candidate"))
      plan.out_of_time = plan.stop = 1;
  plan.saved = impl->saved_now && impl->ahead.empty() && flags[OPEN] == 0;

  choose_dealt();
  if (!impl->search->has_request() && flags[OPEN] == 0)
    plan.stop = 1;
  plan.reference = impl->search->reference();
  plan.stage = impl->search->current_stage().stage;
  plan.candidates = static_cast<std::int64_t>(impl->search->candidates().size());
  plan.dealt = static_cast<std::int64_t>(impl->dealt.size());
}

/* ----------------------------------------------------------------------
   roots: what has been evaluated since the last meeting goes to the leader
------------------------------------------------------------------------- */

void FixGODiff::bring_results() {
  Packer mine;
  mine.put(impl->under_way());
  mine.put(static_cast<std::int64_t>(impl->results.size()));
  for (const godiff::Evaluated &e : impl->results) {
    mine.put(e.candidate);
    mine.put(e.evaluations);
    mine.put(e.valid);
    mine.put(e.energy);
    mine.put(e.positions);
    mine.put(e.forces);
  }
  const std::size_t worlds = static_cast<std::size_t>(impl->roots->size());
  const auto length = static_cast<std::int64_t>(mine.bytes().size());
  std::vector<std::int64_t> lengths(worlds);
  impl->roots->all_gather(&length, sizeof(length), lengths.data());
  std::string all(std::accumulate(lengths.begin(), lengths.end(), std::size_t(0)), '\0');
  impl->roots->all_gather_v(mine.bytes().data(), lengths, &all[0]);
  impl->results.clear();
  if (!impl->leader)
    return;

  Unpacker from(all);
  impl->open_elsewhere.clear();
  for (std::size_t world = 0; world < worlds; ++world) {
    std::vector<std::int64_t> open;
    std::int64_t count = 0;
    from.get(open);
    impl->open_elsewhere.insert(open.begin(), open.end());
    from.get(count);
    for (std::int64_t k = 0; k < count; ++k) {
      godiff::Evaluated e;
      from.get(e.candidate);
      from.get(e.evaluations);
      from.get(e.valid);
      from.get(e.energy);
      from.get(e.positions);
      from.get(e.forces);
      impl->ahead[e.candidate] = std::move(e);
    }
  }
}

/* ----------------------------------------------------------------------
   leader: results of all worlds go on record in the order of the
   candidates, whoever came first: the search does not depend on it
------------------------------------------------------------------------- */

void FixGODiff::take_results() {
  godiff::Search &search = *impl->search;
  if (!impl->ahead.empty()) {
    const double now = platform::walltime();
    search.add_evaluation_time(now - impl->dealt_at);
    impl->dealt_at = now;
  }
  while (search.has_request()) {
    const auto next = impl->ahead.find(search.next_candidate());
    if (next == impl->ahead.end())
      break;
    const godiff::Evaluated result = std::move(next->second);
    impl->ahead.erase(next);
    record_new([&] { search.take(result); });
  }
}

/* ----------------------------------------------------------------------
   leader: what `report` puts on record goes into the files. A failed stage
   ends the search, but its last candidate is on record.
------------------------------------------------------------------------- */

void FixGODiff::record_new(const std::function<void()> &report) {
  godiff::Search &search = *impl->search;
  const std::size_t candidates = search.archive().size();
  const std::size_t stages = search.stages().size();
  godiff::fault_point("record");
  try {
    report();
  } catch (...) {
    if (search.archive().size() > candidates)
      impl->files->record(search);
    throw;
  }
  if (search.archive().size() > candidates)
    impl->files->record(search);
  if (search.stages().size() > stages) {
    impl->files->sync();
    impl->files->write_best(search);
    print_stages();
  }
}

/* ----------------------------------------------------------------------
   leader: the candidates of the stage that no world has begun
------------------------------------------------------------------------- */

void FixGODiff::choose_dealt() {
  impl->dealt.clear();
  const godiff::Search &search = *impl->search;
  if (!impl->shared || !search.has_request())
    return;
  const auto count = static_cast<std::int64_t>(search.candidates().size());
  for (std::int64_t k = search.next_candidate(); k < count; ++k)
    if (!impl->ahead.count(k) && !impl->open_elsewhere.count(k))
      impl->dealt.push_back(k);
}

/* ----------------------------------------------------------------------
   roots: all learn what is to be evaluated; the count begins anew before
   anybody can ask for a number
------------------------------------------------------------------------- */

void FixGODiff::share_candidates(std::int64_t stage, std::int64_t count, std::int64_t dealt) {
  impl->stage = static_cast<int>(stage);
  if (impl->deal) {
    if (impl->leader)
      impl->deal->restart();
  } else {
    impl->deal = std::make_unique<GODiff::Deal>(impl->roots->get());
  }
  const std::size_t width = 3 * static_cast<std::size_t>(impl->system.n_mobile);
  std::vector<double> flat(static_cast<std::size_t>(count) * width);
  if (impl->leader) {
    double *to = flat.data();
    for (const godiff::Positions &x : impl->search->candidates())
      to = std::copy(x.begin(), x.end(), to);
    impl->dealt_at = platform::walltime();
  }
  impl->dealt.resize(static_cast<std::size_t>(dealt));
  impl->roots->broadcast(impl->dealt.data(),
                         dealt * static_cast<std::int64_t>(sizeof(std::int64_t)), 0);
  impl->roots->broadcast(flat.data(), static_cast<std::int64_t>(flat.size() * sizeof(double)), 0);
  impl->candidates.clear();
  for (auto x = flat.begin(); x != flat.end(); x += static_cast<std::ptrdiff_t>(width))
    impl->candidates.emplace_back(x, x + static_cast<std::ptrdiff_t>(width));
}

/* ----------------------------------------------------------------------
   leader: learn and sample as far as due; false when the time is up
------------------------------------------------------------------------- */

bool FixGODiff::work(const char *when) {
  godiff::Search &search = *impl->search;
  if (!search.work_due())
    return true;
  impl->worked = true;
  impl->last_tick = impl->training_saved = platform::walltime();
  const GODiff::ThreadScope threads(impl->threads);
  try {
    if (impl->training && search.restore_training(*impl->training))
      impl->training.reset();
  } catch (const godiff::Error &e) {
    warn_of_training(e.what());
    impl->training.reset();
  }
  const bool done = search.prepare([this](const char *what, std::int64_t part, std::int64_t whole) {
    return progress(what, part, whole);
  });
  if (impl->tick_shown) {
    utils::print(terminal(), "\r{:70}\r", "");
    impl->tick_shown = false;
  }
  print_stages();
  if (impl->complete_stages() != impl->saved_stages) {
    note_time();
    godiff::fault_point("checkpoint");
    impl->saved_now = impl->files->update_checkpoint(search);
    impl->saved_stages = impl->complete_stages();
    if (impl->saved_now)
      impl->files->remove_training();
  }
  if (done)
    return true;
  if (GODiff::TerminationWatch::asked()) {
    impl->terminated = true;
    return false;
  }
  error->warning(FLERR,
                 "Fix godiff: wall time limit reached {}: nothing is lost, write_restart "
                 "now and go on from there, or use keyword resume yes",
                 when);
  return false;
}

/* ----------------------------------------------------------------------
   leader: called often during long work; false asks to stop
------------------------------------------------------------------------- */

bool FixGODiff::progress(const char *what, bigint part, bigint whole) {
  const double now = platform::walltime();
  FILE *const out = terminal();
  if (now - impl->last_tick > TICK && out) {
    const bool sampling = strcmp(what, "sampling") == 0;
    const int stage =
        sampling ? impl->search->current_stage().stage : impl->search->learned_stages();
    utils::print(out, "\r{:70}\r{} for stage {}: {:.0f} %", "", what, stage + 1,
                 100.0 * part / whole);
    fflush(out);
    impl->last_tick = now;
    impl->tick_shown = true;
  }
  if (now - impl->training_saved > impl->options.save_every && impl->search->training_under_way()) {
    impl->files->write_training(impl->search->save_training());
    impl->training_saved = platform::walltime();
  }
  return !GODiff::TerminationWatch::asked() &&
         !(timer->has_timeout() && timer->get_timeout_remain() <= 0.0);
}
