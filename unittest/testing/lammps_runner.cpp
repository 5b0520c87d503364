// SPDX-License-Identifier: GPL-2.0-only
#include "testing/lammps_runner.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace fs = std::filesystem;

namespace godiff::testing {
namespace {

std::string read_if_there(const fs::path &path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool starts_with(const std::string &text, const std::string &prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

std::vector<std::string> words_of(const std::string &line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;)
    words.push_back(word);
  return words;
}

/// Numbers of a line, or nothing if one of its words is not a number (nan and inf are).
std::vector<double> numbers_of(const std::vector<std::string> &words) {
  std::vector<double> numbers;
  for (const auto &word : words) {
    char *end = nullptr;
    numbers.push_back(std::strtod(word.c_str(), &end));
    if (*end != '\0')
      return {};
  }
  return numbers;
}

std::vector<std::string> command_line(const RunOptions &options) {
  std::vector<std::string> command;
  if (options.nprocs > 1 || options.mpirun)
    command = {GODIFF_LAUNCHER_MPIRUN, "-np", std::to_string(options.nprocs)};
  command.insert(command.end(),
                 {options.fault.empty() ? GODIFF_LMP : GODIFF_FAULTY_LMP, "-in", "in.test"});
  command.insert(command.end(), options.args.begin(), options.args.end());
  return command;
}

/// The child's side of the fork: never returns.
[[noreturn]] void execute(const std::vector<std::string> &command, const RunOptions &options,
                          const fs::path &folder) {
  // A group of its own, so that mpirun and its ranks can be killed together; and it must not
  // outlive a test that ctest kills.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (chdir(folder.c_str()) != 0)
    _exit(126);
  const int in = open("/dev/null", O_RDONLY);
  const int out = open("screen.test", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (in < 0 || out < 0)
    _exit(126);
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  // Variables of the caller that would change what is tested.
  for (const char *name :
       {"LAMMPS_PLUGIN_PATH", "LAMMPS_POTENTIALS", "LD_LIBRARY_PATH", "GODIFF_FAULT"})
    unsetenv(name);
  setenv("OMP_NUM_THREADS", std::to_string(options.threads).c_str(), 1);
  setenv("OMP_WAIT_POLICY", "passive", 1);
#ifdef __SANITIZE_ADDRESS__
  // The leak sanitizer itself crashes now and then at the end of lmp: unittest/library looks for leaks.
  setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
#endif
  if (!options.fault.empty())
    setenv("GODIFF_FAULT", options.fault.c_str(), 1);
  for (const auto &[name, value] : options.env)
    setenv(name.c_str(), value.c_str(), 1);
  std::vector<char *> argv;
  for (const auto &word : command)
    argv.push_back(const_cast<char *>(word.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

// With the sanitizer LAMMPS takes some seconds to start, and several times as long for all else.
#ifdef __SANITIZE_ADDRESS__
constexpr double SLOWNESS = 5.0;
#else
constexpr double SLOWNESS = 1.0;
#endif

}  // namespace

std::vector<double> ThermoTable::column(const std::string &name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] != name)
      continue;
    std::vector<double> values;
    for (const auto &row : rows)
      values.push_back(row[i]);
    return values;
  }
  throw std::out_of_range("no thermo column " + name);
}

double ThermoTable::last(const std::string &name) const {
  return column(name).at(rows.size() - 1);
}

std::string RunResult::error() const {
  for (const auto &line : lines_of(output))
    if (starts_with(line, "ERROR"))
      return line;
  return "";
}

std::vector<std::string> RunResult::warnings() const {
  std::vector<std::string> found;
  for (const auto &line : lines_of(output))
    if (starts_with(line, "WARNING"))
      found.push_back(line);
  return found;
}

std::vector<ThermoTable> RunResult::thermo() const {
  return parse_thermo(log);
}

std::string RunResult::file(const std::string &name) const {
  return read_file(folder / name);
}

bool preloads_libtorch() {
  return read_file(lmp_path()).find("preload='/") != std::string::npos &&
         read_file(lmp_path()).find("libtorch_cpu.so'") != std::string::npos;
}

std::string lmp_path() {
  return GODIFF_LMP;
}

std::string mpirun_path() {
  return GODIFF_LAUNCHER_MPIRUN;
}

RunResult run_lammps(const std::string &input, const RunOptions &options) {
  using clock = std::chrono::steady_clock;

  RunResult result;
  result.folder = options.folder.empty() ? fresh_folder() : options.folder;
  fs::create_directories(result.folder);
  std::ofstream(result.folder / "in.test") << input;
  for (const auto &[name, contents] : options.files)
    std::ofstream(result.folder / name, std::ios::binary) << contents;

  const auto command = command_line(options);
  const pid_t child = fork();
  if (child < 0)
    throw std::runtime_error("fork failed");
  if (child == 0)
    execute(command, options, result.folder);
  setpgid(child, child);  // the child does the same: whoever comes first

  const auto start = clock::now();
  const double timeout = SLOWNESS * options.timeout;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    const std::chrono::duration<double> elapsed = clock::now() - start;
    result.timed_out = elapsed.count() > timeout;
    result.killed = !result.timed_out && options.kill_when && options.kill_when(result.folder);
    if (result.timed_out || result.killed) {
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.output = read_if_there(result.folder / "screen.test");
  result.log = read_if_there(result.folder / "log.lammps");
  if (result.timed_out)
    ADD_FAILURE() << "LAMMPS was killed after " << timeout << " s in " << result.folder << "\n"
                  << result.output;
#ifdef __SANITIZE_ADDRESS__
  // A test that expects an error would take what a sanitizer says for it.
  if (options.fault.find("overflow") == std::string::npos)
    for (const char *report : {"ERROR: AddressSanitizer", ": runtime error: "})
      if (result.contains(report))
        ADD_FAILURE() << result.output;
#endif
  return result;
}

std::vector<std::string> kokkos_args(int threads, const std::vector<std::string> &package) {
  std::vector<std::string> args{"-k", "on", "t", std::to_string(threads), "-sf", "kk"};
  if (!package.empty())
    args.insert(args.end(), {"-pk", "kokkos"});
  args.insert(args.end(), package.begin(), package.end());
  return args;
}

fs::path fresh_folder() {
  static std::map<std::string, int> count;
  std::string name = "outside-a-test";
  if (const auto *info = ::testing::UnitTest::GetInstance()->current_test_info())
    name = std::string(info->test_suite_name()) + "." + info->name();
  for (char &c : name)
    if (c == '/')
      c = '-';
  const fs::path folder =
      fs::path(GODIFF_SCRATCH_DIR) / name / ("run" + std::to_string(++count[name]));
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

std::string read_file(const fs::path &path) {
  if (!fs::is_regular_file(path)) {
    ADD_FAILURE() << "no file " << path;
    return "";
  }
  return read_if_there(path);
}

std::vector<ThermoTable> parse_thermo(const std::string &log) {
  std::vector<ThermoTable> tables;
  bool inside = false;
  for (const auto &line : lines_of(log)) {
    const auto words = words_of(line);
    if (!words.empty() && words[0] == "Step") {
      tables.push_back({words, {}});
      inside = true;
    } else if (starts_with(line, "Loop time of")) {
      inside = false;
    } else if (inside) {
      // Other lines (messages of fixes, warnings) may stand between the rows.
      const auto row = numbers_of(words);
      if (row.size() == tables.back().columns.size())
        tables.back().rows.push_back(row);
    }
  }
  return tables;
}

std::vector<std::string> lines_of(const std::string &text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  return lines;
}

}  // namespace godiff::testing
