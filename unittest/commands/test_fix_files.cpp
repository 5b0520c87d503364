// SPDX-License-Identifier: GPL-2.0-only
// The files of a search, and what other commands do with them.
#include "testing/small_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <sstream>
#include <utility>

using godiff::testing::Csv;
using godiff::testing::lines_of;
using godiff::testing::parse_csv;
using godiff::testing::RunOptions;
using godiff::testing::RunResult;
using godiff::testing::SmallSearch;

namespace {

// Positions by ID of one frame of a LAMMPS dump or an extended XYZ file.
using Frame = std::vector<std::array<double, 3>>;

constexpr int ATOMS = 20;

Frame xyz_frame(const std::string &text, std::size_t offset) {
  std::istringstream in(text.substr(offset));
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, std::to_string(ATOMS));
  std::getline(in, line);
  Frame frame(ATOMS + 1);
  for (int i = 0; i < ATOMS; ++i) {
    std::string symbol;
    double x, y, z;
    int id, mobile;
    in >> symbol >> x >> y >> z >> id >> mobile;
    EXPECT_EQ(symbol, "Pt");
    EXPECT_EQ(mobile, id > 18 ? 1 : 0);
    frame.at(static_cast<std::size_t>(id)) = {x, y, z};
  }
  return frame;
}

// All snapshots of a text dump with columns id type x y z.
std::vector<std::pair<long, Frame>> dump_frames(const std::string &text) {
  std::vector<std::pair<long, Frame>> frames;
  const auto lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i] == "ITEM: TIMESTEP")
      frames.push_back({std::stol(lines.at(i + 1)), Frame(ATOMS + 1)});
    if (lines[i].rfind("ITEM: ATOMS", 0) != 0)
      continue;
    for (int k = 0; k < ATOMS; ++k) {
      std::istringstream in(lines.at(i + 1 + static_cast<std::size_t>(k)));
      int id, type;
      double x, y, z;
      in >> id >> type >> x >> y >> z;
      frames.back().second.at(static_cast<std::size_t>(id)) = {x, y, z};
    }
  }
  return frames;
}

// The same place in the box with edges 8.1 and 8.1.
void expect_same(const Frame &a, const Frame &b, double tolerance) {
  for (std::size_t id = 1; id <= ATOMS; ++id)
    for (int d = 0; d < 3; ++d) {
      const double difference = a[id][d] - b[id][d];
      const double image = d < 2 ? 8.1 * std::round(difference / 8.1) : 0.0;
      EXPECT_NEAR(difference, image, tolerance) << "atom " << id;
    }
}

}  // namespace

TEST(Files, TableOfCandidates) {
  const RunResult run = SmallSearch().run();
  ASSERT_TRUE(run.ok()) << run.output;
  const std::string text = run.file("godiff.s.csv");
  EXPECT_EQ(lines_of(text)[0],
            "candidate,evaluation,stage,temperature,energy,weight,status,class,offset");
  const Csv csv = parse_csv(text);
  ASSERT_EQ(csv.rows.size(), 6u);
  constexpr double BOLTZMANN = 8.617343e-5;  // of LAMMPS' units metal
  double best = INFINITY;
  for (std::size_t k = 0; k < 6; ++k) {
    EXPECT_EQ(csv.numbers("candidate")[k], k + 1.0);
    EXPECT_EQ(csv.numbers("evaluation")[k], k + 1.0);
    EXPECT_EQ(csv.numbers("stage")[k], k < 3 ? 1.0 : 2.0);
    const double kelvin = csv.numbers("temperature")[k];
    EXPECT_NEAR(kelvin, k < 3 ? 20000.0 : 300.0, 1e-5);
    EXPECT_EQ(csv.text("status")[k], "ok");
    const double energy = csv.numbers("energy")[k];
    best = std::min(best, energy);
    EXPECT_NEAR(csv.numbers("weight")[k], std::exp(-(energy - best) / (BOLTZMANN * kelvin)), 1e-5);
  }
}

TEST(Files, FramesHoldWhatADumpOfTheSameStepHolds) {
  SmallSearch search;
  search.after += "dump d all custom 1 all.dump id type xu yu zu\n"
                  "dump_modify d sort id format float %.10f\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto dumped = dump_frames(run.file("all.dump"));
  ASSERT_EQ(dumped.size(), 7u);  // step 0 is the input structure
  const std::string xyz = run.file("godiff.s.xyz");
  const auto offsets = parse_csv(run.file("godiff.s.csv")).numbers("offset");
  for (std::size_t k = 0; k < 6; ++k)
    expect_same(xyz_frame(xyz, static_cast<std::size_t>(offsets[k])), dumped[k + 1].second, 1e-9);
  const std::string first = lines_of(xyz)[1];
  for (const char *key :
       {"Lattice=\"8.1 0 0 0 8.1 0 0 0 12\"", "Origin=\"0 0 -2\"",
        "Properties=species:S:1:pos:R:3:id:I:1:mobile:I:1", "candidate=1", "evaluation=1",
        "stage=1", "temperature=20000", "status=ok", "pbc=\"T T F\""})
    EXPECT_NE(first.find(key), std::string::npos) << key << "\n" << first;
}

TEST(Files, TemplateNeverMoves) {
  // Triclinic: converting the coordinates back and forth would let it drift.
  SmallSearch search;
  search.triclinic = true;
  search.after += "dump d template custom 1 t.dump id type xu yu zu\n"
                  "dump_modify d sort id format float %.17g\n";
  search.samples = 20;
  search.commands = "run 40\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  std::vector<std::string> snapshots;
  std::string current;
  bool atoms = false;
  for (const auto &line : lines_of(run.file("t.dump"))) {
    if (line.rfind("ITEM:", 0) == 0) {
      if (line == "ITEM: TIMESTEP" && !current.empty())
        snapshots.push_back(std::exchange(current, ""));
      atoms = line.rfind("ITEM: ATOMS", 0) == 0;
    } else if (atoms) {
      current += line + "\n";
    }
  }
  snapshots.push_back(current);
  ASSERT_EQ(snapshots.size(), 41u);
  for (std::size_t k = 2; k < snapshots.size(); ++k)
    EXPECT_EQ(snapshots[k], snapshots[1]) << "step " << k;
}

TEST(Files, BestStructuresForReadDumpAndMinimize) {
  SmallSearch search;
  search.samples = 6;
  search.words = "best 3";
  search.thermo = "step pe";
  search.commands = "run 12\nunfix s\n"
                    "variable k loop 3\nlabel again\n"
                    "read_dump godiff.s.best $k x y z box no\nrun 0\nminimize 0 1e-3 20 200\n"
                    "next k\njump SELF again\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto frames = dump_frames(run.file("godiff.s.best"));
  ASSERT_EQ(frames.size(), 3u);
  const auto tables = run.thermo();
  ASSERT_EQ(tables.size(), 7u);
  const auto energies = parse_csv(run.file("godiff.s.csv")).numbers("energy");
  double before = -INFINITY;
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(frames[k].first, static_cast<long>(k) + 1);
    const double energy = tables[2 * k + 1].last("PotEng");
    EXPECT_GE(energy, before);
    before = energy;
    if (k == 0) {
      EXPECT_NEAR(energy, *std::min_element(energies.begin(), energies.end()), 1e-8);
    }
    // Each of them is one of the candidates.
    double nearest = INFINITY;
    for (const double e : energies)
      nearest = std::min(nearest, std::abs(e - energy));
    EXPECT_LT(nearest, 1e-8);
    EXPECT_LE(tables[2 * k + 2].last("PotEng"), energy);
  }
}

TEST(Files, RerunScoresTheBestStructures) {
  SmallSearch search;
  search.thermo = "step pe";
  search.commands = "run 6\nunfix s\nrerun godiff.s.best dump x y z box no\n";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  const auto energies = parse_csv(run.file("godiff.s.csv")).numbers("energy");
  EXPECT_NEAR(run.thermo()[1].column("PotEng")[0],
              *std::min_element(energies.begin(), energies.end()), 1e-8);
}

TEST(Files, DumpallNo) {
  SmallSearch search;
  search.words = "dumpall no";
  const RunResult run = search.run();
  ASSERT_TRUE(run.ok()) << run.output;
  EXPECT_FALSE(std::filesystem::exists(run.folder / "godiff.s.xyz"));
  for (const auto &offset : parse_csv(run.file("godiff.s.csv")).text("offset"))
    EXPECT_EQ(offset, "-1");
}

TEST(Files, EarlierFilesAreReplacedWithANote) {
  SmallSearch search;
  RunOptions options;
  options.folder = godiff::testing::fresh_folder();
  search.words = "save again";
  const RunResult first = search.run(options);
  EXPECT_FALSE(first.contains("replaces the files")) << first.output;
  const RunResult second = search.run(options);
  ASSERT_TRUE(second.ok()) << second.output;
  EXPECT_TRUE(second.contains("replaces the files of an earlier search: again.csv again.xyz "
                              "again.best again.ckpt"))
      << second.output;
  EXPECT_EQ(parse_csv(second.file("again.csv")).rows.size(), 6u);
}

TEST(Files, AreCompleteUpToTheCandidateWhenTheProcessIsKilled) {
  SmallSearch search;
  search.stages = 50;
  search.samples = 20;
  search.commands = "run 1000\n";
  RunOptions options;
  options.kill_when = [](const std::filesystem::path &folder) {
    const auto file = folder / "godiff.s.csv";
    return std::filesystem::exists(file) && std::filesystem::file_size(file) > 2000;
  };
  const RunResult run = search.run(options);
  ASSERT_TRUE(run.killed) << run.output;
  const std::string text = run.file("godiff.s.csv");
  EXPECT_EQ(text.back(), '\n');
  const Csv csv = parse_csv(text);
  const std::string xyz = run.file("godiff.s.xyz");
  for (const double offset : csv.numbers("offset"))
    xyz_frame(xyz, static_cast<std::size_t>(offset));
}

TEST(Files, ACheckpointStartsAnotherSearch) {
  SmallSearch first;
  first.words = "save first";
  const RunResult trained = first.run();
  ASSERT_TRUE(trained.ok()) << trained.output;
  RunOptions options;
  options.files["first.ckpt"] = trained.file("first.ckpt");
  // Another number of atoms: the network does not know it.
  SmallSearch second;
  second.mobile = 3;
  const RunResult fresh = second.run();
  second.words = "load first.ckpt";
  const RunResult loaded = second.run(options);
  ASSERT_TRUE(loaded.ok()) << loaded.output;
  EXPECT_TRUE(loaded.contains("from first.ckpt")) << loaded.output;
  // Its first stage is drawn by the trained network.
  EXPECT_NE(loaded.file("godiff.s.csv"), fresh.file("godiff.s.csv"));
}
