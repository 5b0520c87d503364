// SPDX-License-Identifier: GPL-2.0-only
// What a search costs beside the network and the energies, as the number of structures grows.
//
//   bench_search [structures [slab [folder]]]     by default 100000 15x15x4-100 .
//
// A search with uniform draws and a toy energy runs to the end, in stages of 500 structures. The
// table has a row for each doubling of the archive. Times per structure and per stage are means since
// the row before; "learn" is the selection of the buffer and one training step of a tiny network;
// "ckpts" counts the checkpoints so far and "ckpt" is their time per stage.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

#include <ATen/Parallel.h>

#include <malloc.h>

#include "core/geometry/fingerprint.hpp"
#include "core/io/safetensors.hpp"
#include "core/search/run_files.hpp"
#include "core/search/search.hpp"
#include "systems.hpp"

namespace {

using namespace godiff;

constexpr int STAGE = 500;  // structures
constexpr int SAMPLE = 10;  // every tenth fingerprint is timed by itself as well

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Memory of this process that is in RAM, and the most it ever was, in MB.
double memory_mb(const std::string &key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key, 0) == 0)
      return std::atof(line.c_str() + key.size()) / 1024.0;
  return 0.0;
}

// The least that a network can do, so that the rest shows.
Settings settings(int stages) {
  Settings s;
  s.stages = stages;
  s.samples = STAGE;
  s.sample = SampleKind::PRIOR;
  s.mindist = 0.5;
  s.train_steps = 1;
  s.batch = 1;
  s.buffer = 1;
  s.network.cutoff = 2.8;
  s.network.nfeat = 16;
  s.network.nblock = 1;
  s.network.nrbf = 2;
  return s;
}

double energy(const System &system, const Positions &x) {
  double sum = 0.0;
  for (std::size_t i = 2; i < x.size(); i += 3)
    sum += x[i] - system.z_lo;
  return sum / static_cast<double>(system.n_mobile);
}

struct Clock {
  double sum = 0.0;
  template <class Work> void operator()(Work &&work) {
    const double start = now();
    work();
    sum += now() - start;
  }
  // Microseconds for each of `count`, and back to zero.
  double per(double count) {
    const double value = 1e6 * sum / count;
    sum = 0.0;
    return value;
  }
};

void run(int structures, const std::string &name, const std::string &folder) {
  const System system = godiff_bench::make_slab(name).system;
  const int stages = std::max(1, structures / STAGE);
  Search search(system, settings(stages));
  search.set_reference(0.0);
  RunFileOptions options;
  options.prefix = folder + "/bench_search";
  RunFiles files = RunFiles::create(options, system);
  std::printf("%d structures of slab %s with %d atoms, stages of %d\n", stages * STAGE,
              name.c_str(), static_cast<int>(system.n_atoms()), STAGE);
  std::printf("%9s | %-29s | %-35s | %s\n", "", "us per structure", "ms per stage",
              "s for the whole state       MB in RAM");
  std::printf("%9s | %7s %7s %6s %6s | %6s %6s %6s %7s %6s | %6s %6s %6s %6s %6s %6s\n", "archive",
              "draw", "finger", "report", "files", "learn", "end", "best", "ckpt", "ckpts", "save",
              "bytes", "read", "go on", "now", "peak");
  Clock finger, report, record, end, best, checkpoint, load;
  int next_row = std::min(stages, 2), since = 0, written = 0;
  for (int stage = 1; stage <= stages; ++stage) {
    search.prepare({});
    for (int k = 0; search.has_request(); ++k) {
      const double value = energy(system, search.request());
      if (k % SAMPLE == 0)
        finger([&] { fingerprint(system, search.request()); });
      (k + 1 < STAGE ? report : end)([&] { search.report(value, nullptr); });
      record([&] { files.record(search); });
    }
    best([&] { files.write_best(search); });
    checkpoint([&] { written += files.update_checkpoint(search); });
    ++since;
    if (stage < next_row && stage < stages)
      continue;
    next_row *= 2;
    Clock save, bytes, read, restore;
    const double trained = search.totals().seconds_training;
    malloc_trim(0);  // of freed memory only what the process cannot give back is counted
    const double memory = memory_mb("VmRSS:");
    search.prepare({});
    const double learned = search.totals().seconds_training - trained;
    SafeTensors state;
    save([&] { state = search.save(); });
    std::string content;
    bytes([&] { content = state.to_bytes(); });
    read([&] { state = SafeTensors::from_bytes(content, "the state"); });
    content = std::string();
    {
      Search other(system, settings(stages));
      restore([&] { other.restore(state); });
    }
    if (stage == stages) {
      Search other(system, settings(stages));
      load([&] { other.load_archive(state); });
    }
    const double n = static_cast<double>(since) * STAGE, m = 1000.0 * since;
    const godiff::Totals &t = search.totals();
    std::printf("%9zu | %7.1f %7.1f %6.1f %6.1f | %6.1f %6.2f %6.1f %7.1f %6d | %6.2f %6.2f %6.2f "
                "%6.2f %6.0f %6.0f\n",
                search.archive().size(), 1e6 * t.seconds_sampling / static_cast<double>(t.drawn),
                finger.per(n / SAMPLE), report.per(n), record.per(n), 1e3 * learned, end.per(m),
                best.per(m), checkpoint.per(m), written, save.per(1e6), bytes.per(1e6),
                read.per(1e6), restore.per(1e6), memory, memory_mb("VmHWM:"));
    std::fflush(stdout);
    since = 0;
  }
  std::printf("%12.2f s      load archive into a new search\n", load.per(1e6));
  for (const std::string &name : RunFiles::existing(options.prefix))
    std::printf("%12ju bytes  %s\n", static_cast<std::uintmax_t>(std::filesystem::file_size(name)),
                name.c_str());
  for (const std::string &name : RunFiles::existing(options.prefix))
    std::filesystem::remove(name);
}

}  // namespace

int main(int narg, char **arg) {
  at::set_num_threads(1);
  try {
    run(narg > 1 ? std::atoi(arg[1]) : 100000, narg > 2 ? arg[2] : "15x15x4-100",
        narg > 3 ? arg[3] : ".");
  } catch (const std::exception &e) {
    std::fprintf(stderr, "bench_search: %s\n", e.what());
    return 1;
  }
  return 0;
}
