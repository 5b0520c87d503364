// SPDX-License-Identifier: GPL-2.0-only
// The thread sanitizer finds a race between the threads of a parallel loop, and nothing in a loop that
// is right: without both, the silence of the other tests would prove nothing.
#include <vector>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace {

constexpr int N = 1000;
constexpr int REPEATS = 50;

// Every thread adds to the same number.
void racy_loop() {
  long sum = 0;
  at::set_num_threads(2);
  for (int k = 0; k < REPEATS; ++k)
    at::parallel_for(0, N, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        sum += i;
    });
  std::exit(sum < 0);
}

// Each thread has its own numbers, which the caller writes before and reads after.
void clean_loop() {
  std::vector<long> squares(N), numbers(N);
  at::set_num_threads(2);
  bool right = true;
  for (int k = 0; k < REPEATS; ++k) {
    for (int i = 0; i < N; ++i)
      numbers[i] = i + k;
    at::parallel_for(0, N, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        squares[i] = numbers[i] * numbers[i];
    });
    for (int i = 0; i < N; ++i)
      right = right && squares[i] == static_cast<long>(i + k) * (i + k);
  }
  std::exit(right ? 0 : 1);
}

}  // namespace

TEST(ThreadSanitizerDeathTest, FindsARace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  constexpr int FOUND = 66;  // exit status of the sanitizer
  EXPECT_EXIT(racy_loop(), ::testing::ExitedWithCode(FOUND), "data race");
}

TEST(ThreadSanitizerDeathTest, IsSilentWithoutOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(clean_loop(), ::testing::ExitedWithCode(0), "");
}
