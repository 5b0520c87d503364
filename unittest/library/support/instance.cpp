// SPDX-License-Identifier: GPL-2.0-only
#include "library/instance.hpp"

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include <mpi.h>

#define LAMMPS_LIB_MPI
#include <library.h>

#include "testing/lammps_runner.hpp"

namespace fs = std::filesystem;

namespace godiff::testing {

Instance::Instance(const std::string &name, const std::vector<std::string> &args) :
    screen_(fs::absolute(name + ".screen")) {
  std::vector<std::string> words{"lmp", "-nocite", "-log", name + ".log", "-screen", screen_};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char *> argv;
  for (auto &word : words)
    argv.push_back(&word[0]);
  handle_ = lammps_open(static_cast<int>(argv.size()), argv.data(), MPI_COMM_WORLD, nullptr);
  if (!handle_)
    throw std::runtime_error("LAMMPS does not start");
}

Instance::~Instance() {
  lammps_close(handle_);
}

std::string Instance::attempt(const std::string &commands) {
  lammps_commands_string(handle_, commands.c_str());
  if (!lammps_has_error(handle_))
    return "";
  char message[2048] = {};
  lammps_get_last_error_message(handle_, message, sizeof(message));
  return message;
}

void Instance::run(const std::string &commands) {
  const std::string error = attempt(commands);
  EXPECT_EQ(error, "") << commands;
}

std::string Instance::error_of(const std::string &commands) {
  const std::string error = attempt(commands);
  EXPECT_NE(error, "") << commands;
  return error;
}

void *Instance::of_pair(const char *name) const {
  return lammps_extract_pair(handle_, name);
}

double Instance::fix_scalar(const char *id) const {
  void *value = lammps_extract_fix(handle_, id, LMP_STYLE_GLOBAL, LMP_TYPE_SCALAR, 0, 0);
  if (!value)
    throw std::runtime_error(std::string("no scalar of fix ") + id);
  const double number = *static_cast<double *>(value);
  lammps_free(value);
  return number;
}

std::string Instance::screen() const {
  lammps_flush_buffers(handle_);
  return read_file(screen_);
}

bool kokkos_on_the_host() {
  if (!lammps_config_has_package("KOKKOS"))
    return false;
  for (const char *api : {"cuda", "hip", "sycl"})
    if (lammps_config_accelerator("KOKKOS", "api", api))
      return false;
  return true;
}

WorkingFolder::WorkingFolder(const std::string &data) : before_(fs::current_path()) {
  fs::current_path(fresh_folder());
  std::ofstream("data.slab") << data;
}

WorkingFolder::~WorkingFolder() {
  fs::current_path(before_);
}

long resident_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmRSS:") {
      long kilobytes = 0;
      status >> kilobytes;
      return kilobytes;
    }
  throw std::runtime_error("no VmRSS in /proc/self/status");
}

}  // namespace godiff::testing
