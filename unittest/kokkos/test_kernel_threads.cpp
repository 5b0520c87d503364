// SPDX-License-Identifier: GPL-2.0-only
// What the functors of Kokkos compute has the same bits for one and for two of its threads, and in a second
// call. Kokkos starts once in a process: each number of threads has one of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <Kokkos_Core.hpp>
#include <gtest/gtest.h>

#include "core/engine_cases.hpp"
#include "core/search/optimizer.hpp"
#include "core/temporary_folder.hpp"
#include "kernels/implementation.hpp"

namespace {

using godiff::LeastSquares;
using godiff::ScoreEngine;
using godiff::ScoreNetwork;
using godiff_test::EngineCase;

void append(const at::Tensor &tensor, std::string &bytes) {
  const at::Tensor t = tensor.contiguous();
  bytes.append(static_cast<const char *>(t.const_data_ptr()), t.nbytes());
}

/// Scores, losses, gradients and weights after a step, of a few systems.
std::string results(at::ScalarType dtype) {
  std::string bytes;
  for (const EngineCase &c : godiff_test::engine_cases()) {
    if (c.name != "S2 compact" && c.name != "S2 relaxed" && c.name != "alloy p p p")
      continue;
    ScoreNetwork network(godiff_test::short_network(), dtype);
    network.initialise(3);
    ScoreEngine engine(c.system, network);
    godiff::AdamW optimiser(network.parameters(), 1e-3, "force.");
    const std::int64_t B = c.positions.size(0);
    const at::Tensor t = godiff_test::spread_times(B);
    const LeastSquares target{at::ones(c.positions.sizes(), at::kDouble),
                              at::linspace(0.5, 1.5, B, at::kDouble), at::ones({B}, at::kDouble)};
    append(engine.score(c.positions, t), bytes);
    const at::Tensor loss = engine.score_gradient(c.positions, t, target);
    append(loss, bytes);
    append(network.parameters().flat_gradient(), bytes);
    optimiser.step(network.parameters(), 1.0, loss);
    append(network.parameters().flat(), bytes);
    append(engine.forces(c.positions, false), bytes);
  }
  return bytes;
}

// In a process of its own: writes the results of two calls to files. Returns what is wrong, or nothing.
std::string write_results(int threads, const std::string &path) {
  setenv("GODIFF_KERNELS", "kokkos", 1);
  const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_num_threads(threads));
  at::set_num_threads(1);
  if (Kokkos::DefaultHostExecutionSpace().concurrency() != threads)
    return "Kokkos has another number of threads";
  if (godiff::kernels::implementation(c10::kCPU) != godiff::kernels::Implementation::KOKKOS)
    return "the functors of Kokkos do not run";
  for (const int call : {1, 2}) {
    std::ofstream file(path + std::to_string(call), std::ios::binary);
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
      file << results(dtype);
  }
  return "";
}

void in_a_process(int threads, const std::string &path) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::string problem;
    try {
      problem = write_results(threads, path);
    } catch (const std::exception &error) {
      problem = error.what();
    }
    if (!problem.empty())
      std::fprintf(stderr, "%d threads: %s\n", threads, problem.c_str());
    std::fflush(stderr);
    _exit(problem.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(KokkosKernels, SameBitsForAnyNumberOfThreadsAndEachCall) {
  const godiff_test::TemporaryFolder folder;
  const std::string one = folder.file("one"), two = folder.file("two");
  in_a_process(1, one);
  in_a_process(2, two);
  using godiff_test::content;
  const std::string expected = content(one + "1");
  EXPECT_GT(expected.size(), 100000u);
  EXPECT_TRUE(content(one + "2") == expected);
  EXPECT_TRUE(content(two + "1") == expected);
  EXPECT_TRUE(content(two + "2") == expected);
}

}  // namespace
