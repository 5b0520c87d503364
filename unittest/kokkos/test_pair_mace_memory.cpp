// SPDX-License-Identifier: GPL-2.0-only
// What pair style mace/kk does with the memory of KOKKOS: which arrays it asks for and where, which it says
// that it has changed, and that it packs messages on the device as on the host.
//
// Where KOKKOS computes on the host there is only one copy of an array and a forgotten copy would not be
// seen, so calls are counted instead.
#ifndef GODIFF_LINKS_LAMMPS

#include <gtest/gtest.h>

TEST(PairMaceMemory, NeedsLammpsAsALibrary) {
  GTEST_SKIP() << "set GODIFF_LAMMPS_LIBRARY to liblammps.so";
}

#else

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <mpi.h>

#pragma GCC visibility push(default)
#include "atom_kokkos.h"
#pragma GCC visibility pop
#include "atom_masks.h"
#include "force.h"
#include "kokkos_base.h"
#include "lammps.h"
#define LAMMPS_LIB_MPI
#include "library.h"
#include "pair.h"

#include "testing/lammps_runner.hpp"

using godiff::testing::fresh_folder;
using godiff::testing::kokkos_args;
using namespace LAMMPS_NS;

#ifdef __SANITIZE_ADDRESS__
// What LAMMPS and MPI never free is not ours; unittest/library looks for leaks.
extern "C" __attribute__((visibility("default"))) const char *__lsan_default_options() {
  return "exitcode=0";
}
#endif

namespace {

struct Call {
  bool modified;  // else: synchronised
  ExecutionSpace space;
  std::uint64_t mask;
};

std::vector<Call> calls;

using Member = void (*)(AtomKokkos *, ExecutionSpace, std::uint64_t);

void pass_on(const char *symbol, AtomKokkos *atom, ExecutionSpace space, std::uint64_t mask) {
  const auto next = reinterpret_cast<Member>(dlsym(RTLD_NEXT, symbol));
  if (!next)
    std::abort();
  next(atom, space, mask);
}

}  // namespace

// In front of those of LAMMPS, for whoever calls them.
void AtomKokkos::sync(const ExecutionSpace space, std::uint64_t mask) {
  calls.push_back({false, space, mask});
  pass_on("_ZN9LAMMPS_NS10AtomKokkos4syncENS_14ExecutionSpaceEm", this, space, mask);
}

void AtomKokkos::modified(const ExecutionSpace space, std::uint64_t mask) {
  calls.push_back({true, space, mask});
  pass_on("_ZN9LAMMPS_NS10AtomKokkos8modifiedENS_14ExecutionSpaceEm", this, space, mask);
}

namespace {

class Mpi : public ::testing::Environment {
public:
  void SetUp() override {
    setenv("LAMMPS_PLUGIN_PATH", std::filesystem::path(GODIFF_PLUGIN).parent_path().c_str(), 1);
    MPI_Init(nullptr, nullptr);
  }
  void TearDown() override {
    lammps_kokkos_finalize();
    MPI_Finalize();
  }
};

const auto *const mpi = ::testing::AddGlobalTestEnvironment(new Mpi);

// A LAMMPS that runs a structure of a model.
class Simulation {
public:
  Simulation(const std::string &words, const char *commands) {
    const std::string log = (fresh_folder() / "log").string();
    std::vector<std::string> args{"lmp", "-nocite", "-log", log, "-screen", "none"};
    const std::vector<std::string> kokkos = kokkos_args(1, {"comm", "host"});
    args.insert(args.end(), kokkos.begin(), kokkos.end());
    std::vector<char *> argv;
    for (std::string &arg : args)
      argv.push_back(arg.data());
    handle_ = lammps_open(static_cast<int>(argv.size()), argv.data(), MPI_COMM_WORLD, nullptr);
    run_commands("units metal\nboundary p p f\nlattice fcc 3.95\nregion box block 0 2 0 2 0 3\n"
                 "create_box 1 box\nregion slab block 0 2 0 2 0.2 1.8\n"
                 "create_atoms 1 region slab\nmass 1 195.0\n"
                 "displace_atoms all random 0.1 0.1 0.1 4711\npair_style mace " +
                 words +
                 "\npair_coeff * * " GODIFF_SOURCE_DIR "/unittest/mace/pt_two_layers.pt Pt\n"
                 "velocity all create 300 7\nfix 1 all nve\n" +
                 commands);
  }
  Simulation(const Simulation &) = delete;
  Simulation &operator=(const Simulation &) = delete;
  ~Simulation() { lammps_close(handle_); }

  void run_commands(const std::string &commands) {
    lammps_commands_string(handle_, commands.c_str());
    char message[1000] = {};
    if (lammps_has_error(handle_))
      lammps_get_last_error_message(handle_, message, sizeof(message));
    ASSERT_STREQ(message, "");
  }
  Pair *pair() const { return static_cast<LAMMPS *>(handle_)->force->pair; }
  Atom *atom() const { return static_cast<LAMMPS *>(handle_)->atom; }

  // Calls in a run.
  std::vector<Call> calls_of(const std::string &commands) {
    calls.clear();
    run_commands(commands);
    return calls;
  }

private:
  void *handle_;
};

int count(const std::vector<Call> &list, bool modified, bool legacy, std::uint64_t mask) {
  int sum = 0;
  for (const Call &call : list)
    if (call.modified == modified && (call.space == Host) == legacy && (call.mask & mask))
      ++sum;
  return sum;
}

}  // namespace

// Ghosts are filled where KOKKOS computes ("comm host" is that here), and no list is made between the
// steps: what runs of 2 and of 7 steps differ by are 5 steps and nothing else.
TEST(PairMaceMemory, AStepLeavesArraysOnTheDevice) {
  Simulation run("mode message", "neigh_modify delay 100 every 100 check no\nthermo 1000\nrun 1\n");
  ASSERT_EQ(run.pair()->datamask_modify & ~(F_MASK | ENERGY_MASK | VIRIAL_MASK), 0u);
  ASSERT_NE(run.pair()->execution_space, Host);
  const std::vector<Call> two = run.calls_of("run 2\n"), seven = run.calls_of("run 7\n");
  const std::uint64_t arrays = X_MASK | F_MASK | TYPE_MASK | TAG_MASK;
  EXPECT_EQ(count(seven, false, true, arrays), count(two, false, true, arrays))
      << "copied to the host in a step";
  EXPECT_EQ(count(seven, true, true, arrays), count(two, true, true, arrays))
      << "changed on the host in a step";
  // The style and who calls it say that forces have changed, nobody but nve that positions have.
  EXPECT_GE(count(seven, true, false, F_MASK) - count(two, true, false, F_MASK), 10);
  EXPECT_GE(count(seven, false, false, X_MASK) - count(two, false, false, X_MASK), 5);
  int with_forces = 0;
  for (const Call &call : seven)
    with_forces += call.modified && (call.mask & F_MASK) && (call.mask & X_MASK);
  int before = 0;
  for (const Call &call : two)
    before += call.modified && (call.mask & F_MASK) && (call.mask & X_MASK);
  EXPECT_EQ(with_forces, before) << "forces and positions said to be changed together";
}

// Where KOKKOS has a device these pack messages there; LAMMPS calls them on a device only.
TEST(PairMaceMemory, PacksOnTheDeviceAsOnTheHost) {
  for (const char *words : {"mode message", "mode message precision single"}) {
    SCOPED_TRACE(words);
    Simulation run(words, "run 1\n");
    Pair *const pair = run.pair();
    auto *const kokkos = dynamic_cast<KokkosBase *>(pair);
    ASSERT_NE(kokkos, nullptr);
    const int n_atoms = run.atom()->nlocal + run.atom()->nghost, some = 5;
    DAT::tdual_int_1d k_list("list", some);
    std::vector<int> list;
    for (int k = 0; k < some; ++k) {
      list.push_back((7 * k + 3) % run.atom()->nlocal);
      k_list.view_host()(k) = list[k];
    }
    k_list.modify_host();
    k_list.sync_device();

    std::vector<double> host(100000);
    const int size = pair->pack_forward_comm(some, list.data(), host.data(), 0, nullptr);
    ASSERT_GT(size, 0);
    ASSERT_EQ(size % some, 0);
    const int slots = size / some;
    DAT::tdual_double_1d buffer("buffer", static_cast<std::size_t>(n_atoms) * slots);
    const auto on_host = [&](int numbers) {
      buffer.modify_device();
      buffer.sync_host();
      return std::vector<double>(buffer.view_host().data(), buffer.view_host().data() + numbers);
    };
    // Bits are compared: two floats are no number.
    const auto same = [](const std::vector<double> &one, const std::vector<double> &other, int n) {
      return std::memcmp(one.data(), other.data(), sizeof(double) * n) == 0;
    };
    EXPECT_EQ(kokkos->pack_forward_comm_kokkos(some, k_list, buffer, 0, nullptr), size);
    EXPECT_TRUE(same(on_host(size), host, size));

    // Rows of some atoms go to others, and are found there by both ways back.
    const int first = run.atom()->nlocal;
    kokkos->unpack_forward_comm_kokkos(some, first, buffer);
    std::vector<double> again(host.size());
    EXPECT_EQ(pair->pack_reverse_comm(some, first, again.data()), size);
    EXPECT_TRUE(same(again, host, size));
    EXPECT_EQ(kokkos->pack_reverse_comm_kokkos(some, first, buffer), size);
    EXPECT_TRUE(same(on_host(size), host, size));

    // Rows are added to themselves, once on the device and once on the host: four times what they were,
    // exactly.
    kokkos->unpack_reverse_comm_kokkos(some, k_list, buffer);
    std::vector<double> twice(host.size());
    pair->pack_forward_comm(some, list.data(), twice.data(), 0, nullptr);
    pair->unpack_reverse_comm(some, list.data(), twice.data());
    std::vector<double> four(host.size());
    pair->pack_forward_comm(some, list.data(), four.data(), 0, nullptr);
    const bool single = std::strstr(words, "single") != nullptr;
    const std::size_t bytes = single ? sizeof(float) : sizeof(double);
    bool any = false;
    for (std::size_t at = 0; at < sizeof(double) * size; at += bytes) {
      double before = 0.0, after = 0.0;
      if (single) {
        float numbers[2];
        std::memcpy(numbers, reinterpret_cast<char *>(host.data()) + at, bytes);
        std::memcpy(numbers + 1, reinterpret_cast<char *>(four.data()) + at, bytes);
        before = numbers[0];
        after = numbers[1];
      } else {
        before = host[at / bytes];
        after = four[at / bytes];
      }
      any = any || before != 0.0;
      EXPECT_EQ(after, 4.0 * before);
    }
    EXPECT_TRUE(any) << "all rows are 0";
  }
}

#endif
