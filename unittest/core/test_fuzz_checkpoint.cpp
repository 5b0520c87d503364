// SPDX-License-Identifier: GPL-2.0-only
// Ten thousand damaged checkpoints: each is read or refused in one line, within memory of about its size.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include "fuzz/damage.hpp"
#include "fuzz/saved_searches.hpp"

namespace {

std::atomic<std::uint64_t> requested{0};  // bytes, since the program began

void *counted(std::size_t size) {
  requested += size;
  if (void *p = std::malloc(size == 0 ? 1 : size))
    return p;
  throw std::bad_alloc();
}

}  // namespace

// All memory of the standard library is asked for here.
void *operator new(std::size_t size) {
  return counted(size);
}
void *operator new[](std::size_t size) {
  return counted(size);
}
void operator delete(void *p) noexcept {
  std::free(p);
}
void operator delete[](void *p) noexcept {
  std::free(p);
}
void operator delete(void *p, std::size_t) noexcept {
  std::free(p);
}
void operator delete[](void *p, std::size_t) noexcept {
  std::free(p);
}

namespace {

using godiff::Error;
using godiff::SafeTensors;
using godiff::Search;
using godiff_test::check_message;
using godiff_test::Dice;
using godiff_test::Reader;
using godiff_test::RuleBroken;
using godiff_test::SavedSearch;

constexpr int MUTATIONS = 10000;
// Bytes asked for in all while a file is read, freed ones included. A header of nothing but entries for
// empty tensors needs most.
constexpr std::uint64_t BYTES_PER_BYTE = 40, BYTES_ANYWAY = 1 << 16;

// And that of tensors here.
class CountingAllocator final : public c10::Allocator {
public:
  explicit CountingAllocator(c10::Allocator *inner) : inner_(inner) {}
  c10::DataPtr allocate(std::size_t size) override {
    requested += size;
    return inner_->allocate(size);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_->raw_deleter(); }
  void copy_data(void *to, const void *from, std::size_t size) const override {
    inner_->copy_data(to, from, size);
  }

private:
  c10::Allocator *inner_;
};

void count_tensors() {
  static CountingAllocator allocator(c10::GetCPUAllocator());
  static const bool once = [] {
    c10::SetCPUAllocator(&allocator, /*priority=*/1);
    return true;
  }();
  (void) once;
}

// Memory asked for while these bytes are read.
std::uint64_t memory_of(const std::string &bytes) {
  count_tensors();
  const std::uint64_t before = requested;
  try {
    SafeTensors::from_bytes(bytes, "run.ckpt");
  } catch (const Error &) {
  }
  return requested - before;
}

std::uint64_t bound_for(const std::string &bytes) {
  return BYTES_PER_BYTE * bytes.size() + BYTES_ANYWAY;
}

const std::vector<SavedSearch> &saved() {
  static const std::vector<SavedSearch> all = godiff_test::saved_searches();
  return all;
}

SafeTensors content(const SavedSearch &search) {
  return SafeTensors::from_bytes(search.bytes, "intact");
}

TEST(FuzzCheckpoint, IntactOnesAreRead) {
  for (const SavedSearch &search : saved()) {
    Reader reader(search);
    EXPECT_EQ(reader.restore(search.bytes), "") << search.name;
    EXPECT_EQ(reader.load(search.bytes), "") << search.name;
    EXPECT_LT(memory_of(search.bytes), bound_for(search.bytes));
    EXPECT_GE(memory_of(search.bytes), search.bytes.size() / 2) << "memory is not counted";
  }
}

TEST(FuzzCheckpoint, DamagedOnesAreReadOrRefusedInOneLine) {
  int refused = 0, read = 0, loaded = 0;
  std::vector<std::unique_ptr<Reader>> readers;
  for (const SavedSearch &search : saved())
    readers.push_back(std::make_unique<Reader>(search));
  for (int k = 0; k < MUTATIONS; ++k) {
    Reader &reader = *readers[k % readers.size()];
    Dice dice(k);
    const std::string bytes = godiff_test::damage_checkpoint(reader.saved().bytes, dice);
    try {
      ++(reader.restore(bytes).empty() ? read : refused);
      if (k % 5 == 0)
        loaded += reader.load(bytes).empty();
    } catch (const RuleBroken &broken) {
      ADD_FAILURE() << "damage " << k << " to a search " << reader.saved().name << ": "
                    << broken.what();
    }
    EXPECT_LT(memory_of(bytes), bound_for(bytes)) << "damage " << k;
  }
  // The damages reach both ends.
  EXPECT_GT(refused, MUTATIONS / 4);
  EXPECT_GT(read, MUTATIONS / 20);
  EXPECT_GT(loaded, MUTATIONS / 100);
}

TEST(FuzzCheckpoint, RefusalsLeaveTheSearchAsItWas) {
  for (const SavedSearch &search : saved()) {
    Search here(godiff_test::toy_system(), search.settings);
    here.restore(content(search));
    const std::string before = here.save().to_bytes();
    int refused = 0;
    for (int k = 0; k < 300; ++k) {
      Dice dice(k);
      SafeTensors file = content(search);
      godiff_test::damage_content(file, dice);
      try {
        here.restore(file);
        here.restore(content(search));
      } catch (const Error &error) {
        ++refused;
        ASSERT_EQ(here.save().to_bytes(), before) << k << ": " << error.what();
      }
    }
    EXPECT_GT(refused, 50);
  }
}

// The bytes of one of them with one number of a tensor replaced.
std::string with_number(const SavedSearch &search, const std::string &name, std::int64_t index,
                        double value) {
  SafeTensors file = content(search);
  at::Tensor t = file.get(name).clone();
  t.view({-1})[index].fill_(value);
  file.put(name, t);
  return file.to_bytes();
}

std::string refusal(const SavedSearch &search, const std::string &bytes) {
  return Reader(search).restore(bytes);
}

TEST(FuzzCheckpoint, CountersMustBeWholeAndInRange) {
  const SavedSearch &search = saved()[0];
  const auto wrong = {-1.0, 1.5, 1e300, std::nan(""), std::numeric_limits<double>::infinity()};
  const auto check = [&](const std::string &name, const std::vector<int> &columns) {
    for (const int k : columns)
      for (const double value : wrong)
        EXPECT_NE(refusal(search, with_number(search, name, k, value)), "")
            << name << "[" << k << "] = " << value;
  };
  check("search.totals", {0, 1, 2, 3, 4, 5, 6, 7, 8});
  check("search.position", {2, 3, 4});
  check("search.current", {0, 2, 3, 4, 5, 6, 7, 12});
  check("search.stages", {0, 2, 3, 4, 5, 6, 7, 12});
}

TEST(FuzzCheckpoint, TemperaturesEnergiesAndPlacesMustBeSane) {
  const SavedSearch &search = saved()[0];
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const struct {
    const char *name;
    int index;
    std::vector<double> values;
  } cases[] = {
      {"search.current", 1, {0.0, -1.0, nan, inf}},
      {"search.stages", 1, {0.0, -1.0, nan, inf}},
      {"search.position", 0, {inf, -inf}},
      {"search.position", 1, {0.5, nan, 2.0}},
      {"search.queue", 4, {nan, inf, 1e12, -1e300}},
      {"search.classes", 1, {nan, inf, 1e300, -1e9}},
      {"archive.numbers", 0, {0.0, -1.0, nan, inf}},
      {"archive.numbers", 1, {nan, inf}},
      {"archive.positions", 2, {nan, inf, 1e12, -1e300}},
      {"archive.integers", 0, {-1.0, 0.0}},
      {"archive.integers", 1, {-2.0, 3.0, 4294967296.0}},
      {"archive.integers", 2, {-1.0, 4.0, 3.0}},
      {"archive.integers", 3, {-1.0, -2.0, 1000.0, 4294967296.0}},
      {"archive.integers", 4, {-2.0}},
  };
  for (const auto &c : cases)
    for (const double value : c.values)
      EXPECT_NE(refusal(search, with_number(search, c.name, c.index, value)), "")
          << c.name << "[" << c.index << "] = " << value;
}

// A structure of no class has once been looked up in the list of classes.
TEST(FuzzCheckpoint, ValidStructuresHaveAClass) {
  const SavedSearch &search = saved()[1];
  ASSERT_GT(search.settings.unique_tolerance, 0.0);
  EXPECT_NE(refusal(search, with_number(search, "archive.integers", 3, -1.0)), "");
}

TEST(FuzzCheckpoint, RelaxationsMustBeSane) {
  const SavedSearch &search = saved()[2];
  ASSERT_GT(content(search).get("search.relaxation").numel(), 0);
  const double nan = std::nan("");
  for (const int k : {0, 1, 2, 3, 4, 12})
    for (const double value : {nan, -1e300, 1e300})
      EXPECT_NE(refusal(search, with_number(search, "search.relaxation", k, value)), "")
          << k << " " << value;
  // A search without relaxation has no state of one.
  SafeTensors file = content(saved()[0]);
  file.put("search.relaxation", content(search).get("search.relaxation"));
  EXPECT_NE(refusal(saved()[0], file.to_bytes()), "");
}

TEST(FuzzCheckpoint, OptimisersMustBeSane) {
  const SavedSearch &search = saved()[1];
  for (const int k : {0, 1, 3})
    for (const double value : {std::nan(""), -1.0, 1e300})
      EXPECT_NE(refusal(search, with_number(search, "optimiser.score.numbers", k, value)), "")
          << k << " " << value;
  EXPECT_NE(refusal(search, with_number(search, "optimiser.score.numbers", 1, 0.5)), "");
  EXPECT_NE(refusal(search, with_number(search, "optimiser.force.first_moment", 7, std::nan(""))),
            "");
  EXPECT_NE(refusal(search, with_number(search, "optimiser.force.second_moment", 7, -1.0)), "");
}

// A float64 beyond the range of float32 is finite in the file and infinite in the network.
TEST(FuzzCheckpoint, WeightsMustFitThePrecisionOfTheSearch) {
  const SavedSearch &search = saved()[0];
  SafeTensors file = content(search);
  at::Tensor w = file.get("score.0.0.weight").to(at::kDouble, /*non_blocking=*/false, true);
  w[0][0] = 1e300;
  file.put("score.0.0.weight", w);
  EXPECT_NE(Reader(search).restore(file.to_bytes()), "");
  EXPECT_NE(Reader(search).load(file.to_bytes()), "");
}

// Weights may be as large as they like: scores beyond all bounds move no atom out of every cell.
TEST(FuzzCheckpoint, HugeWeightsSendNoAtomAway) {
  for (const int k : {0, 1, 3})
    for (const char *name : {"score.2.1.weight", "score.2.1.bias", "force.2.1.weight"})
      for (const double value : {1e20, 1e38, 3e38, 1e150, 1e300, 1e304, 1e306, 1e307, 1.7e308}) {
        const SavedSearch &search = saved()[k];
        SafeTensors file = content(search);
        if (!file.has(name))
          continue;
        file.put(name, at::full_like(file.get(name), value,
                                     file.get(name).scalar_type() == at::kFloat && value > 3e38
                                         ? at::TensorOptions(at::kDouble)
                                         : file.get(name).options()));
        Reader reader(search);
        reader.load(file.to_bytes());
        for (const godiff::Record &record : reader.search().archive().records())
          for (const double x : record.positions)
            EXPECT_LT(std::abs(x), 1e6) << name << " " << value;
      }
}

TEST(FuzzCheckpoint, ForeignTextIsPrintedSafely) {
  const SavedSearch &search = saved()[0];
  for (const char *key : {"format_version", "settings", "system", "network"})
    for (int seed = 0; seed < 60; ++seed) {
      Dice dice(seed);
      SafeTensors file = content(search);
      std::string text = godiff_test::odd_text(dice);
      if (seed % 2 == 0 && text.size() < 100)  // within the text that is expected
        text = file.metadata(key).substr(0, file.metadata(key).find('=') + 1) + text;
      file.put_metadata(key, text);
      EXPECT_NE(refusal(search, file.to_bytes()), "") << key << " " << seed;
    }
}

// A text of nothing but brackets would become a tree of a hundred times its size.
TEST(FuzzCheckpoint, DepthCostsNoMemory) {
  const SavedSearch &search = saved()[0];
  SafeTensors file = content(search);
  const std::string deep(1 << 20, '[');
  file.put_metadata("network", deep);
  count_tensors();
  Search here(godiff_test::toy_system(), search.settings);
  const std::uint64_t before = requested;
  EXPECT_THROW(here.restore(file), Error);
  EXPECT_LT(requested - before, 4 * deep.size());
}

TEST(FuzzCheckpoint, HostileHeadersCostNoMemory) {
  const auto file = [](const std::string &json) {
    const std::uint64_t length = json.size();
    return std::string(reinterpret_cast<const char *>(&length), sizeof(length)) + json;
  };
  std::string tensors = "{\"__metadata__\":{}", metadata = "{\"__metadata__\":{\"x\":\"\"";
  std::string shape = "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0],\"shape\":[0";
  for (int k = 0; k < 20000; ++k) {
    const std::string name = std::to_string(k);
    tensors += ",\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
    metadata += ",\"" + name + "\":\"\"";
    shape += ",1";
  }
  for (const std::string &json :
       {tensors + "}", metadata + "}}", shape + "]}}", std::string(1 << 20, '['),
        "{\"a\":" + std::string(1 << 20, '{'), std::string(1 << 20, ' ')}) {
    const std::string bytes = file(json);
    EXPECT_LT(memory_of(bytes), bound_for(bytes)) << json.substr(0, 40);
  }
}

}  // namespace
