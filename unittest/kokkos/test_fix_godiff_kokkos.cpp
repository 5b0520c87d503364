// SPDX-License-Identifier: GPL-2.0-only
// fix godiff/kk is fix godiff with the atoms on the device: the same search, alone and on several ranks, in
// every way that KOKKOS has to send atoms, with nothing of an atom going to the host in a step.
#include "restart/same_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "core/network/device.hpp"

using godiff::testing::continuation;
using godiff::testing::Csv;
using godiff::testing::expect_equal;
using godiff::testing::fresh_folder;
using godiff::testing::kokkos_args;
using godiff::testing::lines_of;
using godiff::testing::parse_csv;
using godiff::testing::read_file;
using godiff::testing::run_lammps;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;
using godiff::testing::ThermoTable;

namespace {

// Pair styles of KOKKOS sum over neighbors in another order.
constexpr double ROUNDING = 1e-10;
// Once the network has learned from energies that differ by that, in double precision.
constexpr double LEARNED = 1e-6;

using Words = std::vector<std::string>;

const std::string EAM = "pair_style eam\npair_coeff 1 1 Pt_u3.eam\n";

RunOptions with_kokkos(int threads = 2, int nprocs = 1, const Words &package = {}) {
  RunOptions options;
  options.args = kokkos_args(threads, package);
  options.nprocs = nprocs;
  return options;
}

// The style of the host, under KOKKOS like everything else.
SmallSearch on_host(SmallSearch search) {
  search.before += "suffix off\n";
  search.after = "suffix on\n" + search.after;
  return search;
}

// Uniform draws all over the box: every step throws all mobile atoms anywhere.
SmallSearch jumps() {
  SmallSearch search;
  search.mobile = 6;
  search.samples = 10;
  search.words = "sample prior mode sample mindist 0.5 confine above 0.5 7.5";
  search.thermo = "step atoms pe f_s";
  search.commands = "run 20\n";
  return search;
}

Csv csv(const RunResult &run) {
  return parse_csv(run.file("godiff.s.csv"));
}

void expect_near(const RunResult &a, const RunResult &b, double relative) {
  ASSERT_TRUE(a.ok()) << a.output;
  ASSERT_TRUE(b.ok()) << b.output;
  const Csv x = csv(a), y = csv(b);
  ASSERT_GT(x.rows.size(), 0u);
  ASSERT_EQ(x.rows.size(), y.rows.size());
  for (const char *column : {"stage", "status", "evaluation"})
    EXPECT_EQ(x.text(column), y.text(column)) << column;
  const auto e = x.numbers("energy"), f = y.numbers("energy");
  for (std::size_t k = 0; k < e.size(); ++k)
    EXPECT_NEAR(e[k], f[k], relative * std::abs(e[k])) << "candidate " << k + 1;
}

// Without KOKKOS, the style of the host under KOKKOS, and the twin.
void expect_one_search(SmallSearch search, double relative) {
  search.words += " precision double";
  const RunResult plain = search.run();
  expect_near(plain, on_host(search).run(with_kokkos()), relative);
  for (const int threads : {1, 2}) {
    SCOPED_TRACE("godiff/kk, threads " + std::to_string(threads));
    const RunResult run = search.run(with_kokkos(threads));
    expect_near(plain, run, relative);
    EXPECT_TRUE(run.contains("on CPU, " + std::to_string(threads) + " thread")) << run.output;
  }
}

struct Audit {
  int steps = -1, to_host = -1, to_device = -1, conflicts = -1;
};

// With the defaults that KOKKOS has on a GPU.
Audit audit(SmallSearch search, int nprocs = 1) {
  search.before_read =
      "plugin load " GODIFF_AUDIT_PLUGIN "\natom_style atomic\n" + search.before_read;
  search.after += "fix audit all audit\n";
  search.commands = "thermo 1000000\nrun 20\n";
  const RunResult run = search.run(
      with_kokkos(1, nprocs, {"comm", "device", "sort", "device", "atom/map", "device"}));
  EXPECT_TRUE(run.ok()) << run.output;
  Audit found;
  for (const std::string &line : lines_of(run.log)) {
    std::istringstream words(line);
    std::string word;
    if (words >> word && word == "AUDIT")
      words >> word >> found.steps >> word >> found.to_host >> word >> found.to_device >> word >>
          found.conflicts;
  }
  return found;
}

std::string refusal(const std::string &input) {
  SmallSearch search;
  RunOptions options = with_kokkos();
  options.files["data.slab"] = search.data();
  return run_lammps(input, options).error();
}

}  // namespace

TEST(FixKokkos, SameSearch) {
  for (const std::string &potential : {SmallSearch().potential, EAM}) {
    SmallSearch search;
    search.potential = potential;
    search.stages = 3;
    search.commands = "run 9\n";
    expect_one_search(search, LEARNED);
  }
}

TEST(FixKokkos, SameSearchOfManyAtoms) {
  SmallSearch search;
  search.mobile = 7;
  search.types = 2;
  search.elements = "elements Pt Cu";
  expect_one_search(search, LEARNED);
}

// With the functors of Kokkos training and sampling stay on its device, here the CPU; guidance is the host's.
TEST(FixKokkos, SameSearchWithStagesOnTheDevice) {
  for (const std::string &guide : {"", " guide 0.05"}) {
    SmallSearch search;
    search.stages = 3;
    search.mobile = 3;
    search.words += " precision double" + guide;
    search.commands = "run 9\n";
    RunOptions options = with_kokkos();
    options.env["GODIFF_KERNELS"] = "kokkos";
    expect_near(search.run(), search.run(options), LEARNED);
  }
}

TEST(FixKokkos, SameSearchTriclinicAndPeriodic) {
  for (const char *boundary : {"p p f", "p p p"}) {
    SmallSearch search = jumps();
    search.triclinic = true;
    search.boundary = boundary;
    expect_one_search(search, ROUNDING);
  }
}

TEST(FixKokkos, SameSearchWithSortingOnTheHostAndWithIdMap) {
  SmallSearch search = jumps();
  const RunResult plain = search.run();
  search.before_read = "atom_modify map hash sort 3 1.0\n";
  expect_near(plain, search.run(with_kokkos(2, 1, {"sort", "no"})), ROUNDING);
  expect_near(plain, search.run(with_kokkos()), ROUNDING);
}

// What energies of the first version of the program say, see unittest/parity/README.md.
TEST(FixKokkos, SameSearchAsItEverWas) {
  const std::string parity = std::string(GODIFF_SOURCE_DIR) + "/unittest/parity/";
  RunOptions options = with_kokkos();
  options.args.insert(options.args.end(),
                      {"-var", "precision", "double", "-var", "data",
                       std::string(GODIFF_SOURCE_DIR) + "/examples/godiff/adatom/data.adatom"});
  const RunResult run = run_lammps(read_file(parity + "in.search"), options);
  ASSERT_TRUE(run.ok()) << run.output;
  std::ifstream file(parity + "golden/search.json");
  const nlohmann::json golden = nlohmann::json::parse(file).at("double");
  const ThermoTable table = run.thermo()[0];
  ASSERT_EQ(table.rows.size(), 1u + golden.at("energy").size());
  const char *const columns[] = {"v_x", "v_y", "v_z"};
  for (std::size_t c = 0; c < golden["energy"].size(); ++c) {
    // The first stages are drawn before anything could make a difference; training multiplies rounding.
    const bool early = c < 2 * golden["energy"].size() / 3;
    EXPECT_NEAR(table.column("PotEng")[c + 1], golden["energy"][c].get<double>(),
                early ? 1e-9 : 1e-6);
    for (std::size_t k = 0; k < 3; ++k)
      EXPECT_NEAR(table.column(columns[k])[c + 1], golden["position"][c][k].get<double>(),
                  early ? 1e-11 : 1e-8);
  }
}

TEST(FixKokkos, RelaxationAndGuidance) {
  for (const char *words : {"relax 4 1e-6 sample prior", "guide 0.2 extra 2"}) {
    SmallSearch search;
    search.words = words;
    search.commands = "run 1000\n";
    expect_one_search(search, LEARNED);
  }
}

TEST(FixKokkos, WholeStages) {
  SmallSearch search = jumps();
  search.commands = "run 1000\n";
  const RunResult one = search.run();
  search.words += " evaluate batch stacked";
  expect_near(one, on_host(search).run(with_kokkos()), ROUNDING);
  expect_near(one, search.run(with_kokkos()), ROUNDING);
  search.before_read = "processors 2 1 1\n";
  expect_near(one, search.run(with_kokkos(1, 2)), ROUNDING);
}

TEST(FixKokkos, ImageFlagsOfTheInputAreForgotten) {
  for (const char *words : {"", " evaluate batch stacked"}) {
    SCOPED_TRACE(words);
    SmallSearch search = jumps();
    search.words += words;
    search.before = "set group mobile image 3 NULL NULL\n";
    search.after += "compute ix mobile property/atom ix\ncompute most mobile reduce max c_ix\n";
    search.thermo = "step pe f_s c_most";
    search.commands = "run 3\n";
    const RunResult plain = search.run(), run = search.run(with_kokkos());
    expect_near(plain, run, ROUNDING);
    const auto images = run.thermo().at(0).column("c_most");
    EXPECT_EQ(images.at(0), 3.0);
    EXPECT_LT(images.at(1), 3.0);
    EXPECT_EQ(images, plain.thermo().at(0).column("c_most"));
  }
}

TEST(FixKokkos, WholeStagesByTheBatchService) {
  SmallSearch search = jumps();
  search.potential =
      "pair_style mace\npair_coeff * * " GODIFF_SOURCE_DIR "/unittest/mace/pt_one_layer.pt Pt\n";
  search.samples = 4;
  search.commands = "run 1000\n";
  const RunResult one = search.run();
  search.words += " evaluate batch direct";
  expect_near(one, search.run(with_kokkos()), ROUNDING);
}

TEST(FixKokkos, EveryWayToSendAtoms) {
  for (const bool triclinic : {false, true}) {
    SmallSearch search = jumps();
    search.triclinic = triclinic;
    const RunResult serial = search.run();
    search.before_read = triclinic ? "processors 1 2 1\n" : "processors 2 1 1\n";
    for (const char *way : {"no", "host", "device"}) {
      SCOPED_TRACE(std::string("comm ") + way + (triclinic ? ", triclinic" : ""));
      const RunOptions options = with_kokkos(1, 2, {"comm", way});
      expect_near(serial, search.run(options), ROUNDING);
      if (std::string(way) == "device")
        expect_near(serial, on_host(search).run(options), ROUNDING);
    }
    SCOPED_TRACE("tiled");
    search.before_read = "comm_style tiled\n";
    search.before = "balance 1.0 rcb\n";
    expect_near(serial, search.run(with_kokkos(1, 2)), ROUNDING);
  }
}

TEST(FixKokkos, FarJumps) {
  SmallSearch search = jumps();
  search.samples = 5;
  search.commands = "run 10\n";
  const RunResult serial = search.run();
  for (const char *grid : {"4 1 1", "1 1 4", "2 2 1"}) {
    SCOPED_TRACE(grid);
    search.before_read = std::string("processors ") + grid + "\n";
    expect_near(serial, search.run(with_kokkos(1, 4)), ROUNDING);
  }
}

TEST(FixKokkos, NothingOfAnAtomGoesToTheHostInAStep) {
  // With forces these do, in the order of the structure: not as a field of the atoms.
  for (const char *words : {"", "relax 100 1e-9"})
    for (const bool triclinic : {false, true}) {
      SCOPED_TRACE(std::string(words) + (triclinic ? " triclinic" : ""));
      SmallSearch search = jumps();
      search.words += std::string(" ") + words;
      search.triclinic = triclinic;
      search.before_read = "atom_modify map array\n";
      const Audit found = audit(search);
      EXPECT_GE(found.steps, 19);
      EXPECT_EQ(found.to_host, 0);
      EXPECT_EQ(found.to_device, 0);
      EXPECT_EQ(found.conflicts, 0);
    }
  // Nor on two ranks, when it goes from one to the other.
  SmallSearch two = jumps();
  two.before_read = "processors 2 1 1\n";
  const Audit found = audit(two, 2);
  EXPECT_GE(found.steps, 19);
  EXPECT_EQ(found.to_host, 0);
  EXPECT_EQ(found.to_device, 0);
  EXPECT_EQ(found.conflicts, 0);
  // Training does not change that.
  SmallSearch trained;
  trained.samples = 10;
  EXPECT_EQ(audit(trained).to_host, 0);
  // The style of the host takes everything there and back.
  EXPECT_GE(audit(on_host(jumps())).to_host, 19);
}

TEST(FixKokkos, RestartAndResume) {
  SmallSearch search;
  search.stages = 3;
  search.commands = "run 9\n";
  const RunResult whole = search.run(with_kokkos());
  ASSERT_TRUE(whole.ok()) << whole.output;
  for (const int cut : {3, 4}) {
    SCOPED_TRACE("cut after step " + std::to_string(cut));
    RunOptions options = with_kokkos();
    options.folder = fresh_folder();
    search.commands = "run " + std::to_string(cut) + "\nwrite_restart cut.restart\n";
    ASSERT_TRUE(search.run(options).ok());
    const RunResult second = run_lammps(
        continuation(search, "cut.restart", "run " + std::to_string(9 - cut) + "\n"), options);
    ASSERT_TRUE(second.ok()) << second.output;
    expect_equal(whole, second);

    options.folder = fresh_folder();
    ASSERT_TRUE(search.run(options).ok());
    search.words = "resume yes";
    search.commands = "run " + std::to_string(9 - cut) + "\n";
    const RunResult resumed = search.run(options);
    ASSERT_TRUE(resumed.ok()) << resumed.output;
    expect_equal(whole, resumed);
    search.words = "";
  }
}

TEST(FixKokkos, GoesOnWithASearchOfTheHost) {
  SmallSearch search;
  search.words = "precision double";
  const RunResult whole = search.run();
  RunOptions options;
  options.folder = fresh_folder();
  search.commands = "run 4\n";
  ASSERT_TRUE(search.run(options).ok());
  search.words += " resume yes";
  search.commands = "run 2\n";
  RunOptions kokkos = with_kokkos();
  kokkos.folder = options.folder;
  expect_near(whole, search.run(kokkos), LEARNED);
}

TEST(FixKokkos, RunsInPieces) {
  SmallSearch search;
  const RunResult whole = search.run(with_kokkos());
  search.commands = "run 2\nrun 1 pre no\nrun 3 pre no post no\n";
  const RunResult pieces = search.run(with_kokkos());
  expect_near(whole, pieces, ROUNDING);
}

TEST(FixKokkos, LeavesTheBestStructure) {
  for (const int nprocs : {1, 2}) {
    SmallSearch search = jumps();
    search.after = "fix freeze template setforce 0.0 0.0 0.0\n";
    search.before_read = nprocs == 2 ? "processors 2 1 1\n" : "";
    // Runs beyond the end of the search must not keep later commands from running.
    search.commands = "run 20\nwrite_data best.data\nrun 0\nrun 5\nminimize 0 1e-6 20 100\n"
                      "thermo_style one\nunfix s\nrun 0\nclear\nunits metal\nboundary p p "
                      "f\nread_data best.data nocoeff\n" +
                      search.potential + "thermo_modify format float %20.15g\nrun 0\n";
    const RunResult run = search.run(with_kokkos(1, nprocs));
    ASSERT_TRUE(run.ok()) << run.output;
    const auto e = csv(run).numbers("energy");
    const double best = *std::min_element(e.begin(), e.end());
    const auto tables = run.thermo();
    ASSERT_EQ(tables.size(), 6u);
    EXPECT_NEAR(tables[1].last("PotEng"), best, ROUNDING * std::abs(best));
    EXPECT_LE(tables[2].rows.size(), 2u);
    EXPECT_NEAR(tables[2].last("PotEng"), best, ROUNDING * std::abs(best));
    const double minimized = tables[3].last("PotEng");
    EXPECT_LT(minimized, best);
    // Numbers of six digits.
    EXPECT_NEAR(tables[4].last("E_pair"), minimized, 1e-5 * std::abs(best));
    // write_data has positions with 15 digits.
    EXPECT_NEAR(tables[5].last("E_pair"), best, 1e-8 * std::abs(best));
  }
}

TEST(FixKokkos, LeavesTheLastStructure) {
  SmallSearch search = jumps();
  search.words += " final last";
  search.commands = "run 20\nrun 0\n";
  const RunResult run = search.run(with_kokkos());
  ASSERT_TRUE(run.ok()) << run.output;
  const double last = csv(run).numbers("energy").back();
  EXPECT_NEAR(run.thermo()[1].last("PotEng"), last, ROUNDING * std::abs(last));
}

TEST(FixKokkos, SearchesAfterEachOtherInOneProcess) {
  SmallSearch first, second = jumps();
  second.words += " save other";
  const RunResult alone = first.run(with_kokkos()), other = second.run(with_kokkos());
  ASSERT_TRUE(alone.ok() && other.ok()) << alone.output << other.output;
  RunOptions options = with_kokkos();
  options.files = {{"data.slab", first.data()}, {"other.slab", second.data()}};
  std::string input = second.input();
  input.replace(input.find("data.slab"), 9, "other.slab");
  const RunResult both = run_lammps(first.input() + "clear\n" + input, options);
  ASSERT_TRUE(both.ok()) << both.output;
  EXPECT_EQ(both.file("godiff.s.csv"), alone.file("godiff.s.csv"));
  EXPECT_EQ(both.file("other.csv"), other.file("other.csv"));
}

TEST(FixKokkos, Refusals) {
  SmallSearch search;
  const auto expect_error = [](const std::string &error, const std::string &message) {
    EXPECT_NE(error.find(message), std::string::npos) << error;
  };
  search.commands = "fix t mobile godiff 2 3 1 20000 300 elements Pt save t\nrun 6\n";
  expect_error(refusal(search.input()), "fix t is a second search");
  search.commands = "run_style respa 2 2\nrun 6\n";
  expect_error(refusal(search.input()), "respa");
  search.commands = "run 6\n";
  search.words = "device cuda:99";
  expect_error(refusal(search.input()), "device cuda:99: ");
  if (godiff::cuda_devices().count == 0) {
    search.words = "device cuda";
    expect_error(refusal(search.input()), "Fix godiff: device cuda: ");
    expect_error(refusal(search.input()), "use device cpu");
  }
  search.words = "";
  search.commands = "run 2\ncreate_atoms 1 single 1.0 1.0 6.0\nrun 4\n";
  expect_error(refusal(search.input()), "there are 21 atoms, 20 when the search began");

  std::string input = SmallSearch().input();
  input.replace(input.find("mobile godiff"), 13, "mobile godiff/kk");
  RunOptions options;
  options.files["data.slab"] = search.data();
  const RunResult run = run_lammps(input, options);
  EXPECT_EQ(run.exit_code, 1);
  expect_error(run.error(), "start lmp with -k on, or use fix godiff");
}

TEST(FixKokkos, NamesOfTheStyle) {
  const RunResult plain = SmallSearch().run();
  for (const char *style : {"godiff/kk", "godiff/kk/device", "godiff/kk/host"}) {
    SmallSearch search;
    std::string input = search.input();
    input.replace(input.find("mobile godiff"), 13, std::string("mobile ") + style);
    RunOptions options = with_kokkos();
    options.files["data.slab"] = search.data();
    expect_near(plain, run_lammps(input, options), 1e-4);  // in single precision
  }
}
