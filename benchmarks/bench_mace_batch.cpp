// SPDX-License-Identifier: GPL-2.0-only
// Time of many structures evaluated with a MACE model, by how many edges one call of the model has.
//
//   bench_mace_batch --model FILE --structures FILE [--edges auto,1,12000] [--work energies,forces]
//                    [--precision model|single|double] [--device cpu|cuda] [--threads N]
//
// Cases are WORK/EDGES: "auto" is what pair style mace takes by itself, 1 evaluates each structure by
// itself. benchmarks/README.md describes the file of structures.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "core/base/error.hpp"
#include "core/base/version.hpp"
#include "core/mace/batch.hpp"
#include "core/mace/model.hpp"

namespace {

using godiff::Error;

using Words = std::map<std::string, std::string>;

// Takes the options of `words` out of argc and argv.
void read_words(int &argc, char **argv, Words &words) {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto word = name.rfind("--", 0) == 0 ? words.find(name.substr(2)) : words.end();
    if (word == words.end()) {
      argv[kept++] = argv[i];
      continue;
    }
    if (++i == argc)
      throw Error(name + " needs a value");
    word->second = argv[i];
  }
  argc = kept;
}

std::vector<std::string> split(const std::string &text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');)
    words.push_back(word);
  return words;
}

std::int64_t whole(const std::string &name, const std::string &text) {
  std::int64_t value = 0;
  const char *end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value < 1)
    throw Error("--" + name + " takes whole numbers from 1 on, got \"" + text + "\"");
  return value;
}

struct Structures {
  std::vector<std::int64_t> first_atom{0}, species;
  std::vector<double> positions, cells;
  std::vector<unsigned char> periodic;

  std::int64_t count() const { return static_cast<std::int64_t>(first_atom.size()) - 1; }
  godiff::MaceStructures view() const {
    return {count(),          first_atom.data(), species.data(),
            positions.data(), cells.data(),      periodic.data()};
  }
};

Structures read_structures(const std::string &path, const std::vector<int> &atomic_numbers) {
  std::ifstream file(path);
  Structures s;
  std::int64_t count = 0;
  file >> count;
  for (std::int64_t k = 0; k < count; ++k) {
    std::int64_t n = 0;
    file >> n;
    for (int d = 0; d < 9; ++d)
      file >> s.cells.emplace_back();
    for (int d = 0, periodic = 0; d < 3; ++d) {
      file >> periodic;
      s.periodic.push_back(periodic != 0);
    }
    for (std::int64_t i = 0; i < n && file; ++i) {
      int number = 0;
      file >> number;
      for (int d = 0; d < 3; ++d)
        file >> s.positions.emplace_back();
      const auto found = std::find(atomic_numbers.begin(), atomic_numbers.end(), number);
      if (file && found == atomic_numbers.end())
        throw Error("the model does not know atomic number " + std::to_string(number));
      s.species.push_back(found - atomic_numbers.begin());
    }
    s.first_atom.push_back(static_cast<std::int64_t>(s.species.size()));
  }
  if (!file || count < 1)
    throw Error("\"" + path + "\" is no file of structures (--structures)");
  return s;
}

std::unique_ptr<godiff::MaceModel> load(const Words &words) {
  godiff::MaceOptions options;
  const std::string &precision = words.at("precision"), &path = words.at("model");
  if (precision == "single")
    options.precision = godiff::MacePrecision::SINGLE;
  else if (precision == "double")
    options.precision = godiff::MacePrecision::DOUBLE;
  else if (precision != "model")
    throw Error("--precision takes model, single and double, got \"" + precision + "\"");
  options.device = words.at("device");
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty())
    throw Error("cannot read the model \"" + path + "\" (--model)");
  return godiff::load_mace(bytes, path, options);
}

void evaluate(benchmark::State &state, godiff::MaceModel &model, const Structures &structures,
              std::int64_t max_edges, bool with_forces) {
  std::vector<double> energies(structures.count()), forces;
  if (with_forces)
    forces.resize(structures.positions.size());
  const godiff::MaceBatchResult result{energies.data(), with_forces ? forces.data() : nullptr,
                                       nullptr, nullptr};
  godiff::MaceBatch batch(model, max_edges);
  // The first calls are slow. On a device they also find out how much fits.
  godiff::MaceStructures first = structures.view();
  if (model.info().device == "cpu")
    first.count = std::min<std::int64_t>(first.count, 16);
  batch.compute(first, result);
  const godiff::MaceTimes before = model.times();
  const std::int64_t calls_before = batch.calls();
  for (auto _ : state)
    batch.compute(structures.view(), result);
  const auto repeats = static_cast<double>(state.iterations());
  const double in_model =
      model.times().forward + model.times().backward - before.forward - before.backward;
  state.counters["model_ms"] = 1e3 * in_model / repeats;
  state.counters["calls"] = static_cast<double>(batch.calls() - calls_before) / repeats;
  state.counters["largest_call"] = static_cast<double>(batch.largest_call());
  state.counters["energy"] = std::accumulate(energies.begin(), energies.end(), 0.0);
  if (with_forces)
    state.counters["force_norm"] =
        std::sqrt(std::inner_product(forces.begin(), forces.end(), forces.begin(), 0.0));
}

int run(int argc, char **argv) {
  Words words{
      {"model", ""},          {"structures", ""}, {"edges", "auto"}, {"work", "energies,forces"},
      {"precision", "model"}, {"device", "cpu"},  {"threads", ""}};
  read_words(argc, argv, words);
  if (!words["threads"].empty())
    at::set_num_threads(static_cast<int>(whole("threads", words["threads"])));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  const std::shared_ptr<godiff::MaceModel> model = load(words);
  const Structures structures = read_structures(words["structures"], model->info().atomic_numbers);
  for (const std::string &work : split(words["work"])) {
    if (work != "energies" && work != "forces")
      throw Error("--work takes energies and forces, got \"" + work + "\"");
    for (const std::string &edges : split(words["edges"])) {
      const std::int64_t most = edges == "auto" ? 0 : whole("edges", edges);
      benchmark::RegisterBenchmark((work + "/" + edges).c_str(),
                                   [&structures, model, work, most](benchmark::State &state) {
                                     evaluate(state, *model, structures, most, work == "forces");
                                   })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
  benchmark::AddCustomContext("godiff", godiff::version());
  benchmark::AddCustomContext("libtorch", GODIFF_TORCH_VERSION);
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::AddCustomContext("structures", std::to_string(structures.count()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "bench_mace_batch: %s\n", error.what());
  }
  return 2;
}
