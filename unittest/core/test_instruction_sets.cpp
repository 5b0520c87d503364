// SPDX-License-Identifier: GPL-2.0-only
// The row kernels of every instruction set that this machine runs against the portable ones.
#include "kernels/instruction_set.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/row_kernels.hpp"

namespace {

using godiff::kernels::active_instruction_set;
using godiff::kernels::EdgeRows;
using godiff::kernels::InstructionSet;
using godiff::kernels::row_kernels;
using godiff::kernels::RowKernels;
using godiff::kernels::usable_instruction_sets;

bool usable(InstructionSet set) {
  const auto sets = usable_instruction_sets();
  return std::find(sets.begin(), sets.end(), set) != sets.end();
}

/// What the extensions of a set are called, to say what a machine lacks.
const char *extensions(InstructionSet set) {
  switch (set) {
    case InstructionSet::AVX512:
      return "AVX-512 F, DQ, VL and BW";
    case InstructionSet::AVX2:
      return "AVX2 and FMA";
    default:
      return "nothing";
  }
}

template <class T> class Random {
public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  T number() { return static_cast<T>(static_cast<double>(bits_() >> 11) * 0x1p-52 - 1.0); }
  std::int32_t below(std::int32_t n) { return static_cast<std::int32_t>(bits_() % n); }
  std::vector<T> numbers(std::int64_t n) {
    std::vector<T> values(n);
    for (T &value : values)
      value = number();
    return values;
  }

private:
  std::mt19937_64 bits_;
};

/// Random edges into a number of rows, some rows without any, some edges in runs of one filter.
template <class T> struct Edges {
  std::vector<std::int32_t> first{0}, other, filter;
  std::vector<T> direction, filters, gradients;
  std::int64_t stride;

  Edges(Random<T> &random, std::int64_t rows, std::int32_t n_other, std::int64_t n_feat,
        std::int32_t n_filters) :
      filters(random.numbers(n_filters * (3 * n_feat + 5))),
      gradients(random.numbers(n_filters * (3 * n_feat + 5))),
      stride(3 * n_feat + 5) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int32_t degree = random.below(9);
      std::vector<std::int32_t> runs;
      for (std::int32_t e = 0; e < degree; ++e) {
        runs.push_back(random.below(n_filters));
        other.push_back(random.below(n_other));
      }
      std::sort(runs.begin(), runs.end());
      filter.insert(filter.end(), runs.begin(), runs.end());
      first.push_back(static_cast<std::int32_t>(other.size()));
    }
    direction = random.numbers(3 * static_cast<std::int64_t>(other.size()));
  }

  EdgeRows<T> rows() {
    return {first.data(),   other.data(), filter.data(),    direction.data(),
            filters.data(), stride,       gradients.data(), stride};
  }
};

/// One structure: 9 template atoms and 3 mobile ones, of which 10 have rows and 6 mobile edges.
template <class T> class Structure {
public:
  static constexpr std::int32_t ATOMS = 12, TEMPLATE = 9, ROWS = 10, SLOTS = 6;

  Structure(std::int64_t n_feat, std::uint64_t seed, bool template_edges, bool mobile_edges,
            bool has_mu) :
      random_(seed),
      template_edges_(random_, TEMPLATE, TEMPLATE, n_feat, 4),
      mobile_edges_(random_, SLOTS, ATOMS, n_feat, 15),
      n_feat_(n_feat),
      first_(random_.numbers(ATOMS * 3 * n_feat)),
      second_(random_.numbers(ATOMS * 3 * n_feat)),
      x_(random_.numbers(ROWS * 3 * n_feat)),
      mu_(random_.numbers(ROWS * 3 * n_feat)),
      out_first_(random_.numbers(ROWS * 3 * n_feat)),
      out_second_(random_.numbers(ROWS * 3 * n_feat)),
      scratch_(godiff::kernels::scratch_size<T>(ATOMS), std::numeric_limits<T>::quiet_NaN()),
      with_template_(template_edges),
      with_mobile_(mobile_edges),
      has_mu_(has_mu) {}

  /// What receive() makes of it.
  std::vector<T> receive(const RowKernels<T> &kernels) {
    point();
    kernels.receive(
        {edges(), firsts_.data(), seconds_.data(), outs_first_.data(), outs_second_.data()});
    return results();
  }

  /// What send_back() makes of it.
  std::vector<T> send_back(const RowKernels<T> &kernels) {
    point();
    kernels.send_back({edges(), firsts_.data(), seconds_.data(), xs_.data(), mus_.data(),
                       outs_first_.data(), outs_second_.data()});
    return results();
  }

private:
  void point() {
    for (std::int32_t i = 0; i < ATOMS; ++i) {
      firsts_.push_back(&first_[i * 3 * n_feat_]);
      seconds_.push_back(&second_[i * 3 * n_feat_]);
    }
    for (std::int32_t r = 0; r < ROWS; ++r) {
      xs_.push_back(&x_[r * 3 * n_feat_]);
      mus_.push_back(&mu_[r * 3 * n_feat_]);
      outs_first_.push_back(&out_first_[r * 3 * n_feat_]);
      outs_second_.push_back(&out_second_[r * 3 * n_feat_]);
    }
  }

  godiff::kernels::StructureEdges<T> edges() {
    return {n_feat_,
            ATOMS,
            TEMPLATE,
            ROWS,
            with_mobile_ ? SLOTS : 0,
            atom_.data(),
            with_template_ ? template_edges_.rows() : EdgeRows<T>{},
            with_mobile_ ? mobile_edges_.rows() : EdgeRows<T>{},
            has_mu_,
            scratch_.data()};
  }

  std::vector<T> results() const {
    std::vector<T> all;
    for (const auto *values :
         {&out_first_, &out_second_, &template_edges_.gradients, &mobile_edges_.gradients})
      all.insert(all.end(), values->begin(), values->end());
    return all;
  }

  Random<T> random_;
  Edges<T> template_edges_, mobile_edges_;
  std::int64_t n_feat_;
  std::vector<T> first_, second_, x_, mu_, out_first_, out_second_, scratch_;
  bool with_template_, with_mobile_, has_mu_;
  std::vector<std::int32_t> atom_{9, 10, 11, 4, 2, 7, 0, 8, 1, 5};
  std::vector<const T *> firsts_, seconds_, xs_, mus_;
  std::vector<T *> outs_first_, outs_second_;
};

template <class T>
void expect_close(const std::vector<T> &values, const std::vector<T> &expected, const char *what) {
  ASSERT_EQ(values.size(), expected.size()) << what;
  double largest = 0.0, difference = 0.0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    ASSERT_TRUE(std::isfinite(values[k])) << what << " " << k;
    largest = std::max(largest, std::abs(static_cast<double>(expected[k])));
    difference = std::max(difference, std::abs(static_cast<double>(values[k]) - expected[k]));
  }
  // Some thirty roundings: a set with fused multiply-add has fewer of them than one without.
  EXPECT_LE(difference, 30.0 * std::numeric_limits<T>::epsilon() * largest) << what;
}

class InstructionSets : public testing::TestWithParam<InstructionSet> {
protected:
  void SetUp() override {
    if (!usable(GetParam()))
      GTEST_SKIP() << "this machine or build does not have " << extensions(GetParam());
  }

  template <class T> void messages() {
    const RowKernels<T> &set = row_kernels<T>(GetParam()),
                        &portable = row_kernels<T>(InstructionSet::PORTABLE);
    for (const std::int64_t n_feat : {16, 48, 64})
      for (int k = 0; k < 8; ++k) {
        const bool of_template = k & 1, of_mobile = k & 2, has_mu = k & 4;
        const auto make = [&] {
          return Structure<T>(n_feat, 100 + k, of_template, of_mobile, has_mu);
        };
        expect_close(make().receive(set), make().receive(portable), "receive");
        expect_close(make().send_back(set), make().send_back(portable), "send_back");
      }
  }

  template <class T> void rows() {
    const RowKernels<T> &set = row_kernels<T>(GetParam()),
                        &portable = row_kernels<T>(InstructionSet::PORTABLE);
    for (const std::int64_t n : {16, 48, 64}) {
      const std::int64_t rows = 7;
      Random<T> random(n);
      const std::vector<T> vu = random.numbers(rows * 6 * n), prs = random.numbers(rows * 3 * n),
                           mu = random.numbers(rows * 3 * n),
                           g_joined = random.numbers(rows * 2 * n),
                           gmu = random.numbers(rows * 3 * n),
                           joined = random.numbers(rows * 2 * n), gq = random.numbers(rows * n),
                           sums = random.numbers(2 * n);
      const auto run = [&](const RowKernels<T> &kernels) {
        std::vector<T> j = joined, q(rows * n), mu_out(rows * 3 * n), gprs(rows * 3 * n),
                       gvu(rows * 6 * n), g = gq, s = sums;
        kernels.norm(rows, n, T(1e-8), vu.data(), j.data());
        kernels.gate(rows, n, j.data(), mu.data(), vu.data(), prs.data(), q.data(), mu_out.data());
        kernels.gate_backward(rows, n, g.data(), gmu.data(), vu.data(), prs.data(), gprs.data(),
                              gvu.data());
        kernels.norm_backward(rows, n, vu.data(), j.data(), g_joined.data(), gvu.data(), g.data());
        kernels.add_column_sums(rows, 2 * n, g_joined.data(), s.data());
        return std::vector<std::vector<T>>{j, q, mu_out, gprs, gvu, g, s};
      };
      const auto found = run(set), expected = run(portable);
      const char *names[] = {"norm",        "q",          "mu",         "gates' gradient",
                             "gradient vu", "gradient q", "column sums"};
      for (std::size_t k = 0; k < found.size(); ++k)
        expect_close(found[k], expected[k], names[k]);
    }
  }

  template <class T> void flat() {
    const RowKernels<T> &set = row_kernels<T>(GetParam()),
                        &portable = row_kernels<T>(InstructionSet::PORTABLE);
    for (const std::int64_t n : {1, 15, 64, 1000}) {
      Random<T> random(n);
      const std::vector<std::vector<T>> parts{random.numbers(n), random.numbers(n),
                                              random.numbers(n)};
      const std::vector<const T *> pointers{parts[0].data(), parts[1].data(), parts[2].data()};
      std::vector<T> total(n), expected(n);
      const double squares = set.sum_parts(3, pointers.data(), 0, n, total.data());
      EXPECT_NEAR(squares, portable.sum_parts(3, pointers.data(), 0, n, expected.data()),
                  1e-14 * (1.0 + squares));
      EXPECT_EQ(total, expected);

      std::vector<T> second = random.numbers(n);
      for (T &v : second)
        v *= v;
      const godiff::kernels::AdamWStep step{0.9, 0.999, 1e-8, 0.9999, 2e-3, 1.5, 0.7};
      const auto run = [&](const RowKernels<T> &kernels) {
        std::vector<T> w = parts[1], m = parts[2], v = second;
        kernels.adamw(step, n / 4, n, parts[0].data(), w.data(), m.data(), v.data());
        return std::vector<std::vector<T>>{w, m, v};
      };
      const auto stepped = run(set), plain = run(portable);
      for (std::size_t k = 0; k < stepped.size(); ++k)
        expect_close(stepped[k], plain[k], "AdamW");
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, InstructionSets,
                         testing::Values(InstructionSet::PORTABLE, InstructionSet::AVX2,
                                         InstructionSet::AVX512),
                         [](const auto &info) { return godiff::kernels::name(info.param); });

TEST_P(InstructionSets, Messages) {
  messages<double>();
  messages<float>();
}

TEST_P(InstructionSets, Rows) {
  rows<double>();
  rows<float>();
}

TEST_P(InstructionSets, FlatBuffers) {
  flat<double>();
  flat<float>();
}

// The choice is made once in a process, so each of these asks a process of its own.
TEST_P(InstructionSets, EnvironmentChooses) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const InstructionSet set = GetParam();
  EXPECT_EXIT(
      {
        setenv("GODIFF_INSTRUCTION_SET", godiff::kernels::name(set), 1);
        const bool chosen = active_instruction_set() == set &&
                            &row_kernels<float>() == &row_kernels<float>(set) &&
                            &row_kernels<double>() == &row_kernels<double>(set);
        std::exit(chosen ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(InstructionSetChoice, BestOneWithoutAWord) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const char *value : {"", "sse17"})
    EXPECT_EXIT(
        {
          setenv("GODIFF_INSTRUCTION_SET", value, 1);
          std::exit(active_instruction_set() == usable_instruction_sets().back() ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        unsetenv("GODIFF_INSTRUCTION_SET");
        std::exit(active_instruction_set() == usable_instruction_sets().back() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(InstructionSetChoice, PortableIsAlwaysThere) {
  const auto sets = usable_instruction_sets();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front(), InstructionSet::PORTABLE);
}

}  // namespace
